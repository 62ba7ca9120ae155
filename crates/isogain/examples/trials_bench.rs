//! Times a small search: trainings of one network at different learning rates, side by side, one thread each.
//!
//!     yes 2 | head -5 | trials_bench
//!
//! For each line on its input, a number of threads, it does the search on so many and prints a JSON line: how many
//! trainings, and the seconds that they took, on the clock and on the processor. `benches/search_torch.py` does the same search.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use cpu_time::ProcessTime;
use isogain::check::Subject;
use isogain::data::Dataset;
use isogain::trials::{AskTell, Runner, TrialArm};
use isogain_core::recipe::Recipe;
use isogain_core::theory::initializers::Initializer;
use isogain_core::trial::error::TrialError;
use isogain_core::trial::{Job, Score};

/// Learning rates 0.4, 0.2, 0.1, ...; one training each.
const TRAININGS: usize = 8;
/// Updates of a training.
const STEPS: usize = 100;

/// Asks for each job once.
struct Grid {
    asked: usize,
    told: usize,
}

impl AskTell for Grid {
    fn ask(&mut self) -> Option<Job> {
        let id = self.asked;
        let learning_rate = 0.4 * 0.5_f64.powi(id as i32);
        (id < TRAININGS).then(|| {
            self.asked += 1;
            Job { id, arm: 0, learning_rate, seed: 0, steps: STEPS }
        })
    }

    fn tell(&mut self, _: usize, _: Score) -> Result<(), TrialError> {
        self.told += 1;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.told == TRAININGS
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    isogain_allocator::keep_freed();
    let mut recipe = Recipe::default();
    recipe.network.depth = 10;
    recipe.network.width = 64;
    recipe.network.init = Initializer::named("he-normal")?;
    let data = Arc::new(Dataset::load(&recipe.data, Path::new("."))?);
    let subject = Subject::new(&recipe, data)?;
    let arms = [TrialArm::new(&subject, &subject)];
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let threads = line.trim().parse().map_err(|error| format!("not a number of threads: '{line}' ({error})"))?;
        let runner = Runner { threads, stop: &AtomicBool::new(false), progress: &|_, _| {} };
        let (start, start_on_processor) = (Instant::now(), ProcessTime::now());
        runner.run(&mut Grid { asked: 0, told: 0 }, &arms)?;
        let (seconds, processor) = (start.elapsed().as_secs_f64(), start_on_processor.elapsed().as_secs_f64());
        let line = serde_json::json!({ "trainings": TRAININGS, "seconds": seconds, "processor_seconds": processor });
        println!("{line}");
    }
    Ok(())
}
