//! What depth costs: processor time and peak memory of one stage on a plain ReLU network; prints one JSON line.
//!
//!     depth_bench --stage step|watched|check|findings [--depth N] [--width N] [--batch N]
//!
//! * `step`: training steps, forward and backward and update
//! * `watched`: the same, with every joint and parameter measured
//! * `check`: one batch before training with full tensors, the chain rule taken apart, theory
//! * `findings`: every rule, on a run of some watched steps
//!
//! Peak memory is that of the process (`VmHWM`), so that each stage and depth wants a process of its own. Times are those of
//! the process on all processors, because other work on the machine makes a clock on the wall useless.

use std::path::Path;
use std::time::Duration;

use cpu_time::ProcessTime;
use isogain::check::Subject;
use isogain::data::Dataset;
use isogain::train::Trainer;
use isogain_core::recipe::{Recipe, expand};
use isogain_core::record::StepRecord;
use isogain_core::rules::{Case, diagnose};
use isogain_core::theory::initializers::Initializer;

/// Processor time after which a measurement is repeated no more.
const LONG_ENOUGH: Duration = Duration::from_secs(2);
/// Most repetitions.
const MOST: u32 = 50;
/// Watched steps that the rules look at.
const HISTORY: usize = 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    isogain_allocator::keep_freed();
    let mut recipe = Recipe::default();
    // Keeps signal and gradient at every depth, so that no stage meets zeros.
    recipe.network.init = Initializer::named("he-normal")?;
    recipe.optimizer.learning_rate = 1e-6;
    let mut stage = String::new();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair[0]).into()) };
        match option.as_str() {
            "--stage" => stage.clone_from(value),
            "--depth" => recipe.network.depth = value.parse()?,
            "--width" => recipe.network.width = value.parse()?,
            "--batch" => recipe.data.batch = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let seconds = pool.install(|| seconds(&stage, &recipe))?;
    let line = serde_json::json!({
        "stage": stage,
        "depth": recipe.network.depth,
        "ms": 1e3 * seconds,
        "peak_mb": peak_mb(),
    });
    println!("{line}");
    Ok(())
}

/// Processor seconds of one time through the stage.
fn seconds(stage: &str, recipe: &Recipe) -> Result<f64, Failure> {
    let load = || Subject::load(recipe, Path::new(".")).map_err(Failure::from);
    match stage {
        "check" => repeated(|| load().map(drop)),
        "step" | "watched" => {
            let data = Dataset::load(&recipe.data, Path::new("."))?;
            let network = expand::network(recipe, data.shape(), data.outputs())?;
            let mut trainer = Trainer::new(recipe, &network, &data, 0);
            repeated(|| {
                trainer.advance(&data, stage == "watched");
                Ok(())
            })
        }
        "findings" => {
            let subject = load()?;
            let mut trainer = Trainer::new(recipe, &subject.network, &subject.data, 0);
            let history: Vec<StepRecord> = (0..HISTORY).filter_map(|_| trainer.advance(&subject.data, true)).collect();
            let outcome = trainer.outcome(&subject.data);
            let case = Case { history: &history, end: Some(&subject.start), outcome: Some(&outcome), ..subject.case() };
            repeated(|| {
                diagnose(&case);
                Ok(())
            })
        }
        other => Err(format!("unknown stage '{other}': step, watched, check or findings").into()),
    }
}

/// The first time pays for what later ones find ready, such as memory from the system, and is counted only where it takes
/// long.
fn repeated(mut work: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let first = ProcessTime::now();
    work()?;
    let first = first.elapsed();
    if first > LONG_ENOUGH {
        return Ok(first.as_secs_f64());
    }
    let (start, mut times) = (ProcessTime::now(), 0);
    while times < MOST && start.elapsed() < LONG_ENOUGH {
        work()?;
        times += 1;
    }
    Ok(start.elapsed().as_secs_f64() / f64::from(times))
}

/// Largest memory that this process has held so far; `None` where the system does not say.
fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1e3)
}
