//! The changes remedies make to a network, for all kinds: by shape a field, in an explicit list every layer concerned. A change that cannot be made leaves the network as it is and says why.

use super::expand::branch_scale;
use super::layer::Entry;
use super::{BranchScale, LayerRecipe, NetworkKind, NetworkRecipe, NormPlacement};
use crate::network::NormKind;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

/// Why a change cannot be made to this network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotApply(pub &'static str);

/// Starts every layer but the head with `init`; the head too, unless it has one of its own. Weights from state to state
/// that have an initialiser of their own keep it.
///
/// # Errors
/// An initialiser that this kind of network cannot have: one that needs data, for recurrent layers; one without a gain,
/// where the network scales its branches' weights.
pub fn set_init(network: &mut NetworkRecipe, init: Initializer) -> Result<(), CannotApply> {
    fn clear(list: &mut [LayerRecipe], head: Option<usize>) {
        for (_, layer) in list.iter_mut().enumerate().filter(|(index, _)| Some(*index) != head) {
            layer.init = None;
            clear(layer.residual.as_deref_mut().unwrap_or_default(), None);
            clear(layer.shortcut.as_deref_mut().unwrap_or_default(), None);
        }
    }
    if init.is_data_dependent() && is_recurrent(network) {
        return Err(CannotApply("a recurrent layer cannot be scaled on a batch"));
    }
    if init.pairs_units() && !adds(network) {
        return Err(CannotApply("gates and blocks side by side do not keep pairs of units"));
    }
    let scales = network.residual_init.is_some() || network.norm_placement == NormPlacement::Deepnorm;
    if network.kind == NetworkKind::Transformer && scales && init.scaled(1.0).is_none() {
        return Err(CannotApply("the network scales its branches' weights, which this initialiser has no gain for"));
    }
    let scales = matches!(network.kind, NetworkKind::Resnet | NetworkKind::Transformer);
    if network.fixup && ((scales && init.scaled(1.0).is_none()) || init.is_data_dependent()) {
        return Err(CannotApply("Fixup scales the branches' weights, which this initialiser has no gain for"));
    }
    network.init = init;
    let head = head_index(&network.layers);
    clear(&mut network.layers, head);
    Ok(())
}

/// Puts `activation` in the place of every hidden activation.
///
/// # Errors
/// An explicit list without one; gated recurrent layers.
pub fn set_activation(network: &mut NetworkRecipe, activation: Activation) -> Result<(), CannotApply> {
    fn replace(list: &mut [LayerRecipe], activation: Activation) -> usize {
        let mut replaced = 0;
        for layer in list {
            if let Some(hidden) = &mut layer.activation {
                *hidden = activation;
                replaced += 1;
            }
            replaced += replace(layer.residual.as_deref_mut().unwrap_or_default(), activation);
            replaced += replace(layer.shortcut.as_deref_mut().unwrap_or_default(), activation);
        }
        replaced
    }
    if matches!(network.kind, NetworkKind::Lstm | NetworkKind::Gru) {
        return Err(CannotApply("the gates of an LSTM or a GRU have activations of their own"));
    }
    if network.kind != NetworkKind::Layers {
        network.activation = activation;
        return Ok(());
    }
    let hidden = hidden_layers(&network.layers);
    match replace(&mut network.layers[..hidden], activation) {
        0 => Err(CannotApply("the list of layers has no hidden activation")),
        _ => Ok(()),
    }
}

