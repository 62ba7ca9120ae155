//! From a recipe to the network it describes: every operation with its name, fans and initialiser.

use std::collections::HashMap;

use super::error::RecipeError;
use super::network::NamedOutput;
use super::validate;
use super::{BranchScale, LayerRecipe, NetworkKind, NetworkRecipe, OutputActivation, Recipe};
use crate::network::{Linear, Network, Norm, NormKind, Op, OpKind, Residual, Shape};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// The network of a recipe, for samples of shape `input` and `outputs` classes or targets.
///
/// * `mlp`: `fc1`, `norm1`, `relu1`, ... `head`, `output` (norm and output only if asked for; `relu` stands for the
///   name of whatever activation it is).
/// * `residual`: `fc1`, then `block2` ... each x + a F(x) with F = `block2.norm`, `block2.relu`, `block2.fc`; then
///   `relu`, `head`, `output`.
/// * `layers`: as listed; linear layers `fc1`, `fc2`, ..., the last one `head`; blocks are numbered by the first linear
///   layer in them; a number inside a branch is left out where there is only one of the kind.
///
/// # Errors
/// Whatever [`super::validate()`] refuses; a list of layers that does not end in `outputs` units; a branch that changes
/// the width; more than [`validate::MAX_PARAMETERS`] parameters. No place yet: see [`RecipeError::in_text`].
pub fn network(recipe: &Recipe, input: &Shape, outputs: usize) -> Result<Network, RecipeError> {
    validate(recipe)?;
    let inputs = input.values();
    for (count, what) in [(inputs, "input columns"), (outputs, "outputs")] {
        if count == 0 {
            return Err(RecipeError::missing("data.source", format!("must have {what}, found none")));
        }
    }
    let net = &recipe.network;
    let mut ops = match net.kind {
        NetworkKind::Mlp => mlp(net, inputs),
        NetworkKind::Residual => residual(net, inputs),
        NetworkKind::Layers => Explicit::new(net, inputs, outputs).expand()?,
    };
    if net.kind != NetworkKind::Layers {
        let init = net.head_init.unwrap_or(net.init);
        ops.push(linear("head".into(), net.width, outputs, init, Activation::linear()));
        ops.extend(net.output_activation.map(|activation| match activation {
            OutputActivation::Named(NamedOutput::Softmax) => Op { name: "output".into(), kind: OpKind::Softmax },
            OutputActivation::Elementwise(phi) => self::activation("output".into(), phi),
        }));
    }
    let network = Network { input: input.clone(), outputs, ops, loss: recipe.data.loss() };
    initializers_support_activations(&network, net)?;
    validate::parameters(net, parameter_count(&network))?;
    Ok(network)
}

/// Refuses an initialiser that has no answer for an activation, such as the edge of chaos of softplus.
fn initializers_support_activations(network: &Network, net: &NetworkRecipe) -> Result<(), RecipeError> {
    let Some((op, linear)) = network.linears().find(|(_, linear)| !linear.init.supports(linear.activation)) else {
        return Ok(());
    };
    let key = match linear.init {
        init if init == net.init => "network.init",
        init if Some(init) == net.head_init => "network.head_init",
        _ => "network.layers",
    };
    let expected = format!("is not defined for {} ({}); take another one", linear.activation, op.name);
    Err(RecipeError::value(key, format!("\"{}\"", linear.init), expected))
}

/// Trained numbers of a network: weights, biases, gammas, betas and learnable scales.
pub fn parameter_count(network: &Network) -> u64 {
    let values =
        |shape: Vec<usize>| shape.iter().fold(1, |product: u64, &length| product.saturating_mul(length as u64));
    let of = |op: &Op| op.kind.parameters().into_iter().map(|(_, shape)| values(shape)).sum::<u64>();
    network.walk().into_iter().map(of).fold(0, u64::saturating_add)
}

/// The factor on each of `blocks` residual branches.
pub fn branch_scale(scale: BranchScale, blocks: usize) -> f64 {
    match scale {
        BranchScale::Number(number) => number,
        BranchScale::Named(_) => (blocks.max(1) as f64).sqrt().recip(),
    }
}

fn mlp(net: &NetworkRecipe, inputs: usize) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut fan_in = inputs;
    for layer in 1..=net.depth {
        ops.push(linear(format!("fc{layer}"), fan_in, net.width, net.init, net.activation));
        ops.extend(net.norm.map(|kind| norm(format!("norm{layer}"), kind, net.width, net.norm_eps)));
        ops.push(activation(format!("{}{layer}", net.activation.name()), net.activation));
        fan_in = net.width;
    }
    ops
}

fn residual(net: &NetworkRecipe, inputs: usize) -> Vec<Op> {
    let NetworkRecipe { depth, width, activation: phi, init, .. } = *net;
    let scale = branch_scale(net.branch_scale, depth - 1);
    let mut ops = vec![linear("fc1".into(), inputs, width, init, phi)];
    for layer in 2..=depth {
        let name = format!("block{layer}");
        let mut branch = Vec::new();
        branch.extend(net.norm.map(|kind| norm(format!("{name}.norm"), kind, width, net.norm_eps)));
        branch.push(activation(format!("{name}.{}", phi.name()), phi));
        branch.push(linear(format!("{name}.fc"), width, width, init, phi));
        let residual = Residual::new(branch, scale, net.learnable_scale);
        ops.push(Op { name, kind: OpKind::Residual(residual) });
    }
    ops.push(activation(phi.name().into(), phi));
    ops
}

fn linear(name: String, fan_in: usize, fan_out: usize, init: Initializer, activation: Activation) -> Op {
    Op { name, kind: OpKind::Linear(Linear::new(fan_in, fan_out, init, activation)) }
}

