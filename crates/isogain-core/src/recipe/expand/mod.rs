//! From a recipe to the network it describes: every operation with its name, fans and initialiser. One file for each
//! kind.

mod chain;
mod convnet;
mod fixup;
mod layers;
mod mlp;
mod recurrent;
mod resnet;
mod transformer;

use super::error::RecipeError;
use super::validate;
use super::variants::Name;
use super::{BranchScale, NetworkKind, NetworkRecipe, Recipe};
use crate::network::{Network, Op, OpKind, Shape, Window};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// What goes into a network. A shape alone is that of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Shape of one sample; of tokens, one number at each step.
    pub shape: Shape,
    /// Different tokens, where the numbers are indices of tokens.
    pub vocabulary: Option<usize>,
}

impl From<&Shape> for Inputs {
    fn from(shape: &Shape) -> Self {
        Self { shape: shape.clone(), vocabulary: None }
    }
}

impl From<Shape> for Inputs {
    fn from(shape: Shape) -> Self {
        Self { shape, vocabulary: None }
    }
}

/// The network of a recipe, for samples of shape `inputs` and `outputs` classes or targets.
///
/// * `mlp`: `fc1`, `norm1`, `relu1`, `dropout1`, ... `head`, `output` (norm, dropout and output only if asked for; `relu`
///   stands for the name of whatever activation it is). An auxiliary head behind layer 5 is `aux5` with `aux5.head`, and
///   `aux5.mean` and `aux5.output` where there are any. A sample is read as one vector.
/// * `residual`: `fc1`, then `block2` ... each x + a F(x) with F = `block2.norm`, `block2.relu`, `block2.fc`; then
///   `relu`, `head`, `output`. A sample is read as one vector.
/// * `convnet`: `conv1`, `norm1`, `relu1`, ..., `pool1` after the first stage, ..., then `mean` or `flatten`, `head`.
/// * `resnet`: `conv1`, `norm1`, `relu1`, then `block1` ... with `block1.conv1`, `block1.norm1`, `block1.relu1`,
///   `block1.conv2`, `block1.norm2` and where the shape changes `block4.shortcut.conv`; `relu2` ... after the sums; `mean`,
///   `head`. Without skips `conv1`, `norm1`, `relu1`, `conv2` ...
/// * `rnn`, `lstm`, `gru`: `embedding` where the inputs are tokens, `lstm1`, `lstm2`, ..., `last` or `mean`, `head`.
/// * `transformer`: `embedding`, or `fc_in` where the inputs are numbers; `block1.attention` with
///   `block1.attention.norm`, `.qkv`, `.qk_norm` (if asked for), `.attention`, `.proj`, `block1.mlp` with `.norm`, `.fc`, `.gelu`, `.proj`; `norm`,
///   `head`. After a sum the norm is `block1.norm1` or `block1.norm2`.
/// * `layers`: as listed; layers with weights are counted, `conv1`, `fc2`, ..., the last linear one is `head`; blocks are
///   numbered by the first layer in them; a number inside a branch is left out where there is only one of the kind. A list
///   that never speaks of positions reads a sample as one vector.
///
/// An embedding starts as N(0, 1), as `nn.Embedding` does, unless all weights have the same fixed variance.
///
/// # Errors
/// Whatever [`super::validate()`] refuses; inputs that this kind cannot read; a list of layers that does not end in
/// `outputs` units; a branch that changes the shape; patches that do not fit the grid; more than
/// [`validate::MAX_PARAMETERS`] parameters or [`validate::MAX_VALUES`] numbers to keep. No place yet: see
/// [`RecipeError::in_text`].
pub fn network(recipe: &Recipe, inputs: impl Into<Inputs>, outputs: usize) -> Result<Network, RecipeError> {
    validate(recipe)?;
    let net = &recipe.network;
    let inputs = reading(net, inputs.into())?;
    for (count, what) in [(inputs.shape.values(), "input columns"), (outputs, "outputs")] {
        if count == 0 {
            return Err(RecipeError::missing("data.source", format!("must have {what}, found none")));
        }
    }
    let ops = match net.kind {
        NetworkKind::Mlp => mlp::plain(net, &inputs, outputs),
        NetworkKind::Residual => mlp::residual(net, &inputs, outputs),
        NetworkKind::Convnet => convnet::ops(net, &inputs, outputs)?,
        NetworkKind::Resnet => resnet::ops(net, &inputs, outputs)?,
        NetworkKind::Rnn | NetworkKind::Lstm | NetworkKind::Gru => recurrent::ops(net, &inputs, outputs)?,
        NetworkKind::Transformer => transformer::ops(net, &inputs, outputs)?,
        NetworkKind::Layers => layers::ops(net, &inputs, outputs)?,
    };
    let network = Network { input: inputs.shape, outputs, ops, loss: recipe.data.loss() };
    initializers_support_activations(&network, net)?;
    validate::parameters(net, parameter_count(&network))?;
    // Elsewhere what is kept of a sample is bounded by the parameters.
    if !network.input.grid.is_empty() || net.growth.is_some() {
        validate::values(net, value_count(&network).saturating_mul(recipe.data.batch as u64))?;
    }
    Ok(network)
}

