//! Take the norms out of a transformer, and start it smaller for the depth.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "t-fixup-init",
    summary: "take the norms out of a transformer and start branches and embedding smaller for the depth (T-Fixup)",
    page: include_str!("t-fixup-init.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    match edit::set_t_fixup(&mut treated.network) {
        Ok(()) => vec![REMEDY.variant("fixup = true", treated)],
        Err(_) => Vec::new(),
    }
}
