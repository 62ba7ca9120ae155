//! phi(x) = tanh x; phi' = sech^2 x, written so that it keeps its relative precision in the tails.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "tanh",
    parameter: None,
    value: |x, _| x.tanh(),
    derivative: |x, _| {
        let e = (-2.0 * x.abs()).exp();
        4.0 * e / ((1.0 + e) * (1.0 + e))
    },
    kinks: &[],
    homogeneous: false,
    range: |_| (-1.0, 1.0),
    shaping: None,
};
