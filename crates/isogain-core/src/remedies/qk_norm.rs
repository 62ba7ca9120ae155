//! Divide queries and keys by their RMS before they are compared.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "qk-norm",
    summary: "divide each head's queries and keys by their RMS before their product: logits have a bound of their own",
    page: include_str!("qk-norm.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    match edit::set_qk_norm(&mut treated.network) {
        Ok(()) => vec![REMEDY.variant("qk_norm = true", treated)],
        Err(_) => Vec::new(),
    }
}
