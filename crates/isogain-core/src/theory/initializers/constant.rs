//! Every weight the same: an illness. All units of a layer compute the same value and get the same gradient, and stay
//! one unit for ever.

use super::{Distribution, Domain, Entry, PLAIN, Parameter};

pub(super) static ENTRY: Entry = Entry {
    name: "constant",
    parameters: &[Parameter { name: "value", default: 0.1, domain: Domain::Finite }],
    distribution: Distribution::Normal,
    weight_mean: |layer| layer.values[0],
    ..PLAIN
};
