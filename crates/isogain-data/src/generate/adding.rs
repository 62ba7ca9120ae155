//! The adding problem (Hochreiter and Schmidhuber 1997): at each step a number from [0, 1] and a marker; two steps are
//! marked, one in each half, and the target is the sum of their numbers. Always answering 1 has a squared error of 1/6.

use isogain_core::network::Shape;
use rand_chacha::ChaCha8Rng;

use super::{below, uniform};
use crate::table::{Scaling, Table, Values, Wanted};

pub(super) fn table(samples: usize, length: usize, generator: &mut ChaCha8Rng) -> Table {
    let mut inputs = Vec::with_capacity(samples * length * 2);
    let mut sums = Vec::with_capacity(samples);
    for _ in 0..samples {
        let half = length / 2;
        let marked = [below(half, generator), half + below(length - half, generator)];
        let mut sum = 0.0;
        for step in 0..length {
            let (number, is_marked) = (uniform(generator), marked.contains(&step));
            inputs.extend([number, f64::from(u8::from(is_marked))]);
            sum += if is_marked { number } else { 0.0 };
        }
        sums.push(sum);
    }
    Table {
        shape: Shape::sequence(length, 2),
        values: Values::Numbers(inputs),
        wanted: Wanted::Numbers { values: sums, outputs: 1 },
        scaling: Scaling::Never,
    }
}