/// Checks that a network gives as many answers as its data has `targets` for one sample.
///
/// # Errors
/// When it does not. No place yet: see [`RecipeError::in_text`].
pub fn answers(recipe: &Recipe, network: &Network, targets: usize) -> Result<(), RecipeError> {
    let (answers, net) = (network.answers(), &recipe.network);
    if answers == targets {
        return Ok(());
    }
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let found =
        format!("{} for each sample, and the data has {}", counted(answers, "answer"), counted(targets, "target"));
    if net.kind == NetworkKind::Layers {
        let expected = format!("must end with as many answers as there are targets; it gives {found}");
        return Err(RecipeError::missing("network.layers", expected));
    }
    let better = if targets == 1 { "take \"mean\" or \"last\"" } else { "take \"every\"" };
    Err(RecipeError::value("network.head", format!("\"{}\"", Name(&net.head())), format!("gives {found}: {better}")))
}

/// How a kind reads samples of that shape: as one vector, as steps one after the other, or as they are.
fn reading(net: &NetworkRecipe, inputs: Inputs) -> Result<Inputs, RecipeError> {
    let Inputs { shape, vocabulary } = inputs;
    let begins_with_embedding = net.layers.first().is_some_and(|layer| layer.embedding.is_some());
    let is_sequential = net.kind.is_recurrent() || net.kind == NetworkKind::Transformer;
    let kind = || format!("\"{}\"", Name(&net.kind));
    if vocabulary.is_some() && !is_sequential && !begins_with_embedding {
        let expected = "cannot read tokens: take \"rnn\", \"lstm\", \"gru\" or \"transformer\", or \"layers\" with an \
                        embedding first";
        return Err(RecipeError::value("network.kind", kind(), expected));
    }
    if vocabulary.is_some() && shape.features != 1 {
        let expected = format!("must give one token at each step, found {}", shape.features);
        return Err(RecipeError::missing("data.source", expected));
    }
    if is_sequential && shape.grid.is_empty() {
        let expected = format!("needs samples with steps, but gets plain vectors of {} numbers", shape.features);
        return Err(RecipeError::value("network.kind", kind(), expected));
    }
    let shape = if !validate::network::has_positions(net) {
        Shape::vector(shape.values())
    } else if is_sequential {
        Shape::sequence(shape.positions(), shape.features)
    } else {
        shape
    };
    Ok(Inputs { shape, vocabulary })
}

