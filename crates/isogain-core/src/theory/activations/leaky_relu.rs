//! phi(x) = max(x, 0) + slope min(x, 0) (Maas et al. 2013); phi'(0) = slope as in PyTorch.

use super::super::named::{Domain, Parameter};
use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "leaky-relu",
    parameter: Some(Parameter { name: "slope", default: 0.01, domain: Domain::Finite }),
    value,
    derivative,
    kinks: &[0.0],
    homogeneous: true,
    range,
    shaping: None,
};

pub(super) fn value(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

pub(super) fn derivative(x: f64, slope: f64) -> f64 {
    if x > 0.0 { 1.0 } else { slope }
}

pub(super) fn range(slope: f64) -> (f64, f64) {
    (if slope > 0.0 { f64::NEG_INFINITY } else { 0.0 }, f64::INFINITY)
}
