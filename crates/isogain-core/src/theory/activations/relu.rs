//! phi(x) = max(x, 0); phi'(0) = 0 as in PyTorch.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "relu",
    parameter: None,
    value: |x, _| if x > 0.0 { x } else { 0.0 },
    derivative: |x, _| if x > 0.0 { 1.0 } else { 0.0 },
    kinks: &[0.0],
    homogeneous: true,
    range: |_| (0.0, f64::INFINITY),
    shaping: None,
};
