//! Times one training step, watched and unwatched by turns, on one thread; prints one JSON line.
//!
//!     step_bench [--depth N] [--width N] [--batch N] [--activation NAME] [--norm batch|layer|rms] [--kind mlp|residual]
//!                [--branch-scale FACTOR] [--optimizer sgd|momentum|adam] [--clip none|value|norm|global-norm]
//!                [--precision f32|f64] [--pairs N]
//!
//! `depth` counts hidden layers, so a network of 20 linear layers has depth 19. Times are those of the thread on the
//! processor, because other work on the machine makes a clock on the wall useless; it still slows the caches down, so
//! `watched_ratio` is the middle of the quotients of neighbouring blocks.

use std::path::Path;

use cpu_time::ThreadTime;
use isogain::data::Dataset;
use isogain::train::Trainer;
use isogain_core::recipe::{BranchScale, Recipe, expand};
use isogain_core::theory::activations::Activation;
use isogain_core::theory::initializers::Initializer;
use serde::de::DeserializeOwned;

/// Steps timed together, so that a clock's resolution does not matter.
const BLOCK: usize = 5;
/// Pairs of an unwatched and a watched block, unless told otherwise.
const PAIRS: usize = 80;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut recipe = Recipe::default();
    recipe.network.init = Initializer::named("he-normal")?;
    recipe.optimizer.learning_rate = 1e-3;
    let mut pairs = PAIRS;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [option, value] = pair else { return Err(format!("{} needs a value", pair[0]).into()) };
        match option.as_str() {
            "--depth" => recipe.network.depth = value.parse()?,
            "--width" => recipe.network.width = value.parse()?,
            "--batch" => recipe.data.batch = value.parse()?,
            "--activation" => recipe.network.activation = Activation::named(value)?,
            "--norm" => recipe.network.norm = Some(named(value)?),
            "--kind" => recipe.network.kind = named(value)?,
            "--branch-scale" => recipe.network.branch_scale = BranchScale::Number(value.parse()?),
            "--optimizer" => recipe.optimizer.name = named(value)?,
            "--clip" => recipe.clip.kind = named(value)?,
            "--precision" => recipe.run.precision = named(value)?,
            "--pairs" => pairs = value.parse()?,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let data = Dataset::load(&recipe.data, Path::new("."))?;
    let network = expand::network(&recipe, data.shape(), data.outputs())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut plain, mut watched) = (Vec::new(), Vec::new());
    pool.install(|| {
        let mut trainer = Trainer::new(&recipe, &network, &data, 0);
        let mut block = |watch: bool| {
            let start = ThreadTime::now();
            for _ in 0..BLOCK {
                trainer.advance(&data, watch);
            }
            start.elapsed().as_secs_f64() * 1e3 / BLOCK as f64
        };
        block(true);
        for _ in 0..pairs {
            plain.push(block(false));
            watched.push(block(true));
        }
    });
    let mut ratios: Vec<f64> = plain.iter().zip(&watched).map(|(plain, watched)| watched / plain).collect();
    for times in [&mut plain, &mut watched, &mut ratios] {
        times.sort_by(f64::total_cmp);
    }
    let (smallest, median) = (|times: &[f64]| times[0], |times: &[f64]| times[times.len() / 2]);
    let numbers = serde_json::json!({
        "median_ms": median(&plain),
        "min_ms": smallest(&plain),
        "watched_ms": median(&watched),
        "watched_min_ms": smallest(&watched),
        "watched_ratio": median(&ratios),
        "watched_min_ratio": smallest(&watched) / smallest(&plain),
    });
    println!("{numbers}");
    Ok(())
}

/// A value by the name that a recipe uses for it.
fn named<T: DeserializeOwned>(name: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(name))
}
