//! Operations one after the other, each made to fit what comes out of the one before.

use super::Inputs;
use crate::network::{
    Attention, AuxiliaryHead, Convolution, Dropout, Embedding, Flatten, Linear, Norm, NormKind, Op, OpKind, Pool,
    PoolKind, QkNorm, Residual, Shape, Window,
};
use crate::recipe::error::RecipeError;
use crate::recipe::network::NamedOutput;
use crate::recipe::{Head, NetworkRecipe, OutputActivation};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

/// A growing list of operations and the shape that comes out of it.
pub(super) struct Chain<'n> {
    pub(super) net: &'n NetworkRecipe,
    pub(super) shape: Shape,
    pub(super) ops: Vec<Op>,
    /// Whether what comes in are the units of an activation, in their order.
    begins_with_units: bool,
}

/// How a residual branch meets its input: added with a factor, through a gate whose bias starts at this, or side by side.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    pub(super) start: f64,
    pub(super) learnable: bool,
    pub(super) per_channel: bool,
    pub(super) gate_bias: Option<f64>,
    pub(super) concatenates: bool,
}

impl Factor {
    /// As the network has it, starting at `start`.
    pub(super) fn of(net: &NetworkRecipe, start: f64) -> Self {
        let (learnable, per_channel) = (net.learnable_scale, net.scale_per_channel);
        Self { start, learnable, per_channel, gate_bias: net.gate_bias, concatenates: net.growth.is_some() }
    }
}

/// An attention without what follows from its input.
#[derive(Clone, Copy)]
pub(super) struct Attending {
    pub(super) heads: usize,
    pub(super) causal: bool,
    pub(super) rotary: bool,
    pub(super) logit_cap: Option<f64>,
}

/// A square patch, the steps between patches, the zeros around the grid.
#[derive(Clone, Copy)]
pub(super) struct Patch {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

impl<'n> Chain<'n> {
    pub(super) fn new(net: &'n NetworkRecipe, shape: &Shape) -> Self {
        Self { net, shape: shape.clone(), ops: Vec::new(), begins_with_units: false }
    }

    /// A chain that begins where this one ends: a branch.
    pub(super) fn fork(&self) -> Self {
        Self::new(self.net, &self.shape)
    }

    pub(super) fn push(&mut self, name: impl Into<String>, kind: OpKind) {
        self.ops.push(Op { name: name.into(), kind });
    }

    /// A hidden layer.
    pub(super) fn linear(&mut self, name: impl Into<String>, units: usize, init: Initializer, activation: Activation) {
        let linear = Linear::new(self.shape.features, units, self.fitted(init), activation);
        self.push_linear(name, Linear { weight_norm: self.net.weight_norm, ..linear });
    }

    /// A layer in front of an attention or behind it, whose weights are computed from others in one way alone
    /// (sigma-Reparam).
    pub(super) fn attention_linear(
        &mut self,
        name: impl Into<String>,
        units: usize,
        init: Initializer,
        activation: Activation,
    ) {
        let weight_norm = self.net.weight_norm.filter(|norm| *norm == WeightNorm::Spectral);
        let linear = Linear::new(self.shape.features, units, self.fitted(init), activation);
        self.push_linear(name, Linear { weight_norm, ..linear });
    }

    /// A layer whose weights are trained themselves, whatever the hidden ones do.
    pub(super) fn bare_linear(
        &mut self,
        name: impl Into<String>,
        units: usize,
        init: Initializer,
        activation: Activation,
    ) {
        let init = self.fitted(init);
        self.push_linear(name, Linear::new(self.shape.features, units, init, activation));
    }

    pub(super) fn push_linear(&mut self, name: impl Into<String>, linear: Linear) {
        self.shape.features = linear.fan_out;
        self.push(name, OpKind::Linear(linear));
    }

    /// The initialiser for a layer here.
    fn fitted(&self, init: Initializer) -> Initializer {
        if self.ends_with_units() { init } else { init.reading_no_pairs() }
    }

    /// Whether pairs of units are those of an activation: nothing but means, norms, dropout and auxiliary heads came after it.
    fn ends_with_units(&self) -> bool {
        let keeps_pairs = |op: &&Op| match &op.kind {
            OpKind::Norm(_) | OpKind::Dropout(_) | OpKind::AuxiliaryHead(_) => true,
            OpKind::Pool(pool) => pool.pool != PoolKind::Max,
            _ => false,
        };
        let last = self.ops.iter().rev().find(|op| !keeps_pairs(op));
        let is_activation = |op: &Op| matches!(op.kind, OpKind::Activation { .. } | OpKind::Recurrent(_));
        last.map_or(self.begins_with_units, is_activation)
    }

