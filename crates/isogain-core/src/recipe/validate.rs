//! What a recipe may say: ranges, and settings that must fit together.

use std::fmt;

use super::error::{Place, RecipeError, Suggestion, shortened};
use super::variants::Name;
use super::{
    BranchScale, Clip, Data, LayerRecipe, LossName, NetworkKind, NetworkRecipe, Optimizer, Recipe, Run, Schedule,
    ScheduleKind, Task,
};
use crate::network::NormKind;

/// Most hidden layers, of whatever kind.
pub const MAX_DEPTH: usize = 10_000;
/// Most units of one layer.
pub const MAX_WIDTH: usize = 65_536;
/// Most trained numbers of one network: with gradients and two moments of Adam, 3.2 GB in 32 bits.
pub const MAX_PARAMETERS: u64 = 200_000_000;
/// Most samples in one step.
pub const MAX_BATCH: usize = 1_000_000_000;
/// Most optimizer updates.
pub const MAX_STEPS: usize = 1_000_000_000;
/// Largest seed: a TOML integer has 64 bits with its sign, and what can be run must be a recipe that any reader of TOML
/// can read.
pub const MAX_SEED: u64 = i64::MAX as u64;

/// Checks everything that can be checked without the data.
///
/// # Errors
/// The first value out of range or at odds with another one. It has a key but no place yet: see
/// [`RecipeError::in_text`].
pub fn validate(recipe: &Recipe) -> Result<(), RecipeError> {
    data(&recipe.data)?;
    network(&recipe.network, recipe.data.batch)?;
    optimizer(&recipe.optimizer)?;
    schedule(&recipe.schedule)?;
    clip(&recipe.clip)?;
    run(&recipe.run)
}

/// Checks that every name in `[rules]` is one of `known_rules`.
///
/// # Errors
/// The first one that is not, with the nearest known name.
pub fn validate_rules(recipe: &Recipe, known_rules: &[&str]) -> Result<(), RecipeError> {
    let Some(name) = recipe.rules.keys().find(|name| !known_rules.contains(&name.as_str())) else {
        return Ok(());
    };
    Err(RecipeError::UnknownName {
        place: Place::default(),
        key: format!("rules.{name}"),
        what: "rule".to_owned(),
        value: shortened(name),
        suggestion: Suggestion::new(name, known_rules),
    })
}

fn data(data: &Data) -> Result<(), RecipeError> {
    if data.source.trim().is_empty() {
        return Err(RecipeError::value("data.source", "\"\"", "must be \"digits\" or the path of a CSV file"));
    }
    let needs_classes = matches!(data.loss, Some(LossName::CrossEntropy | LossName::BinaryCrossEntropy));
    if let Some(loss) = data.loss.filter(|_| needs_classes && data.task == Task::Regression) {
        let expected = "needs classes: only for task = \"classification\"";
        return Err(RecipeError::value("data.loss", format!("\"{}\"", Name(&loss)), expected));
    }
    within("data.batch", data.batch, MAX_BATCH)?;
    let fraction = data.test_fraction;
    must("data.test_fraction", fraction, fraction > 0.0 && fraction < 1.0, "must be above 0 and below 1")?;
    let scale = data.input_scale;
    must("data.input_scale", scale, scale.is_finite() && scale != 0.0, "must be a finite number other than 0")
}

fn network(network: &NetworkRecipe, batch: usize) -> Result<(), RecipeError> {
    if network.kind == NetworkKind::Layers {
        explicit(network)?;
    } else {
        shaped(network)?;
    }
    let eps = network.norm_eps;
    must("network.norm_eps", eps, eps.is_finite() && eps >= 0.0, "must be a finite number, 0 or more")?;
    if batch == 1
        && let Some((key, norm)) = norms(network).into_iter().find(|(_, norm)| *norm == NormKind::Batch)
    {
        let expected = "needs data.batch of 2 or more: over a batch of 1 every normalised value is 0";
        return Err(RecipeError::value(key, format!("\"{}\"", Name(&norm)), expected));
    }
    Ok(())
}