/// Puts a normalisation between each hidden linear layer or convolution and its activation, and at the start of each residual branch
/// that starts with its activation.
///
/// # Errors
/// A network that has a normalisation; recurrent layers; an explicit list without such a place.
pub fn insert_norm(network: &mut NetworkRecipe, kind: NormKind) -> Result<(), CannotApply> {
    fn insert(list: Vec<LayerRecipe>, norm: &LayerRecipe, in_branch: bool, inserted: &mut usize) -> Vec<LayerRecipe> {
        let mut result: Vec<LayerRecipe> = Vec::new();
        for mut layer in list {
            let follows_linear =
                result.last().map_or(in_branch, |previous| previous.linear.or(previous.convolution).is_some());
            if layer.activation.is_some() && follows_linear {
                result.push(norm.clone());
                *inserted += 1;
            }
            layer.residual = layer.residual.map(|branch| insert(branch, norm, true, inserted));
            result.push(layer);
        }
        result
    }
    if has_norm(network) {
        return Err(CannotApply("the network already has a normalisation"));
    }
    if network.fixup {
        return Err(CannotApply("the network starts by Fixup, which is for networks without a normalisation"));
    }
    if network.kind.is_recurrent() {
        return Err(CannotApply("a recurrent layer has no place for a normalisation"));
    }
    if network.kind != NetworkKind::Layers {
        network.norm = Some(kind);
        return Ok(());
    }
    let norm = LayerRecipe { norm: Some(kind), ..LayerRecipe::default() };
    let output = network.layers.split_off(hidden_layers(&network.layers));
    let mut inserted = 0;
    network.layers = insert(std::mem::take(&mut network.layers), &norm, false, &mut inserted);
    network.layers.extend(output);
    if inserted == 0 {
        return Err(CannotApply("the list of layers has no linear layer that an activation follows"));
    }
    Ok(())
}

/// Turns every norm over the batch into a normalisation of this kind, in the same places; whether there was another one.
pub fn replace_batch_norm(network: &mut NetworkRecipe, kind: NormKind) -> bool {
    fn replace(norm: &mut Option<NormKind>, kind: NormKind) -> bool {
        let is_other = norm.is_some_and(|norm| norm.is_over_batch() && norm != kind);
        if is_other {
            *norm = Some(kind);
        }
        is_other
    }
    fn replace_in(list: &mut [LayerRecipe], kind: NormKind) -> bool {
        let mut found = false;
        for layer in list {
            found |= replace(&mut layer.norm, kind);
            found |= replace_in(layer.residual.as_deref_mut().unwrap_or_default(), kind);
            found |= replace_in(layer.shortcut.as_deref_mut().unwrap_or_default(), kind);
        }
        found
    }
    let of_shape = network.kind != NetworkKind::Layers && replace(&mut network.norm, kind);
    if kind != NormKind::BatchRenorm {
        network.norm_ramp = NetworkRecipe::default().norm_ramp;
    }
    network.ghost_batch = None;
    replace_in(&mut network.layers, kind) || of_shape
}

/// Adds skip connections y = x + `scale` F(x): an `mlp` becomes `residual` of the same depth and width, a `resnet` gets
/// its skips back; in an explicit list each run of norm (if any), activation and linear layer or convolution becomes a
/// branch F where the shape stays the same. A shape and its list give the same network: F begins with the activation, so
/// that the sum itself is never squashed.
///
/// # Errors
/// A network that has skip connections; one where no layer keeps the shape; kinds that have no residual form.
pub fn add_skip(network: &mut NetworkRecipe, scale: BranchScale, learnable: bool) -> Result<(), CannotApply> {
    if has_skip(network) {
        return Err(CannotApply("the network already has skip connections"));
    }
    match network.kind {
        NetworkKind::Layers => {}
        NetworkKind::Mlp if network.depth < 2 => {
            return Err(CannotApply("a network of one hidden layer has nothing to skip"));
        }
        NetworkKind::Convnet => {
            return Err(CannotApply("a convnet has no residual form; a resnet or a list of layers has"));
        }
        kind if kind.is_recurrent() => return Err(CannotApply("a recurrent layer has no residual form")),
        kind => {
            if kind == NetworkKind::Mlp {
                network.kind = NetworkKind::Residual;
                // A skip takes the gradient past every layer, as auxiliary heads would.
                network.supervise_every = None;
                network.supervise_share = NetworkRecipe::default().supervise_share;
            }
            network.skip = true;
            network.branch_scale = scale;
            network.learnable_scale = learnable;
            network.scale_per_channel = false;
            return Ok(());
        }
    }
    let output = network.layers.split_off(hidden_layers(&network.layers));
    network.layers = wrap(std::mem::take(&mut network.layers));
    network.layers.extend(output);
    set_skip_scale(network, scale, learnable)
        .map_err(|_| CannotApply("no activation and linear layer in the list keep the width of their input"))
}

