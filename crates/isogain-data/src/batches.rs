//! Which rows a step sees.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The rows of one step's batch. Each epoch is a fresh shuffle; what does not fill a batch at its end is left out.
/// A function of seed and step alone, so that a resumed run sees the same batches.
pub fn batch_rows(samples: usize, batch: usize, seed: u64, step: usize, order: &mut EpochOrder) -> Vec<usize> {
    let steps_per_epoch = (samples / batch).max(1);
    let epoch = step / steps_per_epoch;
    if order.epoch != Some(epoch) || order.rows.len() != samples {
        order.rows = (0..samples).collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // Stream 0 belongs to the initialisation.
        generator.set_stream(1 + epoch as u64);
        order.rows.shuffle(&mut generator);
        order.epoch = Some(epoch);
    }
    let start = (step % steps_per_epoch) * batch;
    order.rows[start..start + batch].to_vec()
}

/// The shuffled rows of the current epoch, kept between steps.
#[derive(Clone, Debug, Default)]
pub struct EpochOrder {
    epoch: Option<usize>,
    rows: Vec<usize>,
}