    /// A convolution; `key` is the one to blame where it does not fit.
    pub(super) fn convolution(
        &mut self,
        name: impl Into<String>,
        key: &str,
        channels: usize,
        patch: Patch,
        (init, activation): (Initializer, Activation),
    ) -> Result<(), RecipeError> {
        let window = self.window(key, patch)?;
        let init = self.fitted(init);
        let linear = Linear::new(window.taps() * self.shape.features, channels, init, activation);
        let linear = Linear { weight_norm: self.net.weight_norm, ..linear };
        self.move_over(window);
        self.shape.features = channels;
        self.push(name, OpKind::Convolution(Convolution { linear, window: Some(window) }));
        Ok(())
    }

    /// Pooling of patches; `key` is the one to blame where it does not fit.
    pub(super) fn pool(
        &mut self,
        name: impl Into<String>,
        key: &str,
        pool: PoolKind,
        patch: Patch,
    ) -> Result<(), RecipeError> {
        let window = self.window(key, patch)?;
        let positions = self.shape.positions();
        self.move_over(window);
        self.push(name, OpKind::Pool(Pool { pool, window: Some(window), positions }));
        Ok(())
    }

    /// All positions become one.
    pub(super) fn pool_all(&mut self, name: impl Into<String>, pool: PoolKind) {
        let positions = self.shape.positions();
        self.shape.grid.clear();
        self.push(name, OpKind::Pool(Pool { pool, window: None, positions }));
    }

    pub(super) fn flatten(&mut self, name: impl Into<String>) {
        let positions = self.shape.positions();
        self.shape = Shape::vector(self.shape.values());
        self.push(name, OpKind::Flatten(Flatten { positions }));
    }

    pub(super) fn activation(&mut self, name: impl Into<String>, activation: Activation) {
        self.push(name, OpKind::Activation { activation });
    }

    pub(super) fn norm(&mut self, name: impl Into<String>, kind: NormKind) {
        let groups = if kind == NormKind::Group { self.net.norm_groups } else { 0 };
        let ramp = if kind == NormKind::BatchRenorm { self.net.norm_ramp } else { 0 };
        let ghost = self.net.ghost_batch.filter(|_| kind == NormKind::Batch).unwrap_or(0);
        let norm = Norm { groups, ramp, ghost, ..Norm::new(kind, self.shape.features, self.net.norm_eps) };
        self.push(name, OpKind::Norm(norm));
    }

    /// The network's norm, if it has one.
    pub(super) fn own_norm(&mut self, name: impl Into<String>) {
        if let Some(kind) = self.net.norm {
            self.norm(name, kind);
        }
    }

    /// Dropout, if the network has it.
    pub(super) fn own_dropout(&mut self, name: impl Into<String>) {
        let fraction = self.net.dropout;
        if fraction > 0.0 {
            self.push(name, OpKind::Dropout(Dropout { fraction }));
        }
    }

    /// Stochastic depth at the end of branch `number` of `branches`, if the network has it.
    pub(super) fn own_stochastic_depth(&mut self, name: impl Into<String>, number: usize, branches: usize) {
        let depth = if self.net.stochastic_depth_uniform { 1.0 } else { number as f64 / branches as f64 };
        let fraction = self.net.stochastic_depth * depth;
        if fraction > 0.0 {
            self.push(name, OpKind::StochasticDepth(Dropout { fraction }));
        }
    }

    pub(super) fn embedding(
        &mut self,
        name: impl Into<String>,
        vocabulary: usize,
        features: usize,
        positions: bool,
        init: Initializer,
    ) {
        let init = init.reading_no_pairs();
        let embedding = Embedding { vocabulary, features, steps: self.shape.positions(), positions, init };
        self.shape.features = features;
        self.push(name, OpKind::Embedding(embedding));
    }

    /// RMS norm of queries and keys, in front of their attention.
    pub(super) fn qk_norm(&mut self, name: impl Into<String>, heads: usize) {
        let norm = QkNorm { features: self.shape.features / 3, heads, eps: self.net.norm_eps };
        self.push(name, OpKind::QkNorm(norm));
    }

    /// Attention over queries, keys and values side by side.
    pub(super) fn attention(&mut self, name: impl Into<String>, attending: Attending) {
        self.shape.features /= 3;
        let (features, steps) = (self.shape.features, self.shape.positions());
        let Attending { heads, causal, rotary, logit_cap } = attending;
        self.push(name, OpKind::Attention(Attention { features, heads, steps, causal, rotary, logit_cap }));
    }

    /// `S(x) + scale F(x)`, or a gate's share of each, or both.
    pub(super) fn residual(&mut self, name: impl Into<String>, branch: Self, shortcut: Vec<Op>, factor: Factor) {
        let name = name.into();
        let gate = factor.gate_bias.map(|bias| self.gate(format!("{name}.gate"), bias));
        let read = if factor.concatenates { self.shape.features } else { 0 };
        self.shape = branch.shape;
        self.shape.features += read;
        let channels = if factor.per_channel { self.shape.features } else { 0 };
        let residual = Residual::new(branch.ops, factor.start, factor.learnable);
        let (gate, concatenates) = (gate.into_iter().collect(), factor.concatenates);
        self.push(name, OpKind::Residual(Residual { shortcut, channels, gate, concatenates, ..residual }));
    }

