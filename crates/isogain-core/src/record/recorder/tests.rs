use super::super::samples::{finding, header, step};
use super::super::{RUN_FILE, read};
use super::*;

fn recorder(last_step: u64) -> (tempfile::TempDir, Recorder) {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::create(folder.path(), header()).unwrap();
    (folder, Recorder::new(writer, last_step))
}

/// Kind and step of every line, in the order of the file.
fn lines(folder: &tempfile::TempDir) -> Vec<(String, Option<u64>)> {
    let text = std::fs::read_to_string(folder.path().join(RUN_FILE)).unwrap();
    let values = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    values.map(|value| (value["line"].as_str().unwrap().to_owned(), value["step"].as_u64())).collect()
}

fn steps(folder: &tempfile::TempDir) -> Vec<u64> {
    lines(folder).into_iter().filter(|(kind, _)| kind == "step").filter_map(|(_, step)| step).collect()
}

#[test]
fn a_healthy_run_is_written_at_the_cadence() {
    let (folder, mut recorder) = recorder(999);
    for number in 0..1000 {
        recorder.step(&step(number)).unwrap();
    }
    recorder.finish().unwrap();
    let expected: Vec<u64> = (0..1000).filter(|&number| is_written(number, 999)).collect();
    assert_eq!(steps(&folder), expected);
}

#[test]
fn the_last_step_is_written_once_and_no_earlier_one_in_its_place() {
    for (last, expected) in [(21, 21), (22, 22), (24, 24), (25, 25)] {
        let (folder, mut recorder) = recorder(u64::MAX);
        for number in 0..=last {
            recorder.step(&step(number)).unwrap();
        }
        recorder.write_last_step().unwrap();
        recorder.finish().unwrap();
        let written = steps(&folder);
        assert_eq!(written.last(), Some(&expected));
        assert!(written.is_sorted(), "{written:?}");
    }
}

#[test]
fn a_resumed_run_writes_the_same_steps() {
    let (folder, mut recorder) = recorder(999);
    for number in 0..437 {
        recorder.step(&step(number)).unwrap();
    }
    drop(recorder);
    let mut recorder = Recorder::new(Writer::append(folder.path()).unwrap(), 999);
    recorder.write(&Line::Resumed(super::super::line::Resumed { step: 400 })).unwrap();
    for number in 400..1000 {
        recorder.step(&step(number)).unwrap();
    }
    recorder.finish().unwrap();
    let read: Vec<u64> = read(folder.path()).unwrap().steps.iter().map(|step| step.step).collect();
    let expected: Vec<u64> = (0..1000).filter(|&number| is_written(number, 999)).collect();
    assert_eq!(read, expected);
}

/// Stopped anywhere before it breaks, a run writes the lines of one that was never stopped.
#[test]
fn a_resumed_run_that_breaks_writes_the_same_steps() {
    const BREAK: u64 = 137;
    let write = |recorder: &mut Recorder, steps: std::ops::RangeInclusive<u64>| {
        for number in steps {
            let loss = if number == BREAK { f64::NAN } else { 1.0 };
            recorder.step(&StepRecord { loss, ..step(number) }).unwrap();
        }
    };
    let (whole, mut recorder) = self::recorder(999);
    write(&mut recorder, 0..=BREAK);
    recorder.finish().unwrap();
    for stopped in (0..40).chain(BREAK - 20..=BREAK) {
        let (folder, mut recorder) = self::recorder(999);
        if stopped > 0 {
            write(&mut recorder, 0..=stopped - 1);
        }
        let unwritten: Vec<StepRecord> = recorder.unwritten().into_iter().cloned().collect();
        recorder.finish().unwrap();
        let writer = Writer::append(folder.path()).unwrap();
        let mut recorder = Recorder::new(writer, 999).resumed(stopped, unwritten);
        write(&mut recorder, stopped..=BREAK);
        recorder.finish().unwrap();
        assert_eq!(lines(&folder), lines(&whole), "stopped before step {stopped}");
    }
}

#[test]
fn the_first_non_finite_value_is_written_with_the_steps_before_it() {
    let breaks: [fn(&mut StepRecord); 6] = [
        |step| step.loss = f64::NAN,
        |step| step.joints[0].activation.non_finite = 1,
        |step| step.joints[0].cotangent.non_finite = 1,
        |step| step.parameters[0].weight.non_finite = 1,
        |step| step.parameters[0].gradient.non_finite = 1,
        |step| step.parameters[0].update.non_finite = 1,
    ];
    for break_it in breaks {
        let (folder, mut recorder) = recorder(9999);
        for number in 0..1200 {
            let mut step = step(number);
            if number >= 1130 {
                break_it(&mut step);
            }
            recorder.step(&step).unwrap();
        }
        recorder.finish().unwrap();
        let run = read(folder.path()).unwrap();
        assert!(run.steps.iter().find(|step| step.step == 1130).unwrap().has_non_finite());
        // The last sixteen steps before it, of which 1120 was written by the cadence; nothing more after it.
        let expected: Vec<u64> = (0..1114).filter(|&number| is_written(number, 9999)).chain(1114..=1130).collect();
        assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), expected);
        let written = steps(&folder);
        assert_eq!(written.len(), expected.len(), "no step twice");
    }
}

#[test]
fn a_finding_that_training_fails_follows_the_steps_that_led_to_it() {
    let (folder, mut recorder) = recorder(999);
    recorder.finding(&finding(0)).unwrap();
    for number in 0..=30 {
        recorder.step(&step(number)).unwrap();
    }
    let mild = Finding { level: Level::Warn, ..finding(30) };
    recorder.finding(&mild).unwrap();
    recorder.finding(&finding(30)).unwrap();
    recorder.finding(&finding(30)).unwrap();
    recorder.finish().unwrap();
    let lines = lines(&folder);
    assert_eq!(lines[..2], [("header".into(), None), ("finding".into(), Some(0))]);
    let tail: Vec<(&str, u64)> =
        lines[24..].iter().filter_map(|(kind, step)| Some((kind.as_str(), (*step)?))).collect();
    let expected = [
        ("step", 28),
        ("finding", 30),
        ("step", 21),
        ("step", 23),
        ("step", 24),
        ("step", 26),
        ("step", 27),
        ("step", 29),
        ("step", 30),
        ("finding", 30),
        ("finding", 30),
    ];
    assert_eq!(tail[tail.len() - expected.len()..], expected);
}
