//! Exact results of theory and published ones, measured again on our own engine.
//!
//! One experiment is one file and one line in [`TABLE`]. It says what is claimed and by whom, runs networks, and returns
//! plain numbers beside what they should be; nothing here prints. What is only remembered of a paper is not compared
//! with: a number is exact, printed by its source, or measured by an independent program, and says which.

mod adam_eps;
mod adding_problem;
mod attention_failure;
mod batch_norm_depth;
mod batch_norm_explosion;
mod born_dead;
mod clipping_family;
mod default_init;
mod depth_scales;
mod dormant_units;
mod gain_audit;
mod glorot_profiles;
mod half_precision;
mod jacobian_spectrum;
mod log_normal_gradients;
mod orthogonal_depth;
mod path_lengths;
mod phase_diagram;
mod recurrent_memory;
pub mod rescue_table;
mod shattered_gradients;
mod tailored_rescue;
mod temporal_order;
mod thousand_layers;
mod transformer_depth;
mod width_transfer;

use crate::Error;
use crate::experiment::{self, Experiment, Found, Lab, bench, training};

/// Every experiment, in the order of the page: what depth does before training, then norms, skips, time, attention,
/// optimizers and numbers.
pub const TABLE: [&Experiment; 26] = [
    &default_init::EXPERIMENT,
    &phase_diagram::EXPERIMENT,
    &depth_scales::EXPERIMENT,
    &gain_audit::EXPERIMENT,
    &glorot_profiles::EXPERIMENT,
    &log_normal_gradients::EXPERIMENT,
    &born_dead::EXPERIMENT,
    &jacobian_spectrum::EXPERIMENT,
    &orthogonal_depth::EXPERIMENT,
    &tailored_rescue::EXPERIMENT,
    &rescue_table::EXPERIMENT,
    &batch_norm_explosion::EXPERIMENT,
    &batch_norm_depth::EXPERIMENT,
    &shattered_gradients::EXPERIMENT,
    &path_lengths::EXPERIMENT,
    &thousand_layers::EXPERIMENT,
    &width_transfer::EXPERIMENT,
    &recurrent_memory::EXPERIMENT,
    &adding_problem::EXPERIMENT,
    &temporal_order::EXPERIMENT,
    &attention_failure::EXPERIMENT,
    &transformer_depth::EXPERIMENT,
    &clipping_family::EXPERIMENT,
    &adam_eps::EXPERIMENT,
    &half_precision::EXPERIMENT,
    &dormant_units::EXPERIMENT,
];

/// The experiment of this name.
///
/// # Errors
/// An unknown name, with the nearest known one.
pub fn named(name: &str) -> Result<&'static Experiment, Error> {
    experiment::named(&TABLE, name, "isogain reproduce lists all")
}
