//! phi(x) = x above 0, alpha (e^x - 1) below (Clevert et al. 2016); phi'(0) = alpha as in PyTorch.

use super::super::named::{Domain, Parameter};
use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "elu",
    parameter: Some(Parameter { name: "alpha", default: 1.0, domain: Domain::Positive }),
    value,
    derivative,
    kinks: &[0.0],
    homogeneous: false,
    range: |alpha| (-alpha, f64::INFINITY),
    shaping: None,
};

pub(super) fn value(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

pub(super) fn derivative(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { 1.0 } else { alpha * x.exp() }
}
