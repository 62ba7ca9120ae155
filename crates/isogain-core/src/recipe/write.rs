//! Writing a recipe as a person would: every table's essentials, and what differs from the default.

use std::collections::BTreeMap;

use serde::Serialize;

use super::variants::Name;
use super::{
    Block, BranchScale, Clip, ClipKind, Data, Head, LayerRecipe, Level, LossScale, NamedScale, NetworkKind,
    NetworkRecipe, NormPlacement, Optimizer, OptimizerName, OutputActivation, Padding, Pooling, Positions, Recipe, Run,
    Schedule, ScheduleKind, Task, keys,
};
use crate::network::{Cell, ForgetBias, NormKind, Oscillator};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

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

/// The lines of `[network]`: keys that count for its kind.
struct Settings<'n> {
    network: &'n NetworkRecipe,
    lines: Lines,
}

impl Settings<'_> {
    /// Writes `key` where it has an effect and its value is not the default.
    fn changed<T: Written + PartialEq>(&mut self, key: &str, value: &T, default: &T) {
        if keys::idle(self.network, key).is_none() {
            self.lines.changed(key, value, default);
        }
    }
}

fn data(data: &Data) -> Lines {
    let default = Data::default();
    let mut lines = Lines::default();
    lines.changed("source", &data.source, &default.source);
    if !data.is_built_in() {
        if let Some(format) = &data.format {
            lines.put(true, "format", quoted(format));
        }
        lines.changed("labels", &data.labels, &default.labels);
        lines.changed("target", &data.target, &default.target);
        lines.changed("test_source", &data.test_source, &default.test_source);
        lines.changed("test_labels", &data.test_labels, &default.test_labels);
    }
    lines.put(data.task != default.task, "task", quoted(&data.task));
    if let Some(loss) = &data.loss {
        lines.put(true, "loss", quoted(loss));
    }
    lines.changed("batch", &data.batch, &default.batch);
    lines.changed("samples", &data.samples, &default.samples);
    lines.changed("length", &data.length, &default.length);
    lines.changed("features", &data.features, &default.features);
    lines.changed("classes", &data.classes, &default.classes);
    lines.changed("test_fraction", &data.test_fraction, &default.test_fraction);
    if !data.is_generated() {
        lines.changed("standardize", &data.standardize, &default.standardize);
        if data.task == Task::Regression {
            lines.changed("standardize_target", &data.standardize_target, &default.standardize_target);
        }
    }
    lines.changed("input_scale", &data.input_scale, &default.input_scale);
    lines
}

