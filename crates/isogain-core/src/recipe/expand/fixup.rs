//! Fixup (Zhang, Dauphin & Ma 2019): branches of m layers start at zero, so that the network begins as its skips. The last
//! layer of a branch is zero, and the m - 1 before it are L^(-1 / (2m - 2)) times as large, for L branches: then one step
//! of the rate eta changes the outputs by about eta, whatever the depth.

use crate::recipe::NetworkRecipe;
use crate::theory::initializers::Initializer;

/// How the first and the last layer of each of `branches` branches of `layers` layers start.
pub(super) fn branch(net: &NetworkRecipe, branches: usize, layers: usize) -> (Initializer, Initializer) {
    if !net.fixup {
        return (net.init, net.init);
    }
    let zeros = Initializer::named("zeros").unwrap_or(net.init);
    let Some(before_last) = layers.checked_sub(1).filter(|before| *before > 0) else {
        return (zeros, zeros);
    };
    let factor = (branches.max(1) as f64).powf(-0.5 / before_last as f64);
    // The validation has refused those without a gain.
    (net.init.scaled(factor).unwrap_or(net.init), zeros)
}
