//! Writing a recipe as a person would: every table's essentials, and what differs from the default.

use std::collections::BTreeMap;

use serde::Serialize;

use super::variants::Name;
use super::{
    BranchScale, Clip, ClipKind, Data, LayerRecipe, Level, LossScale, NetworkKind, NetworkRecipe, Optimizer,
    OptimizerName, OutputActivation, Recipe, Run, Schedule, ScheduleKind, Task,
};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// The recipe as TOML, such that [`super::parse`] gives the same recipe.
///
/// `[network]` and `[optimizer]` are always written with their essentials, everything else where it differs from the
/// default. Settings without effect (momentum under Adam, depth beside an explicit list) are left out, as they could
/// not be read back.
pub fn to_toml(recipe: &Recipe) -> String {
    let tables = [
        ("data", data(&recipe.data)),
        ("network", network(&recipe.network)),
        ("optimizer", optimizer(&recipe.optimizer)),
        ("schedule", schedule(&recipe.schedule)),
        ("clip", clip(&recipe.clip)),
        ("run", run(&recipe.run)),
        ("rules", rules(&recipe.rules)),
    ];
    let text = |(name, lines): (&str, Lines)| format!("[{name}]\n{}", lines.0);
    tables.into_iter().filter(|(_, lines)| !lines.0.is_empty()).map(text).collect::<Vec<_>>().join("\n")
}

/// The lines of one table.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// Writes `key` where `when` holds.
    fn put(&mut self, when: bool, key: &str, value: String) {
        if when {
            self.0 += &format!("{key} = {value}\n");
        }
    }

    /// Writes `key` where its value is not the default.
    fn changed<T: Written + PartialEq>(&mut self, key: &str, value: &T, default: &T) {
        self.put(value != default, key, value.written());
    }
}

fn data(data: &Data) -> Lines {
    let default = Data::default();
    let mut lines = Lines::default();
    lines.changed("source", &data.source, &default.source);
    if data.source != Data::BUILT_IN {
        lines.changed("target", &data.target, &default.target);
    }
    lines.put(data.task != default.task, "task", quoted(&data.task));
    if let Some(loss) = &data.loss {
        lines.put(true, "loss", quoted(loss));
    }
    lines.changed("batch", &data.batch, &default.batch);
    lines.changed("test_fraction", &data.test_fraction, &default.test_fraction);
    lines.changed("standardize", &data.standardize, &default.standardize);
    if data.task == Task::Regression {
        lines.changed("standardize_target", &data.standardize_target, &default.standardize_target);
    }
    lines.changed("input_scale", &data.input_scale, &default.input_scale);
    lines
}

fn network(network: &NetworkRecipe) -> Lines {
    let default = NetworkRecipe::default();
    let is_shaped = network.kind != NetworkKind::Layers;
    let mut lines = Lines::default();
    lines.put(true, "kind", quoted(&network.kind));
    lines.put(is_shaped, "depth", network.depth.written());
    lines.put(is_shaped, "width", network.width.written());
    lines.put(is_shaped, "activation", network.activation.written());
    lines.put(true, "init", network.init.written());
    if let Some(init) = &network.head_init {
        lines.put(true, "head_init", init.written());
    }
    if let Some(norm) = &network.norm {
        lines.put(is_shaped, "norm", quoted(norm));
    }
    lines.changed("norm_eps", &network.norm_eps, &default.norm_eps);
    if network.kind == NetworkKind::Residual {
        match &network.branch_scale {
            BranchScale::Number(scale) => lines.changed("branch_scale", scale, &1.0),
            BranchScale::Named(name) => lines.put(true, "branch_scale", quoted(name)),
        }
        lines.changed("learnable_scale", &network.learnable_scale, &default.learnable_scale);
    }
    match &network.output_activation {
        Some(OutputActivation::Named(name)) => lines.put(is_shaped, "output_activation", quoted(name)),
        Some(OutputActivation::Elementwise(phi)) => lines.put(is_shaped, "output_activation", phi.written()),
        None => {}
    }
    lines.put(!is_shaped, "layers", layers(&network.layers, 0));
    lines
}

/// A list of layers, one a line; branches indented below the layer that holds them.
fn layers(list: &[LayerRecipe], nesting: usize) -> String {
    let indent = "  ".repeat(nesting + 1);
    let lines: String = list.iter().map(|entry| format!("{indent}{},\n", layer(entry, nesting))).collect();
    format!("[\n{lines}{}]", "  ".repeat(nesting))
}

