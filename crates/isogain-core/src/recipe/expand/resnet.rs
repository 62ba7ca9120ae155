//! The residual networks for CIFAR (He et al. 2016a, section 4.2; pre-activation 2016b): a stem, three stages of n blocks
//! of two 3x3 convolutions, the mean over positions, a head: 6n + 2 layers. Shortcuts that change the shape are 1x1
//! convolutions (option B).

use super::chain::{Chain, Factor, Patch};
use super::{Inputs, branch_scale, fixup};
use crate::network::Op;
use crate::recipe::error::RecipeError;
use crate::recipe::{Block, Head, NetworkRecipe};
use crate::theory::initializers::Initializer;

/// What is to blame where a patch does not fit.
const KEY: &str = "network.kind";

pub(super) fn ops(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Result<Vec<Op>, RecipeError> {
    let mut chain = Chain::new(net, &inputs.shape);
    let is_basic = net.block == Block::Basic || !net.skip;
    convolution(&mut chain, "conv1", net.width, 1, net.init)?;
    if is_basic {
        finish_layer(&mut chain, "", "1");
    }
    let per_stage = (net.depth - 2) / 6;
    let scale = branch_scale(net.branch_scale, 3 * per_stage);
    let (first, last) = fixup::branch(net, 3 * per_stage, 2);
    for block in 1..=3 * per_stage {
        let stage = (block - 1) / per_stage;
        let starts_stage = stage > 0 && (block - 1) % per_stage == 0;
        let (channels, stride) = (net.width << stage, if starts_stage { 2 } else { 1 });
        if !net.skip {
            for (layer, stride) in [(2 * block, stride), (2 * block + 1, 1)] {
                convolution(&mut chain, format!("conv{layer}"), channels, stride, net.init)?;
                finish_layer(&mut chain, "", &layer.to_string());
            }
            continue;
        }
        let name = format!("block{block}");
        let mut branch = chain.fork();
        for (layer, stride, init) in [("1", stride, first), ("2", 1, last)] {
            if !is_basic {
                finish_layer(&mut branch, &format!("{name}."), layer);
            }
            convolution(&mut branch, format!("{name}.conv{layer}"), channels, stride, init)?;
            if is_basic && layer == "1" {
                finish_layer(&mut branch, &format!("{name}."), layer);
            }
        }
        let mut shortcut = chain.fork();
        if starts_stage {
            let patch = Patch { size: 1, stride, padding: 0 };
            let name = format!("{name}.shortcut.conv");
            shortcut.convolution(name, KEY, channels, patch, (net.init, net.activation))?;
        }
        if is_basic {
            branch.own_norm(format!("{name}.norm2"));
            if starts_stage {
                shortcut.own_norm(format!("{name}.shortcut.norm"));
            }
        }
        branch.own_stochastic_depth(format!("{name}.drop"), block, 3 * per_stage);
        chain.residual(name, branch, shortcut.ops, Factor::of(net, scale));
        if is_basic {
            activation(&mut chain, "", &(block + 1).to_string());
        }
    }
    if !is_basic {
        finish_layer(&mut chain, "", "");
    }
    Ok(chain.finish(Head::Mean, outputs, None))
}

fn convolution(
    chain: &mut Chain<'_>,
    name: impl Into<String>,
    channels: usize,
    stride: usize,
    init: Initializer,
) -> Result<(), RecipeError> {
    let patch = Patch { size: 3, stride, padding: 1 };
    chain.convolution(name, KEY, channels, patch, (init, chain.net.activation))
}

/// Norm and activation.
fn finish_layer(chain: &mut Chain<'_>, prefix: &str, number: &str) {
    chain.own_norm(format!("{prefix}norm{number}"));
    activation(chain, prefix, number);
}

fn activation(chain: &mut Chain<'_>, prefix: &str, number: &str) {
    let phi = chain.net.activation;
    chain.activation(format!("{prefix}{}{number}", phi.name()), phi);
    chain.own_dropout(format!("{prefix}dropout{number}"));
}
