//! Start residual branches at zero, by Fixup.

use super::{Prescription, Remedy};
use crate::recipe::{Recipe, edit};
use crate::rules::Case;

pub(super) static REMEDY: Remedy = Remedy {
    name: "fixup-init",
    summary: "start each residual branch at zero, its layers scaled for the depth, with a factor that is trained (Fixup)",
    page: include_str!("fixup-init.md"),
    prescribe,
};

fn prescribe(_case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let mut treated = recipe.clone();
    if edit::set_fixup(&mut treated.network).is_err() || treated == *recipe {
        return Vec::new();
    }
    vec![REMEDY.variant("fixup = true, learnable_scale = true", treated)]
}
