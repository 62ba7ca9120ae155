//! What is wrong with weights alone, in the words of the rules that see the same in a network that runs.

use std::collections::BTreeMap;

use crate::recipe::Level;
use crate::rules::{Finding, factor, number};
use crate::statistics::Moments;

use super::chain::Chain;
use super::names;
use super::{LayerRecord, NormRecord};

/// What is looked at.
pub(super) struct Weights<'a> {
    pub(super) layers: &'a [LayerRecord],
    pub(super) norms: &'a [NormRecord],
    pub(super) biases: &'a BTreeMap<String, Moments>,
    pub(super) chain: Option<&'a Chain>,
    pub(super) non_finite: &'a [(String, Moments)],
}

/// By how much the gradient's RMS may differ between first and last layer, nepers: a factor of 1e4, as everywhere in
/// theory's ceilings of the depth.
const TOLERATED: f64 = 4.0 * std::f64::consts::LN_10;

const TOLERATED_SOURCE: &str =
    "a factor of 10^4 between first and last layer, beyond which one learning rate cannot suit both";

/// Share of a layer's units from which on what is odd about them is no accident.
const HALF: f64 = 0.5;

/// Everything that is wrong, the worst first.
pub(super) fn of(weights: &Weights<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = [
        non_finite(weights),
        symmetric(weights),
        zero(weights),
        without_weights(weights),
        norms_off(weights),
        chain(weights),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Stable: among findings of one level the order above is from cause to consequence.
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    found
}

fn non_finite(weights: &Weights<'_>) -> Option<Finding> {
    let (name, moments) = weights.non_finite.first()?;
    let also = match weights.non_finite.len() - 1 {
        0 => String::new(),
        others => format!(", and {others} more tensors hold such values"),
    };
    let message = format!("{} of the {} values of {name} are NaN or infinite{also}", moments.non_finite, moments.count);
    let last = weights.non_finite.last().map_or(name.as_str(), |(name, _)| name.as_str());
    Some(
        Finding::new("non-finite", Level::Deny, [name, last], message)
            .against("share of non-finite values", moments.non_finite_fraction(), 0.0, "every value must be finite")
            .with("tensors concerned", weights.non_finite.len() as f64)
            .remedies(&["change-learning-rate", "clip-by-global-norm"]),
    )
}

/// All layers but the last: the units of a head get different gradients whatever their weights are.
fn body<'a>(weights: &Weights<'a>) -> &'a [LayerRecord] {
    weights.layers.split_last().map_or(&[], |(_, body)| body)
}

fn symmetric(weights: &Weights<'_>) -> Option<Finding> {
    let repeats = |layer: &&LayerRecord| {
        let alive = layer.units - layer.counts.empty_units;
        alive > 1 && layer.fan_in > 1 && layer.counts.repeated_units as f64 >= HALF * alive as f64
    };
    let alike: Vec<&LayerRecord> = body(weights).iter().filter(repeats).collect();
    let (first, last) = (alike.first()?, alike.last()?);
    // With different biases the units differ, a little.
    let told_apart = |layer: &&LayerRecord| {
        let bias = weights.biases.get(&format!("{}.bias", names::module(&layer.name)));
        bias.is_some_and(|bias| bias.min != bias.max)
    };
    let all_told_apart = alike.iter().all(told_apart);
    let (level, only) =
        if all_told_apart { (Level::Warn, ", told apart by their biases alone") } else { (Level::Deny, "") };
    let worst = alike.iter().max_by_key(|layer| layer.counts.repeated_units)?;
    let message = format!(
        "{} of {} units of {} have the weights of another unit{only}: in a layer whose units are used alike they get the \
         same gradient and stay one unit",
        worst.counts.repeated_units, worst.units, worst.name
    );
    Some(
        Finding::new("symmetric-weights", level, [&first.name, &last.name], message)
            .against(
                "layers in which half of the units repeat another one",
                alike.len() as f64,
                0.0,
                "units must start different",
            )
            .remedies(&["rescale-init", "orthogonal-init"]),
    )
}

/// Matrices of zeros: right at the end of a residual branch, a wall anywhere else.
fn zero(weights: &Weights<'_>) -> Option<Finding> {
    let zeros: Vec<&LayerRecord> =
        body(weights).iter().filter(|layer| layer.counts.empty_units == layer.units).collect();
    let (first, last) = (zeros.first()?, zeros.last()?);
    let opens = |layer: &&LayerRecord| names::is_in_block(&layer.name) || layer.name.to_lowercase().contains("lora_b");
    let level = if zeros.iter().all(opens) { Level::Note } else { Level::Warn };
    let what = match zeros.as_slice() {
        [only] => format!("all weights of {} are zero", only.name),
        _ => format!("all weights of {} layers are zero, the first of them {}", zeros.len(), first.name),
    };
    let message = format!(
        "{what}: right for the last layer of a residual branch, which opens by itself; anywhere else nothing passes, \
         forward or back"
    );
    Some(
        Finding::new("symmetric-weights", level, [&first.name, &last.name], message)
            .against("layers of zeros", zeros.len() as f64, 0.0, "what skips a layer is not in its weights")
            .remedies(&["rescale-init"]),
    )
}

