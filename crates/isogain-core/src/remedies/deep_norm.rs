//! Keep the norms behind the additions, and let less come out of each branch.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "deep-norm",
    summary: "keep a transformer's norms behind its additions, its branches and their weights smaller for the depth",
    page: include_str!("deep-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    match edit::set_deep_norm(&mut treated.network) {
        Ok(()) => vec![REMEDY.variant("norm_placement = deepnorm", treated)],
        Err(_) => Vec::new(),
    }
}
