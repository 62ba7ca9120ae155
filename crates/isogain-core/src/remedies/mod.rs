//! What to do: one remedy, one file, one page. A remedy turns a recipe into another recipe and says what it changed.

use serde::{Deserialize, Serialize};

use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

mod add_gated_skip;
mod add_skip;
mod antisymmetric_recurrence;
mod asymmetric_init;
mod cap_logits;
mod change_learning_rate;
mod clip_by_global_norm;
mod clip_by_history;
mod clip_by_norm;
mod clip_by_unit;
mod clip_by_value;
mod clip_each_by_history;
mod clip_update;
mod clipping;
mod computed_weights;
mod connect_densely;
mod critical_dropout_init;
mod deep_norm;
mod delta_orthogonal_init;
mod diagonal_recurrence;
mod drop_branches;
mod fixed_variance_init;
mod fixup_init;
mod gated_cell;
mod ghost_batch_norm;
mod hidden_init;
mod insert_batch_norm;
mod insert_batch_renorm;
mod insert_group_norm;
mod insert_layer_norm;
mod insert_rms_norm;
mod keep_orthogonal;
mod limit_spikes;
mod looks_linear_init;
mod loss_scaling;
mod lsuv_init;
mod move_norm;
mod normalise_updates;
mod normalise_weights;
mod open_forget_gate;
mod orthogonal_init;
mod orthogonalise_updates;
mod oscillator_recurrence;
mod penalise_vanishing;
mod plain_net;
pub mod potential;
pub mod prediction;
pub mod prescriptions;
mod qk_norm;
mod rescale_init;
mod scale_branches;
mod scale_input;
mod scale_rates_by_width;
mod self_normalise;
mod sigma_reparam;
mod smaller_eps;
mod smooth_kernel_shaping;
mod spectral_norm;
mod standardise_weights;
mod supervise_layers;
mod swap_activation;
mod swap_loss;
mod t_fixup_init;
pub mod tangent_kernel;
mod uneven_steps;
mod unit_jacobian_init;
mod warm_up;

/// A changed recipe, and what was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prescription {
    /// Names of the remedies, in the order applied: one, two or three.
    pub remedies: Vec<String>,
    /// What was chosen, for people: `init = he-normal`, `learning_rate = 0.01`.
    pub parameters: String,
    /// The whole treated recipe.
    pub recipe: Recipe,
}

impl Prescription {
    /// Both, where the other was chosen for the recipe that this one gives.
    fn and(self, other: Self) -> Self {
        Self {
            remedies: [self.remedies, other.remedies].concat(),
            parameters: format!("{}; {}", self.parameters, other.parameters),
            recipe: other.recipe,
        }
    }
}

/// A remedy: one line of the table.
#[derive(Debug)]
pub struct Remedy {
    /// Name of the act, kebab-case.
    pub name: &'static str,
    /// One line for the list of remedies.
    pub summary: &'static str,
    /// The page.
    pub page: &'static str,
    /// The variants that apply to this case, best guess first; empty when it does not apply.
    ///
    /// The case is what was measured on the untreated network; the recipe may already carry another remedy, and is the
    /// one to change.
    pub prescribe: fn(&Case<'_>, &Recipe) -> Vec<Prescription>,
}

/// Every remedy, in the order in which they are tried when nothing else decides: what repairs the signal first, what only
/// limits the damage last.
pub static TABLE: [&Remedy; 59] = [
    &rescale_init::REMEDY,
    &add_skip::REMEDY,
    &scale_branches::REMEDY,
    &fixup_init::REMEDY,
    &insert_batch_norm::REMEDY,
    &insert_layer_norm::REMEDY,
    &swap_activation::REMEDY,
    &swap_loss::REMEDY,
    &orthogonal_init::REMEDY,
    &hidden_init::REMEDY,
    &keep_orthogonal::REMEDY,
    &gated_cell::REMEDY,
    &open_forget_gate::REMEDY,
    &penalise_vanishing::REMEDY,
    &antisymmetric_recurrence::REMEDY,
    &diagonal_recurrence::REMEDY,
    &oscillator_recurrence::REMEDY,
    &move_norm::REMEDY,
    &deep_norm::REMEDY,
    &t_fixup_init::REMEDY,
    &qk_norm::REMEDY,
    &cap_logits::REMEDY,
    &lsuv_init::REMEDY,
    &unit_jacobian_init::REMEDY,
    &fixed_variance_init::REMEDY,
    &insert_rms_norm::REMEDY,
    &insert_group_norm::REMEDY,
    &insert_batch_renorm::REMEDY,
    &ghost_batch_norm::REMEDY,
    &critical_dropout_init::REMEDY,
    &looks_linear_init::REMEDY,
    &delta_orthogonal_init::REMEDY,
    &self_normalise::REMEDY,
    &asymmetric_init::REMEDY,
    &smooth_kernel_shaping::REMEDY,
    &standardise_weights::REMEDY,
    &normalise_weights::REMEDY,
    &spectral_norm::REMEDY,
    &sigma_reparam::REMEDY,
    &add_gated_skip::REMEDY,
    &connect_densely::REMEDY,
    &supervise_layers::REMEDY,
    &drop_branches::REMEDY,
    &scale_input::REMEDY,
    &change_learning_rate::REMEDY,
    &warm_up::REMEDY,
    &scale_rates_by_width::REMEDY,
    &smaller_eps::REMEDY,
    &normalise_updates::REMEDY,
    &orthogonalise_updates::REMEDY,
    &loss_scaling::REMEDY,
    &clip_update::REMEDY,
    &limit_spikes::REMEDY,
    &clip_by_global_norm::REMEDY,
    &clip_by_norm::REMEDY,
    &clip_by_value::REMEDY,
    &clip_by_unit::REMEDY,
    &clip_each_by_history::REMEDY,
    &clip_by_history::REMEDY,
];

/// The remedy of that name.
pub fn named(name: &str) -> Option<&'static Remedy> {
    TABLE.iter().copied().find(|remedy| remedy.name == name)
}

/// The recipe of a remedy's page that it repairs: complete, small, and ill without it.
pub fn reference_recipe(remedy: &Remedy) -> &'static str {
    let after = remedy.page.split("```toml reference\n").nth(1).unwrap_or_default();
    after.split("```").next().unwrap_or_default()
}

impl Remedy {
    /// A prescription of this remedy alone, for its own file.
    fn variant(&self, parameters: impl Into<String>, recipe: Recipe) -> Prescription {
        Prescription { remedies: vec![self.name.to_owned()], parameters: parameters.into(), recipe }
    }

    /// The prescription to start with `init`; none where the network cannot, or does.
    fn starting(&self, recipe: &Recipe, init: Initializer) -> Vec<Prescription> {
        let mut treated = recipe.clone();
        if edit::set_init(&mut treated.network, init).is_err() || treated == *recipe {
            return Vec::new();
        }
        vec![self.variant(format!("init = {init}"), treated)]
    }
}

#[cfg(test)]
mod tests;
