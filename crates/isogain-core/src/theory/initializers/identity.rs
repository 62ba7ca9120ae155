//! The identity times a gain, cut off or filled up with zeros where the matrix is not square: a recurrence that starts as
//! a copy of its state (Le, Jaitly and Hinton 2015). Nothing in it is random.

use super::{Distribution, Entry, GAIN, PLAIN, orthogonal};

pub(super) static ENTRY: Entry = Entry {
    name: "identity",
    parameters: &[GAIN],
    distribution: Distribution::Identity,
    // As many ones as an orthogonal matrix has vectors of length 1.
    weight_variance: orthogonal::weight_variance,
    ..PLAIN
};
