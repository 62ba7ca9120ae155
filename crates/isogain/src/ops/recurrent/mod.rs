//! Recurrent layers with back-propagation through time written out: all products of inputs with weights at once, those of
//! states step by step.

mod gru;
mod lstm;
mod rnn;

use burn::tensor::Tensor;

use isogain_core::network::{Cell, Recurrent};
use isogain_core::record::{Detail, GateRecord};

use super::buffer::{Buffer, Real, by_type, extent, filled, primitive, repeated, vectorised};
use super::linear::ColumnSums;
use super::matmul::{Matrix, add_product, multiply_into, product};
use super::site::{PathThroughTime, Site, ThroughTime};
use super::tape::{Pull, apply};
use gru::Gru;
use lstm::Lstm;
use rnn::Rnn;

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
    let parameters = Parameters { weights: weights.map(primitive), biases: biases.map(primitive) };
    let (layer, here) = (layer.clone(), site.clone());
    apply(x, site, move |x| match layer.cell {
        Cell::Rnn => by_type!(x, forward_rnn(x, layer, parameters, here)),
        Cell::Lstm => by_type!(x, forward_lstm(x, layer, parameters, here)),
        Cell::Gru => by_type!(x, forward_gru(x, layer, parameters, here)),
    })
}

fn forward_rnn<T: Real>(x: Buffer, layer: Recurrent, parameters: Parameters, site: Site) -> (Buffer, Pull) {
    let activation = layer.activation;
    forward::<T, _>(Rnn { activation }, x, layer, parameters, site)
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

    /// From what the input (`gates`) and the state (`hidden`) bring to the gates `[batch, gates x units]` to the next
    /// state and cell `[batch, units]`. What the way back needs stays in both.
    fn forward(&self, units: usize, gates: &mut [T], hidden: &mut [T], before: State<'_, T>, after: StateMut<'_, T>);

    /// From the cotangents of the next state and cell to those of what input and state bring to the gates (in `gates`
    /// and `hidden`), and to what goes straight to the state and the cell before (in `carry`).
    fn backward(
        &self,
        units: usize,
        gates: &mut [T],
        hidden: &mut [T],
        states: [State<'_, T>; 2],
        slopes: State<'_, T>,
        carry: StateMut<'_, T>,
    );

    /// Value and slope of a gate, from what [`Step::forward`] left: the value itself, a sigmoid but for the candidate.
    fn gate(&self, gate: usize, kept: f64) -> (f64, f64) {
        (kept, if gate == CANDIDATE { 1.0 - kept * kept } else { kept * (1.0 - kept) })
    }
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
struct Kept<T> {
    /// States `[steps + 1, batch, units]`, zeros first.
    h: Vec<T>,
    /// Cells, likewise; empty without.
    c: Vec<T>,
    /// `[steps, batch, gates x units]`.
    gates: Vec<T>,
    hidden: Vec<T>,
}

/// Sizes of one layer on one batch.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    steps: usize,
    units: usize,
    /// Width of all gates together.
    width: usize,
}

impl Sizes {
    fn state(self) -> usize {
        self.batch * self.units
    }

    fn gates(self) -> usize {
        self.batch * self.width
    }

    /// From one row for each sample and step to one for each step and sample.
    fn by_step<T: Real>(self, rows: &[T], width: usize) -> Vec<T> {
        transposed(rows, [self.batch, self.steps], width)
    }

    fn by_sample<T: Real>(self, rows: &[T], width: usize) -> Vec<T> {
        transposed(rows, [self.steps, self.batch], width)
    }
}

fn transposed<T: Real>(rows: &[T], [outer, inner]: [usize; 2], width: usize) -> Vec<T> {
    let mut output = Vec::with_capacity(rows.len());
    for at in 0..inner {
        for block in 0..outer {
            output.extend_from_slice(&rows[(block * inner + at) * width..][..width]);
        }
    }
    output
}

fn forward<T: Real, S: Step<T>>(
    step: S,
    x: Buffer,
    layer: Recurrent,
    parameters: Parameters,
    site: Site,
) -> (Buffer, Pull) {
    let rows = extent(&x).0;
    let Parameters { weights: [weight, hidden_weight], biases: [bias, hidden_bias] } = &parameters;
    let sizes = Sizes { batch: rows / layer.steps, steps: layer.steps, units: layer.units, width: T::read(bias).len() };
    let (input, weight) = (Matrix::<T>::of(&x), Matrix::<T>::of(weight));
    let mut gates = repeated(T::read(bias), rows);
    add_product(&mut gates, input, weight);
    let cells = if S::HAS_CELL { sizes.state() } else { 0 };
    let mut kept = Kept {
        h: vec![T::default(); (sizes.steps + 1) * sizes.state()],
        c: vec![T::default(); (sizes.steps + 1) * cells],
        gates: sizes.by_step(&gates, sizes.width),
        hidden: repeated(T::read(hidden_bias), rows),
    };
    for at in 0..sizes.steps {
        let (h_before, h_after) = kept.h[at * sizes.state()..][..2 * sizes.state()].split_at_mut(sizes.state());
        let (c_before, c_after) = kept.c[at * cells..][..2 * cells].split_at_mut(cells);
        let gates = &mut kept.gates[at * sizes.gates()..][..sizes.gates()];
        let hidden = &mut kept.hidden[at * sizes.gates()..][..sizes.gates()];
        add_product(hidden, Matrix::new(h_before, sizes.batch, sizes.units), Matrix::of(hidden_weight));
        let before = State { h: h_before, c: c_before };
        step.forward(sizes.units, gates, hidden, before, StateMut { h: h_after, c: c_after });
    }
    if site.is_watched() {
        site.detail(Detail::Gates(gate_records(&step, &kept, layer.cell, sizes)));
    }
    let output = filled(sizes.by_sample(&kept.h[sizes.state()..], sizes.units), &[rows, sizes.units]);
    let pull = move |cotangent: Buffer, is_read| {
        backward(&step, &x, &layer, &parameters, &kept, sizes, &cotangent, is_read, &site)
    };
    (output, Box::new(pull))
}

#[expect(clippy::too_many_arguments, reason = "what the forward pass knows, handed over by a closure")]
fn backward<T: Real, S: Step<T>>(
    step: &S,
    x: &Buffer,
    layer: &Recurrent,
    parameters: &Parameters,
    kept: &Kept<T>,
    sizes: Sizes,
    cotangent: &Buffer,
    is_read: bool,
    site: &Site,
) -> Option<Buffer> {
    let (rows, inputs) = extent(x);
    let [weight, hidden_weight] = parameters.weights.each_ref().map(Matrix::<T>::of);
    let cells = if S::HAS_CELL { sizes.state() } else { 0 };
    let outer = sizes.by_step(T::read(cotangent), sizes.units);
    let (mut gates, mut hidden) = (kept.gates.clone(), kept.hidden.clone());
    let (mut carried, mut cell) = (vec![T::default(); sizes.state()], vec![T::default(); cells]);
    let mut slopes = vec![T::default(); sizes.state()];
    let mut watched = site.keeps_values().then(|| Watched::new(layer.cell, sizes));
    for at in (0..sizes.steps).rev() {
        for ((slope, &outer), &carried) in slopes.iter_mut().zip(&outer[at * sizes.state()..]).zip(&carried) {
            *slope = outer + carried;
        }
        if let Some(watched) = &mut watched {
            watched.state(&slopes, &cell);
        }
        let state =
            |at: usize| State { h: &kept.h[at * sizes.state()..][..sizes.state()], c: &kept.c[at * cells..][..cells] };
        let gates = &mut gates[at * sizes.gates()..][..sizes.gates()];
        let hidden = &mut hidden[at * sizes.gates()..][..sizes.gates()];
        let incoming = cell.clone();
        let carry = StateMut { h: &mut carried, c: &mut cell };
        step.backward(
            sizes.units,
            gates,
            hidden,
            [state(at), state(at + 1)],
            State { h: &slopes, c: &incoming },
            carry,
        );
        if let Some(watched) = &mut watched
            && at > 0
        {
            watched.paths(Matrix::new(hidden, sizes.batch, sizes.width), hidden_weight, &carried, &cell);
        }
        add_product(&mut carried, Matrix::new(hidden, sizes.batch, sizes.width), hidden_weight.transposed());
    }
    if let Some(watched) = watched {
        site.through_time(watched.finish());
    }

    let states = Matrix::new(&kept.h[..sizes.steps * sizes.state()], rows, sizes.units);
    let hidden_gradient = product(states.transposed(), Matrix::new(&hidden, rows, sizes.width));
    site.matrix_gradient("hidden_weight", filled(hidden_gradient, &[sizes.units, sizes.width]));
    let column_sums = |values: &[T]| filled(vectorised(ColumnSums::<T>(values, sizes.width)), &[sizes.width]);
    site.vector_gradient("hidden_bias", column_sums(&hidden));
    site.vector_gradient("bias", column_sums(&gates));
    let gates = sizes.by_sample(&gates, sizes.width);
    let gates = Matrix::new(&gates, rows, sizes.width);
    site.matrix_gradient("weight", filled(product(Matrix::<T>::of(x).transposed(), gates), &[inputs, sizes.width]));
    is_read.then(|| filled(product(gates, weight.transposed()), &[rows, inputs]))
}

/// Place of the candidate, a tanh, among the gates of LSTM and GRU.
const CANDIDATE: usize = 2;

/// Slopes below this count as saturated.
const SATURATED_SLOPE: f64 = 0.01;

fn gate_records<T: Real, S: Step<T>>(step: &S, kept: &Kept<T>, cell: Cell, sizes: Sizes) -> Vec<GateRecord> {
    let record = |(index, gate): (usize, &&str)| {
        let (mut sum, mut saturated, mut count) = (0.0, 0_usize, 0_usize);
        for row in kept.gates.chunks_exact(sizes.width) {
            for kept in &row[index * sizes.units..][..sizes.units] {
                let (value, slope) = step.gate(index, kept.wide());
                sum += value.abs();
                saturated += usize::from(slope.abs() < SATURATED_SLOPE);
                count += 1;
            }
        }
        let count = count.max(1) as f64;
        GateRecord { gate: (*gate).into(), mean: sum / count, saturated_fraction: saturated as f64 / count }
    };
    cell.gates().iter().enumerate().map(record).collect()
}

/// Gathers, last step first, the cotangent of each state and the ways it takes to the one before.
struct Watched<T> {
    sizes: Sizes,
    has_cell: bool,
    states: Vec<Vec<T>>,
    /// For each gate, then the direct way: name and cotangents.
    paths: Vec<(&'static str, Vec<Vec<T>>)>,
}

impl<T: Real> Watched<T> {
    fn new(cell: Cell, sizes: Sizes) -> Self {
        let direct: &[&'static str] = match cell {
            Cell::Rnn => &[],
            Cell::Lstm => &["cell"],
            Cell::Gru => &["carry"],
        };
        let names = cell.gates().iter().chain(direct);
        let paths = names.map(|&name| (name, Vec::new())).collect();
        Self { sizes, has_cell: cell == Cell::Lstm, states: Vec::new(), paths }
    }

    /// h and c side by side, whole batches after each other.
    fn both(h: &[T], c: &[T]) -> Vec<T> {
        [h, c].concat()
    }

    fn state(&mut self, h: &[T], c: &[T]) {
        self.states.push(Self::both(h, c));
    }

    fn paths(&mut self, hidden: Matrix<'_, T>, weight: Matrix<'_, T>, carry: &[T], cell: &[T]) {
        let Self { sizes, has_cell, paths, .. } = self;
        let gates = sizes.width / sizes.units;
        let none = vec![T::default(); if *has_cell { sizes.state() } else { 0 }];
        for (gate, (_, found)) in paths[..gates].iter_mut().enumerate() {
            let mut returned = vec![T::default(); sizes.state()];
            let (from, units) = (gate * sizes.units, sizes.units);
            multiply_into(&mut returned, hidden.columns(from, units), weight.columns(from, units).transposed());
            found.push(Self::both(&returned, &none));
        }
        if let Some((_, found)) = paths.get_mut(gates) {
            let zeros = vec![T::default(); sizes.state()];
            found.push(if *has_cell { Self::both(&zeros, cell) } else { carry.to_vec() });
        }
    }

    fn finish(self) -> ThroughTime {
        let wide = |values: Vec<T>| values.into_iter().map(|value| value.wide()).collect::<Vec<f64>>();
        let forward = |steps: Vec<Vec<T>>| steps.into_iter().rev().map(wide).collect::<Vec<Vec<f64>>>();
        let path = |(name, steps): (&str, _)| PathThroughTime { name: name.to_owned(), cotangents: forward(steps) };
        ThroughTime { states: forward(self.states), paths: self.paths.into_iter().map(path).collect() }
    }
}
