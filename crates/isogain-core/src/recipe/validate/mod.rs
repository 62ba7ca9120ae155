//! What a recipe may say: ranges, and settings that must fit together.

use std::fmt;
use std::ops::RangeInclusive;

use super::error::{Place, RecipeError, Suggestion, shortened};
use super::variants::Name;
use super::{
    Clip, Data, Device, LossName, NetworkKind, NetworkRecipe, Optimizer, Precision, Recipe, Run, Schedule,
    ScheduleKind, Task,
};

pub(super) mod layers;
pub(super) mod network;

/// Most hidden layers, of whatever kind.
pub const MAX_DEPTH: usize = 10_000;
/// Most units of one layer.
pub const MAX_WIDTH: usize = 65_536;
/// Most trained numbers of one network: with gradients and two moments of Adam, 3.2 GB in 32 bits.
pub const MAX_PARAMETERS: u64 = 200_000_000;
/// Most numbers of one batch that a network with positions may keep for its backward pass: 16 GB in 32 bits.
pub const MAX_VALUES: u64 = 4_000_000_000;
/// Largest side of a patch, largest stride.
pub const MAX_KERNEL: usize = 255;
/// Most samples in one step.
pub const MAX_BATCH: usize = 1_000_000_000;
/// Most steps of a sequence.
pub const MAX_LENGTH: usize = 100_000;
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
    network::network(&recipe.network, recipe.data.batch)?;
    optimizer(&recipe.optimizer)?;
    schedule(&recipe.schedule)?;
    clip(&recipe.clip)?;
    run(&recipe.run)?;
    penalty(recipe)?;
    device(recipe)
}

/// Refuses what only the processor computes where another device was asked for.
fn device(recipe: &Recipe) -> Result<(), RecipeError> {
    let Run { device, precision, .. } = recipe.run;
    let refused = |key: &str, value: &dyn std::fmt::Display, expected: &str| {
        Err(RecipeError::value(key, value, format!("{expected}, or run.device = \"cpu\"")))
    };
    match (device, precision) {
        (Device::Cpu, _) => Ok(()),
        (_, Precision::Bf16 | Precision::Fp16) => {
            refused("run.precision", &Name(&precision), "is emulated on the processor alone: take \"f32\"")
        }
        (Device::Wgpu, Precision::F64) => {
            refused("run.precision", &Name(&precision), "is no format of \"wgpu\": take \"f32\"")
        }
        _ => match recipe.network.vanishing_penalty {
            Some(weight) => {
                refused("network.vanishing_penalty", &weight, "is computed on the processor alone: leave it out")
            }
            None => Ok(()),
        },
    }
}

/// Refuses a penalty where the format does not hold its gradient, which has a size of its own, times the scale of the loss.
fn penalty(recipe: &Recipe) -> Result<(), RecipeError> {
    match recipe.network.vanishing_penalty {
        Some(weight) if recipe.run.precision == Precision::Fp16 => {
            let expected =
                "has a gradient that precision = \"fp16\" cannot hold times the scale of the loss: take \"bf16\"";
            Err(RecipeError::value("network.vanishing_penalty", weight, expected))
        }
        _ => Ok(()),
    }
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
        let expected = format!("must be the path of a file or folder, or built in: {}", Data::BUILT_IN.join(", "));
        return Err(RecipeError::value("data.source", "\"\"", expected));
    }
    if let Some(index) = data.target.iter().enumerate().position(|(index, name)| data.target[..index].contains(name)) {
        let name = format!("\"{}\"", shortened(&data.target[index]));
        return Err(RecipeError::value(format!("data.target[{index}]"), name, "is there twice"));
    }
    if data.target.len() > 1 && data.task == Task::Classification {
        let expected = format!("has {} columns: only for task = \"regression\"", data.target.len());
        return Err(RecipeError::missing("data.target", expected));
    }
    let needs_classes = matches!(data.loss, Some(LossName::CrossEntropy | LossName::BinaryCrossEntropy));
    if let Some(loss) = data.loss.filter(|_| needs_classes && data.task == Task::Regression) {
        let expected = "needs classes: only for task = \"classification\"";
        return Err(RecipeError::value("data.loss", format!("\"{loss}\""), expected));
    }
    within("data.batch", data.batch, MAX_BATCH)?;
    let optional = |key, value, range: RangeInclusive<usize>| {
        let expected = format!("must be from {} to {}, or left out", range.start(), range.end());
        must(key, value, value == 0 || range.contains(&value), &expected)
    };
    optional("data.samples", data.samples, 2..=MAX_BATCH)?;
    optional("data.length", data.length, 1..=MAX_LENGTH)?;
    optional("data.features", data.features, 1..=MAX_WIDTH)?;
    optional("data.classes", data.classes, 2..=1000)?;
    let fraction = data.test_fraction;
    must("data.test_fraction", fraction, fraction > 0.0 && fraction < 1.0, "must be above 0 and below 1")?;
    let scale = data.input_scale;
    must("data.input_scale", scale, scale.is_finite() && scale != 0.0, "must be a finite number other than 0")
}