fn network(network: &NetworkRecipe) -> Lines {
    let default = NetworkRecipe::of(network.kind);
    let mut lines = Lines::default();
    lines.put(true, "kind", network.kind.written());
    for (key, value) in [
        ("depth", network.depth.written()),
        ("width", network.width.written()),
        ("activation", network.activation.written()),
    ] {
        lines.put(keys::idle(network, key).is_none(), key, value);
    }
    lines.put(true, "init", network.init.written());
    let mut settings = Settings { network, lines };
    settings.changed("head_init", &network.head_init, &default.head_init);
    settings.changed("hidden_init", &network.hidden_init, &default.hidden_init);
    settings.changed("forget_bias", &network.forget_bias, &default.forget_bias);
    settings.changed("vanishing_penalty", &network.vanishing_penalty, &default.vanishing_penalty);
    settings.changed("antisymmetric_step", &network.antisymmetric_step, &default.antisymmetric_step);
    settings.changed("diagonal", &network.diagonal, &default.diagonal);
    settings.changed("oscillator", &network.oscillator, &default.oscillator);
    settings.changed("residual_init", &network.residual_init, &default.residual_init);
    settings.changed("fixup", &network.fixup, &default.fixup);
    settings.changed("norm", &network.norm, &default.norm);
    settings.changed("norm_groups", &network.norm_groups, &default.norm_groups);
    settings.changed("norm_ramp", &network.norm_ramp, &default.norm_ramp);
    settings.changed("ghost_batch", &network.ghost_batch, &default.ghost_batch);
    settings.changed("norm_placement", &network.norm_placement, &default.norm_placement);
    settings.changed("norm_eps", &network.norm_eps, &default.norm_eps);
    settings.changed("weight_norm", &network.weight_norm, &default.weight_norm);
    settings.changed("kernel", &network.kernel, &default.kernel);
    settings.changed("stages", &network.stages, &default.stages);
    settings.changed("pool", &network.pool, &default.pool);
    settings.changed("block", &network.block, &default.block);
    settings.changed("skip", &network.skip, &default.skip);
    settings.changed("branch_scale", &network.branch_scale, &default.branch_scale);
    settings.changed("learnable_scale", &network.learnable_scale, &default.learnable_scale);
    settings.changed("scale_per_channel", &network.scale_per_channel, &default.scale_per_channel);
    settings.changed("gate_bias", &network.gate_bias, &default.gate_bias);
    settings.changed("growth", &network.growth, &default.growth);
    settings.changed("heads", &network.heads, &default.heads);
    settings.changed("qk_norm", &network.qk_norm, &default.qk_norm);
    settings.changed("logit_cap", &network.logit_cap, &default.logit_cap);
    settings.changed("mlp_ratio", &network.mlp_ratio, &default.mlp_ratio);
    settings.changed("positions", &network.positions, &default.positions);
    settings.changed("causal", &network.causal, &default.causal);
    settings.changed("tied", &network.tied, &default.tied);
    settings.changed("head", &network.head, &default.head);
    settings.changed("dropout", &network.dropout, &default.dropout);
    settings.changed("stochastic_depth", &network.stochastic_depth, &default.stochastic_depth);
    settings.changed("stochastic_depth_uniform", &network.stochastic_depth_uniform, &default.stochastic_depth_uniform);
    settings.changed("supervise_every", &network.supervise_every, &default.supervise_every);
    settings.changed("supervise_share", &network.supervise_share, &default.supervise_share);
    settings.changed("output_activation", &network.output_activation, &default.output_activation);
    settings.lines.put(network.kind == NetworkKind::Layers, "layers", layers(&network.layers, 0));
    settings.lines
}

/// A list of layers, one a line; branches indented below the layer that holds them.
fn layers(list: &[LayerRecipe], nesting: usize) -> String {
    let indent = "  ".repeat(nesting + 1);
    let lines: String = list.iter().map(|entry| format!("{indent}{},\n", layer(entry, nesting))).collect();
    format!("[\n{lines}{}]", "  ".repeat(nesting))
}