/// The same with gates T whose biases start at `bias` in the place of the sums: y = (1 - T) x + T F(x).
///
/// # Errors
/// As [`add_skip`]; a resnet, whose blocks know no gates; units in pairs.
pub fn add_gated_skip(network: &mut NetworkRecipe, bias: f64) -> Result<(), CannotApply> {
    if network.kind == NetworkKind::Resnet {
        return Err(CannotApply("the blocks of a resnet know no gates; those of a list of layers do"));
    }
    keeps_no_pairs(network)?;
    add_skip(network, BranchScale::Number(1.0), false)?;
    network.gate_bias = (network.kind != NetworkKind::Layers).then_some(bias);
    for layer in network.layers.iter_mut().filter(|layer| layer.residual.is_some()) {
        layer.gate_bias = Some(bias);
    }
    Ok(())
}

/// The same with x and `growth` features of F(x), under group norm as many more as fill its groups, side by side: y = [x, F(x)].
///
/// # Errors
/// As [`add_skip`]; kinds that are not fully connected; units in pairs.
pub fn connect_densely(network: &mut NetworkRecipe, growth: usize) -> Result<(), CannotApply> {
    if network.kind != NetworkKind::Mlp {
        return Err(CannotApply("only an mlp has a form in which every layer reads all before it"));
    }
    keeps_no_pairs(network)?;
    let groups = if network.norm == Some(NormKind::Group) { network.norm_groups.max(1) } else { 1 };
    let growth = growth.next_multiple_of(groups);
    add_skip(network, BranchScale::Number(1.0), false)?;
    network.growth = Some(growth);
    Ok(())
}

/// Replaces each run of norm?, activation, layer that keeps the shape by a residual layer.
fn wrap(list: Vec<LayerRecipe>) -> Vec<LayerRecipe> {
    let mut result: Vec<LayerRecipe> = Vec::new();
    let mut width = None;
    for layer in list {
        let from = match result.as_slice() {
            [.., norm, phi] if norm.norm.is_some() && phi.activation.is_some() => Some(result.len() - 2),
            [.., phi] if phi.activation.is_some() => Some(result.len() - 1),
            _ => None,
        };
        match from {
            Some(from) if keeps_positions(&layer) && layer.features_out(width) == width && width.is_some() => {
                let mut branch = result.split_off(from);
                branch.push(layer);
                result.push(LayerRecipe { residual: Some(branch), ..LayerRecipe::default() });
            }
            _ => {
                width = layer.features_out(width);
                result.push(layer);
            }
        }
    }
    result
}

/// Whether it is a layer that works on each position as it is: linear, or a convolution that keeps the grid.
fn keeps_positions(layer: &LayerRecipe) -> bool {
    let kernel = layer.kernel.unwrap_or(3);
    match layer.entry() {
        Some(Entry::Linear) => true,
        Some(Entry::Convolution) => layer.stride.unwrap_or(1) == 1 && 2 * layer.padded() + 1 == kernel,
        _ => false,
    }
}

