//! Recurrent layers with back-propagation through time written out. A step's gates are one small matrix, which is made from
//! input and state, read and put away while it is in the cache; gradients of weights grow some steps at a time. Where no
//! weights go from state to state, `diagonal` has less to do; `oscillators` have a second state that weights read too.

mod diagonal;
mod gru;
mod lstm;
mod oscillators;
mod penalty;
mod rnn;
mod stock;
#[cfg(test)]
mod tests;
mod watched;

use burn::tensor::Tensor;

use isogain_core::network::{Cell, Recurrent};
use isogain_core::record::Detail;

use super::buffer::{Buffer, Real, by_type, extent, filled, primitive, vectorised};
use super::linear::AddRows;
use super::matmul::{Factor, Matrix, add_product, multiply_into, multiply_plus};
use super::site::Site;
use super::tape::{Pull, apply};
use super::workspace::Workspace;
pub(crate) use diagonal::diagonal_recurrent;
use gru::Gru;
use lstm::Lstm;
pub(crate) use oscillators::oscillating;
use penalty::Penalty;
use rnn::Rnn;
use watched::{Gates, Watched};

/// States `[batch x steps, units]` of inputs `[batch x steps, inputs]`, from a state of zeros. `weights` are those of the
/// input `[inputs, gates x units]` and of the state `[units, gates x units]`, `biases` belong to each; their gradients
/// leave through the site.
pub(crate) fn recurrent(
    x: Tensor<2>,
    layer: &Recurrent,
    weights: [Tensor<2>; 2],
    biases: [Tensor<1>; 2],
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock::recurrent(x, layer, weights, biases, &site));
    }
    let parameters = Parameters { weights: weights.map(primitive), biases: biases.map(primitive) };
    let (layer, here) = (layer.clone(), site.clone());
    apply(x, site, move |x| match layer.cell {
        Cell::Rnn => by_type!(x, forward_rnn(x, layer, parameters, here)),
        Cell::Lstm => by_type!(x, forward_lstm(x, layer, parameters, here)),
        Cell::Gru => by_type!(x, forward_gru(x, layer, parameters, here)),
    })
}

fn forward_rnn<T: Real>(x: Buffer, layer: Recurrent, parameters: Parameters, site: Site) -> (Buffer, Pull) {
    let Recurrent { activation, antisymmetric_step, .. } = layer;
    forward::<T, _>(Rnn { activation, antisymmetric_step }, x, layer, parameters, site)
}

fn forward_lstm<T: Real>(x: Buffer, layer: Recurrent, parameters: Parameters, site: Site) -> (Buffer, Pull) {
    forward::<T, _>(Lstm, x, layer, parameters, site)
}

fn forward_gru<T: Real>(x: Buffer, layer: Recurrent, parameters: Parameters, site: Site) -> (Buffer, Pull) {
    forward::<T, _>(Gru, x, layer, parameters, site)
}

struct Parameters {
    weights: [Buffer; 2],
    biases: [Buffer; 2],
}

/// One step of a recurrence, one sample after the other: slices hold `[batch, ...]`, row-major.
trait Step<T: Real>: Send + Sync + 'static {
    /// Whether there is a second state, the cell.
    const HAS_CELL: bool;
    /// Whether every gate reads the sum of what input and state bring: then `gates` holds it, and `hidden` is empty.
    const SUMS: bool;

    /// From what the input (`gates`) and the state (`hidden`) bring to the gates `[batch, gates x units]` to the next
    /// state and cell `[batch, units]`. What the way back needs stays in both.
    fn forward(&self, units: usize, gates: &mut [T], hidden: &[T], before: State<'_, T>, after: StateMut<'_, T>);

    /// From the cotangents of the next state and cell to those of what input and state bring to the gates (in `brought`),
    /// and to what goes straight to the state and the cell before (in `carry`, which has the cell's cotangent already).
    fn backward(
        &self,
        units: usize,
        kept: Brought<&[T]>,
        states: [State<'_, T>; 2],
        slopes: &[T],
        brought: Brought<&mut [T]>,
        carry: StateMut<'_, T>,
    );

    /// Value and slope of a gate, from what [`Step::forward`] left: the value itself, a sigmoid but for the candidate.
    #[inline(always)]
    fn gate(&self, gate: usize, kept: T) -> (T, T) {
        let one = T::of(1.0);
        (kept, if gate == CANDIDATE { one - kept * kept } else { kept * (one - kept) })
    }
}

/// Place of the candidate, a tanh, among the gates of LSTM and GRU.
const CANDIDATE: usize = 2;

/// What input and state bring to the gates, or the cotangents of that.
struct Brought<S> {
    gates: S,
    hidden: S,
}

/// A state and, of an LSTM, its cell; empty otherwise.
#[derive(Clone, Copy)]
struct State<'a, T> {
    h: &'a [T],
    c: &'a [T],
}

struct StateMut<'a, T> {
    h: &'a mut [T],
    c: &'a mut [T],
}

