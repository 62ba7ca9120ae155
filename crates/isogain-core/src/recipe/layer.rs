//! One entry of an explicit list of layers.

use serde::{Deserialize, Serialize};

use super::network::{Pooling, Positions};
use crate::network::{Cell, ForgetBias, NormKind};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// One entry of an explicit list of layers: exactly one of the keys of [`LayerRecipe::KINDS`], and what may stand beside
/// it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LayerRecipe {
    /// Units of a linear layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear: Option<usize>,
    /// Channels out of a convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convolution: Option<usize>,
    /// Rows and columns of a convolution's patch; 3 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Positions from one patch to the next; 1 when left out, for pooling the size of its patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Zeros around the grid of a convolution; `same` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<Padding>,
    /// How this layer's weights start, where they differ from the network's `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Initializer>,
    /// An activation; beside `recurrent = "rnn"` its phi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// A normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<NormKind>,
    /// Many positions become fewer, or one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pooling>,
    /// Rows and columns of a pooled patch; 2 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// All positions side by side.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flatten: bool,
    /// A recurrent layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<Cell>,
    /// Size of a recurrent layer's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<usize>,
    /// How the weights from state to state start; as the input weights when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_init: Option<Initializer>,
    /// How the bias of the forget gate starts (of the update gate of a GRU).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forget_bias: Option<ForgetBias>,
    /// Features of an embedding of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Heads of an attention, with its linear layers before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention: Option<usize>,
    /// Whether an attention divides queries and keys by their RMS, head by head.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub qk_norm: bool,
    /// The bound c of an attention's logits, which then go through c tanh(z / c).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_cap: Option<f64>,
    /// Whether a step of an attention sees only itself and those before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub causal: bool,
    /// `learned` beside `embedding`, `rotary` beside `attention`; none when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Share of the values set to 0 in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Share of the samples that the branch, at whose end it stands, leaves out in training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stochastic_depth: Option<f64>,
    /// The layers of a branch F in y = S(x) + scale F(x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<Vec<LayerRecipe>>,
    /// The layers of the skip S; the identity when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortcut: Option<Vec<LayerRecipe>>,
    /// Factor on that branch; 1 when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Whether that factor is trained.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub learnable: bool,
    /// Whether each channel has a trained factor of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub per_channel: bool,
    /// Where the bias of a gate T starts that shares out between x and F(x); their sum without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_bias: Option<f64>,
}

/// Zeros around a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// So many rows and columns on every side.
    Number(usize),
    /// By name.
    Named(NamedPadding),
}

/// A padding that depends on the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPadding {
    /// As many as keep the grid at stride 1; for odd kernels.
    Same,
}

/// What one entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Linear,
    Convolution,
    Activation,
    Norm,
    Pool,
    Flatten,
    Recurrent,
    Embedding,
    Attention,
    Dropout,
    StochasticDepth,
    Residual,
}

impl LayerRecipe {
    /// The keys of which each entry has exactly one.
    pub const KINDS: &str = "linear, convolution, activation, norm, pool, flatten, recurrent, embedding, attention, \
                             dropout, stochastic_depth, residual";

    /// What this entry is; `None` where it is nothing or several things.
    pub(super) fn entry(&self) -> Option<Entry> {
        let kinds = [
            (self.linear.is_some(), Entry::Linear),
            (self.convolution.is_some(), Entry::Convolution),
            (self.activation.is_some() && self.recurrent.is_none(), Entry::Activation),
            (self.norm.is_some(), Entry::Norm),
            (self.pool.is_some(), Entry::Pool),
            (self.flatten, Entry::Flatten),
            (self.recurrent.is_some(), Entry::Recurrent),
            (self.embedding.is_some(), Entry::Embedding),
            (self.attention.is_some(), Entry::Attention),
            (self.dropout.is_some(), Entry::Dropout),
            (self.stochastic_depth.is_some(), Entry::StochasticDepth),
            (self.residual.is_some(), Entry::Residual),
        ];
        let mut found = kinds.into_iter().filter(|(is, _)| *is).map(|(_, entry)| entry);
        found.next().filter(|_| found.next().is_none())
    }

