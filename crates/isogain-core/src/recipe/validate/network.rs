//! What `[network]` may say by shape: ranges, and settings that must fit together.

use super::{
    GATE_BIAS, MAX_DEPTH, MAX_KERNEL, MAX_STEPS, MAX_WIDTH, fraction, is_gate_bias, layers, must, norm_groups,
    parameters, positive, within,
};
use crate::network::{ForgetBias, NormKind, Oscillator};
use crate::recipe::error::RecipeError;
use crate::recipe::variants::Name;
use crate::recipe::{BranchScale, Head, NetworkKind, NetworkRecipe, NormPlacement, Pooling, Positions};
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

/// Checks `[network]` for batches of `batch` samples.
pub(super) fn network(network: &NetworkRecipe, batch: usize) -> Result<(), RecipeError> {
    if network.kind == NetworkKind::Layers {
        layers::explicit(network)?;
    } else {
        shaped(network)?;
    }
    let eps = network.norm_eps;
    must("network.norm_eps", eps, eps.is_finite() && eps >= 0.0, "must be a finite number, 0 or more")?;
    within("network.norm_ramp", network.norm_ramp, MAX_STEPS)?;
    if let Some(ghost) = network.ghost_batch {
        let expected = format!("must be from 2 to half of data.batch, {batch}: parts of it");
        must("network.ghost_batch", ghost, ghost >= 2 && ghost <= batch / 2, &expected)?;
        let has_batch_norm = layers::norms(network).iter().any(|(_, norm)| *norm == NormKind::Batch);
        must("network.ghost_batch", ghost, has_batch_norm, "has no effect: only for norm = \"batch\"")?;
    }
    // A convolution's norm has all positions to average over, a single sample's too.
    if batch == 1
        && !has_positions(network)
        && let Some((key, norm)) = layers::norms(network).into_iter().find(|(_, norm)| norm.is_over_batch())
    {
        let expected = "needs data.batch of 2 or more: over a batch of 1 every normalised value is 0";
        return Err(RecipeError::value(key, format!("\"{}\"", Name(&norm)), expected));
    }
    Ok(())
}

/// Whether it reads samples position by position, and not as one vector.
pub(in crate::recipe) fn has_positions(network: &NetworkRecipe) -> bool {
    match network.kind {
        NetworkKind::Mlp | NetworkKind::Residual => false,
        NetworkKind::Layers => layers::have_positions(&network.layers),
        _ => true,
    }
}

/// Every kind but `layers`.
fn shaped(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let NetworkRecipe { kind, depth, width, .. } = *network;
    within("network.depth", depth, MAX_DEPTH)?;
    within("network.width", width, MAX_WIDTH)?;
    if !network.layers.is_empty() {
        return Err(RecipeError::missing("network.layers", "has no effect: only for kind = \"layers\""));
    }
    fraction("network.dropout", network.dropout)?;
    fraction("network.stochastic_depth", network.stochastic_depth)?;
    if let Some(every) = network.supervise_every {
        let expected =
            format!("must be from 1 to {}: behind the last of the {depth} layers stands the head", depth - 1);
        let expected = if depth == 1 { "needs a network.depth of 2 or more" } else { &expected };
        must("network.supervise_every", every, (1..depth).contains(&every), expected)?;
    }
    positive("network.supervise_share", network.supervise_share)?;
    if network.norm == Some(NormKind::Group) {
        norm_groups(network, width)?;
    }
    if let BranchScale::Number(scale) = network.branch_scale {
        must("network.branch_scale", scale, scale.is_finite(), "must be a finite number or \"depth\"")?;
    }
    if let Some(bias) = network.gate_bias {
        must("network.gate_bias", bias, is_gate_bias(bias), GATE_BIAS)?;
    }
    if let Some(growth) = network.growth {
        within("network.growth", growth, MAX_WIDTH)?;
        if network.norm == Some(NormKind::Group) {
            let fits = growth.is_multiple_of(network.norm_groups.max(1));
            let groups = format!(
                "must be a multiple of norm_groups, {}: each block normalises more features",
                network.norm_groups
            );
            must("network.growth", growth, fits, &groups)?;
        }
    }
    if network.gate_bias.is_some() || network.growth.is_some() {
        no_pairs("network.init", Some(network.init))?;
        no_pairs("network.head_init", network.head_init)?;
    }
    if network.fixup {
        fixup(network)?;
    }
    match kind {
        NetworkKind::Mlp | NetworkKind::Residual => {
            // Without stem and head, whose sizes depend on the data; `expand::network` counts them too.
            let (blocks, width) = (depth as u64 - 1, width as u64);
            let each = match network.growth {
                // A block reads what all before it have put side by side, so many on average.
                Some(growth) => (width + growth as u64 * blocks.saturating_sub(1) / 2 + 1) * growth as u64,
                None if network.gate_bias.is_some() => 2 * (width + 1) * width,
                None => (width + 1) * width,
            };
            parameters(network, each.saturating_mul(blocks))?;
            let is_deep = depth >= 2 || kind == NetworkKind::Mlp;
            must("network.depth", depth, is_deep, "must be 2 or more for kind = \"residual\": a stem and a block")
        }
        NetworkKind::Convnet => convnet(network),
        NetworkKind::Resnet => resnet(network),
        NetworkKind::Rnn | NetworkKind::Lstm | NetworkKind::Gru => recurrent(network),
        NetworkKind::Transformer => transformer(network),
        NetworkKind::Layers => Ok(()),
    }
}

