//! The classic account of vanishing and exploding gradients, each claim measured on a small network of our own.
//!
//! One stop is one file and one line in [`TABLE`]: a claim in a sentence that a student understands, what is measured, and
//! what would prove the claim wrong. Where a measurement contradicts the account, a number says so and a note says why.

mod batch_norm;
mod batch_size;
mod chain_product;
mod clipping;
mod dead_units;
mod explosion;
mod no_free_trick;
mod saturation;
mod skip_adds_one;
mod start_scales;
mod three_terms;

use crate::Error;
use crate::experiment::{self, Experiment, Found, Lab, bench, training};

/// Every stop, in the order in which the account is told.
pub const TABLE: [&Experiment; 11] = [
    &chain_product::EXPERIMENT,
    &three_terms::EXPERIMENT,
    &saturation::EXPERIMENT,
    &dead_units::EXPERIMENT,
    &skip_adds_one::EXPERIMENT,
    &start_scales::EXPERIMENT,
    &batch_norm::EXPERIMENT,
    &batch_size::EXPERIMENT,
    &explosion::EXPERIMENT,
    &clipping::EXPERIMENT,
    &no_free_trick::EXPERIMENT,
];

/// The stop of this name.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn named(name: &str) -> Result<&'static Experiment, Error> {
    experiment::named(&TABLE, name, "isogain tour --help lists all")
}
