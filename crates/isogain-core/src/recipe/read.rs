//! Reading a recipe: TOML in, [`Recipe`] or one clear error out.

use super::error::RecipeError;
use super::network::{BranchScale, LayerRecipe, NamedOutput, NamedScale, NetworkKind, NetworkRecipe, OutputActivation};
use super::optimizer::{Clip, ClipKind, Optimizer, OptimizerName};
use super::run::{LossScale, NamedLossScale};
use super::schedule::{Schedule, ScheduleKind};
use super::source::Document;
use super::table::{Entry, Table};
use super::validate::{validate, validate_rules};
use super::variants::{Name, variant, variant_names};
use super::{Data, Recipe, Run, Task};

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
    let data = Data {
        source: table.get("source", default.source, |entry| Ok(entry.text()?.to_owned()))?,
        target: table.get("target", default.target, |entry| Ok(entry.text()?.to_owned()))?,
        task: table.get("task", default.task, |entry| entry.choice("task"))?,
        loss: table.optional("loss", |entry| entry.choice("loss"))?,
        batch: table.get("batch", default.batch, Entry::whole)?,
        test_fraction: table.get("test_fraction", default.test_fraction, Entry::number)?,
        standardize: table.get("standardize", default.standardize, Entry::flag)?,
        standardize_target: table.get("standardize_target", default.standardize_target, Entry::flag)?,
        input_scale: table.get("input_scale", default.input_scale, Entry::number)?,
    };
    if data.source == Data::BUILT_IN {
        table.refuse(&["target"], "has no effect: the built-in digits have one target")?;
    }
    if data.task != Task::Regression {
        table.refuse(&["standardize_target"], "has no effect: only for task = \"regression\"")?;
    }
    table.finish()?;
    Ok(data)
}

fn network(mut table: Table<'_>) -> Result<NetworkRecipe, RecipeError> {
    let default = NetworkRecipe::default();
    let network = NetworkRecipe {
        kind: table.get("kind", default.kind, |entry| entry.choice("kind of network"))?,
        depth: table.get("depth", default.depth, Entry::whole)?,
        width: table.get("width", default.width, Entry::whole)?,
        activation: table.get("activation", default.activation, Entry::activation)?,
        init: table.get("init", default.init, Entry::initializer)?,
        head_init: table.optional("head_init", Entry::initializer)?,
        norm: table.optional("norm", |entry| entry.choice("norm"))?,
        norm_eps: table.get("norm_eps", default.norm_eps, Entry::number)?,
        branch_scale: table.get("branch_scale", default.branch_scale, branch_scale)?,
        learnable_scale: table.get("learnable_scale", default.learnable_scale, Entry::flag)?,
        output_activation: table.optional("output_activation", output_activation)?,
        layers: table.get("layers", default.layers, |entry| layers(entry, 0))?,
    };
    match network.kind {
        NetworkKind::Mlp => {
            table.refuse(&["branch_scale", "learnable_scale"], "has no effect: only for kind = \"residual\"")?;
            table.refuse(&["layers"], "has no effect: only for kind = \"layers\"")?;
        }
        NetworkKind::Residual => table.refuse(&["layers"], "has no effect: only for kind = \"layers\"")?,
        NetworkKind::Layers => table.refuse(
            &["depth", "width", "activation", "norm", "branch_scale", "learnable_scale", "output_activation"],
            "has no effect: with kind = \"layers\" the list says it all",
        )?,
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

fn layers(entry: Entry<'_>, nesting: usize) -> Result<Vec<LayerRecipe>, RecipeError> {
    if nesting > MAX_NESTING {
        return Err(entry.wrong(&format!("must not be nested deeper than {MAX_NESTING} branches")));
    }
    entry.list()?.into_iter().map(|entry| layer(entry.table()?, nesting)).collect()
}

fn layer(mut table: Table<'_>, nesting: usize) -> Result<LayerRecipe, RecipeError> {
    let layer = LayerRecipe {
        linear: table.optional("linear", Entry::whole)?,
        init: table.optional("init", Entry::initializer)?,
        activation: table.optional("activation", Entry::activation)?,
        norm: table.optional("norm", |entry| entry.choice("norm"))?,
        residual: table.optional("residual", |entry| layers(entry, nesting + 1))?,
        scale: table.optional("scale", Entry::number)?,
        learnable: table.get("learnable", false, Entry::flag)?,
    };
    if layer.residual.is_none() {
        table.refuse(&["scale", "learnable"], "has no effect: only beside residual")?;
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
    };
    for setting in ["momentum", "betas", "alpha", "eps"] {
        if !name.settings().contains(&setting) {
            let having = OptimizerName::ALL.into_iter().filter(|name| name.settings().contains(&setting));
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
    let default = Clip::default();
    let clip = Clip {
        kind: table.get("kind", default.kind, |entry| entry.choice("kind of clipping"))?,
        threshold: table.get("threshold", default.threshold, Entry::number)?,
    };
    if clip.kind == ClipKind::None {
        table.refuse(&["threshold"], "has no effect: say kind = \"value\", \"norm\" or \"global-norm\"")?;
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
        loss_scale: table.optional("loss_scale", loss_scale)?,
    };
    table.finish()?;
    Ok(run)
}
