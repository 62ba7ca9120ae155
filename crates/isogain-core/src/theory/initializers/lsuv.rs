//! Layer-sequential unit variance: orthogonal weights, then each layer is divided by the deviation of its output on a
//! batch (Mishkin and Matas 2016). That pass needs the network and data and is the trainer's.

use super::{Distribution, Entry, Finish, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "lsuv",
    distribution: Distribution::Orthogonal,
    weight_variance: |layer| 1.0 / layer.fan_in.max(layer.fan_out),
    finish: Some(Finish::UnitVariance),
    ..PLAIN
};