/// Sets the factor on every residual branch (in an explicit list on those that are not inside another one), and whether
/// it is trained.
///
/// # Errors
/// A network without skip connections; one that scales its branches itself.
pub fn set_skip_scale(network: &mut NetworkRecipe, scale: BranchScale, learnable: bool) -> Result<(), CannotApply> {
    if !has_skip(network) {
        return Err(CannotApply("the network has no skip connections"));
    }
    if network.kind == NetworkKind::Transformer && network.norm_placement == NormPlacement::Deepnorm {
        return Err(CannotApply("DeepNorm sets the scale of the branches"));
    }
    if network.fixup {
        return Err(CannotApply("Fixup sets how the branches start"));
    }
    if !adds(network) {
        return Err(CannotApply("the network does not add its branches to what they read"));
    }
    if network.kind != NetworkKind::Layers {
        network.branch_scale = scale;
        network.learnable_scale = learnable;
        network.scale_per_channel = false;
        return Ok(());
    }
    let blocks = network.layers.iter().filter(|layer| layer.residual.is_some()).count();
    let factor = branch_scale(scale, blocks);
    for layer in network.layers.iter_mut().filter(|layer| layer.residual.is_some()) {
        layer.scale = (factor != 1.0).then_some(factor);
        layer.learnable = learnable;
        layer.per_channel = false;
    }
    Ok(())
}

/// Gives every channel of every residual branch (in an explicit list of those that are not inside another one) a trained
/// factor of its own that starts at `scale` (LayerScale).
///
/// # Errors
/// As [`set_skip_scale`].
pub fn set_channel_scale(network: &mut NetworkRecipe, scale: f64) -> Result<(), CannotApply> {
    set_skip_scale(network, BranchScale::Number(scale), true)?;
    network.scale_per_channel = network.kind != NetworkKind::Layers;
    for layer in network.layers.iter_mut().filter(|layer| layer.residual.is_some()) {
        layer.per_channel = true;
    }
    Ok(())
}

/// Lets every residual branch (in an explicit list those that are not inside another one) leave out this share of the
/// samples in training.
///
/// # Errors
/// A network without skip connections; one that does not add its branches, or does so already.
pub fn drop_branches(network: &mut NetworkRecipe, share: f64) -> Result<(), CannotApply> {
    if !has_skip(network) {
        return Err(CannotApply("the network has no skip connections"));
    }
    if !adds(network) {
        return Err(CannotApply("the network does not add its branches to what they read"));
    }
    if network.stochastic_depth > 0.0 || any(&network.layers, &|layer| layer.stochastic_depth.is_some()) {
        return Err(CannotApply("the network leaves branches out already"));
    }
    if network.kind != NetworkKind::Layers {
        network.stochastic_depth = share;
        network.stochastic_depth_uniform = true;
        return Ok(());
    }
    for branch in network.layers.iter_mut().filter_map(|layer| layer.residual.as_mut()) {
        branch.push(LayerRecipe { stochastic_depth: Some(share), ..LayerRecipe::default() });
    }
    Ok(())
}

/// Computes each hidden layer's and convolution's weights from what is trained; those from state to state where they are
/// to be orthogonal, those around an attention where they are to be divided by their largest singular value.
///
/// # Errors
/// A network that does so already; kinds that have no such key; a list without such a layer; weights that are scaled for the
/// depth.
pub fn set_weight_norm(network: &mut NetworkRecipe, norm: WeightNorm) -> Result<(), CannotApply> {
    let hidden = hidden_layers(&network.layers);
    let (is_orthogonal, is_spectral) = (norm == WeightNorm::Orthogonal, norm == WeightNorm::Spectral);
    let is_weighted = |layer: &LayerRecipe| {
        layer.linear.or(layer.convolution).is_some()
            || (is_orthogonal && layer.recurrent.is_some())
            || (is_spectral && layer.attention.is_some())
    };
    let has_place = match network.kind {
        NetworkKind::Mlp | NetworkKind::Residual | NetworkKind::Convnet | NetworkKind::Resnet => true,
        NetworkKind::Layers => any(&network.layers[..hidden], &is_weighted),
        NetworkKind::Rnn | NetworkKind::Lstm | NetworkKind::Gru => is_orthogonal,
        NetworkKind::Transformer => is_spectral,
    };
    if !has_place {
        return Err(CannotApply("the network has no hidden linear layer or convolution of its own"));
    }
    if network.fixup {
        return Err(CannotApply("Fixup scales weights, down to zero, and what divides them by their size undoes it"));
    }
    if network.norm_placement == NormPlacement::Deepnorm {
        return Err(CannotApply("DeepNorm scales weights, and what divides them by their size undoes it"));
    }
    if network.weight_norm.is_some() {
        return Err(CannotApply("the network computes its weights from others already"));
    }
    network.weight_norm = Some(norm);
    network.residual_init = None;
    Ok(())
}

