//! Ratios, never absolute times: each is taken between two things measured in the same run.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::say;

/// Statistics kernel, watched step, step against PyTorch, depth.
pub(crate) fn all() -> Result<()> {
    say(&format!("machine: {}, {} threads", processor(), std::thread::available_parallelism()?));

    let kernel = example("isogain-core", "kernel_bench", &[])?;
    say(&format!("statistics kernel at 64 MB ({}):", text(&kernel, "path")));
    ratio("moments / streaming read", number(&kernel, "ratio")?, Goal::AtLeast(0.95));
    ratio("with exponent histogram / streaming read", number(&kernel, "ratio_histogram")?, Goal::AtLeast(0.25));

    for (depth, width, batch, goal) in [(20, 256, 128, 0.85), (50, 100, 64, 0.6)] {
        let shape = [depth, width, batch].map(|n: i32| n.to_string());
        let flags = ["--depth", &shape[0], "--width", &shape[1], "--batch", &shape[2]];
        let ours = example("isogain", "step_bench", &flags)?;
        say(&format!("training step, {depth} ReLU layers of {width}, batch {batch}, one thread:"));
        let watched = Goal::AtMost(1.05);
        ratio("watched / unwatched", number(&ours, "watched_ratio")?, watched);
        // The embedded digits have 64 features; PyTorch's depth counts the head too.
        let layers = (depth + 1).to_string();
        match torch(&["--depth", &layers, "--width", &shape[1], "--batch", &shape[2], "--inputs", "64"])? {
            Some(theirs) if text(&theirs, "blas") == "reference" => {
                say("  PyTorch runs on reference BLAS here, which says nothing; install OpenBLAS");
            }
            Some(theirs) => {
                let share = number(&ours, "median_ms")? / number(&theirs, "median_ms")?;
                let name = format!("ours / PyTorch {} eager", text(&theirs, "torch_version"));
                ratio(&name, share, Goal::AtMost(goal));
            }
            None => say("  skipped: no Python with torch (set ISOGAIN_PYTHON)"),
        }
    }
    depth()
}

/// Depths of the table, from the one that others are compared with.
const DEPTHS: [u32; 4] = [10, 100, 1_000, 10_000];
/// Stages of `depth_bench`.
const STAGES: [&str; 4] = ["step", "watched", "check", "findings"];

/// What a layer costs at depth, over what it costs in a network of 10 layers: a process of its own for each number.
pub(crate) fn depth() -> Result<()> {
    say(&format!("machine: {}, {} threads", processor(), std::thread::available_parallelism()?));
    say("ReLU layers of 64, batch 64, by depth: processor time per layer over that at 10 layers, peak memory");
    for stage in STAGES {
        let mut shallow = None;
        for depth in DEPTHS {
            let found = example("isogain", "depth_bench", &["--stage", stage, "--depth", &depth.to_string()])?;
            let each = number(&found, "ms")? / f64::from(depth);
            let share = each / *shallow.get_or_insert(each);
            say(&format!(
                "  {stage} at {depth}: {each:.4} ms a layer, x{share:.2}; {:.0} MB",
                number(&found, "peak_mb")?
            ));
        }
    }
    Ok(())
}

/// Seconds of cold release builds in throw-away folders.
pub(crate) fn build_time() -> Result<()> {
    for package in ["isogain-core", "isogain-cli"] {
        let folder = std::env::temp_dir().join(format!("isogain-build-time-{}-{package}", std::process::id()));
        let start = Instant::now();
        let status = Command::new("cargo")
            .args(["build", "--release", "--locked", "--quiet", "--package", package, "--target-dir"])
            .arg(&folder)
            .status()?;
        let seconds = start.elapsed().as_secs_f64();
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        if !status.success() {
            bail!("the build of {package} failed");
        }
        say(&format!("cold release build of {package}: {seconds:.0} s on {}", processor()));
    }
    Ok(())
}

enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

fn ratio(what: &str, value: f64, goal: Goal) {
    let (met, sign, bound) = match goal {
        Goal::AtLeast(bound) => (value >= bound, ">=", bound),
        Goal::AtMost(bound) => (value <= bound, "<=", bound),
    };
    let verdict = if met { "met" } else { "missed" };
    say(&format!("  {what}: {value:.3} (goal {sign} {bound}: {verdict})"));
}

fn example(package: &str, name: &str, flags: &[&str]) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["run", "--release", "--locked", "--quiet", "--package", package, "--example", name, "--"])
        .args(flags)
        .output()?;
    if !output.status.success() {
        bail!("{name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    last_line(&output.stdout).with_context(|| format!("{name} printed no JSON line"))
}

fn torch(flags: &[&str]) -> Result<Option<Value>> {
    let script = PathBuf::from("oracle/bench_torch.py");
    let chosen = std::env::var("ISOGAIN_PYTHON").ok();
    for python in chosen.iter().map(String::as_str).chain(["python3", "/usr/bin/python3"]) {
        let output = Command::new(python).arg(&script).args(flags).args(["--inputs", "64"]).output();
        if let Ok(output) = output
            && output.status.success()
        {
            return Ok(Some(last_line(&output.stdout)?));
        }
    }
    Ok(None)
}

fn last_line(output: &[u8]) -> Result<Value> {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().find(|line| line.starts_with('{')).context("no JSON line")?;
    Ok(serde_json::from_str(line)?)
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no number '{key}' in {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}
