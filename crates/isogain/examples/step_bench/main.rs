//! Times training steps of one of the networks in `benches/networks`.
//!
//!     step_bench NETWORK [--activation NAME] [--norm batch|layer|rms] [--optimizer sgd|momentum|adam]
//!                [--clip none|value|norm|global-norm] [--precision f32|f64] [--threads N]
//!
//! Prints a line that says how many parameters there are, then waits: for each line on its input, a number of steps, it does
//! so many unwatched and so many watched ones and prints their times. Whoever compares two programs lets them take turns,
//! so that both see the same machine. Each line is JSON. Times are those of the one thread on the processor, because other work
//! on the machine makes a clock on the wall useless; of several threads only that clock can tell.
//!
//!     yes 5 | head -40 | step_bench mlp-20x256

mod networks;

use std::io::BufRead;
use std::time::Instant;

use cpu_time::ThreadTime;
use isogain::data::Samples;
use isogain::train::Trainer;
use isogain_core::recipe::{expand, parse};
use isogain_core::theory::activations::Activation;
use serde::de::DeserializeOwned;

use networks::NETWORKS;

/// Steps before anything is timed.
const WARM_UP: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    isogain_allocator::keep_freed();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = NETWORKS.each_ref().map(|network| network.name).join(", ");
    let (name, options) = arguments.split_first().ok_or_else(|| format!("a network is missing: one of {names}"))?;
    let timed = NETWORKS.iter().find(|network| network.name == name);
    let timed = timed.ok_or_else(|| format!("unknown network '{name}': one of {names}"))?;
    let mut recipe = parse(timed.recipe, timed.name)?;
    let mut threads = 1;
    for pair in options.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair[0]).into()) };
        match option.as_str() {
            "--activation" => recipe.network.activation = Activation::named(value)?,
            "--norm" => recipe.network.norm = Some(named(value)?),
            "--optimizer" => recipe.optimizer.name = named(value)?,
            "--clip" => recipe.clip.kind = named(value)?,
            "--threads" => threads = value.parse()?,
            "--precision" => recipe.run.precision = named(value)?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let network = expand::network(&recipe, timed.inputs(), timed.outputs)?;
    println!("{}", serde_json::json!({ "network": name, "parameters": expand::parameter_count(&network) }));
    let batch = timed.batch(recipe.data.batch);
    let mut trainer = Trainer::with_first_batch(&recipe, &network, &batch, 0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let mut time = |steps, watched| pool.install(|| milliseconds(&mut trainer, &batch, steps, watched));
    time(WARM_UP, true);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let steps = line.trim().parse().map_err(|error| format!("not a number of steps: '{line}' ({error})"))?;
        let [plain, watched] = [false, true].map(|watched| time(steps, watched));
        println!("{}", serde_json::json!({ "plain_ms": plain, "watched_ms": watched }));
    }
    Ok(())
}

/// What each of some steps took.
fn milliseconds(trainer: &mut Trainer, batch: &Samples, steps: usize, watched: bool) -> Vec<f64> {
    let is_alone = rayon::current_num_threads() == 1;
    let step = |trainer: &mut Trainer| {
        let (start, start_on_clock) = (ThreadTime::now(), Instant::now());
        trainer.advance_on(batch, watched);
        let taken = if is_alone { start.elapsed() } else { start_on_clock.elapsed() };
        taken.as_secs_f64() * 1e3
    };
    // The first one after a pause finds cold caches and sleeping threads.
    trainer.advance_on(batch, watched);
    (0..steps).map(|_| step(trainer)).collect()
}

/// A value by the name that a recipe uses for it.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(name))
}
