//! Reading a recipe: TOML in, [`Recipe`] or one clear error out.

use super::clip::{Clip, ClipKind};
use super::error::RecipeError;
use super::keys;
use super::layer::{LayerRecipe, NamedPadding, Padding};
use super::network::{BranchScale, NamedOutput, NamedScale, NetworkKind, NetworkRecipe, OutputActivation};
use super::optimizer::{Optimizer, OptimizerName};
use super::run::{LossScale, NamedLossScale};
use super::schedule::{Schedule, ScheduleKind};
use super::source::Document;
use super::table::{Entry, Table};
use super::validate::{validate, validate_rules};
use super::variants::{Name, variant, variant_names};
use super::{Data, Format, Recipe, Run, Task};
use crate::network::{ForgetBias, NamedBias, Oscillator};

/// How deep residual branches may be nested in an explicit list.
pub const MAX_NESTING: usize = 16;

/// The recipe written in `text`; `file` is the name used in messages.
///
/// Names in `[rules]` are not looked up, see [`parse_with_rules`].
///
/// # Errors
/// The first thing that is wrong, with file, line, value and what would be right: no TOML, unknown keys and names (with
/// the nearest known one), wrong types, settings that would be ignored, and whatever [`validate()`] refuses.
pub fn parse(text: &str, file: &str) -> Result<Recipe, RecipeError> {
    let document = Document::parse(text, file)?;
    let recipe = recipe(&document)?;
    validate(&recipe).map_err(|error| error.in_text(text, file))?;
    Ok(recipe)
}

/// As [`parse`], and every name in `[rules]` must be one of `known_rules`.
///
/// # Errors
/// As [`parse`]; an unknown rule, with the nearest known one.
pub fn parse_with_rules(text: &str, file: &str, known_rules: &[&str]) -> Result<Recipe, RecipeError> {
    let recipe = parse(text, file)?;
    validate_rules(&recipe, known_rules).map_err(|error| error.in_text(text, file))?;
    Ok(recipe)
}

