//! Var W = 1 / (fan_in E phi(z)^2), z ~ N(0, 1): the gain that holds a unit-variance signal for any activation,
//! found by quadrature instead of a table. Equals He for ReLU and LeCun for SELU.

use crate::theory::gains::Gains;

use super::{Distribution, Entry, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "quadrature-gain",
    distribution: Distribution::Normal,
    weight_variance: |layer| Gains::at(layer.activation, 1.0).forward().powi(2) / layer.fan_in,
    ..PLAIN
};
