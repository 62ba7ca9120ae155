//! The temporal order problem (Pascanu et al. 2013, after Hochreiter and Schmidhuber 1997): two key symbols A or B among
//! four that mean nothing, one in [T/10, 2T/10), one in [4T/10, 5T/10); their order is one of four classes.
//! Symbols are one-hot.

use isogain_core::network::Shape;
use rand_chacha::ChaCha8Rng;

use super::below;
use crate::number::Number;
use crate::raw::Raw;
use crate::table::{Scaling, Table, Values, Wanted};

/// A, B, and four others.
pub(super) const SYMBOLS: usize = 6;
const KEYS: usize = 2;

pub(super) fn table(samples: usize, length: usize, generator: &mut ChaCha8Rng) -> Table {
    let mut inputs = vec![0_u8; samples * length * SYMBOLS];
    let mut labels = Vec::with_capacity(samples);
    for sample in inputs.chunks_exact_mut(length * SYMBOLS) {
        let place = |tenth: usize, generator: &mut ChaCha8Rng| {
            let (from, to) = (tenth * length / 10, (tenth + 1) * length / 10);
            from + below(to - from, generator)
        };
        let places = [place(1, generator), place(4, generator)];
        let keys = [below(KEYS, generator), below(KEYS, generator)];
        for (step, symbols) in sample.chunks_exact_mut(SYMBOLS).enumerate() {
            let noise = KEYS + below(SYMBOLS - KEYS, generator);
            let key = places.iter().position(|place| *place == step).map(|which| keys[which]);
            symbols[key.unwrap_or(noise)] = 1;
        }
        labels.push((KEYS * keys[0] + keys[1]) as u32);
    }
    Table {
        shape: Shape::sequence(length, SYMBOLS),
        values: Values::Raw(Raw::memory(Number::U8, length * SYMBOLS, inputs)),
        wanted: Wanted::Labels { labels, classes: KEYS * KEYS, each: 1 },
        scaling: Scaling::Never,
    }
}