fn recipe(document: &Document<'_>) -> Result<Recipe, RecipeError> {
    let mut root = Table::root(document);
    let network = root.entry("network");
    let recipe = Recipe {
        data: root.get("data", Data::default(), |entry| data(entry.table()?))?,
        optimizer: root.get("optimizer", Optimizer::default(), |entry| optimizer(entry.table()?))?,
        schedule: root.get("schedule", Schedule::default(), |entry| schedule(entry.table()?))?,
        clip: root.get("clip", Clip::default(), |entry| clip(entry.table()?))?,
        run: root.get("run", Run::default(), |entry| run(entry.table()?))?,
        rules: root.get("rules", Default::default(), |entry| {
            let level = |(name, entry): (&str, Entry<'_>)| Ok((name.to_owned(), entry.choice("level")?));
            entry.table()?.into_entries().into_iter().map(level).collect()
        })?,
        network: match network {
            Some(entry) => self::network(entry.table()?)?,
            None => NetworkRecipe::default(),
        },
    };
    // Before the missing network: `[netwrok]` is better answered by the key that was meant.
    let has_network = document.root().contains_key("network");
    root.finish()?;
    if has_network { Ok(recipe) } else { Err(RecipeError::NoNetwork { place: document.whole() }) }
}

fn data(mut table: Table<'_>) -> Result<Data, RecipeError> {
    let default = Data::default();
    let text = |entry: Entry<'_>| Ok(entry.text()?.to_owned());
    let data = Data {
        source: table.get("source", default.source, text)?,
        format: table.optional("format", |entry| entry.choice("format"))?,
        labels: table.get("labels", default.labels, text)?,
        target: table.get("target", default.target, Entry::texts)?,
        test_source: table.get("test_source", default.test_source, text)?,
        test_labels: table.get("test_labels", default.test_labels, text)?,
        task: table.get("task", default.task, |entry| entry.choice("task"))?,
        loss: table.optional("loss", |entry| entry.choice("loss"))?,
        batch: table.get("batch", default.batch, Entry::whole)?,
        samples: table.get("samples", default.samples, Entry::whole)?,
        length: table.get("length", default.length, Entry::whole)?,
        features: table.get("features", default.features, Entry::whole)?,
        classes: table.get("classes", default.classes, Entry::whole)?,
        test_fraction: table.get("test_fraction", default.test_fraction, Entry::number)?,
        standardize: table.get("standardize", default.standardize, Entry::flag)?,
        standardize_target: table.get("standardize_target", default.standardize_target, Entry::flag)?,
        input_scale: table.get("input_scale", default.input_scale, Entry::number)?,
    };
    for (keys, why) in without_effect(&data) {
        table.refuse(keys, why)?;
    }
    table.finish()?;
    Ok(data)
}

/// Keys that mean nothing for this data, whatever their value, and why.
fn without_effect(data: &Data) -> Vec<(&'static [&'static str], &'static str)> {
    const FILES: &[&str] = &["format", "labels", "target", "test_source", "test_labels"];
    let mut refused: Vec<(&'static [&'static str], &'static str)> = Vec::new();
    match data.source.as_str() {
        Data::DIGITS => {
            refused.push((&["target"], "has no effect: the built-in digits have one target"));
            refused.push((FILES, "has no effect: the digits are built in"));
        }
        _ if data.is_generated() => {
            refused.push((FILES, "has no effect: this data is generated"));
            refused.push((
                &["standardize", "standardize_target"],
                "has no effect: generated data is used as it was published",
            ));
        }
        _ => {}
    }
    let source = data.source.as_str();
    let has_length = ["adding", "temporal-order", "copy-memory"].contains(&source)
        || !data.is_built_in() && matches!(data.format, None | Some(Format::Text));
    if !has_length {
        refused.push((&["length"], "has no effect: only for text, adding, temporal-order and copy-memory"));
    }
    if source != "gaussian" {
        refused.push((&["features"], "has no effect: only for source = \"gaussian\""));
    }
    let has_classes = source == "spirals" || source == "gaussian" && data.task == Task::Classification;
    if !has_classes {
        refused.push((&["classes"], "has no effect: only for the arms of spirals and the classes of gaussian"));
    }
    if data.task != Task::Regression {
        refused.push((&["standardize_target"], "has no effect: only for task = \"regression\""));
    }
    if data.test_source.is_empty() {
        refused.push((&["test_labels"], "has no effect without data.test_source"));
    } else {
        refused.push((&["test_fraction"], "has no effect beside data.test_source, which is the test part"));
    }
    refused
}

