//! What depth costs: memory of a thousand layers, and that nothing grows faster than the number of layers. Counted, never
//! timed: allocations, their bytes, lines and bytes of the record.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use isogain::check::Subject;
use isogain::run::{self, RunFolder, Watch};
use isogain::train::Trainer;
use isogain_core::recipe::{Recipe, parse};
use isogain_core::record::{RUN_FILE, StepRecord};
use isogain_core::rules::{Case, TABLE};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn count(layout: Layout) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // What a vector that grows moves is work too.
        count(Layout::from_size_align(size, layout.align()).unwrap_or(layout));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and their bytes while `work` runs.
fn counted<T>(work: impl FnOnce() -> T) -> (T, [u64; 2]) {
    let before = [&ALLOCATIONS, &BYTES].map(|counter| counter.load(Ordering::Relaxed));
    let result = work();
    let after = [&ALLOCATIONS, &BYTES].map(|counter| counter.load(Ordering::Relaxed));
    (result, [after[0] - before[0], after[1] - before[1]])
}

fn recipe(depth: usize) -> Recipe {
    let text = format!("[network]\ndepth = {depth}\ninit = \"he-normal\"\n[optimizer]\nlearning_rate = 1e-6\n");
    parse(&text, "deep").unwrap()
}

/// What each stage takes at this depth: a name, and numbers that must grow no faster than the depth.
fn stages(depth: usize) -> Vec<(String, Vec<u64>)> {
    let recipe = recipe(depth);
    let (subject, check) = counted(|| Subject::load(&recipe, Path::new(".")).unwrap());
    let mut trainer = Trainer::new(&recipe, &subject.network, &subject.data, 0);
    trainer.advance(&subject.data, false);
    let (_, step) = counted(|| trainer.advance(&subject.data, false));
    let (record, watched) = counted(|| trainer.advance(&subject.data, true).unwrap());
    let history: Vec<StepRecord> = vec![record; 3];
    let outcome = trainer.outcome(&subject.data);
    let case = Case { history: &history, end: Some(&subject.start), outcome: Some(&outcome), ..subject.case() };
    // What a rule takes also depends on whether it speaks, which at one depth it may and at another not.
    let rules = TABLE.map(|rule| {
        let (found, taken) = counted(|| (rule.check)(&case));
        (format!("{}, {}", rule.name, if found.is_some() { "found" } else { "not found" }), taken.to_vec())
    });

    let mut short = subject;
    short.recipe.run.steps = 3;
    let place = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let watch = Watch { stop: &stop, progress: &|_, _| {}, finding: &|_| {}, heal: false, healing: &|_| {} };
    let folder = RunFolder::new(place.path().join("run"));
    run::fresh(&short, Path::new("."), &folder, watch).unwrap();
    let written = std::fs::read(folder.path().join(RUN_FILE)).unwrap();
    let lines = written.iter().filter(|byte| **byte == b'\n').count() as u64;
    let stages = [
        ("check", check.to_vec()),
        ("step", step.to_vec()),
        ("watched step", watched.to_vec()),
        ("lines of the record", vec![lines]),
        ("bytes of the record", vec![written.len() as u64]),
    ];
    stages.map(|(name, taken)| (name.to_owned(), taken)).into_iter().chain(rules).collect()
}

/// From 100 to 400 layers every count grows four times at most. A list of names that is searched or copied for each layer
/// would grow sixteen times.
#[test]
fn nothing_grows_faster_than_the_depth() {
    let (shallow, deep) = support::alone(|| (stages(100), stages(400)));
    let mut wrong = Vec::new();
    let pairs = shallow.into_iter().filter_map(|(name, few)| {
        let (_, many) = deep.iter().find(|(other, _)| *other == name)?;
        Some((name, few, many.clone()))
    });
    let pairs: Vec<_> = pairs.collect();
    assert!(pairs.len() > TABLE.len(), "few rules do the same at both depths: {pairs:?}");
    for (name, few, many) in pairs {
        println!("{name}: {few:?} at 100 layers, {many:?} at 400");
        for (few, many) in few.into_iter().zip(many) {
            // A tenth of leeway: vectors double as they grow, and digits of a layer's number are bytes.
            if many as f64 > 4.4 * few as f64 {
                wrong.push(format!("{name}: {few} becomes {many}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a process on its own is told to do.
const CHILD: &str = "ISOGAIN_TEST_A_THOUSAND_LAYERS";

/// Check and some watched training steps of 1000 layers of 64 units stay below 2 GB.
#[test]
fn a_thousand_layers_take_less_than_two_gigabytes() {
    if std::env::var_os(CHILD).is_some() {
        support::alone(|| {
            let recipe = recipe(1_000);
            let subject = Subject::load(&recipe, Path::new(".")).unwrap().with_sharpness();
            assert!(!subject.start.joints.is_empty());
            let mut trainer = Trainer::new(&recipe, &subject.network, &subject.data, 0);
            for _ in 0..3 {
                assert!(trainer.advance(&subject.data, true).unwrap().joints.len() >= 1_000);
            }
        });
        println!("peak {} kB", peak_kilobytes().unwrap_or(0));
        return;
    }
    if peak_kilobytes().is_none() {
        println!("skipped: this system does not say how much memory a process has held (VmHWM)");
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_thousand_layers_take_less_than_two_gigabytes", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let peak = text.lines().find_map(|line| line.split_once("peak ")?.1.strip_suffix(" kB")).map(str::parse::<u64>);
    let peak = peak.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).unwrap();
    println!("{:.0} MB", peak as f64 / 1e3);
    // 64 weights, a bias and their gradients for each unit: what the network itself needs.
    let least = 1_000 * 65 * 64 * 2 * 4 / 1_000;
    assert!((least..2_000_000).contains(&peak), "{peak} kB");
}

/// Largest memory that this process has held so far.
fn peak_kilobytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
