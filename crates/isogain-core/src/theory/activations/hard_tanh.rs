//! phi(x) = x limited to [-1, 1]; phi'(-1) = phi'(1) = 0 as in PyTorch.

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "hard-tanh",
    parameter: None,
    value: |x, _| x.clamp(-1.0, 1.0),
    derivative: |x, _| if x.abs() < 1.0 { 1.0 } else { 0.0 },
    kinks: &[-1.0, 1.0],
    homogeneous: false,
    range: |_| (-1.0, 1.0),
    shaping: None,
};
