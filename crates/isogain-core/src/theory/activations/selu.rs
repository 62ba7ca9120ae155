//! Scaled ELU (Klambauer et al. 2017): mean 0 and variance 1 are a fixed point of a layer with Var W = 1/fan_in.

use super::{Entry, elu};

const LAMBDA: f64 = 1.050_700_987_355_480_5;
const ALPHA: f64 = 1.673_263_242_354_377_2;

pub(super) static ENTRY: Entry = Entry {
    name: "selu",
    parameter: None,
    value: |x, _| LAMBDA * elu::value(x, ALPHA),
    derivative: |x, _| LAMBDA * elu::derivative(x, ALPHA),
    kinks: &[0.0],
    homogeneous: false,
    range: |_| (-LAMBDA * ALPHA, f64::INFINITY),
    shaping: None,
};