/// Divides queries and keys of every attention by their RMS.
///
/// # Errors
/// A network without attention; one whose attentions all do.
pub fn set_qk_norm(network: &mut NetworkRecipe) -> Result<(), CannotApply> {
    fn set(list: &mut [LayerRecipe]) -> bool {
        let mut is_changed = false;
        for layer in list {
            if layer.attention.is_some() && !layer.qk_norm {
                layer.qk_norm = true;
                is_changed = true;
            }
            is_changed |= set(layer.residual.as_deref_mut().unwrap_or_default());
            is_changed |= set(layer.shortcut.as_deref_mut().unwrap_or_default());
        }
        is_changed
    }
    let is_changed = match network.kind {
        NetworkKind::Transformer => !std::mem::replace(&mut network.qk_norm, true),
        _ => set(&mut network.layers),
    };
    if is_changed {
        Ok(())
    } else {
        Err(CannotApply("the network has no attention without a norm of queries and keys"))
    }
}

/// Sends the logits of every attention through c tanh(z / c) with c = `cap`.
///
/// # Errors
/// A network without attention.
pub fn set_logit_cap(network: &mut NetworkRecipe, cap: f64) -> Result<(), CannotApply> {
    fn set(list: &mut [LayerRecipe], cap: f64) {
        for layer in list {
            if layer.attention.is_some() {
                layer.logit_cap = Some(cap);
            }
            set(layer.residual.as_deref_mut().unwrap_or_default(), cap);
            set(layer.shortcut.as_deref_mut().unwrap_or_default(), cap);
        }
    }
    if network.kind == NetworkKind::Transformer {
        network.logit_cap = Some(cap);
    } else if any(&network.layers, &|layer| layer.attention.is_some()) {
        set(&mut network.layers, cap);
    } else {
        return Err(CannotApply("the network has no attention"));
    }
    Ok(())
}

/// Starts every branch at zero, by Fixup, with a factor on each that is trained.
///
/// # Errors
/// A network that is not `residual` or a `resnet` with skips; one with a normalisation; an initialiser without a gain.
pub fn set_fixup(network: &mut NetworkRecipe) -> Result<(), CannotApply> {
    if !matches!(network.kind, NetworkKind::Residual | NetworkKind::Resnet) || !has_skip(network) {
        return Err(CannotApply("the network has no residual blocks that Fixup knows"));
    }
    if has_norm(network) {
        return Err(CannotApply("Fixup is for networks without a normalisation"));
    }
    if !adds(network) {
        return Err(CannotApply("the network does not add its branches to what they read"));
    }
    if network.weight_norm.is_some() {
        return Err(CannotApply(
            "the network divides its weights by their norm, and those that start at zero have none",
        ));
    }
    if (network.kind == NetworkKind::Resnet && network.init.scaled(1.0).is_none()) || network.init.is_data_dependent() {
        return Err(CannotApply("the initialiser has no gain that Fixup could scale"));
    }
    network.fixup = true;
    network.branch_scale = BranchScale::Number(1.0);
    network.learnable_scale = true;
    network.scale_per_channel = false;
    Ok(())
}

