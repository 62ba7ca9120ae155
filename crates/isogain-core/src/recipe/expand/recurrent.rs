//! Recurrent layers, one on the other. Images are read position by position, row by row.

use super::Inputs;
use super::chain::{Chain, begin};
use crate::network::{Cell, ForgetBias, Op, OpKind, Oscillator, Recurrent};
use crate::recipe::error::RecipeError;
use crate::recipe::{NetworkKind, NetworkRecipe};
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;
use crate::weight_norm::WeightNorm;

pub(super) fn ops(net: &NetworkRecipe, inputs: &Inputs, outputs: usize) -> Result<Vec<Op>, RecipeError> {
    let (cell, name) = match net.kind {
        NetworkKind::Lstm => (Cell::Lstm, "lstm"),
        NetworkKind::Gru => (Cell::Gru, "gru"),
        _ => (Cell::Rnn, "rnn"),
    };
    let mut chain = begin(net, inputs, false, 1.0);
    let layers = Layers {
        cell,
        units: net.width,
        init: net.init,
        hidden_init: net.hidden_init(),
        activation: net.activation,
        forget_bias: net.forget_bias,
        vanishing_penalty: net.vanishing_penalty,
        antisymmetric_step: net.antisymmetric_step,
        diagonal: net.diagonal,
        oscillator: net.oscillator,
    };
    for layer in 1..=net.depth {
        layers.append(&mut chain, format!("{name}{layer}"), "network.forget_bias")?;
        chain.own_dropout(format!("dropout{layer}"));
    }
    Ok(chain.finish(net.head(), outputs, None))
}

/// A recurrent layer without what follows from its input.
#[derive(Clone, Copy)]
pub(super) struct Layers {
    pub(super) cell: Cell,
    pub(super) units: usize,
    pub(super) init: Initializer,
    pub(super) hidden_init: Initializer,
    pub(super) activation: Activation,
    pub(super) forget_bias: Option<ForgetBias>,
    pub(super) vanishing_penalty: Option<f64>,
    pub(super) antisymmetric_step: Option<f64>,
    pub(super) diagonal: bool,
    pub(super) oscillator: Option<Oscillator>,
}

impl Layers {
    /// Appends one of them; `key` is that of the forget bias.
    pub(super) fn append(&self, chain: &mut Chain<'_>, name: String, key: &str) -> Result<(), RecipeError> {
        let Self { cell, units, init, hidden_init, activation, .. } = *self;
        let Self { forget_bias, vanishing_penalty, antisymmetric_step, diagonal, oscillator, .. } = *self;
        let (inputs, steps) = (chain.shape.features, chain.shape.positions());
        if steps < 3 && matches!(forget_bias, Some(ForgetBias::Named(_))) {
            let expected = format!("draws memories from 1 to steps - 1: needs 3 steps or more, the data has {steps}");
            return Err(RecipeError::value(key, "\"chrono\"", expected));
        }
        chain.shape.features = units;
        let forget_bias = forget_bias.filter(|_| cell != Cell::Rnn);
        let vanishing_penalty = vanishing_penalty.filter(|_| cell == Cell::Rnn);
        let antisymmetric_step = antisymmetric_step.filter(|_| cell == Cell::Rnn);
        let diagonal = diagonal && cell == Cell::Rnn;
        let oscillator = oscillator.filter(|_| cell == Cell::Rnn);
        let init = init.reading_no_pairs();
        let orthogonal = chain.net.weight_norm == Some(WeightNorm::Orthogonal);
        let layer = Recurrent {
            cell,
            inputs,
            units,
            steps,
            init,
            hidden_init,
            activation,
            forget_bias,
            vanishing_penalty,
            antisymmetric_step,
            diagonal,
            oscillator,
            orthogonal,
        };
        chain.push(name, OpKind::Recurrent(layer));
        Ok(())
    }
}
