//! Give each weight the learning rate that its width allows (muP).

use super::{Prescription, Remedy};
use crate::recipe::Recipe;
use crate::rules::Case;
use crate::theory::initializers::Initializer;
use crate::width_scaling::RateFactors;

pub(super) static REMEDY: Remedy = Remedy {
    name: "scale-rates-by-width",
    summary: "give each weight the learning rate that its width allows: a wide layer's falls as 1/width (muP)",
    page: include_str!("scale-rates-by-width.md"),
    prescribe,
};

/// Width at which rates are what the recipe says: small enough to be quick to tune.
const BASE: usize = 64;

/// Fan-in over the base from which on one rate does not serve the widest layer and the others.
const WIDE: usize = 4;

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let optimizer = &recipe.optimizer;
    let smallest = RateFactors::new(case.network, BASE).smallest();
    if !optimizer.name.has("base_width") || optimizer.base_width.is_some() || smallest * WIDE as f64 > 1.0 {
        return Vec::new();
    }
    let mut treated = recipe.clone();
    treated.optimizer.base_width = Some(BASE);
    let mut parameters = format!("base_width = {BASE}");
    if let Some(init) = head(case, recipe) {
        treated.network.head_init = Some(init);
        parameters = format!("{parameters}, head_init = {init}");
    }
    vec![REMEDY.variant(parameters, treated)]
}

/// Outputs of a wide head start as 1 / sqrt(width): the variance of its weights is base / width^2. `None` where it is no larger.
fn head(case: &Case<'_>, recipe: &Recipe) -> Option<Initializer> {
    let (_, head) = case.network.linears().last()?;
    let fan_in = head.fan_in as f64;
    let is_small = head.weight_variance() <= BASE as f64 / (fan_in * fan_in);
    // In an explicit list a layer may have an initialiser of its own, which `head_init` does not touch.
    let is_own = recipe.network.layers.last().is_some_and(|layer| layer.init.is_some());
    if head.tied.is_some() || head.fan_in <= BASE || is_small || is_own {
        return None;
    }
    // Two significant digits, as people write it.
    let std = format!("{:.1e}", (BASE as f64).sqrt() / fan_in).parse().ok()?;
    Initializer::named("fixed-variance").ok()?.with_parameter("std", std).ok()
}
