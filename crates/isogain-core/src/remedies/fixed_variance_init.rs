//! Draw every weight with one deviation, chosen for this width.

use super::plain_net::PlainNet;
use super::{Prescription, Remedy, rescale_init};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "fixed-variance-init",
    summary: "draw every weight from N(0, std^2) with one std, as GPT-2 does",
    page: include_str!("fixed-variance-init.md"),
    prescribe,
};

/// GPT-2's deviation (Radford et al. 2019).
const GPT_2_STD: f64 = 0.02;

/// The deviation that keeps the signal at this width; GPT-2's own only where a normalisation or a skip carries the signal,
/// because at other widths it is too small for a plain net.
fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(net) = PlainNet::of(case, recipe) else {
        return Vec::new();
    };
    let fitting = rescale_init::ranked(case, recipe)
        .first()
        .map(|init| init.weight_variance(net.fan_in, net.fan_out, net.activation).sqrt());
    let is_carried = edit::has_norm(&recipe.network) || edit::has_skip(&recipe.network);
    // Two significant digits, as people write it.
    let fitting = fitting.and_then(|std| format!("{std:.1e}").parse::<f64>().ok());
    let choices = fitting.into_iter().chain(is_carried.then_some(GPT_2_STD));
    choices
        .filter_map(|std| Initializer::named("fixed-variance").ok()?.with_parameter("std", std).ok())
        .filter_map(|init| {
            let mut treated = recipe.clone();
            edit::set_init(&mut treated.network, init).ok()?;
            (treated != *recipe).then(|| REMEDY.variant(format!("init = {init}"), treated))
        })
        .collect()
}
