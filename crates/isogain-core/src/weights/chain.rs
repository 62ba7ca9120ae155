//! The layers as one chain, as far as names and shapes allow it: what it would do to a gradient on its way back.

use serde::Serialize;

use super::LayerRecord;
use super::names;
use super::plan::Plan;

/// Fewer layers between the first and the last one make no chain worth the word.
const FEWEST: usize = 3;

/// What the layers between the first and the last one would do to the gradient if they followed one another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chain {
    /// First and last of these layers.
    pub layers: [String; 2],
    /// How many they are.
    pub count: usize,
    /// ln of the factor by the matrices alone.
    pub log_gain: f64,
    /// The same with ReLU between them.
    pub log_gain_relu: f64,
    /// The same with tanh at pre-activations of variance 1.
    pub log_gain_tanh: f64,
    /// Whether names speak of residual blocks, around which a gradient passes.
    pub has_blocks: bool,
}

impl Chain {
    /// `None` unless each layer reads what the one before it returns.
    pub(super) fn of(layers: &[LayerRecord], plan: &Plan) -> Option<Self> {
        let inner = layers.get(1..layers.len().checked_sub(1)?)?;
        if inner.len() < FEWEST || plan.has_tables() || layers.iter().any(|layer| names::is_recurrent(&layer.name)) {
            return None;
        }
        let fits = |pair: &[LayerRecord]| {
            // A flattened image has as many inputs as the channels before it, times positions.
            plan.fans(&pair[1].name).is_some_and(|next| next.inputs.is_multiple_of(pair[0].units))
        };
        if !layers.windows(2).all(fits) {
            return None;
        }
        let scales = inner.iter().map(|layer| layer.scale.as_ref()).collect::<Option<Vec<_>>>()?;
        Some(Self {
            layers: [inner.first()?.name.clone(), inner.last()?.name.clone()],
            count: inner.len(),
            log_gain: scales.iter().map(|scale| scale.log_gain).sum(),
            log_gain_relu: scales.iter().map(|scale| scale.log_gain_relu).sum(),
            log_gain_tanh: scales.iter().map(|scale| scale.log_gain_tanh).sum(),
            has_blocks: layers.iter().any(|layer| names::is_in_block(&layer.name)),
        })
    }
}