/// Keeps the norms behind the additions and scales branches and their weights for the depth, by DeepNorm, in the place of
/// other scales that the branches have.
///
/// # Errors
/// A network that is no transformer with its norms behind the additions; an initialiser without a gain; weights that are
/// divided by their size.
pub fn set_deep_norm(network: &mut NetworkRecipe) -> Result<(), CannotApply> {
    if network.kind != NetworkKind::Transformer || network.norm_placement != NormPlacement::Post {
        return Err(CannotApply("the network is no transformer whose norms stand behind its additions"));
    }
    if network.init.scaled(1.0).is_none() {
        return Err(CannotApply("the initialiser has no gain that the depth could scale"));
    }
    if network.weight_norm.is_some() {
        return Err(CannotApply("the network divides its weights by their size, which undoes a scale for the depth"));
    }
    network.norm_placement = NormPlacement::Deepnorm;
    network.residual_init = None;
    network.branch_scale = BranchScale::Number(1.0);
    network.learnable_scale = false;
    network.scale_per_channel = false;
    Ok(())
}

/// Takes the norms out of a transformer and starts its branches and embedding smaller for the depth, by T-Fixup.
///
/// # Errors
/// As [`set_deep_norm`].
pub fn set_t_fixup(network: &mut NetworkRecipe) -> Result<(), CannotApply> {
    // The same networks, and the same other scales that go.
    set_deep_norm(network)?;
    network.norm_placement = NormPlacement::Pre;
    network.norm = None;
    network.fixup = true;
    Ok(())
}

/// Takes away what follows the head, so that it gives the loss its bare sums.
///
/// # Errors
/// A network with nothing after its head.
pub fn remove_output_activation(network: &mut NetworkRecipe) -> Result<(), CannotApply> {
    const NONE: CannotApply = CannotApply("the network has no activation after its head");
    if network.kind != NetworkKind::Layers {
        return network.output_activation.take().map(drop).ok_or(NONE);
    }
    let before = network.layers.len();
    network.layers.truncate(head_index(&network.layers).map_or(before, |head| head + 1));
    if network.layers.len() < before { Ok(()) } else { Err(NONE) }
}

/// Whether there is a normalisation anywhere.
pub fn has_norm(network: &NetworkRecipe) -> bool {
    match network.kind {
        NetworkKind::Layers => any(&network.layers, &|layer| layer.norm.is_some()),
        kind => network.norm.is_some() && !kind.is_recurrent(),
    }
}

/// Whether there is batch norm anywhere.
pub fn has_batch_norm(network: &NetworkRecipe) -> bool {
    match network.kind {
        NetworkKind::Layers => any(&network.layers, &|layer| layer.norm == Some(NormKind::Batch)),
        _ => network.norm == Some(NormKind::Batch),
    }
}

/// Whether there is a skip connection anywhere.
pub fn has_skip(network: &NetworkRecipe) -> bool {
    match network.kind {
        NetworkKind::Residual | NetworkKind::Transformer => true,
        NetworkKind::Resnet => network.skip,
        NetworkKind::Layers => any(&network.layers, &|layer| layer.residual.is_some()),
        NetworkKind::Mlp | NetworkKind::Convnet | NetworkKind::Rnn | NetworkKind::Lstm | NetworkKind::Gru => false,
    }
}

/// The factor on each residual branch at the start, in an explicit list on those that are not inside another one.
pub fn branch_factors(network: &NetworkRecipe) -> Vec<f64> {
    let branches = match network.kind {
        NetworkKind::Layers => {
            let blocks = network.layers.iter().filter(|layer| layer.residual.is_some());
            return blocks.map(|layer| layer.scale.unwrap_or(1.0)).collect();
        }
        _ if !has_skip(network) => 0,
        NetworkKind::Resnet => network.depth.saturating_sub(2) / 2,
        NetworkKind::Transformer => 2 * network.depth,
        _ => network.depth.saturating_sub(1),
    };
    vec![branch_scale(network.branch_scale, branches); branches]
}

fn keeps_no_pairs(network: &NetworkRecipe) -> Result<(), CannotApply> {
    let inits = [Some(network.init), network.head_init];
    if inits.into_iter().flatten().any(Initializer::pairs_units) {
        return Err(CannotApply("the initialiser makes pairs of units, which such blocks do not keep"));
    }
    Ok(())
}