fn layer(layer: &LayerRecipe, nesting: usize) -> String {
    let list = |key: &str, list: &Option<Vec<LayerRecipe>>| {
        list.as_ref().map(|list| format!("{key} = {}", layers(list, nesting + 1)))
    };
    let parts = [
        part("linear", &layer.linear),
        part("convolution", &layer.convolution),
        part("kernel", &layer.kernel),
        part("pool", &layer.pool),
        part("size", &layer.size),
        part("stride", &layer.stride),
        part("padding", &layer.padding),
        part("flatten", &flag(layer.flatten)),
        part("recurrent", &layer.recurrent),
        part("units", &layer.units),
        part("embedding", &layer.embedding),
        part("attention", &layer.attention),
        part("qk_norm", &flag(layer.qk_norm)),
        part("logit_cap", &layer.logit_cap),
        part("causal", &flag(layer.causal)),
        part("positions", &layer.positions),
        part("dropout", &layer.dropout),
        part("stochastic_depth", &layer.stochastic_depth),
        part("init", &layer.init),
        part("hidden_init", &layer.hidden_init),
        part("forget_bias", &layer.forget_bias),
        part("activation", &layer.activation),
        part("norm", &layer.norm),
        list("residual", &layer.residual),
        list("shortcut", &layer.shortcut),
        part("scale", &layer.scale),
        part("learnable", &flag(layer.learnable)),
        part("per_channel", &flag(layer.per_channel)),
        part("gate_bias", &layer.gate_bias),
    ];
    format!("{{ {} }}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn part<T: Written>(key: &str, value: &Option<T>) -> Option<String> {
    value.as_ref().map(|value| format!("{key} = {}", value.written()))
}

/// A flag is written where it is set.
fn flag(is_set: bool) -> Option<bool> {
    is_set.then_some(true)
}

fn optimizer(optimizer: &Optimizer) -> Lines {
    let (name, default) = (optimizer.name, Optimizer::named(optimizer.name));
    let has = |setting| name.has(setting);
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
    if has("clip_update") {
        lines.changed("clip_update", &optimizer.clip_update, &default.clip_update);
    }
    if has("spike_limit") {
        lines.changed("spike_limit", &optimizer.spike_limit, &default.spike_limit);
    }
    if has("reset_every") {
        lines.changed("reset_every", &optimizer.reset_every, &default.reset_every);
    }
    if has("trust_ratio") {
        lines.changed("trust_ratio", &optimizer.trust_ratio, &default.trust_ratio);
    }
    if has("base_width") {
        lines.changed("base_width", &optimizer.base_width, &default.base_width);
    }
    if has("adjust_lr") {
        lines.put(optimizer.adjust_lr != default.adjust_lr, "adjust_lr", quoted(&optimizer.adjust_lr));
    }
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
    let has = |setting| clip.kind.settings().contains(&setting);
    lines.put(clip.kind != ClipKind::None, "kind", quoted(&clip.kind));
    lines.put(has("threshold"), "threshold", clip.threshold.written());
    lines.put(has("percentile") && clip.percentile.is_some(), "percentile", clip.percentile.written());
    lines.put(has("decay") && clip.decay.is_some(), "decay", clip.decay.written());
    lines.put(has("warm_up") && clip.warm_up.is_some(), "warm_up", clip.warm_up.written());
    lines.put(has("start") && clip.start.is_some(), "start", clip.start.written());
    lines
}

fn run(run: &Run) -> Lines {
    let default = Run::default();
    let mut lines = Lines::default();
    lines.changed("steps", &run.steps, &default.steps);
    lines.changed("seed", &run.seed, &default.seed);
    lines.put(run.precision != default.precision, "precision", quoted(&run.precision));
    lines.put(run.device != default.device, "device", quoted(&run.device));
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

impl Written for Oscillator {
    fn written(&self) -> String {
        let Self { step, stiffness, damping } = self;
        format!("{{ step = {step:?}, stiffness = {stiffness:?}, damping = {damping:?} }}")
    }
}

impl Written for OutputActivation {
    fn written(&self) -> String {
        match self {
            Self::Named(name) => quoted(name),
            Self::Elementwise(activation) => activation.written(),
        }
    }
}

impl<T: Written> Written for Option<T> {
    /// What is not there has no text: it is written where it is there and not the default.
    fn written(&self) -> String {
        self.as_ref().map_or_else(String::new, Written::written)
    }
}

macro_rules! written_by_name {
    ($($of:ty),*) => {
        $(impl Written for $of {
            fn written(&self) -> String {
                quoted(self)
            }
        })*
    };
}

written_by_name!(Block, Cell, Head, NamedScale, NetworkKind, NormKind, NormPlacement, Pooling, Positions, WeightNorm);

impl Written for String {
    fn written(&self) -> String {
        toml::Value::String(self.clone()).to_string()
    }
}

impl Written for Vec<String> {
    /// One text alone, several as a list.
    fn written(&self) -> String {
        match self.as_slice() {
            [one] => one.written(),
            many => format!("[{}]", many.iter().map(Written::written).collect::<Vec<_>>().join(", ")),
        }
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

/// A number, or one of some names.
macro_rules! number_or_name {
    ($($kind:ty),+) => {$(
        impl Written for $kind {
            fn written(&self) -> String {
                match self {
                    Self::Number(number) => number.written(),
                    Self::Named(name) => quoted(name),
                }
            }
        }
    )+};
}

number_or_name!(BranchScale, ForgetBias, Padding);
