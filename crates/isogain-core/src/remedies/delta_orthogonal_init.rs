//! Start a convolution as an orthogonal matrix in the middle of its patch.

use super::orthogonal_init::gain;
use super::plain_net::PlainNet;
use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::initializers::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "delta-orthogonal-init",
    summary: "start each convolution as an orthogonal matrix in the middle of its patch: an isometry at every position",
    page: include_str!("delta-orthogonal-init.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let Some(net) = PlainNet::of(case, recipe).filter(|_| edit::has_patches(&recipe.network)) else {
        return Vec::new();
    };
    let delta = Initializer::named("delta-orthogonal").and_then(|init| init.with_parameter("gain", gain(&net)));
    let Ok(init) = delta else {
        return Vec::new();
    };
    REMEDY.starting(recipe, init)
}