/// What a pass keeps, step after step.
struct Kept<T: Real> {
    /// Inputs `[steps, batch, inputs]`.
    x: Workspace<T>,
    /// States `[steps + 1, batch, units]`, zeros first.
    h: Workspace<T>,
    /// Cells, likewise; empty without.
    c: Workspace<T>,
    /// `[steps, batch, gates x units]`.
    gates: Workspace<T>,
    hidden: Workspace<T>,
}

/// Sizes of one layer on one batch.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    steps: usize,
    inputs: usize,
    units: usize,
    /// Width of all gates together.
    width: usize,
    /// Values of the second state; 0 without.
    cells: usize,
    /// Values of one step in `hidden`; 0 where gates read the sum.
    hidden: usize,
}

/// Rows that make an addition to a weight's gradient worth reading and writing all of it.
const ENOUGH_ROWS: usize = 64;

impl Sizes {
    fn state(self) -> usize {
        self.batch * self.units
    }

    fn gates(self) -> usize {
        self.batch * self.width
    }

    /// Steps after which the gradients of weights are added to.
    fn together(self) -> usize {
        ENOUGH_ROWS.div_ceil(self.batch.max(1)).min(self.steps)
    }

    /// Some steps of what is kept for each step and sample.
    fn step<T>(self, values: &[T], at: usize, steps: usize, width: usize) -> &[T] {
        &values[at * self.batch * width..][..steps * self.batch * width]
    }

    /// A row of one step for each sample, out of one for each sample and step.
    fn read<T: Copy>(self, rows: &[T], at: usize, step: &mut [T], width: usize) {
        let samples = rows.chunks_exact(self.steps * width);
        step.chunks_exact_mut(width).zip(samples).for_each(|(row, sample)| {
            row.copy_from_slice(&sample[at * width..][..width]);
        });
    }

    /// The other way round.
    fn write<T: Copy>(self, rows: &mut [T], at: usize, step: &[T], width: usize) {
        let samples = rows.chunks_exact_mut(self.steps * width);
        step.chunks_exact(width).zip(samples).for_each(|(row, sample)| {
            sample[at * width..][..width].copy_from_slice(row);
        });
    }
}

fn forward<T: Real, S: Step<T>>(
    step: S,
    x: Buffer,
    layer: Recurrent,
    parameters: Parameters,
    site: Site,
) -> (Buffer, Pull) {
    let (rows, inputs) = extent(&x);
    let [mut bias, hidden_bias] = parameters.biases.each_ref().map(|bias| T::read(bias).to_vec());
    if S::SUMS {
        bias.iter_mut().zip(&hidden_bias).for_each(|(bias, &hidden)| *bias += hidden);
    }
    let (batch, units, width) = (rows / layer.steps, layer.units, bias.len());
    let [weight, hidden_weight] =
        parameters.weights.each_ref().map(|weight| Factor::new(Matrix::<T>::of(weight), batch));
    let cells = if S::HAS_CELL { batch * units } else { 0 };
    let hidden = if S::SUMS { 0 } else { batch * width };
    let sizes = Sizes { batch, steps: layer.steps, inputs, units, width, cells, hidden };
    let mut kept = Kept {
        x: Workspace::new(rows * inputs),
        h: Workspace::new((sizes.steps + 1) * sizes.state()),
        c: Workspace::new((sizes.steps + 1) * cells),
        gates: Workspace::new(rows * width),
        hidden: Workspace::new(sizes.steps * hidden),
    };
    kept.h[..sizes.state()].fill(T::default());
    kept.c[..cells].fill(T::default());
    let mut output = vec![T::default(); rows * units];
    let mut standing = site.is_watched().then(|| Gates::new(layer.cell));
    for at in 0..sizes.steps {
        let x_now = &mut kept.x[at * batch * inputs..][..batch * inputs];
        sizes.read(T::read(&x), at, x_now, inputs);
        let (h_before, h_after) = kept.h[at * sizes.state()..][..2 * sizes.state()].split_at_mut(sizes.state());
        let (c_before, c_after) = kept.c[at * cells..][..2 * cells].split_at_mut(cells);
        let gates = &mut kept.gates[at * sizes.gates()..][..sizes.gates()];
        let hidden = &mut kept.hidden[at * hidden..][..hidden];
        let state = Matrix::new(h_before, batch, units);
        multiply_plus(gates, &bias, Matrix::new(x_now, batch, inputs), &weight);
        if S::SUMS {
            add_product(gates, state, &hidden_weight);
        } else {
            multiply_plus(hidden, &hidden_bias, state, &hidden_weight);
        }
        let before = State { h: h_before, c: c_before };
        step.forward(units, gates, hidden, before, StateMut { h: &mut *h_after, c: c_after });
        if let Some(standing) = &mut standing {
            standing.add(&step, sizes, gates);
        }
        sizes.write(&mut output, at, h_after, units);
    }
    if let Some(standing) = standing {
        site.detail(Detail::Gates(standing.records(layer.cell)));
    }
    let pull = move |cotangent: Buffer, is_read| {
        let penalty = layer.vanishing_penalty.map(|weight| Penalty::new(weight * site.loss_scale(), sizes));
        backward(&step, &layer, &parameters, &kept, sizes, T::read(&cotangent), is_read, penalty, &site)
    };
    (filled(output, &[rows, units]), Box::new(pull))
}