fn network(mut table: Table<'_>) -> Result<NetworkRecipe, RecipeError> {
    let kind = table.get("kind", NetworkKind::Mlp, |entry| entry.choice("kind of network"))?;
    let mut default = NetworkRecipe::of(kind);
    let fixup = table.get("fixup", default.fixup, Entry::flag)?;
    default.norm = default.norm.filter(|_| !fixup);
    let network = NetworkRecipe {
        kind,
        depth: table.get("depth", default.depth, Entry::whole)?,
        width: table.get("width", default.width, Entry::whole)?,
        activation: table.get("activation", default.activation, Entry::activation)?,
        init: table.get("init", default.init, Entry::initializer)?,
        head_init: table.optional("head_init", Entry::initializer)?,
        norm: table.optional("norm", |entry| entry.choice("norm"))?.or(default.norm),
        norm_groups: table.get("norm_groups", default.norm_groups, Entry::whole)?,
        norm_ramp: table.get("norm_ramp", default.norm_ramp, Entry::whole)?,
        norm_eps: table.get("norm_eps", default.norm_eps, Entry::number)?,
        ghost_batch: table.optional("ghost_batch", Entry::whole)?,
        weight_norm: table.optional("weight_norm", |entry| entry.choice("weight norm"))?,
        branch_scale: table.get("branch_scale", default.branch_scale, branch_scale)?,
        learnable_scale: table.get("learnable_scale", default.learnable_scale, Entry::flag)?,
        scale_per_channel: table.get("scale_per_channel", default.scale_per_channel, Entry::flag)?,
        supervise_every: table.optional("supervise_every", Entry::whole)?,
        supervise_share: table.get("supervise_share", default.supervise_share, Entry::number)?,
        gate_bias: table.optional("gate_bias", Entry::number)?,
        growth: table.optional("growth", Entry::whole)?,
        output_activation: table.optional("output_activation", output_activation)?,
        dropout: table.get("dropout", default.dropout, Entry::number)?,
        stochastic_depth: table.get("stochastic_depth", default.stochastic_depth, Entry::number)?,
        stochastic_depth_uniform: table.get(
            "stochastic_depth_uniform",
            default.stochastic_depth_uniform,
            Entry::flag,
        )?,
        kernel: table.get("kernel", default.kernel, Entry::whole)?,
        stages: table.get("stages", default.stages, Entry::whole)?,
        pool: table.get("pool", default.pool, |entry| entry.choice("pooling"))?,
        head: table.optional("head", |entry| entry.choice("head"))?,
        block: table.get("block", default.block, |entry| entry.choice("block"))?,
        skip: table.get("skip", default.skip, Entry::flag)?,
        hidden_init: table.optional("hidden_init", Entry::initializer)?,
        forget_bias: table.optional("forget_bias", forget_bias)?,
        vanishing_penalty: table.optional("vanishing_penalty", Entry::number)?,
        antisymmetric_step: table.optional("antisymmetric_step", Entry::number)?,
        diagonal: table.get("diagonal", default.diagonal, Entry::flag)?,
        oscillator: table.optional("oscillator", oscillator)?,
        heads: table.get("heads", default.heads, Entry::whole)?,
        qk_norm: table.get("qk_norm", default.qk_norm, Entry::flag)?,
        logit_cap: table.optional("logit_cap", Entry::number)?,
        mlp_ratio: table.get("mlp_ratio", default.mlp_ratio, Entry::whole)?,
        norm_placement: table.get("norm_placement", default.norm_placement, |entry| entry.choice("norm placement"))?,
        positions: table.optional("positions", |entry| entry.choice("kind of positions"))?,
        causal: table.optional("causal", Entry::flag)?,
        tied: table.get("tied", default.tied, Entry::flag)?,
        residual_init: table.optional("residual_init", |entry| entry.choice("residual initialiser"))?,
        fixup,
        layers: table.get("layers", default.layers, |entry| layers(entry, 0))?,
    };
    for key in keys::all().chain(["head_init"]) {
        if let Some(why) = keys::idle(&network, key) {
            table.refuse(&[key], &why)?;
        }
    }
    table.finish()?;
    Ok(network)
}

fn output_activation(entry: Entry<'_>) -> Result<OutputActivation, RecipeError> {
    match entry.text().ok().and_then(variant::<NamedOutput>) {
        Some(name) => Ok(OutputActivation::Named(name)),
        None => Ok(OutputActivation::Elementwise(entry.activation_or(variant_names::<NamedOutput>())?)),
    }
}

fn branch_scale(entry: Entry<'_>) -> Result<BranchScale, RecipeError> {
    match entry.text().map(variant::<NamedScale>) {
        Ok(Some(name)) => Ok(BranchScale::Named(name)),
        Ok(None) => Err(entry.wrong("must be a number or \"depth\"")),
        Err(_) => Ok(BranchScale::Number(entry.number()?)),
    }
}

fn oscillator(entry: Entry<'_>) -> Result<Oscillator, RecipeError> {
    let (mut table, default) = (entry.table()?, Oscillator::default());
    let oscillator = Oscillator {
        step: table.get("step", default.step, Entry::number)?,
        stiffness: table.get("stiffness", default.stiffness, Entry::number)?,
        damping: table.get("damping", default.damping, Entry::number)?,
    };
    table.finish()?;
    Ok(oscillator)
}

fn forget_bias(entry: Entry<'_>) -> Result<ForgetBias, RecipeError> {
    match entry.text().map(variant::<NamedBias>) {
        Ok(Some(name)) => Ok(ForgetBias::Named(name)),
        Ok(None) => Err(entry.wrong("must be a number or \"chrono\"")),
        Err(_) => Ok(ForgetBias::Number(entry.number()?)),
    }
}