/// Whether skips and branches are added everywhere, with no gates, nor side by side.
fn adds(network: &NetworkRecipe) -> bool {
    let is_gated = network.gate_bias.is_some() || any(&network.layers, &|layer| layer.gate_bias.is_some());
    !is_gated && network.growth.is_none()
}

/// Whether there is a convolution over more than one position anywhere.
pub fn has_patches(network: &NetworkRecipe) -> bool {
    match network.kind {
        NetworkKind::Convnet => network.kernel > 1,
        NetworkKind::Resnet => true,
        _ => any(&network.layers, &|layer| layer.convolution.is_some() && layer.kernel.unwrap_or(3) > 1),
    }
}

/// Whether every layer but the head has an even number of units.
pub fn has_even_layers(network: &NetworkRecipe) -> bool {
    let hidden = hidden_layers(&network.layers);
    let odd = |layer: &LayerRecipe| layer.linear.or(layer.convolution).is_some_and(|units| units % 2 == 1);
    match network.kind {
        NetworkKind::Layers => !any(&network.layers[..hidden], &odd),
        _ => network.width.is_multiple_of(2),
    }
}

/// Whether there is a recurrent layer anywhere.
pub fn is_recurrent(network: &NetworkRecipe) -> bool {
    network.kind.is_recurrent() || any(&network.layers, &|layer| layer.recurrent.is_some())
}

/// The hidden activations, each once, in forward order; those of gates are no choice.
pub fn activations(network: &NetworkRecipe) -> Vec<Activation> {
    let mut found = Vec::new();
    match network.kind {
        NetworkKind::Layers => {
            let hidden = hidden_layers(&network.layers);
            visit(&network.layers[..hidden], &mut |layer| add(&mut found, layer.activation));
        }
        NetworkKind::Lstm | NetworkKind::Gru => {}
        _ => found.push(network.activation),
    }
    found
}

/// How the layers start, each way once, in forward order, the head's last.
pub fn initializers(network: &NetworkRecipe) -> Vec<Initializer> {
    let mut found = Vec::new();
    let of_head = network.head_init.unwrap_or(network.init);
    if network.kind != NetworkKind::Layers {
        add(&mut found, Some(network.init));
        add(&mut found, network.hidden_init.filter(|_| network.kind.is_recurrent()));
        add(&mut found, Some(of_head));
        return found;
    }
    let hidden = hidden_layers(&network.layers);
    visit(&network.layers[..hidden], &mut |layer| {
        let is_weighted =
            matches!(layer.entry(), Some(Entry::Linear | Entry::Convolution | Entry::Recurrent | Entry::Attention));
        add(&mut found, is_weighted.then(|| layer.init.unwrap_or(network.init)));
        add(&mut found, layer.hidden_init);
    });
    add(&mut found, network.layers.get(hidden).map(|head| head.init.unwrap_or(of_head)));
    found
}

fn add<T: PartialEq>(found: &mut Vec<T>, item: Option<T>) {
    found.extend(item.filter(|item| !found.contains(item)));
}

fn any(list: &[LayerRecipe], is: &impl Fn(&LayerRecipe) -> bool) -> bool {
    let mut found = false;
    visit(list, &mut |layer| found |= is(layer));
    found
}

/// Visits the layers in forward order, those of a branch after the layer that holds it.
fn visit(list: &[LayerRecipe], see: &mut impl FnMut(&LayerRecipe)) {
    for layer in list {
        see(layer);
        visit(layer.residual.as_deref().unwrap_or_default(), see);
        visit(layer.shortcut.as_deref().unwrap_or_default(), see);
    }
}

fn head_index(list: &[LayerRecipe]) -> Option<usize> {
    list.iter().rposition(|layer| layer.linear.is_some())
}

/// How many entries come before the head.
fn hidden_layers(list: &[LayerRecipe]) -> usize {
    head_index(list).unwrap_or(list.len())
}
