//! Divide every layer's values by their RMS.

use super::{Prescription, Remedy};
use crate::network::NormKind;
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "insert-rms-norm",
    summary: "divide each sample's values by their RMS before the activation: layer norm without its mean",
    page: include_str!("insert-rms-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    match edit::insert_norm(&mut treated.network, NormKind::Rms) {
        Ok(()) => vec![REMEDY.variant("norm = rms", treated)],
        Err(_) => Vec::new(),
    }
}