/// Kinds `mlp` and `residual`.
fn shaped(network: &NetworkRecipe) -> Result<(), RecipeError> {
    let NetworkRecipe { kind, depth, width, .. } = *network;
    within("network.depth", depth, MAX_DEPTH)?;
    within("network.width", width, MAX_WIDTH)?;
    // Without stem and head, whose sizes depend on the data; `expand::network` counts them too.
    let hidden = (width as u64 * width as u64 + width as u64) * (depth as u64 - 1);
    parameters(network, hidden)?;
    if !network.layers.is_empty() {
        return Err(RecipeError::missing("network.layers", "has no effect: only for kind = \"layers\""));
    }
    if kind == NetworkKind::Residual {
        must("network.depth", depth, depth >= 2, "must be 2 or more for kind = \"residual\": a stem and a block")?;
        if let BranchScale::Number(scale) = network.branch_scale {
            must("network.branch_scale", scale, scale.is_finite(), "must be a finite number or \"depth\"")?;
        }
    }
    Ok(())
}

/// Kind `layers`.
fn explicit(network: &NetworkRecipe) -> Result<(), RecipeError> {
    const KEY: &str = "network.layers";
    if network.layers.is_empty() {
        let expected = "missing or empty: kind = \"layers\" needs the list, such as layers = [{ linear = 64 }, \
                        { activation = \"relu\" }, { linear = 10 }]";
        return Err(RecipeError::missing(KEY, expected));
    }
    let mut count = Count::default();
    layers(&network.layers, KEY, None, &mut count)?;
    if count.layers > MAX_DEPTH {
        let expected = format!("has {} layers: must be at most {MAX_DEPTH}", count.layers);
        return Err(RecipeError::missing(KEY, expected));
    }
    parameters(network, count.parameters)?;
    let Some(head) = network.layers.iter().rposition(|layer| layer.linear.is_some()) else {
        return Err(RecipeError::missing(KEY, "needs a linear layer outside of branches, the head"));
    };
    let after = network.layers[head + 1..].iter().position(|layer| layer.activation.is_none());
    after.map_or(Ok(()), |offset| {
        let key = format!("{KEY}[{}]", head + 1 + offset);
        Err(RecipeError::missing(key, "must be an activation: nothing else may follow the last linear layer, the head"))
    })
}

#[derive(Default)]
struct Count {
    layers: usize,
    parameters: u64,
}

/// Checks one list at `path`; takes the width of its input, if known, and returns that of its output.
fn layers(
    list: &[LayerRecipe],
    path: &str,
    input: Option<usize>,
    count: &mut Count,
) -> Result<Option<usize>, RecipeError> {
    let mut width = input;
    for (index, layer) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        count.layers += 1;
        let kinds =
            [layer.linear.is_some(), layer.activation.is_some(), layer.norm.is_some(), layer.residual.is_some()];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            return Err(RecipeError::missing(path, "must have exactly one of linear, activation, norm, residual"));
        }
        if layer.init.is_some() && layer.linear.is_none() {
            return Err(RecipeError::missing(format!("{path}.init"), "has no effect: only beside linear"));
        }
        if let Some(units) = layer.linear {
            within(&format!("{path}.linear"), units, MAX_WIDTH)?;
            let weights = width.map_or(0, |width| width as u64 * units as u64);
            count.parameters = count.parameters.saturating_add(weights + units as u64);
            width = Some(units);
        }
        if let Some(branch) = &layer.residual {
            let path_of_branch = format!("{path}.residual");
            if branch.is_empty() {
                return Err(RecipeError::missing(path_of_branch, "must not be empty"));
            }
            let out = layers(branch, &path_of_branch, width, count)?;
            if let (Some(width), Some(out)) = (width, out)
                && width != out
            {
                let expected =
                    format!("must keep the width of its input: x has {width} features, but the branch F(x) has {out}");
                return Err(RecipeError::missing(path_of_branch, expected));
            }
            width = width.or(out);
            let scale = layer.scale.unwrap_or(1.0);
            must(&format!("{path}.scale"), scale, scale.is_finite(), "must be a finite number")?;
        }
    }
    Ok(width)
}

