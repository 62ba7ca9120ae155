//! Ctrl-C at any moment: status 130, in good order; what is recorded can be read, and a training goes on from there to
//! the same end.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use isogain_core::record;

use crate::desk::{Desk, Ran, TINY};

/// So many steps that no machine ends before it is interrupted, unless it is let run.
fn steps(count: usize) -> String {
    TINY.replace("steps = 40", &format!("steps = {count}"))
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Waits until the file has that many lines.
fn wait_for(path: &Path, count: usize) {
    let start = Instant::now();
    while lines(path) < count {
        assert!(start.elapsed() < Duration::from_secs(30), "{} does not grow", path.display());
        sleep(Duration::from_millis(5));
    }
}

fn stopped(ran: &Ran) {
    assert_eq!(ran.code, Some(130), "{}{}", ran.stdout, ran.stderr);
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("error"), "{}", ran.stderr);
}

#[test]
fn a_training_stops_and_goes_on_to_the_same_end() {
    // Seconds, so that it is still running when a busy machine looks at it.
    const STEPS: usize = 40_000;
    let desk = Desk::new();
    desk.write("net.toml", steps(STEPS));
    let whole = desk.isogain(&["train", "net.toml", "--quiet", "--out", "whole"]);
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);

    // At several moments: before the first step, in the dense part of the record, and later.
    let mut arguments = vec!["train", "net.toml", "--out", "run"];
    let file = desk.path("run/run.jsonl");
    for more in [1, 5, 6] {
        let before = lines(&file);
        let running = desk.begin(&arguments);
        wait_for(&file, before + more);
        running.interrupt();
        let ran = running.end();
        stopped(&ran);
        assert!(ran.stderr.contains("go on with: isogain train --resume --out run"), "{}", ran.stderr);
        let run = record::read(&desk.path("run")).unwrap();
        assert!(!run.truncated && run.outcome.is_none());
        assert!(desk.path("run/checkpoint.safetensors").is_file());
        arguments = vec!["train", "--resume", "--out", "run"];
    }
    let ran = desk.isogain(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for file in ["weights.safetensors", "checkpoint.safetensors"] {
        assert_eq!(desk.bytes(&format!("run/{file}")), desk.bytes(&format!("whole/{file}")), "{file}");
    }
    let (run, whole) = (record::read(&desk.path("run")).unwrap(), record::read(&desk.path("whole")).unwrap());
    assert_eq!(run.resumed.len(), 3);
    assert_eq!((run.steps, run.findings, run.outcome), (whole.steps, whole.findings, whole.outcome));
}

/// So ill that it is searched for a cure, and so many steps that the search goes on.
fn ill(steps: usize) -> String {
    format!("[network]\ndepth = 12\nwidth = 16\n\n[run]\nsteps = {steps}\n")
}

#[test]
fn a_search_stops_and_keeps_what_was_tried() {
    let desk = Desk::new();
    desk.write("net.toml", ill(20_000));
    let running = desk.begin(&["cure", "net.toml", "--quiet", "--threads", "2", "--out", "out"]);
    wait_for(&desk.path("out/run.jsonl"), 4);
    running.interrupt();
    let ran = running.end();
    stopped(&ran);
    assert!(ran.stderr.contains("stopped; what was done so far is in out"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "", "nothing can be said before the untreated network was trained");
    let run = record::read(&desk.path("out")).unwrap();
    assert!(!run.truncated && !run.trials.is_empty());
    let resumed = desk.isogain(&["train", "--resume", "--out", "out"]);
    assert_eq!(resumed.code, Some(2));
    assert!(resumed.stderr.contains("out holds a search of many trainings"), "{}", resumed.stderr);
}

#[test]
fn a_search_that_was_stopped_tells_what_it_knows() {
    const STEPS: usize = 400;
    let desk = Desk::new();
    desk.write("net.toml", ill(STEPS));
    let running = desk.begin(&["cure", "net.toml", "--quiet", "--threads", "1", "--out", "out"]);
    let start = Instant::now();
    let whole_trainings = || {
        let record = record::read(&desk.path("out")).ok();
        record.map_or(0, |run| run.trials.iter().filter(|trial| trial.job.steps == STEPS).count())
    };
    while whole_trainings() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "no training ends");
        sleep(Duration::from_millis(5));
    }
    running.interrupt();
    let ran = running.end();
    stopped(&ran);
    assert!(ran.stdout.contains("\n   stopped by hand: the best so far\n"), "{}", ran.stdout);
    let report: serde_json::Value = serde_json::from_str(&desk.read("out/cure.json")).unwrap();
    assert_eq!(report["stopped"], "interrupted");
    assert!(!desk.path("out/untreated").exists());
}

#[test]
fn a_search_keeps_to_its_time() {
    let desk = Desk::new();
    desk.write("net.toml", ill(20_000));
    let start = Instant::now();
    let ran = desk.isogain(&["cure", "net.toml", "--quiet", "--budget", "3s", "--out", "short"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    assert!(ran.stderr.contains("a budget of 3 s is too short: on this machine"), "{}", ran.stderr);
    assert!(start.elapsed() < Duration::from_secs(30));

    desk.write("net.toml", ill(300));
    let ran = desk.isogain(&["cure", "net.toml", "--quiet", "--budget", "60s", "--out", "out"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("\ncured: "), "{}", ran.stdout);
}

/// While a deep network is still being measured there is nothing to lose, and no reason to wait.
#[test]
fn before_anything_is_tried_it_ends_at_once() {
    let desk = Desk::new();
    desk.write("deep.toml", "[network]\ndepth = 3000\nwidth = 64\n");
    for command in ["check", "train", "cure"] {
        let running = desk.begin(&[command, "deep.toml", "--quiet"]);
        sleep(Duration::from_millis(300));
        running.interrupt();
        let asked = Instant::now();
        stopped(&running.end());
        assert!(asked.elapsed() < Duration::from_secs(5), "{command} did not end");
        assert!(!desk.path("runs").exists(), "{command}");
    }
}

#[test]
fn the_second_one_ends_at_once() {
    let desk = Desk::new();
    // One step of this network takes so long that the second Ctrl-C comes before the first is heeded.
    desk.write("wide.toml", "[data]\nbatch = 1024\n[network]\ndepth = 40\nwidth = 1024\n");
    let running = desk.begin(&["train", "wide.toml", "--quiet", "--out", "run"]);
    wait_for(&desk.path("run/run.jsonl"), 1);
    running.interrupt();
    sleep(Duration::from_millis(50));
    running.interrupt();
    let asked = Instant::now();
    stopped(&running.end());
    assert!(asked.elapsed() < Duration::from_secs(2));
    record::read(&desk.path("run")).unwrap();
}