fn layer(layer: &LayerRecipe, nesting: usize) -> String {
    let parts = [
        layer.linear.map(|units| format!("linear = {units}")),
        layer.init.as_ref().map(|init| format!("init = {}", init.written())),
        layer.activation.map(|activation| format!("activation = {}", activation.written())),
        layer.norm.map(|norm| format!("norm = {}", quoted(&norm))),
        layer.residual.as_ref().map(|branch| format!("residual = {}", layers(branch, nesting + 1))),
        layer.scale.map(|scale| format!("scale = {}", scale.written())),
        layer.learnable.then(|| "learnable = true".to_owned()),
    ];
    format!("{{ {} }}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn optimizer(optimizer: &Optimizer) -> Lines {
    let (name, default) = (optimizer.name, Optimizer::named(optimizer.name));
    let has = |setting| name.settings().contains(&setting);
    let mut lines = Lines::default();
    lines.put(true, "name", quoted(&name));
    lines.put(true, "learning_rate", optimizer.learning_rate.written());
    if matches!(name, OptimizerName::Momentum | OptimizerName::Nesterov) {
        lines.put(true, "momentum", optimizer.momentum.written());
    } else if has("momentum") {
        lines.changed("momentum", &optimizer.momentum, &default.momentum);
    }
    if has("betas") {
        lines.changed("betas", &optimizer.betas, &default.betas);
    }
    if has("alpha") {
        lines.changed("alpha", &optimizer.alpha, &default.alpha);
    }
    if has("eps") {
        lines.changed("eps", &optimizer.eps, &default.eps);
    }
    lines.changed("weight_decay", &optimizer.weight_decay, &default.weight_decay);
    lines
}

fn schedule(schedule: &Schedule) -> Lines {
    let (kind, default) = (schedule.kind, Schedule::of(schedule.kind));
    let has = |setting| Schedule::settings(kind).contains(&setting);
    let mut lines = Lines::default();
    lines.put(kind != ScheduleKind::Constant, "kind", quoted(&kind));
    if kind == ScheduleKind::WarmUp {
        lines.put(true, "warm_up", schedule.warm_up.written());
    } else if has("warm_up") {
        lines.changed("warm_up", &schedule.warm_up, &default.warm_up);
    }
    if has("final_fraction") {
        lines.changed("final_fraction", &schedule.final_fraction, &default.final_fraction);
    }
    lines.put(has("every"), "every", schedule.every.written());
    lines.put(has("factor"), "factor", schedule.factor.written());
    lines
}

fn clip(clip: &Clip) -> Lines {
    let mut lines = Lines::default();
    let clips = clip.kind != ClipKind::None;
    lines.put(clips, "kind", quoted(&clip.kind));
    lines.put(clips, "threshold", clip.threshold.written());
    lines
}

fn run(run: &Run) -> Lines {
    let default = Run::default();
    let mut lines = Lines::default();
    lines.changed("steps", &run.steps, &default.steps);
    lines.changed("seed", &run.seed, &default.seed);
    lines.put(run.precision != default.precision, "precision", quoted(&run.precision));
    match &run.loss_scale {
        Some(LossScale::Number(scale)) => lines.put(true, "loss_scale", scale.written()),
        Some(LossScale::Named(name)) => lines.put(true, "loss_scale", quoted(name)),
        None => {}
    }
    lines
}

fn rules(rules: &BTreeMap<String, Level>) -> Lines {
    let mut lines = Lines::default();
    for (rule, level) in rules {
        lines.put(true, &key(rule), quoted(level));
    }
    lines
}

/// A key, in quotes where it must be; what is neither letter nor digit is then written by its number.
fn key(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let escape = |c| {
        if is_plain(c) { c.to_string() } else { format!("\\U{:08X}", u32::from(c)) }
    };
    format!("\"{}\"", name.chars().map(escape).collect::<String>())
}

/// What can stand behind `key =`.
trait Written {
    fn written(&self) -> String;
}

impl Written for usize {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for u64 {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for bool {
    fn written(&self) -> String {
        self.to_string()
    }
}

impl Written for f64 {
    /// The shortest text that reads back as the same number, always with a point or an exponent.
    fn written(&self) -> String {
        format!("{self:?}")
    }
}

impl Written for [f64; 2] {
    fn written(&self) -> String {
        format!("[{:?}, {:?}]", self[0], self[1])
    }
}

impl Written for String {
    fn written(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

impl Written for Activation {
    fn written(&self) -> String {
        let default = Self::named(self.name()).ok().and_then(Self::parameter);
        named(self.name(), self.parameter().filter(|parameter| Some(*parameter) != default))
    }
}

impl Written for Initializer {
    fn written(&self) -> String {
        let default: Vec<_> = Self::named(self.name()).into_iter().flat_map(Self::parameters).collect();
        named(self.name(), self.parameters().filter(|parameter| !default.contains(parameter)))
    }
}

/// The variants of an enum, by name.
fn quoted<T: Serialize>(variant: &T) -> String {
    format!("\"{}\"", Name(variant))
}

/// `"leaky-relu"`, or `{ name = "leaky-relu", slope = 0.2 }`.
fn named(name: &str, numbers: impl IntoIterator<Item = (&'static str, f64)>) -> String {
    let numbers: String = numbers.into_iter().map(|(key, value)| format!(", {key} = {value:?}")).collect();
    if numbers.is_empty() { format!("\"{name}\"") } else { format!("{{ name = \"{name}\"{numbers} }}") }
}