    /// What stands beside an entry's kind without effect: its key, and beside what it would have one.
    pub(super) fn idle(&self) -> Option<(&'static str, &'static str)> {
        use Entry::{Attention, Convolution, Embedding, Linear, Pool, Recurrent, Residual};
        let entry = self.entry();
        let is = |kinds: &[Entry]| entry.is_some_and(|entry| kinds.contains(&entry));
        let over_patches = matches!(self.pool, Some(Pooling::Max | Pooling::Average));
        let is_gated = matches!(self.recurrent, Some(Cell::Lstm | Cell::Gru));
        let weighted = "linear, convolution, recurrent, embedding or attention";
        let adds = is(&[Residual]) && self.gate_bias.is_none();
        let adding = if is(&[Residual]) { "residual without gate_bias" } else { "residual" };
        [
            ("init", self.init.is_some(), is(&[Linear, Convolution, Recurrent, Embedding, Attention]), weighted),
            ("kernel", self.kernel.is_some(), is(&[Convolution]), "convolution"),
            ("padding", self.padding.is_some(), is(&[Convolution]), "convolution"),
            (
                "stride",
                self.stride.is_some(),
                is(&[Convolution]) || over_patches,
                "convolution or pool = \"max\" or \"average\"",
            ),
            ("size", self.size.is_some(), is(&[Pool]) && over_patches, "pool = \"max\" or \"average\""),
            ("units", self.units.is_some(), is(&[Recurrent]), "recurrent"),
            ("hidden_init", self.hidden_init.is_some(), is(&[Recurrent]), "recurrent"),
            (
                "activation",
                self.activation.is_some() && self.recurrent.is_some(),
                !is_gated,
                "recurrent = \"rnn\": gates have activations of their own",
            ),
            (
                "forget_bias",
                self.forget_bias.is_some(),
                is(&[Recurrent]) && is_gated,
                "recurrent = \"lstm\" or \"gru\"",
            ),
            ("qk_norm", self.qk_norm, is(&[Attention]), "attention"),
            ("logit_cap", self.logit_cap.is_some(), is(&[Attention]), "attention"),
            ("causal", self.causal, is(&[Attention]), "attention"),
            ("positions", self.positions.is_some(), is(&[Embedding, Attention]), "embedding or attention"),
            ("gate_bias", self.gate_bias.is_some(), is(&[Residual]), "residual"),
            ("shortcut", self.shortcut.is_some(), adds, adding),
            ("scale", self.scale.is_some(), adds, adding),
            ("learnable", self.learnable, adds, adding),
            ("per_channel", self.per_channel, is(&[Residual]) && self.learnable, "residual with learnable = true"),
        ]
        .into_iter()
        .find_map(|(key, is_set, has_effect, beside)| (is_set && !has_effect).then_some((key, beside)))
    }

    /// Zeros on every side of the grid of a convolution.
    pub(super) fn padded(&self) -> usize {
        match self.padding {
            Some(Padding::Number(number)) => number,
            Some(Padding::Named(NamedPadding::Same)) | None => self.kernel.unwrap_or(3) / 2,
        }
    }

    /// Features that come out for `features` that go in, where that is known without the data.
    pub(super) fn features_out(&self, features: Option<usize>) -> Option<usize> {
        match self.entry()? {
            Entry::Linear => self.linear,
            Entry::Convolution => self.convolution,
            Entry::Recurrent => self.units,
            Entry::Embedding => self.embedding,
            Entry::Flatten => None,
            Entry::Residual => features.filter(|_| self.shortcut.is_none()),
            Entry::Activation
            | Entry::Norm
            | Entry::Pool
            | Entry::Attention
            | Entry::Dropout
            | Entry::StochasticDepth => features,
        }
    }
}
