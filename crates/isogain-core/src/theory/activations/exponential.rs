//! phi(x) = e^x. No usual hidden activation: it has no bound and no fixed size, and leaves f32 at x = 88.7.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "exponential",
    parameter: None,
    value: |x, _| x.exp(),
    derivative: |x, _| x.exp(),
    kinks: &[],
    homogeneous: false,
    range: |_| (0.0, f64::INFINITY),
    shaping: None,
};