/// Key and kind of every normalisation.
fn norms(network: &NetworkRecipe) -> Vec<(String, NormKind)> {
    fn collect(list: &[LayerRecipe], path: &str, found: &mut Vec<(String, NormKind)>) {
        for (index, layer) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            found.extend(layer.norm.map(|norm| (format!("{path}.norm"), norm)));
            collect(layer.residual.as_deref().unwrap_or_default(), &format!("{path}.residual"), found);
        }
    }
    let mut found: Vec<_> = network.norm.map(|norm| ("network.norm".to_owned(), norm)).into_iter().collect();
    collect(&network.layers, "network.layers", &mut found);
    found
}

fn optimizer(optimizer: &Optimizer) -> Result<(), RecipeError> {
    positive("optimizer.learning_rate", optimizer.learning_rate)?;
    let decay = |key, value: f64| must(key, value, (0.0..1.0).contains(&value), "must be 0 or more and below 1");
    decay("optimizer.momentum", optimizer.momentum)?;
    decay("optimizer.betas[0]", optimizer.betas[0])?;
    decay("optimizer.betas[1]", optimizer.betas[1])?;
    decay("optimizer.alpha", optimizer.alpha)?;
    let pull = optimizer.weight_decay;
    must("optimizer.weight_decay", pull, pull.is_finite() && pull >= 0.0, "must be a finite number, 0 or more")?;
    let eps = optimizer.eps;
    must("optimizer.eps", eps, eps.is_finite() && eps >= 0.0, "must be a finite number, 0 or more")
}

fn schedule(schedule: &Schedule) -> Result<(), RecipeError> {
    let climb = schedule.warm_up;
    must("schedule.warm_up", climb, climb <= MAX_STEPS, &format!("must be from 0 to {MAX_STEPS}"))?;
    if schedule.kind == ScheduleKind::WarmUp {
        within("schedule.warm_up", climb, MAX_STEPS)?;
    }
    let part = schedule.final_fraction;
    must("schedule.final_fraction", part, (0.0..=1.0).contains(&part), "must be from 0 to 1")?;
    within("schedule.every", schedule.every, MAX_STEPS)?;
    positive("schedule.factor", schedule.factor)
}

fn clip(clip: &Clip) -> Result<(), RecipeError> {
    // A negative threshold would turn every clipped gradient round, and the loss would climb.
    positive("clip.threshold", clip.threshold)
}

fn run(run: &Run) -> Result<(), RecipeError> {
    within("run.steps", run.steps, MAX_STEPS)?;
    must("run.seed", run.seed, run.seed <= MAX_SEED, &format!("must be a whole number from 0 to {MAX_SEED}"))?;
    run.loss_scale.map_or(Ok(()), |scale| positive("run.loss_scale", scale.first()))
}

/// Refuses a network of too many parameters, saying how many.
pub(super) fn parameters(network: &NetworkRecipe, count: u64) -> Result<(), RecipeError> {
    if count <= MAX_PARAMETERS {
        return Ok(());
    }
    let expected = format!("this network would have {count} parameters: must be at most {MAX_PARAMETERS}");
    Err(match network.kind {
        NetworkKind::Layers => RecipeError::missing("network.layers", expected),
        NetworkKind::Mlp | NetworkKind::Residual => RecipeError::value("network.width", network.width, expected),
    })
}

fn within(key: &str, value: usize, most: usize) -> Result<(), RecipeError> {
    must(key, value, (1..=most).contains(&value), &format!("must be from 1 to {most}"))
}

fn positive(key: &str, value: f64) -> Result<(), RecipeError> {
    must(key, value, value.is_finite() && value > 0.0, "must be a finite number above 0")
}

fn must(key: &str, value: impl fmt::Display, holds: bool, expected: &str) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(RecipeError::value(key, value, expected)) }
}