fn padding(entry: Entry<'_>) -> Result<Padding, RecipeError> {
    match entry.text().map(variant::<NamedPadding>) {
        Ok(Some(name)) => Ok(Padding::Named(name)),
        Ok(None) => Err(entry.wrong("must be a whole number or \"same\"")),
        Err(_) => Ok(Padding::Number(entry.whole()?)),
    }
}

fn layers(entry: Entry<'_>, nesting: usize) -> Result<Vec<LayerRecipe>, RecipeError> {
    if nesting > MAX_NESTING {
        return Err(entry.wrong(&format!("must not be nested deeper than {MAX_NESTING} branches")));
    }
    entry.list()?.into_iter().map(|entry| layer(entry.table()?, nesting)).collect()
}

fn layer(mut table: Table<'_>, nesting: usize) -> Result<LayerRecipe, RecipeError> {
    let layer = LayerRecipe {
        linear: table.optional("linear", Entry::whole)?,
        convolution: table.optional("convolution", Entry::whole)?,
        kernel: table.optional("kernel", Entry::whole)?,
        stride: table.optional("stride", Entry::whole)?,
        padding: table.optional("padding", padding)?,
        init: table.optional("init", Entry::initializer)?,
        activation: table.optional("activation", Entry::activation)?,
        norm: table.optional("norm", |entry| entry.choice("norm"))?,
        pool: table.optional("pool", |entry| entry.choice("pooling"))?,
        size: table.optional("size", Entry::whole)?,
        flatten: table.get("flatten", false, Entry::flag)?,
        recurrent: table.optional("recurrent", |entry| entry.choice("recurrent layer"))?,
        units: table.optional("units", Entry::whole)?,
        hidden_init: table.optional("hidden_init", Entry::initializer)?,
        forget_bias: table.optional("forget_bias", forget_bias)?,
        embedding: table.optional("embedding", Entry::whole)?,
        attention: table.optional("attention", Entry::whole)?,
        qk_norm: table.get("qk_norm", false, Entry::flag)?,
        logit_cap: table.optional("logit_cap", Entry::number)?,
        causal: table.get("causal", false, Entry::flag)?,
        positions: table.optional("positions", |entry| entry.choice("kind of positions"))?,
        dropout: table.optional("dropout", Entry::number)?,
        stochastic_depth: table.optional("stochastic_depth", Entry::number)?,
        residual: table.optional("residual", |entry| layers(entry, nesting + 1))?,
        shortcut: table.optional("shortcut", |entry| layers(entry, nesting + 1))?,
        scale: table.optional("scale", Entry::number)?,
        learnable: table.get("learnable", false, Entry::flag)?,
        per_channel: table.get("per_channel", false, Entry::flag)?,
        gate_bias: table.optional("gate_bias", Entry::number)?,
    };
    if let Some((key, beside)) = layer.idle().filter(|_| layer.entry().is_some()) {
        table.refuse(&[key], &format!("has no effect: only beside {beside}"))?;
    }
    table.finish()?;
    Ok(layer)
}

fn optimizer(mut table: Table<'_>) -> Result<Optimizer, RecipeError> {
    let name = table.get("name", OptimizerName::Sgd, |entry| entry.choice("optimizer"))?;
    let default = Optimizer::named(name);
    let optimizer = Optimizer {
        name,
        learning_rate: table.get("learning_rate", default.learning_rate, Entry::number)?,
        momentum: table.get("momentum", default.momentum, Entry::number)?,
        betas: table.get("betas", default.betas, Entry::pair)?,
        alpha: table.get("alpha", default.alpha, Entry::number)?,
        eps: table.get("eps", default.eps, Entry::number)?,
        weight_decay: table.get("weight_decay", default.weight_decay, Entry::number)?,
        clip_update: table.get("clip_update", default.clip_update, Entry::flag)?,
        spike_limit: table.optional("spike_limit", Entry::number)?,
        reset_every: table.optional("reset_every", Entry::whole)?,
        trust_ratio: table.get("trust_ratio", default.trust_ratio, Entry::flag)?,
        base_width: table.optional("base_width", Entry::whole)?,
        adjust_lr: table.get("adjust_lr", default.adjust_lr, |entry| entry.choice("adjustment"))?,
    };
    for setting in OptimizerName::every_setting() {
        if !name.has(setting) {
            let having = OptimizerName::ALL.into_iter().filter(|name| name.has(setting));
            let names: Vec<String> = having.map(|name| format!("\"{}\"", Name(&name))).collect();
            table.refuse(&[setting], &format!("has no effect: only for name = {}", any_of(&names)))?;
        }
    }
    table.finish()?;
    Ok(optimizer)
}

