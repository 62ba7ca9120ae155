//! Times one training step, watched and unwatched by turns, on one thread; prints one JSON line.

use std::path::Path;
use std::time::Instant;

use isogain::data::Dataset;
use isogain::train::Trainer;
use isogain_core::recipe::{Recipe, expand};

/// Steps timed together, so that a clock's resolution does not matter.
const BLOCK: usize = 5;
/// Pairs of an unwatched and a watched block.
const PAIRS: usize = 40;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut recipe = Recipe::default();
    recipe.network.init = isogain_core::theory::initializers::Initializer::named("he-normal")?;
    recipe.optimizer.learning_rate = 1e-3;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks_exact(2) {
        let value: usize = pair[1].parse()?;
        match pair[0].as_str() {
            "--depth" => recipe.network.depth = value,
            "--width" => recipe.network.width = value,
            "--batch" => recipe.data.batch = value,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    let data = Dataset::load(&recipe.data, Path::new("."))?;
    let network = expand::network(&recipe, data.train.features, data.outputs())?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (mut plain, mut watched) = (Vec::new(), Vec::new());
    pool.install(|| {
        let mut trainer = Trainer::new(&recipe, &network, &data, 0);
        let mut block = |watch: bool| {
            let start = Instant::now();
            for _ in 0..BLOCK {
                trainer.advance(&data, watch);
            }
            start.elapsed().as_secs_f64() * 1e3 / BLOCK as f64
        };
        block(true);
        for _ in 0..PAIRS {
            plain.push(block(false));
            watched.push(block(true));
        }
    });
    let mut ratios: Vec<f64> = plain.iter().zip(&watched).map(|(plain, watched)| watched / plain).collect();
    println!(
        "{{\"median_ms\": {:.4}, \"watched_ms\": {:.4}, \"watched_ratio\": {:.4}}}",
        median(&mut plain),
        median(&mut watched),
        median(&mut ratios)
    );
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
