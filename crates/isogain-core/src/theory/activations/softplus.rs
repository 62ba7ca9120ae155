//! phi(x) = ln(1 + e^x). PyTorch switches to x above 20, a difference below 2.1e-9.

use super::{Entry, sigmoid};

pub(super) static ENTRY: Entry = Entry {
    name: "softplus",
    parameter: None,
    value: |x, _| x.max(0.0) + (-x.abs()).exp().ln_1p(),
    derivative: |x, _| sigmoid::value(x),
    kinks: &[],
    homogeneous: false,
    range: |_| (0.0, f64::INFINITY),
    shaping: None,
};
