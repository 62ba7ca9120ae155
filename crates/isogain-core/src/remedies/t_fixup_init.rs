//! Take the norms out of a transformer, and start it smaller for the depth.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;
use crate::theory::Initializer;

pub(super) static REMEDY: Remedy = Remedy {
    name: "t-fixup-init",
    summary: "take the norms out of a transformer and start branches and embedding smaller for the depth (T-Fixup)",
    page: include_str!("t-fixup-init.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    // What the factors were derived for: drawn by PyTorch's default, whose deviation is 1/sqrt 3 of it, one of three seeds of
    // the page's network does not leave its plateau at the recipe's own rate.
    let Ok(init) = Initializer::named("glorot-normal") else { return Vec::new() };
    let mut treated = recipe.clone();
    let network = &mut treated.network;
    match edit::set_init(network, init).and_then(|()| edit::set_t_fixup(network)) {
        Ok(()) => vec![REMEDY.variant("init = glorot-normal, fixup = true", treated)],
        Err(_) => Vec::new(),
    }
}
