//! phi(x) = x sigmoid(x), also called Swish (Elfwing et al. 2018; Ramachandran et al. 2017).

use super::{Entry, sigmoid};

/// phi at its minimum, x = -1.27846454276107.
const MINIMUM: f64 = -0.278_464_542_761_073_8;

pub(super) static ENTRY: Entry = Entry {
    name: "silu",
    parameter: None,
    value: |x, _| x * sigmoid::value(x),
    derivative: |x, _| sigmoid::value(x) + x * sigmoid::derivative(x),
    kinks: &[],
    homogeneous: false,
    range: |_| (MINIMUM, f64::INFINITY),
    shaping: None,
};
