//! Fully connected networks, plain and residual.

use super::chain::{Chain, Factor};
use super::{Inputs, branch_scale, fixup};
use crate::network::Op;
use crate::recipe::NetworkRecipe;

/// `depth` times linear, norm, activation; then the head.
pub(super) fn plain(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Vec<Op> {
    let mut chain = Chain::new(net, &inputs.shape);
    for layer in 1..=net.depth {
        chain.linear(format!("fc{layer}"), net.width, net.init, net.activation);
        chain.own_norm(format!("norm{layer}"));
        chain.activation(format!("{}{layer}", net.activation.name()), net.activation);
        chain.own_dropout(format!("dropout{layer}"));
        chain.own_auxiliary_head(layer, outputs);
    }
    chain.head("", outputs, None)
}

/// A stem, `depth - 1` blocks of norm, activation, linear, a last activation, the head. With `growth` each block reads what all
/// before it gave.
pub(super) fn residual(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Vec<Op> {
    let phi = net.activation;
    let scale = branch_scale(net.branch_scale, net.depth - 1);
    let (_, last) = fixup::branch(net, net.depth - 1, 1);
    let mut chain = Chain::new(net, &inputs.shape);
    chain.linear("fc1", net.width, net.init, phi);
    for layer in 2..=net.depth {
        let name = format!("block{layer}");
        let mut branch = chain.fork();
        branch.own_norm(format!("{name}.norm"));
        branch.activation(format!("{name}.{}", phi.name()), phi);
        branch.own_dropout(format!("{name}.dropout"));
        branch.linear(format!("{name}.fc"), net.growth.unwrap_or(net.width), last, phi);
        branch.own_stochastic_depth(format!("{name}.drop"), layer - 1, net.depth - 1);
        chain.residual(name, branch, Vec::new(), Factor::of(net, scale));
    }
    chain.activation(phi.name(), phi);
    chain.own_dropout("dropout");
    chain.head("", outputs, None)
}