    /// The layer under a gate. Its weights start by Glorot's rule whatever the others do: theirs may need data, pairs of units or
    /// an activation that a sigmoid is not.
    fn gate(&self, name: String, bias: f64) -> Op {
        let width = self.shape.features;
        let layer = Linear::new(width, width, Initializer::glorot_normal(), Activation::linear());
        Op { name, kind: OpKind::Linear(Linear { first_bias: Some(bias), ..layer }) }
    }

    /// The auxiliary head behind hidden layer `layer`, if the network has one there: it reads the mean over positions, and is
    /// otherwise like the last one.
    pub(super) fn own_auxiliary_head(&mut self, layer: usize, outputs: usize) {
        let Some(every) = self.net.supervise_every else { return };
        if layer == self.net.depth || !layer.is_multiple_of(every) {
            return;
        }
        let name = format!("aux{layer}");
        let mut head = Self { begins_with_units: self.ends_with_units(), ..self.fork() };
        if !head.shape.grid.is_empty() {
            head.pool_all(format!("{name}.mean"), PoolKind::Average);
        }
        let head = head.head(&format!("{name}."), outputs, None);
        self.push(name, OpKind::AuxiliaryHead(AuxiliaryHead { head, share: self.net.supervise_share }));
    }

    /// What the head reads, the head, and what follows it.
    pub(super) fn finish(mut self, read: Head, outputs: usize, tied: Option<String>) -> Vec<Op> {
        match read {
            Head::Mean => self.pool_all("mean", PoolKind::Average),
            Head::Last => self.pool_all("last", PoolKind::Last),
            Head::Flatten => self.flatten("flatten"),
            Head::Every => {}
        }
        self.head("", outputs, tied)
    }

    /// The head, and what follows it; `prefix` comes before their names.
    pub(super) fn head(mut self, prefix: &str, outputs: usize, tied: Option<String>) -> Vec<Op> {
        let init = self.net.head_init.unwrap_or(self.net.init);
        let head = Linear::new(self.shape.features, outputs, self.fitted(init), Activation::linear());
        self.push_linear(format!("{prefix}head"), Linear { tied, ..head });
        let output = format!("{prefix}output");
        match self.net.output_activation {
            Some(OutputActivation::Named(NamedOutput::Softmax)) => self.push(output, OpKind::Softmax),
            Some(OutputActivation::Elementwise(activation)) => self.activation(output, activation),
            None => {}
        }
        self.ops
    }

    /// The patches of this shape's grid.
    fn window(&self, key: &str, patch: Patch) -> Result<Window, RecipeError> {
        let Patch { size, stride, padding } = patch;
        let dilation = Window::of_neighbours();
        let window = match *self.shape.grid.as_slice() {
            [steps] => {
                Window { grid: [1, steps], size: [1, size], stride: [1, stride], padding: [0, padding], dilation }
            }
            [height, width] => {
                Window { grid: [height, width], size: [size; 2], stride: [stride; 2], padding: [padding; 2], dilation }
            }
            _ => {
                let expected =
                    format!("needs images or sequences, but gets plain vectors of {} numbers", self.shape.features);
                return Err(RecipeError::missing(key, expected));
            }
        };
        if window.output().contains(&0) {
            let grid = self.shape.grid.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
            let expected = format!("patches of {size} do not fit into the {grid} positions that are left");
            return Err(RecipeError::missing(key, expected));
        }
        Ok(window)
    }

    fn move_over(&mut self, window: Window) {
        let output = window.output();
        self.shape.grid = output[2 - self.shape.grid.len()..].to_vec();
    }
}

/// How the table of an embedding starts: one token is read at a time, so that its rows are features, not weights of a sum.
pub(super) fn embedding_init(init: Initializer) -> Initializer {
    if init.name() == "fixed-variance" {
        return init;
    }
    let unit = Initializer::named("fixed-variance").and_then(|fixed| fixed.with_parameter("std", 1.0));
    unit.unwrap_or(init)
}

/// Begins a chain, with an embedding where the inputs are tokens, `factor` times as large as usual.
pub(super) fn begin<'n>(net: &'n NetworkRecipe, inputs: &Inputs, positions: bool, factor: f64) -> Chain<'n> {
    let mut chain = Chain::new(net, &inputs.shape);
    if let Some(vocabulary) = inputs.vocabulary {
        let init = embedding_init(net.init);
        chain.embedding("embedding", vocabulary, net.width, positions, init.scaled(factor).unwrap_or(init));
    }
    chain
}
