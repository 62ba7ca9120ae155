//! The copy memory problem (Arjovsky et al. 2016, after Hochreiter and Schmidhuber 1997): ten symbols, T blanks of which
//! the last is replaced by a marker, ten more blanks, during which the ten symbols must be said again. The target at all
//! other steps is a blank. Without memory the loss is 10 ln 8 / (T + 20).

use isogain_core::network::Shape;
use rand_chacha::ChaCha8Rng;

use super::below;
use crate::number::Number;
use crate::raw::Raw;
use crate::table::{Scaling, Table, Values, Wanted};

/// Symbols to remember in each sample.
pub(super) const COPIED: usize = 10;
/// Different symbols to remember.
const ALPHABET: usize = 8;
const BLANK: usize = ALPHABET;
const MARKER: usize = ALPHABET + 1;
/// All of them.
pub(super) const SYMBOLS: usize = ALPHABET + 2;

pub(super) fn table(samples: usize, blanks: usize, generator: &mut ChaCha8Rng) -> Table {
    let length = blanks + 2 * COPIED;
    let mut inputs = vec![0_u8; samples * length * SYMBOLS];
    let mut labels = Vec::with_capacity(samples * length);
    for sample in inputs.chunks_exact_mut(length * SYMBOLS) {
        let symbols: [usize; COPIED] = std::array::from_fn(|_| below(ALPHABET, generator));
        for (step, one_hot) in sample.chunks_exact_mut(SYMBOLS).enumerate() {
            let symbol = match step {
                _ if step < COPIED => symbols[step],
                _ if step == COPIED + blanks - 1 => MARKER,
                _ => BLANK,
            };
            one_hot[symbol] = 1;
        }
        labels.extend(std::iter::repeat_n(BLANK as u32, COPIED + blanks));
        labels.extend(symbols.map(|symbol| symbol as u32));
    }
    Table {
        shape: Shape::sequence(length, SYMBOLS),
        values: Values::Raw(Raw::memory(Number::U8, length * SYMBOLS, inputs)),
        wanted: Wanted::Labels { labels, classes: ALPHABET + 1, each: length },
        scaling: Scaling::Never,
    }
}