/// Gates open the two units of a pair differently, and side by side they are no longer where the next layer looks for them.
pub(super) fn no_pairs(key: &str, init: Option<Initializer>) -> Result<(), RecipeError> {
    match init.filter(|init| init.pairs_units()) {
        Some(init) => {
            let expected = "makes pairs of units, which neither gates nor blocks side by side keep; take another one";
            Err(RecipeError::value(key, format!("\"{init}\""), expected))
        }
        None => Ok(()),
    }
}

/// Fixup takes the place of a norm, and scales what an initialiser draws.
fn fixup(network: &NetworkRecipe) -> Result<(), RecipeError> {
    if let Some(norm) = network.norm {
        let expected = format!("takes the place of a norm: leave out norm = \"{norm}\", or this");
        return Err(RecipeError::value("network.fixup", "true", expected));
    }
    if let Some(norm) = network.weight_norm {
        let what = match network.kind {
            NetworkKind::Transformer => "scales weights for the depth, which {} undoes",
            _ => "starts weights at zero, which {} cannot divide by",
        };
        let expected = what.replace("{}", &format!("weight_norm = \"{}\"", Name(&norm)));
        return Err(RecipeError::value("network.fixup", "true", expected));
    }
    let starts_at_zero = network.kind != NetworkKind::Transformer;
    if starts_at_zero && network.branch_scale == BranchScale::Number(0.0) {
        let expected = "would never learn beside fixup, whose branches are zero themselves: must not be 0";
        return Err(RecipeError::value("network.branch_scale", 0.0, expected));
    }
    let scales = matches!(network.kind, NetworkKind::Resnet | NetworkKind::Transformer);
    if (scales && network.init.scaled(1.0).is_none()) || network.init.is_data_dependent() {
        let expected = "has no gain that fixup could scale; take another one, such as \"he-normal\"";
        return Err(RecipeError::value("network.init", format!("\"{}\"", network.init), expected));
    }
    Ok(())
}

fn convnet(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let NetworkRecipe { depth, width, kernel, stages, .. } = *network;
    let is_odd = kernel % 2 == 1 && kernel <= MAX_KERNEL;
    must("network.kernel", kernel, is_odd, &format!("must be an odd number from 1 to {MAX_KERNEL}"))?;
    within("network.stages", stages, depth)?;
    let parts = format!("must divide the depth, {depth}: all stages have equally many convolutions");
    must("network.stages", stages, depth.is_multiple_of(stages), &parts)?;
    let widest = width.saturating_mul(2_usize.saturating_pow(stages as u32 - 1));
    let grows = format!("the last stage would have {widest} channels, twice as many each time: at most {MAX_WIDTH}");
    must("network.stages", stages, widest <= MAX_WIDTH, &grows)?;
    let is_pooling = matches!(network.pool, Pooling::Max | Pooling::Average);
    let pool = format!("\"{}\"", Name(&network.pool));
    must("network.pool", pool, is_pooling, "must be \"max\" or \"average\" between stages")?;
    head(network, &[Head::Mean, Head::Flatten])
}

fn resnet(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let NetworkRecipe { depth, width, .. } = *network;
    let below = depth.max(8) - (depth.max(8) - 2) % 6;
    let expected = format!("must be 6n + 2 for kind = \"resnet\", such as {below} or {}", below + 6);
    must("network.depth", depth, depth == below, &expected)?;
    let expected = format!("must be at most {}: the last stage has four times as many channels", MAX_WIDTH / 4);
    must("network.width", width, width <= MAX_WIDTH / 4, &expected)
}

fn recurrent(network: &NetworkRecipe) -> Result<(), RecipeError> {
    head(network, &[Head::Last, Head::Mean, Head::Every])?;
    if let Some(norm) = network.weight_norm.filter(|norm| *norm != WeightNorm::Orthogonal) {
        let expected = "is for linear layers and convolutions; of recurrent ones \"orthogonal\" computes the weights from state to state";
        return Err(RecipeError::value("network.weight_norm", format!("\"{}\"", Name(&norm)), expected));
    }
    recurrent_init("network.init", Some(network.init))?;
    recurrent_init("network.hidden_init", network.hidden_init)?;
    forget_bias("network.forget_bias", network.forget_bias)?;
    if let Some(weight) = network.vanishing_penalty {
        must("network.vanishing_penalty", weight, weight > 0.0 && weight.is_finite(), "must be a number above 0")?;
    }
    if let Some(step) = network.antisymmetric_step {
        let expected = "must be a number above 0 and at most 1: h becomes h + step phi(...)";
        must("network.antisymmetric_step", step, step > 0.0 && step <= 1.0, expected)?;
    }
    network.oscillator.map_or(Ok(()), oscillator)?;
    Ok(())
}