/// Some units without weights, or some inputs that nobody reads.
fn without_weights(weights: &Weights<'_>) -> Option<Finding> {
    // Inputs of the first layer are the data's: a pixel that is always black is read by nobody, and rightly so.
    let odd = |index: usize, layer: &LayerRecord| {
        let unread = if index == 0 { 0 } else { layer.counts.unread_inputs };
        let (empty, unread) =
            (layer.counts.empty_units as f64 / layer.units as f64, unread as f64 / layer.fan_in as f64);
        if empty == 1.0 { 0.0 } else { f64::max(empty, unread) }
    };
    let shares: Vec<(&LayerRecord, f64)> = weights
        .layers
        .iter()
        .enumerate()
        .map(|(index, layer)| (layer, odd(index, layer)))
        .filter(|(_, share)| *share > 0.0)
        .collect();
    let (first, last) = (shares.first()?.0, shares.last()?.0);
    let (worst, share) = shares.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let level = if *share > HALF { Level::Warn } else { Level::Note };
    let message = format!(
        "in {} of {} layers units have no weights or no reader; worst in {}: {} of {} units return their bias whatever \
         comes in, {} of {} inputs are read by no unit",
        shares.len(),
        weights.layers.len(),
        worst.name,
        worst.counts.empty_units,
        worst.units,
        worst.counts.unread_inputs,
        worst.fan_in,
    );
    Some(
        Finding::new("dead-units", level, [&first.name, &last.name], message)
            .against(format!("dead share of {}", worst.name), *share, HALF, "pruning removes some; most is no accident")
            .remedies(&["change-learning-rate", "rescale-init"]),
    )
}

/// Channels that a normalisation multiplies by about zero.
fn norms_off(weights: &Weights<'_>) -> Option<Finding> {
    let share = |norm: &NormRecord| norm.off as f64 / norm.gamma.count.max(1) as f64;
    let off: Vec<&NormRecord> = weights.norms.iter().filter(|norm| norm.off > 0).collect();
    let (first, last) = (off.first()?, off.last()?);
    // All of one norm: how branches start that are to open by themselves.
    let partly: Vec<&NormRecord> = off.iter().copied().filter(|norm| norm.off < norm.gamma.count as usize).collect();
    let Some(worst) = partly.iter().max_by(|a, b| share(a).total_cmp(&share(b))) else {
        let message = format!(
            "gamma of {} is zero ({} of {} norms): right for the last norm of a residual branch, which opens by itself; \
             anywhere else nothing passes",
            first.name,
            off.len(),
            weights.norms.len()
        );
        return Some(Finding::new("dead-units", Level::Note, [&first.name, &last.name], message));
    };
    let level = if share(worst) > HALF { Level::Warn } else { Level::Note };
    let message = format!(
        "{} of {} norms switch channels off; most in {}: {} of {} have |gamma| below a thousandth of the largest",
        partly.len(),
        weights.norms.len(),
        worst.name,
        worst.off,
        worst.gamma.count
    );
    Some(
        Finding::new("dead-units", level, [&first.name, &last.name], message)
            .against(
                format!("share of channels off in {}", worst.name),
                share(worst),
                HALF,
                "weight decay switches some off; most is no accident",
            )
            .remedies(&["change-learning-rate"]),
    )
}

fn chain(weights: &Weights<'_>) -> Option<Finding> {
    let chain = weights.chain?;
    let per_layer = |log_gain: f64| (log_gain / chain.count as f64).exp();
    let [first, last] = &chain.layers;
    let under = |what: &str, log_gain: f64| {
        format!(
            "if these {} layers follow one another, {what} the gradient by x{} from {last} to {first}",
            chain.count,
            factor(log_gain)
        )
    };
    let shrinks = "their matrices alone change";
    let with_relu = "their matrices and ReLU change";
    let (rule, level, message, log_gain, remedies): (_, _, _, _, &[&str]) = if chain.log_gain < -TOLERATED {
        let remedies: &[&str] = &["rescale-init", "insert-layer-norm", "add-skip"];
        ("vanishing-gradient", Level::Warn, under(shrinks, chain.log_gain), chain.log_gain, remedies)
    } else if chain.log_gain_relu < -TOLERATED {
        (
            "vanishing-gradient",
            Level::Note,
            under(with_relu, chain.log_gain_relu),
            chain.log_gain_relu,
            &["rescale-init"],
        )
    } else if chain.log_gain_relu > TOLERATED {
        let remedies: &[&str] = &["rescale-init", "insert-layer-norm"];
        ("exploding-gradient", Level::Warn, under(with_relu, chain.log_gain_relu), chain.log_gain_relu, remedies)
    } else {
        return None;
    };
    // A gradient goes around what is skipped, and no file of weights says what is.
    let level = if chain.has_blocks { Level::Note } else { level };
    let finding = Finding::new(rule, level, [first, last], message)
        .against(
            "powers of ten over these layers",
            log_gain / std::f64::consts::LN_10,
            -4.0_f64.copysign(-log_gain),
            TOLERATED_SOURCE,
        )
        .with("factor per layer, matrices alone", per_layer(chain.log_gain))
        .with("factor per layer with ReLU", per_layer(chain.log_gain_relu))
        .with("factor per layer with tanh at variance 1", per_layer(chain.log_gain_tanh))
        .remedies(remedies);
    Some(with_theory(finding, weights, chain))
}

/// What the scale of the layers is called, and what was assumed.
fn with_theory(mut finding: Finding, weights: &Weights<'_>, chain: &Chain) -> Finding {
    let scales = weights.layers.iter().filter_map(|layer| layer.scale.as_ref());
    let names: Vec<&str> = scales.flat_map(|scale| scale.initializers.iter().map(String::as_str)).collect();
    let common = names.iter().copied().max_by_key(|name| names.iter().filter(|other| *other == name).count());
    let drawn = common.map_or_else(String::new, |name| format!("the weights have the scale of {name}; "));
    finding.theory = Some(format!(
        "{drawn}a gradient without preferred direction is assumed, and no skip connection: x{} per layer by the matrices",
        number((chain.log_gain / chain.count as f64).exp())
    ));
    finding
}