fn optimizer(optimizer: &Optimizer) -> Result<(), RecipeError> {
    positive("optimizer.learning_rate", optimizer.learning_rate)?;
    fraction("optimizer.momentum", optimizer.momentum)?;
    fraction("optimizer.betas[0]", optimizer.betas[0])?;
    fraction("optimizer.betas[1]", optimizer.betas[1])?;
    fraction("optimizer.alpha", optimizer.alpha)?;
    let pull = optimizer.weight_decay;
    must("optimizer.weight_decay", pull, pull.is_finite() && pull >= 0.0, "must be a finite number, 0 or more")?;
    let eps = optimizer.eps;
    must("optimizer.eps", eps, eps.is_finite() && eps >= 0.0, "must be a finite number, 0 or more")?;
    optimizer.spike_limit.map_or(Ok(()), |limit| positive("optimizer.spike_limit", limit))?;
    optimizer.reset_every.map_or(Ok(()), |steps| within("optimizer.reset_every", steps, MAX_STEPS))?;
    optimizer.base_width.map_or(Ok(()), |width| within("optimizer.base_width", width, MAX_WIDTH))
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
    positive("clip.threshold", clip.threshold)?;
    let percentile = clip.percentile();
    must("clip.percentile", percentile, (0.0..=100.0).contains(&percentile), "must be from 0 to 100")?;
    let decay = clip.decay();
    must("clip.decay", decay, decay > 0.0 && decay < 1.0, "must be above 0 and below 1")?;
    within("clip.warm_up", clip.warm_up(), MAX_STEPS)?;
    positive("clip.start", clip.start())
}

fn run(run: &Run) -> Result<(), RecipeError> {
    within("run.steps", run.steps, MAX_STEPS)?;
    must("run.seed", run.seed, run.seed <= MAX_SEED, &format!("must be a whole number from 0 to {MAX_SEED}"))?;
    run.loss_scale.map_or(Ok(()), |scale| positive("run.loss_scale", scale.first()))
}

/// Refuses a network of too many parameters, saying how many.
pub(super) fn parameters(network: &NetworkRecipe, count: u64) -> Result<(), RecipeError> {
    let expected = format!("this network would have {count} parameters: must be at most {MAX_PARAMETERS}");
    size(network, count <= MAX_PARAMETERS, expected)
}

/// Refuses a network that keeps too many numbers of one batch, saying how many.
pub(super) fn values(network: &NetworkRecipe, count: u64) -> Result<(), RecipeError> {
    let expected = format!(
        "this network would keep {count} numbers of each batch for its way back: must be at most {MAX_VALUES}; take a \
         smaller data.batch"
    );
    size(network, count <= MAX_VALUES, expected)
}

fn size(network: &NetworkRecipe, fits: bool, expected: String) -> Result<(), RecipeError> {
    match network.kind {
        _ if fits => Ok(()),
        NetworkKind::Layers => Err(RecipeError::missing("network.layers", expected)),
        _ => Err(RecipeError::value("network.width", network.width, expected)),
    }
}

/// Refuses groups that do not divide the features.
pub(super) fn norm_groups(network: &NetworkRecipe, features: usize) -> Result<(), RecipeError> {
    let groups = network.norm_groups;
    let divides = groups > 0 && features.is_multiple_of(groups);
    must("network.norm_groups", groups, divides, &format!("must divide the {features} features that group norm gets"))
}

/// Where a gate's bias may start.
const GATE_BIAS: &str = "must be from -50 to 50; below 0 the gate starts out passing x on";

/// Beyond, a gate stays shut or open, whatever it reads.
fn is_gate_bias(bias: f64) -> bool {
    (-50.0..=50.0).contains(&bias)
}

fn fraction(key: &str, value: f64) -> Result<(), RecipeError> {
    must(key, value, (0.0..1.0).contains(&value), "must be 0 or more and below 1")
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
