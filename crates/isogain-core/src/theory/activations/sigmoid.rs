//! phi(x) = 1 / (1 + e^-x); phi' <= 1/4, so that every layer of it divides the gradient.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "sigmoid",
    parameter: None,
    value: |x, _| value(x),
    derivative: |x, _| derivative(x),
    kinks: &[],
    homogeneous: false,
    range: |_| (0.0, 1.0),
    shaping: None,
};

pub(super) fn value(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn derivative(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    e / ((1.0 + e) * (1.0 + e))
}
