//! Our own exports come back; what other programs write is in the tests of the command line, with those programs.

use super::*;
use crate::record::export::{csv::to_csv, tensorboard::to_tensorboard};
use crate::record::samples::{full_step, header, step};
use crate::record::{JointRecord, StepRecord};
use crate::statistics::Moments;

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn events(run: &Run) -> Vec<u8> {
    let mut bytes = Vec::new();
    to_tensorboard(run, &mut bytes).unwrap();
    bytes
}

fn recorded() -> Run {
    Run { steps: vec![step(0), step(3), full_step()], ..Run::new(header()) }
}

#[test]
fn an_event_file_is_a_run() {
    let (_folder, path) = written("events.out.tfevents.1.host", &events(&recorded()));
    let run = open(&path).unwrap();
    assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [0, 3, 7]);
    let first = &run.steps[0];
    assert!((first.loss - 2.3).abs() < 1e-6 && (first.learning_rate - 0.05).abs() < 1e-8);
    let expected = recorded().steps[0].joints[0].cotangent.rms().unwrap();
    assert!((first.joints[0].cotangent.rms().unwrap() - expected).abs() < 1e-6);
    assert_eq!(first.parameters[0].name, "fc1.weight");
    assert!(first.clip.unwrap().acted);
    assert!(run.notes[0].contains("another program wrote") && !run.truncated);
    // A folder of event files is the same.
    assert_eq!(open(path.parent().unwrap()).unwrap().steps, run.steps);
}

#[test]
fn a_csv_of_our_own_is_the_same_run() {
    let mut bytes = Vec::new();
    to_csv(&recorded(), &mut bytes).unwrap();
    let (_folder, path) = written("run.csv", &bytes);
    let run = open(&path).unwrap();
    for (read, kept) in run.steps.iter().zip(&recorded().steps) {
        assert_eq!((read.step, read.loss, read.clip), (kept.step, kept.loss, kept.clip));
        let moments = |record: &StepRecord| {
            let JointRecord { activation, cotangent, .. } = &record.joints[0];
            [*activation, *cotangent, record.parameters[0].update]
        };
        for (read, kept) in moments(read).into_iter().zip(moments(kept)) {
            let near = |read: f64, kept: f64| (read - kept).abs() < 1e-12 * kept.abs().max(1.0);
            assert!(near(read.sum, kept.sum), "{read:?} {kept:?}");
            assert!(near(read.rms().unwrap(), kept.rms().unwrap()), "{read:?} {kept:?}");
            let rest = |of: Moments| Moments { sum: 0.0, sum_of_squares: 0.0, ..of };
            assert_eq!(rest(read), rest(kept));
        }
    }
}

#[test]
fn a_column_for_each_curve() {
    let text = "epoch,global_step,train_loss,lr-SGD,\"grad_2.0_norm/net.0.weight\",val_loss\n\
                0,0,2.5,0.1,0.5,\n0,10,,0.1,0.25,\n\n1,20.0,NaN,0.05,inf,2.0\n";
    let (_folder, path) = written("metrics.csv", text.as_bytes());
    let run = open(&path).unwrap();
    assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [0, 10, 20]);
    assert_eq!((run.steps[0].loss, run.steps[1].loss), (2.5, 2.5), "where it is not recorded, the last one");
    assert!(run.steps[2].loss.is_nan() && run.steps[2].learning_rate == 0.05);
    assert_eq!(run.steps[1].parameters[0].name, "net.0.weight");
    assert_eq!(run.steps[1].parameters[0].gradient.rms(), Some(0.25));
    assert_eq!(run.steps[2].parameters[0].gradient.non_finite, 1);
    let notes = run.notes.join("\n");
    assert!(notes.contains("epoch, val_loss") && notes.contains("are the norms that were recorded"), "{notes}");
    let rules: Vec<&str> = run.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert!(rules.contains(&"non-finite"), "{rules:?}");
}

#[test]
fn rules_speak_of_what_curves_tell() {
    let mut text = String::from("step,loss");
    (1..=12).for_each(|layer| text += &format!(",cotangent_rms/fc{layer},activation_rms/fc{layer}"));
    for step in 0..12 {
        text += &format!("\n{step},2.3");
        (1..=12).for_each(|layer| text += &format!(",{:e},1", 1e-3 * 10_f64.powi(layer - 12)));
    }
    let (_folder, path) = written("metrics.csv", text.as_bytes());
    let run = open(&path).unwrap();
    assert_eq!(run.header.network.ops.len(), 12);
    let found = run.findings.iter().map(|finding| finding.rule.as_str()).collect::<Vec<_>>();
    // No weight tells what a step does to it, so that the rule about vanishing has nothing to weigh sizes with.
    assert_eq!(found, Vec::<&str>::new());
    let rising = (0..40).map(|step| format!("{step},{}\n", 2.0 * 1.3_f64.powi(step))).collect::<String>();
    let (_folder, path) = written("rising.csv", format!("step,loss\n{rising}").as_bytes());
    let found = open(&path).unwrap().findings;
    assert!(found.iter().any(|finding| finding.rule == "diverging-loss"), "{found:?}");
}

#[test]
fn damaged_files_are_told() {
    let whole = events(&recorded());
    // Cut anywhere it is the beginning of a run, or nothing at all.
    for length in 0..whole.len() {
        let (_folder, path) = written("a.tfevents", &whole[..length]);
        if let Ok(run) = open(&path) {
            assert!(run.steps.len() <= 3, "{length}");
        }
    }
    let mut flipped = whole.clone();
    let middle = flipped.len() * 3 / 4;
    flipped[middle] ^= 0x40;
    let (_folder, path) = written("a.tfevents", &flipped);
    let run = open(&path).unwrap();
    assert!(run.truncated || run.notes.iter().any(|note| note.contains("checksum")), "{:?}", run.notes);
    let (_folder, path) = written("a.tfevents", &[0xff; 4096]);
    assert!(open(&path).unwrap_err().to_string().contains("no curve by step"));
    for (text, expected) in [
        ("", "the file is empty"),
        ("a,b\n1,2\n", "no column counts steps"),
        ("step,loss\nx,2\n", "2: 'x' is not the number of a step"),
        ("step,accuracy\n1,2\n", "no curve by step"),
    ] {
        let (_folder, path) = written("a.csv", text.as_bytes());
        let error = open(&path).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let (_folder, path) = written("a.csv", b"step,loss\n1,\xff\n");
    assert!(open(&path).unwrap_err().to_string().contains("2: not UTF-8 text"));
    assert!(open(Path::new("nowhere")).unwrap_err().to_string().contains("nowhere"));
}
