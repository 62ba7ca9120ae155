//! Let every layer read all before it: DenseNet.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "connect-densely",
    summary: "let every layer read the outputs of all before it: y = [x, F(x)] (DenseNet)",
    page: include_str!("connect-densely.md"),
    prescribe,
};

/// Layers of the untreated width that one of the treated ones stands for: features that are kept need not be computed again.
const NARROWER: usize = 8;

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let growth = recipe.network.width.div_ceil(NARROWER);
    let mut treated = recipe.clone();
    match edit::connect_densely(&mut treated.network, growth) {
        Ok(()) => {
            let growth = treated.network.growth.unwrap_or(growth);
            vec![REMEDY.variant(format!("growth = {growth}"), treated)]
        }
        Err(_) => Vec::new(),
    }
}
