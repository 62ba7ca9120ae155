//! Normal weights and biases of stated mean-field variances: Var W = weight_variance / fan_in, Var b = bias_variance.

use super::{Distribution, Domain, Entry, PLAIN, Parameter};

pub(super) static ENTRY: Entry = Entry {
    name: "normal",
    parameters: &[
        Parameter { name: "weight_variance", default: 1.0, domain: Domain::NonNegative },
        Parameter { name: "bias_variance", default: 0.0, domain: Domain::NonNegative },
    ],
    distribution: Distribution::Normal,
    weight_variance: |layer| layer.values[0] / layer.fan_in,
    bias_variance: |layer| layer.values[1],
    ..PLAIN
};
