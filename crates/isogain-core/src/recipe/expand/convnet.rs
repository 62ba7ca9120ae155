//! Convolutions in stages, pooling between, each stage with half the positions and twice the channels.

use super::Inputs;
use super::chain::{Chain, Patch};
use crate::network::{Op, PoolKind};
use crate::recipe::error::RecipeError;
use crate::recipe::{NetworkRecipe, Pooling};

pub(super) fn ops(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Result<Vec<Op>, RecipeError> {
    let patch = Patch { size: net.kernel, stride: 1, padding: net.kernel / 2 };
    let halves = Patch { size: 2, stride: 2, padding: 0 };
    let pool = if net.pool == Pooling::Average { PoolKind::Average } else { PoolKind::Max };
    let mut chain = Chain::new(net, &inputs.shape);
    for layer in 1..=net.depth {
        let (before, within) = ((layer - 1) / (net.depth / net.stages), (layer - 1) % (net.depth / net.stages));
        if before > 0 && within == 0 {
            chain.pool(format!("pool{before}"), "network.stages", pool, halves)?;
        }
        let weights = (net.init, net.activation);
        chain.convolution(format!("conv{layer}"), "network.kind", net.width << before, patch, weights)?;
        chain.own_norm(format!("norm{layer}"));
        chain.activation(format!("{}{layer}", net.activation.name()), net.activation);
        chain.own_dropout(format!("dropout{layer}"));
        chain.own_auxiliary_head(layer, outputs);
    }
    Ok(chain.finish(net.head(), outputs, None))
}