/// Refuses oscillators that do not swing, or whose steps are too long to follow them: the two roots of lambda^2 - (2 - dt^2 gamma -
/// dt eps) lambda + 1 - dt eps, by which a step without weights multiplies, leave the unit circle.
fn oscillator(Oscillator { step, stiffness, damping }: Oscillator) -> Result<(), RecipeError> {
    must("network.oscillator.step", step, step > 0.0 && step <= 1.0, "must be a number above 0 and at most 1")?;
    let is_size = |value: f64| value >= 0.0 && value.is_finite();
    must("network.oscillator.stiffness", stiffness, is_size(stiffness), "must be a finite number, 0 or above")?;
    must("network.oscillator.damping", damping, is_size(damping), "must be a finite number, 0 or above")?;
    let (pulled, damped) = (step * step * stiffness, step * damping);
    let expected = format!(
        "is too long for this stiffness and damping, whose oscillations would grow: step^2 stiffness + 2 step damping is {}, and \
         must be at most 4",
        pulled + 2.0 * damped
    );
    must("network.oscillator.step", step, pulled + 2.0 * damped <= 4.0, &expected)
}

/// Refuses what cannot start a recurrent layer.
pub(super) fn recurrent_init(key: &str, init: Option<Initializer>) -> Result<(), RecipeError> {
    let Some(init) = init.filter(|init| init.is_data_dependent()) else { return Ok(()) };
    let expected = "is not defined for recurrent layers, whose outputs have no variance of their own; take another one";
    Err(RecipeError::value(key, format!("\"{init}\""), expected))
}

/// Refuses a bias that is no number.
pub(super) fn forget_bias(key: &str, bias: Option<ForgetBias>) -> Result<(), RecipeError> {
    match bias {
        Some(ForgetBias::Number(bias)) => must(key, bias, bias.is_finite(), "must be a finite number or \"chrono\""),
        Some(ForgetBias::Named(_)) | None => Ok(()),
    }
}

fn transformer(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let NetworkRecipe { width, heads, mlp_ratio, .. } = *network;
    if !network.fixup && !matches!(network.norm, Some(NormKind::Layer | NormKind::Rms)) {
        let norm = network.norm.map_or_else(|| "none".to_owned(), |norm| format!("\"{}\"", Name(&norm)));
        return Err(RecipeError::value(
            "network.norm",
            norm,
            "must be \"layer\" or \"rms\" for kind = \"transformer\"",
        ));
    }
    within("network.mlp_ratio", mlp_ratio, MAX_WIDTH / width)?;
    let expected = format!("must divide the width, {width}");
    must("network.heads", heads, heads > 0 && width.is_multiple_of(heads), &expected)?;
    if network.positions == Some(Positions::Rotary) {
        rotary(network)?;
    }
    logit_cap("network.logit_cap", network.logit_cap)?;
    head(network, &[Head::Every, Head::Mean, Head::Last])?;
    if let Some(norm) = network.weight_norm {
        let name = format!("\"{}\"", Name(&norm));
        let expected = "is for networks without attention; of a transformer \"spectral\" computes the weights";
        must("network.weight_norm", &name, norm == WeightNorm::Spectral, expected)?;
        let expected = "divides weights by their size, which undoes what norm_placement = \"deepnorm\" scales them by";
        must("network.weight_norm", &name, network.norm_placement != NormPlacement::Deepnorm, expected)?;
    }
    let scales = network.residual_init.is_some() || network.norm_placement == NormPlacement::Deepnorm;
    if scales && network.init.scaled(1.0).is_none() {
        let key = if network.residual_init.is_some() { "residual_init" } else { "norm_placement = \"deepnorm\"" };
        let expected = format!("has no gain that {key} could scale; take another one, such as \"glorot-normal\"");
        return Err(RecipeError::value("network.init", format!("\"{}\"", network.init), expected));
    }
    Ok(())
}

/// Refuses a bound that leaves no logits.
pub(super) fn logit_cap(key: &str, cap: Option<f64>) -> Result<(), RecipeError> {
    let Some(cap) = cap else { return Ok(()) };
    must(key, cap, cap.is_finite() && cap > 0.0, "must be a finite number above 0: logits stay between -c and c")
}

/// Refuses heads that rotary positions cannot turn.
pub(in crate::recipe) fn rotary(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let width = network.width / network.heads;
    let expected = format!("leaves {width} features to each head: rotary positions turn pairs, so it must be even");
    must("network.heads", network.heads, width.is_multiple_of(2), &expected)
}

fn head(network: &NetworkRecipe, known: &[Head]) -> Result<(), RecipeError> {
    let names: Vec<String> = known.iter().map(|head| format!("\"{}\"", Name(head))).collect();
    let expected = format!("must be {} for kind = \"{}\"", names.join(" or "), Name(&network.kind));
    must("network.head", format!("\"{}\"", Name(&network.head())), known.contains(&network.head()), &expected)
}
