//! phi(x) = x: no activation; a deep linear net and a regression head.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "linear",
    parameter: None,
    value: |x, _| x,
    derivative: |_, _| 1.0,
    kinks: &[],
    homogeneous: true,
    range: |_| (f64::NEG_INFINITY, f64::INFINITY),
    shaping: None,
};
