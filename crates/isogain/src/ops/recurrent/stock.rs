//! The recurrences put together from Burn's own operations, one step after the other.

use burn::tensor::{Tensor, activation as burn_activation};

use isogain_core::network::{Cell, Oscillator, Recurrent};
use isogain_core::record::Detail;

use super::super::activation::stock as phi;
use super::super::site::Site;
use super::super::stock::{row, tanh, to_processor};
use super::watched::Gates;
use super::{Gru, Lstm, Rnn, Sizes};

/// As [`super::recurrent`].
pub(super) fn recurrent(
    x: Tensor<2>,
    layer: &Recurrent,
    [weight, hidden_weight]: [Tensor<2>; 2],
    [bias, hidden_bias]: [Tensor<1>; 2],
    site: &Site,
) -> Tensor<2> {
    let steps = Steps::new(x.matmul(weight) + row(bias), layer, site);
    let units = layer.units;
    let part = |gates: &Tensor<2>, index: usize| gates.clone().narrow(1, index * units, units);
    let mut h = steps.zeros(units);
    let mut c = h.clone();
    steps.run(|brought| {
        let hidden = h.clone().matmul(hidden_weight.clone()) + row(hidden_bias.clone());
        let kept = match layer.cell {
            Cell::Rnn => {
                let z = brought + hidden;
                let next = phi(layer.activation, z.clone());
                h = match layer.antisymmetric_step {
                    Some(step) => h.clone() + next * step,
                    None => next,
                };
                z
            }
            Cell::Lstm => {
                let z = brought + hidden;
                let [input, forget, output] = [0, 1, 3].map(|gate| burn_activation::sigmoid(part(&z, gate)));
                let candidate = tanh(part(&z, 2));
                c = forget.clone() * c.clone() + input.clone() * candidate.clone();
                h = output.clone() * tanh(c.clone());
                Tensor::cat(vec![input, forget, candidate, output], 1)
            }
            Cell::Gru => {
                let [reset, update] =
                    [0, 1].map(|gate| burn_activation::sigmoid(part(&brought, gate) + part(&hidden, gate)));
                let candidate = tanh(part(&brought, 2) + reset.clone() * part(&hidden, 2));
                h = candidate.clone() + update.clone() * (h.clone() - candidate.clone());
                Tensor::cat(vec![reset, update, candidate], 1)
            }
        };
        (h.clone(), kept)
    })
}

/// As [`super::diagonal_recurrent`].
pub(super) fn diagonal(
    x: Tensor<2>,
    layer: &Recurrent,
    weight: Tensor<2>,
    [bias, log_decay]: [Tensor<1>; 2],
    site: &Site,
) -> Tensor<2> {
    let steps = Steps::new(x.matmul(weight) + row(bias), layer, site);
    let decay = row(log_decay).exp();
    let kept = (-decay.clone()).exp();
    // 1 - e^(-2 d) without the difference of nearly equal numbers.
    let tanh = decay.tanh();
    let gain = (tanh.clone() * 2.0 / (tanh + 1.0)).sqrt();
    let mut h = steps.zeros(layer.units);
    steps.run(|z| {
        h = h.clone() * kept.clone() + phi(layer.activation, z.clone()) * gain.clone();
        (h.clone(), z)
    })
}

/// As [`super::oscillating`].
pub(super) fn oscillating(
    x: Tensor<2>,
    layer: &Recurrent,
    Oscillator { step, stiffness, damping }: Oscillator,
    [weight, hidden_weight]: [Tensor<2>; 2],
    bias: Tensor<1>,
    site: &Site,
) -> Tensor<2> {
    let steps = Steps::new(x.matmul(weight) + row(bias), layer, site);
    let mut y = steps.zeros(layer.units);
    let mut z = y.clone();
    steps.run(|brought| {
        let read = brought + Tensor::cat(vec![y.clone(), z.clone()], 1).matmul(hidden_weight.clone());
        let pushed = phi(layer.activation, read.clone());
        z = z.clone() + (pushed - y.clone() * stiffness - z.clone() * damping) * step;
        y = y.clone() + z.clone() * step;
        (y.clone(), read)
    })
}

/// What the input brings to each step.
struct Steps<'a> {
    /// `[batch, steps, width]`.
    brought: Tensor<3>,
    layer: &'a Recurrent,
    site: &'a Site,
}

impl<'a> Steps<'a> {
    /// Of rows `[batch x steps, width]`.
    fn new(brought: Tensor<2>, layer: &'a Recurrent, site: &'a Site) -> Self {
        let [rows, width] = brought.dims();
        Self { brought: brought.reshape([rows / layer.steps, layer.steps, width]), layer, site }
    }

    /// The state before the first step.
    fn zeros(&self, units: usize) -> Tensor<2> {
        let [batch, ..] = self.brought.dims();
        Tensor::zeros([batch, units], (&self.brought.device(), self.brought.dtype()))
    }

    /// Goes from step to step. Each hands out its state, and what tells where its gates stand; gives the states
    /// `[batch x steps, units]`.
    fn run(self, mut step: impl FnMut(Tensor<2>) -> (Tensor<2>, Tensor<2>)) -> Tensor<2> {
        let [batch, count, width] = self.brought.dims();
        let (mut states, mut gates) = (Vec::with_capacity(count), Vec::new());
        for at in 0..count {
            let (state, kept) = step(self.brought.clone().narrow(1, at, 1).reshape([batch, width]));
            states.push(state);
            if self.site.is_watched() {
                gates.push(kept.inner());
            }
        }
        if !gates.is_empty() {
            self.tell(&to_processor(Tensor::cat(gates, 0)));
        }
        Tensor::stack::<3>(states, 1).reshape([batch * count, self.layer.units])
    }

    /// Hands out where the gates stand.
    fn tell(&self, gates: &[f64]) {
        let Recurrent { cell, units, steps, activation, .. } = *self.layer;
        let [batch, _, width] = self.brought.dims();
        let sizes = Sizes { batch, steps, inputs: 0, units, width, cells: 0, hidden: 0 };
        let mut standing = Gates::new(cell);
        match cell {
            Cell::Rnn => standing.add(&Rnn { activation, antisymmetric_step: None }, sizes, gates),
            Cell::Lstm => standing.add(&Lstm, sizes, gates),
            Cell::Gru => standing.add(&Gru, sizes, gates),
        }
        self.site.detail(Detail::Gates(standing.records(cell)));
    }
}