/// `a`, `a or b`, `a, b or c`.
fn any_of(names: &[String]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn schedule(mut table: Table<'_>) -> Result<Schedule, RecipeError> {
    let kind = table.get("kind", ScheduleKind::Constant, |entry| entry.choice("schedule"))?;
    let default = Schedule::of(kind);
    let schedule = Schedule {
        kind,
        warm_up: table.get("warm_up", default.warm_up, Entry::whole)?,
        final_fraction: table.get("final_fraction", default.final_fraction, Entry::number)?,
        every: table.get("every", default.every, Entry::whole)?,
        factor: table.get("factor", default.factor, Entry::number)?,
    };
    let kinds = [ScheduleKind::WarmUp, ScheduleKind::Cosine, ScheduleKind::Step];
    for setting in ["warm_up", "final_fraction", "every", "factor"] {
        if !Schedule::settings(kind).contains(&setting) {
            let having = kinds.into_iter().filter(|kind| Schedule::settings(*kind).contains(&setting));
            let names: Vec<String> = having.map(|kind| format!("\"{}\"", Name(&kind))).collect();
            table.refuse(&[setting], &format!("has no effect: only for kind = {}", any_of(&names)))?;
        }
    }
    table.finish()?;
    Ok(schedule)
}

fn clip(mut table: Table<'_>) -> Result<Clip, RecipeError> {
    let kind = table.get("kind", ClipKind::None, |entry| entry.choice("kind of clipping"))?;
    let clip = Clip {
        kind,
        threshold: table.get("threshold", Clip::of(kind).threshold, Entry::number)?,
        percentile: table.optional("percentile", Entry::number)?,
        decay: table.optional("decay", Entry::number)?,
        warm_up: table.optional("warm_up", Entry::whole)?,
        start: table.optional("start", Entry::number)?,
    };
    for setting in ["threshold", "percentile", "decay", "warm_up", "start"] {
        if !kind.settings().contains(&setting) {
            let having = ClipKind::ALL.into_iter().filter(|kind| kind.settings().contains(&setting));
            let names: Vec<String> = having.map(|kind| format!("\"{}\"", Name(&kind))).collect();
            table.refuse(&[setting], &format!("has no effect: only for kind = {}", any_of(&names)))?;
        }
    }
    table.finish()?;
    Ok(clip)
}

fn loss_scale(entry: Entry<'_>) -> Result<LossScale, RecipeError> {
    match entry.text().map(variant::<NamedLossScale>) {
        Ok(Some(name)) => Ok(LossScale::Named(name)),
        Ok(None) => Err(entry.wrong("must be a number or \"dynamic\"")),
        Err(_) => Ok(LossScale::Number(entry.number()?)),
    }
}

fn run(mut table: Table<'_>) -> Result<Run, RecipeError> {
    let default = Run::default();
    let run = Run {
        steps: table.get("steps", default.steps, Entry::whole)?,
        seed: table.get("seed", default.seed, Entry::seed)?,
        precision: table.get("precision", default.precision, |entry| entry.choice("precision"))?,
        device: table.get("device", default.device, |entry| entry.choice("device"))?,
        loss_scale: table.optional("loss_scale", loss_scale)?,
    };
    table.finish()?;
    Ok(run)
}