/// Refuses an initialiser that has no answer for an activation, such as the edge of chaos of softplus.
fn initializers_support_activations(network: &Network, net: &NetworkRecipe) -> Result<(), RecipeError> {
    let ops = network.walk();
    let used = ops.into_iter().flat_map(|op| {
        let pairs: Vec<(Initializer, Activation)> = match &op.kind {
            OpKind::Linear(linear) => vec![(linear.init, linear.activation)],
            OpKind::Convolution(convolution) => vec![(convolution.linear.init, convolution.linear.activation)],
            OpKind::Recurrent(recurrent) => {
                [recurrent.init, recurrent.hidden_init].map(|init| (init, recurrent.activation)).to_vec()
            }
            _ => Vec::new(),
        };
        pairs.into_iter().map(move |(init, activation)| (op, init, activation))
    });
    let mut refused = used.into_iter().filter_map(|(op, init, activation)| {
        let units = op.kind.features(0);
        if !init.supports(activation) {
            Some((init, format!("is not defined for {activation} ({}); take another one", op.name)))
        } else if init.pairs_units() && activation != Activation::linear() && units % 2 == 1 {
            Some((init, format!("needs an even number of units: {} has {units}", op.name)))
        } else {
            None
        }
    });
    let Some((init, expected)) = refused.next() else { return Ok(()) };
    let is = |given: Initializer| given == init || given.reading_no_pairs() == init;
    let key = match net {
        net if is(net.init) => "network.init",
        net if net.head_init.is_some_and(is) => "network.head_init",
        net if net.hidden_init.is_some_and(is) => "network.hidden_init",
        _ => "network.layers",
    };
    // As it was given: what a layer reads is none of its numbers.
    let given = Initializer::named(init.name()).unwrap_or(init);
    let given = if init == given.reading_no_pairs() { given } else { init };
    Err(RecipeError::value(key, format!("\"{given}\""), expected))
}

/// Trained numbers of a network: weights, biases, gammas, betas and learnable scales.
pub fn parameter_count(network: &Network) -> u64 {
    let values =
        |shape: Vec<usize>| shape.iter().fold(1, |product: u64, &length| product.saturating_mul(length as u64));
    let of = |op: &Op| op.kind.parameters().into_iter().map(|(_, shape)| values(shape)).sum::<u64>();
    network.walk().into_iter().map(of).fold(0, u64::saturating_add)
}

/// Numbers that one sample leaves behind for the backward pass: the outputs of all operations, and the weights of each
/// attention.
pub fn value_count(network: &Network) -> u64 {
    fn count(ops: &[Op], mut positions: u64, mut features: u64) -> (u64, u64, u64) {
        let mut total = 0_u64;
        let patches = |window: &Window| window.output().into_iter().product::<usize>() as u64;
        for op in ops {
            let mut beside = 0;
            match &op.kind {
                OpKind::Linear(linear) => features = linear.fan_out as u64,
                OpKind::Convolution(convolution) => {
                    features = convolution.linear.fan_out as u64;
                    positions = convolution.window.as_ref().map_or(positions, patches);
                }
                OpKind::Pool(pool) => positions = pool.window.as_ref().map_or(1, patches),
                OpKind::Flatten(_) => (positions, features) = (1, positions.saturating_mul(features)),
                OpKind::Embedding(embedding) => features = embedding.features as u64,
                OpKind::Recurrent(recurrent) => {
                    features = recurrent.units as u64;
                    // A diagonal one keeps what phi read and gave, each gate what it gave, an oscillator its velocity too.
                    let more = recurrent.diagonal || recurrent.oscillator.is_some();
                    let kept = recurrent.cell.gates().len() + usize::from(more);
                    beside = positions.saturating_mul(features * kept as u64);
                }
                OpKind::Attention(attention) => {
                    features = attention.features as u64;
                    beside = positions.saturating_mul(positions).saturating_mul(attention.heads as u64);
                }
                OpKind::Residual(residual) => {
                    let read = features;
                    let past = [&residual.shortcut, &residual.gate].map(|ops| count(ops, positions, features).0);
                    (beside, positions, features) = count(&residual.branch, positions, features);
                    beside = past.into_iter().fold(beside, u64::saturating_add);
                    features += if residual.concatenates { read } else { 0 };
                }
                OpKind::AuxiliaryHead(auxiliary) => (beside, ..) = count(&auxiliary.head, positions, features),
                OpKind::Activation { .. }
                | OpKind::Softmax
                | OpKind::Norm(_)
                | OpKind::QkNorm(_)
                | OpKind::Dropout(_)
                | OpKind::StochasticDepth(_)
                | OpKind::Other(_) => {}
            }
            total = total.saturating_add(beside).saturating_add(positions.saturating_mul(features));
        }
        (total, positions, features)
    }
    count(&network.ops, network.input.positions() as u64, network.input.features as u64).0
}

/// The factor on each of `blocks` residual branches.
pub fn branch_scale(scale: BranchScale, blocks: usize) -> f64 {
    match scale {
        BranchScale::Number(number) => number,
        BranchScale::Named(_) => (blocks.max(1) as f64).sqrt().recip(),
    }
}