fn activation(name: String, activation: Activation) -> Op {
    Op { name, kind: OpKind::Activation { activation } }
}

fn norm(name: String, norm: NormKind, features: usize, eps: f64) -> Op {
    Op { name, kind: OpKind::Norm(Norm::new(norm, features, eps)) }
}

/// Expands the list of kind `layers`.
struct Explicit<'n> {
    net: &'n NetworkRecipe,
    inputs: usize,
    outputs: usize,
    /// For each linear layer in forward order, branches included: the activation that follows it.
    following: std::vec::IntoIter<Activation>,
    /// How often each name was given.
    given: HashMap<String, usize>,
}

impl<'n> Explicit<'n> {
    fn new(net: &'n NetworkRecipe, inputs: usize, outputs: usize) -> Self {
        Self { net, inputs, outputs, following: following(&net.layers).into_iter(), given: HashMap::new() }
    }

    fn expand(mut self) -> Result<Vec<Op>, RecipeError> {
        let net = self.net;
        let head = net.layers.iter().rposition(|layer| layer.linear.is_some());
        if let Some((head, units)) = head.and_then(|head| Some((head, net.layers[head].linear?)))
            && units != self.outputs
        {
            let expected = format!("must be {}, the number of outputs, in the last linear layer", self.outputs);
            return Err(RecipeError::value(format!("network.layers[{head}].linear"), units, expected));
        }
        let inputs = self.inputs;
        Ok(self.list(&net.layers, "network.layers", "", inputs, head)?.0)
    }

    /// The operations of one list, and the width of its output. `prefix` is that of their names, `head` the index of
    /// the head if it is in this list.
    fn list(
        &mut self,
        list: &[LayerRecipe],
        path: &str,
        prefix: &str,
        inputs: usize,
        head: Option<usize>,
    ) -> Result<(Vec<Op>, usize), RecipeError> {
        let single =
            |kind: fn(&LayerRecipe) -> bool| !prefix.is_empty() && list.iter().filter(|layer| kind(layer)).count() == 1;
        let (one_linear, one_norm, one_activation) =
            (single(|l| l.linear.is_some()), single(|l| l.norm.is_some()), single(|l| l.activation.is_some()));
        let (mut width, mut linears, mut ops) = (inputs, 0, Vec::new());
        for (index, layer) in list.iter().enumerate() {
            let mut name = |kind: &str, number: usize, alone: bool| {
                let name = if alone { format!("{prefix}{kind}") } else { format!("{prefix}{kind}{number}") };
                self.unique(name)
            };
            if let Some(units) = layer.linear {
                linears += 1;
                let is_head = head == Some(index);
                let name = if is_head { self.unique("head".into()) } else { name("fc", linears, one_linear) };
                let network_init = if is_head { self.net.head_init.unwrap_or(self.net.init) } else { self.net.init };
                let init = layer.init.unwrap_or(network_init);
                let phi = self.following.next().unwrap_or(Activation::linear());
                ops.push(linear(name, width, units, init, phi));
                width = units;
            } else if let Some(phi) = layer.activation {
                let after_head = head.is_some_and(|head| index > head);
                let name =
                    if after_head { self.unique("output".into()) } else { name(phi.name(), linears, one_activation) };
                ops.push(activation(name, phi));
            } else if let Some(kind) = layer.norm {
                ops.push(norm(name("norm", linears, one_norm), kind, width, self.net.norm_eps));
            } else if let Some(branch) = &layer.residual {
                let path = format!("{path}[{index}].residual");
                let name = name("block", linears + 1, false);
                linears += count_linears(branch);
                let (branch, out) = self.list(branch, &path, &format!("{name}."), width, None)?;
                if out != width {
                    let expected = format!("must keep the width of its input: x has {width} features, F(x) has {out}");
                    return Err(RecipeError::missing(path, expected));
                }
                let residual = Residual::new(branch, layer.scale.unwrap_or(1.0), layer.learnable);
                ops.push(Op { name, kind: OpKind::Residual(residual) });
            }
        }
        Ok((ops, width))
    }

    /// `name`, or `name-2`, `name-3` where it is taken: two activations may follow one linear layer.
    fn unique(&mut self, name: String) -> String {
        let given = self.given.entry(name.clone()).or_default();
        *given += 1;
        if *given == 1 { name } else { format!("{name}-{given}") }
    }
}

fn count_linears(list: &[LayerRecipe]) -> usize {
    list.iter()
        .map(|layer| usize::from(layer.linear.is_some()) + count_linears(layer.residual.as_deref().unwrap_or_default()))
        .sum()
}

/// For each linear layer in forward order: the activation its output goes into, past normalisations and the start of
/// branches; `linear` where the next thing is another linear layer, or for the head the loss.
fn following(list: &[LayerRecipe]) -> Vec<Activation> {
    fn backwards(list: &[LayerRecipe], next: &mut Activation, found: &mut Vec<Activation>) {
        for layer in list.iter().rev() {
            if layer.linear.is_some() {
                found.push(std::mem::replace(next, Activation::linear()));
            } else if let Some(phi) = layer.activation {
                *next = phi;
            }
            backwards(layer.residual.as_deref().unwrap_or_default(), next, found);
        }
    }
    // What follows the head is not what its initialiser refers to.
    let head = list.iter().rposition(|layer| layer.linear.is_some()).map_or(list.len(), |head| head + 1);
    let mut found = Vec::new();
    backwards(&list[..head], &mut Activation::linear(), &mut found);
    found.reverse();
    found
}