#[expect(clippy::too_many_arguments, reason = "what the forward pass knows, handed over by a closure")]
fn backward<T: Real, S: Step<T>>(
    step: &S,
    layer: &Recurrent,
    parameters: &Parameters,
    kept: &Kept<T>,
    sizes: Sizes,
    cotangent: &[T],
    is_read: bool,
    mut penalty: Option<Penalty<T>>,
    site: &Site,
) -> Option<Buffer> {
    let Sizes { batch, steps, inputs, units, width, cells, .. } = sizes;
    let [weight, hidden_weight] = parameters.weights.each_ref().map(Matrix::<T>::of);
    let mut gradient = vec![T::default(); inputs * width];
    let mut hidden_gradient = vec![T::default(); units * width];
    let (mut bias, mut hidden_bias) = (vec![T::default(); width], vec![T::default(); width]);
    let mut returned = vec![T::default(); if is_read { batch * steps * inputs } else { 0 }];

    let together = sizes.together();
    let turned = is_read.then(|| Factor::new(weight.transposed(), together * batch));
    let hidden_turned = Factor::new(hidden_weight.transposed(), batch);
    let mut gates = Workspace::new(together * sizes.gates());
    let mut hidden = Workspace::new(together * sizes.hidden);
    let mut inputs_slopes = Workspace::new(if is_read { together * batch * inputs } else { 0 });
    let (mut carried, mut cell_slopes) = (Workspace::zeros(sizes.state()), Workspace::zeros(cells));
    let mut slopes = Workspace::new(sizes.state());
    let mut watched = site.keeps_values().then(|| Watched::new(layer, sizes));
    for start in (0..steps).step_by(together).rev() {
        let count = together.min(steps - start);
        for at in (start..start + count).rev() {
            sizes.read(cotangent, at, &mut slopes, units);
            slopes.iter_mut().zip(&*carried).for_each(|(slope, &carried)| *slope += carried);
            if let Some(watched) = &mut watched {
                watched.state(&slopes, &cell_slopes);
            }
            let state = |at: usize| State { h: sizes.step(&kept.h, at, 1, units), c: &kept.c[at * cells..][..cells] };
            let place = (at - start) * sizes.gates();
            let gates = &mut gates[place..][..sizes.gates()];
            let hidden = &mut hidden[(at - start) * sizes.hidden..][..sizes.hidden];
            let left = Brought {
                gates: sizes.step(&kept.gates, at, 1, width),
                hidden: &kept.hidden[at * sizes.hidden..][..sizes.hidden],
            };
            let brought = Brought { gates: &mut *gates, hidden: &mut *hidden };
            let carry = StateMut { h: &mut carried, c: &mut cell_slopes };
            step.backward(units, left, [state(at), state(at + 1)], &slopes, brought, carry);
            let hidden = Matrix::new(if S::SUMS { gates } else { hidden }, batch, width);
            if let Some(watched) = &mut watched
                && at > 0
            {
                watched.paths(hidden, hidden_weight, &carried, &cell_slopes);
            }
            add_product(&mut carried, hidden, &hidden_turned);
            if let Some(penalty) = &mut penalty
                && at > 0
            {
                penalty.add(&slopes, &carried, gates);
            }
        }
        let rows = count * batch;
        let gates = &gates[..rows * width];
        let hidden = if S::SUMS { gates } else { &hidden[..rows * width] };
        let x = Matrix::new(sizes.step(&kept.x, start, count, inputs), rows, inputs);
        let states = Matrix::new(sizes.step(&kept.h, start, count, units), rows, units);
        add_product(&mut gradient, x.transposed(), Matrix::new(gates, rows, width));
        add_product(&mut hidden_gradient, states.transposed(), Matrix::new(hidden, rows, width));
        vectorised(AddRows(gates, &mut bias));
        vectorised(AddRows(hidden, &mut hidden_bias));
        if let Some(turned) = &turned {
            let slopes = &mut inputs_slopes[..rows * inputs];
            multiply_into(slopes, Matrix::new(gates, rows, width), turned);
            for at in start..start + count {
                sizes.write(&mut returned, at, sizes.step(slopes, at - start, 1, inputs), inputs);
            }
        }
    }
    if let Some(penalty) = penalty {
        penalty.add_to(&mut hidden_gradient);
    }
    if let Some(watched) = watched {
        site.through_time(watched.finish());
    }
    site.matrix_gradient("weight", filled(gradient, &[inputs, width]));
    site.matrix_gradient("hidden_weight", filled(hidden_gradient, &[units, width]));
    site.vector_gradient("bias", filled(bias, &[width]));
    site.vector_gradient("hidden_bias", filled(hidden_bias, &[width]));
    is_read.then(|| filled(returned, &[batch * steps, inputs]))
}
