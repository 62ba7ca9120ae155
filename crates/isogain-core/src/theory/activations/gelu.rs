//! phi(x) = x Phi(x) with the normal distribution function Phi, not its tanh approximation (Hendrycks and Gimpel 2016).

use super::super::special::{normal_cdf, normal_pdf};
use super::Entry;

/// phi at its minimum, x = -0.751791524693564.
const MINIMUM: f64 = -0.169_971_210_747_990_3;

pub(super) static ENTRY: Entry = Entry {
    name: "gelu",
    parameter: None,
    value: |x, _| x * normal_cdf(x),
    derivative: |x, _| normal_cdf(x) + x * normal_pdf(x),
    kinks: &[],
    homogeneous: false,
    range: |_| (MINIMUM, f64::INFINITY),
    shaping: None,
};
