//! The same deviation for every layer, whatever its width: GPT-2's N(0, 0.02^2) (Radford et al. 2019). Right near
//! fan_in = 1 / std^2 = 2500 for a linear layer, too small below.

use super::{Distribution, Domain, Entry, PLAIN, Parameter};

pub(super) static ENTRY: Entry = Entry {
    name: "fixed-variance",
    parameters: &[Parameter { name: "std", default: 0.02, domain: Domain::Positive }],
    distribution: Distribution::Normal,
    weight_variance: |layer| layer.values[0] * layer.values[0],
    ..PLAIN
};
