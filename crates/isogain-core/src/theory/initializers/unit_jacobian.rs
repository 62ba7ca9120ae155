//! Jacobian tuning: orthogonal weights, then each layer is divided by the factor by which a gradient becomes longer on its way
//! through it and what stands before it (He, Doshi and Gromov 2022, AutoInit). Those passes need the network and data and
//! are the trainer's.

use super::{Distribution, Entry, Finish, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "unit-jacobian",
    distribution: Distribution::Orthogonal,
    weight_variance: |layer| 1.0 / layer.fan_in.max(layer.fan_out),
    finish: Some(Finish::UnitJacobian),
    ..PLAIN
};
