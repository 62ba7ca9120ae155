//! z' = z + dt (phi(x W + y U + z V + b) - gamma y - eps z), y' = y + dt z': coupled oscillators, of which the positions y go on
//! (Rusch & Mishra 2021, coRNN, with the steps of its authors).
//!
//! Position and velocity of all units stand side by side, so that a step meets both weights in one product; what the
//! input brings to all steps is one product before.

use burn::tensor::Tensor;

use isogain_core::network::{Cell, Oscillator, Recurrent};
use isogain_core::record::Detail;

use super::super::buffer::{Buffer, Loop, Real, by_type, extent, filled, primitive, vectorised};
use super::super::linear::column_sums;
use super::super::matmul::{Factor, Matrix, add_product, multiply_into, product, product_plus};
use super::super::site::{PathThroughTime, Site, ThroughTime};
use super::super::tape::{Pull, apply};
use super::super::workspace::Workspace;
use super::rnn::{Backward, Forward, Phi, Rnn};
use super::watched::Gates;
use super::{Sizes, stock};

/// Positions `[batch x steps, units]` of inputs `[batch x steps, inputs]`, from rest at 0. `weights` are those of the input
/// `[inputs, units]` and of positions above velocities `[2 units, units]`, `bias` `[units]`; their gradients leave through
/// the site.
pub(crate) fn oscillating(
    x: Tensor<2>,
    layer: &Recurrent,
    oscillator: Oscillator,
    weights: [Tensor<2>; 2],
    bias: Tensor<1>,
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock::oscillating(x, layer, oscillator, weights, bias, &site));
    }
    let [weight, hidden_weight] = weights.map(primitive);
    let parameters = Parameters { weight, hidden_weight, bias: primitive(bias) };
    let (layer, here) = (layer.clone(), site.clone());
    apply(x, site, move |x| by_type!(x, forward(x, layer, oscillator, parameters, here)))
}

struct Parameters {
    weight: Buffer,
    hidden_weight: Buffer,
    bias: Buffer,
}

/// An oscillator's numbers.
#[derive(Clone, Copy)]
struct Motion<T> {
    step: T,
    stiffness: T,
    damping: T,
}

impl<T: Real> Motion<T> {
    fn of(Oscillator { step, stiffness, damping }: Oscillator) -> Self {
        Self { step: T::of(step), stiffness: T::of(stiffness), damping: T::of(damping) }
    }
}

fn forward<T: Real>(
    x: Buffer,
    layer: Recurrent,
    oscillator: Oscillator,
    parameters: Parameters,
    site: Site,
) -> (Buffer, Pull) {
    let (rows, inputs) = extent(&x);
    let Recurrent { units, steps, activation, .. } = layer;
    let sizes = Sizes { batch: rows / steps, steps, inputs, units, width: units, cells: 0, hidden: 0 };
    let (phi, motion) = (Phi::of(activation), Motion::of(oscillator));
    let state = 2 * sizes.state();
    let read = product_plus(T::read(&parameters.bias), Matrix::of(&x), Matrix::of(&parameters.weight));
    // [steps, batch, units] and [steps + 1, batch, positions and velocities].
    let mut gates = Workspace::new(rows * units);
    let mut states = Workspace::zeros(state + 2 * rows * units);
    let mut output = vec![T::default(); rows * units];
    let mut pushed = vec![T::default(); sizes.state()];
    let mut standing = site.is_watched().then(|| Gates::new(Cell::Rnn));
    let hidden_weight = Factor::new(Matrix::<T>::of(&parameters.hidden_weight), sizes.batch);
    for at in 0..steps {
        let (before, after) = states[at * state..][..2 * state].split_at_mut(state);
        let gates = &mut gates[at * sizes.state()..][..sizes.state()];
        sizes.read(&read, at, gates, units);
        add_product(gates, Matrix::new(before, sizes.batch, 2 * units), &hidden_weight);
        vectorised(Forward(phi, gates, &mut pushed));
        vectorised(Swing { motion, units, pushed: &pushed, before, after });
        if let Some(standing) = &mut standing {
            standing.add(&Rnn { activation, antisymmetric_step: None }, sizes, gates);
        }
        for (sample, row) in after.chunks_exact(2 * units).enumerate() {
            output[(sample * steps + at) * units..][..units].copy_from_slice(&row[..units]);
        }
    }
    if let Some(standing) = standing {
        site.detail(Detail::Gates(standing.records(Cell::Rnn)));
    }
    let pull = move |cotangent: Buffer, is_read: bool| {
        let turned = Factor::new(Matrix::<T>::of(&parameters.hidden_weight).transposed(), sizes.batch);
        let mut brought = vec![T::default(); rows * units];
        let (mut slopes, mut pushed) = (vec![T::default(); sizes.state()], vec![T::default(); sizes.state()]);
        let mut carried = vec![T::default(); state];
        let mut watched = site.keeps_values().then(Watched::default);
        for at in (0..steps).rev() {
            sizes.read(T::read(&cotangent), at, &mut slopes, units);
            for (carried, slopes) in carried.chunks_exact_mut(2 * units).zip(slopes.chunks_exact(units)) {
                carried.iter_mut().zip(slopes).for_each(|(carried, &slope)| *carried += slope);
            }
            if let Some(watched) = &mut watched {
                watched.states.push(wide(&carried));
            }
            vectorised(SwingBack { motion, units, pushed: &mut pushed, carried: &mut carried });
            let brought = &mut brought[at * sizes.state()..][..sizes.state()];
            vectorised(Backward(phi, sizes.step(&gates, at, 1, units), &pushed, brought));
            let brought = Matrix::new(brought, sizes.batch, units);
            if let Some(watched) = &mut watched
                && at > 0
            {
                let mut coupled = vec![T::default(); state];
                multiply_into(&mut coupled, brought, &turned);
                watched.coupled.push(wide(&coupled));
                watched.carry.push(wide(&carried));
            }
            add_product(&mut carried, brought, &turned);
        }
        if let Some(watched) = watched {
            site.through_time(watched.finish());
        }
        let before = Matrix::new(&states[..steps * state], rows, 2 * units);
        let hidden = product(before.transposed(), Matrix::new(&brought, rows, units));
        site.matrix_gradient("hidden_weight", filled(hidden, &[2 * units, units]));
        // From step after step to sample after sample.
        let mut by_sample = vec![T::default(); rows * units];
        for at in 0..steps {
            sizes.write(&mut by_sample, at, sizes.step(&brought, at, 1, units), units);
        }
        let weight = product(Matrix::<T>::of(&x).transposed(), Matrix::new(&by_sample, rows, units));
        site.matrix_gradient("weight", filled(weight, &[inputs, units]));
        site.vector_gradient("bias", filled(column_sums(&by_sample, units), &[units]));
        is_read.then(|| {
            let weight = Matrix::<T>::of(&parameters.weight).transposed();
            filled(product(Matrix::new(&by_sample, rows, units), weight), &[rows, inputs])
        })
    };
    (filled(output, &[rows, units]), Box::new(pull))
}

/// One step of all oscillators, `pushed` `[batch, units]`, states `[batch, 2 units]`.
struct Swing<'a, T> {
    motion: Motion<T>,
    units: usize,
    pushed: &'a [T],
    before: &'a [T],
    after: &'a mut [T],
}

impl<T: Real> Loop for Swing<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { motion: Motion { step, stiffness, damping }, units, pushed, before, after } = self;
        let rows = after.chunks_exact_mut(2 * units).zip(before.chunks_exact(2 * units));
        for ((after, before), pushed) in rows.zip(pushed.chunks_exact(units)) {
            let (y_after, z_after) = after.split_at_mut(units);
            let (y, z) = before.split_at(units);
            let places = y_after.iter_mut().zip(z_after).zip(y.iter().zip(z)).zip(pushed);
            for (((y_after, z_after), (&y, &z)), &pushed) in places {
                *z_after = z + step * (pushed - stiffness * y - damping * z);
                *y_after = y + step * *z_after;
            }
        }
    }
}

/// From the cotangents of a step's state, in `carried` `[batch, 2 units]`, to those of what pushed it and, in their place, to what
/// goes straight to the state before.
struct SwingBack<'a, T> {
    motion: Motion<T>,
    units: usize,
    pushed: &'a mut [T],
    carried: &'a mut [T],
}

impl<T: Real> Loop for SwingBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { motion: Motion { step, stiffness, damping }, units, pushed, carried } = self;
        for (carried, pushed) in carried.chunks_exact_mut(2 * units).zip(pushed.chunks_exact_mut(units)) {
            let (y, z) = carried.split_at_mut(units);
            for ((y, z), pushed) in y.iter_mut().zip(z).zip(pushed) {
                // The position moved with the new velocity.
                let velocity = *z + step * *y;
                *pushed = step * velocity;
                *y = *y - stiffness * *pushed;
                *z = velocity - damping * *pushed;
            }
        }
    }
}

/// Last step first: the cotangents of each state, and what its two ways hand to the one before.
#[derive(Default)]
struct Watched {
    states: Vec<Vec<f64>>,
    coupled: Vec<Vec<f64>>,
    carry: Vec<Vec<f64>>,
}

impl Watched {
    fn finish(self) -> ThroughTime {
        let forward = |steps: Vec<Vec<f64>>| steps.into_iter().rev().collect::<Vec<_>>();
        let path = |name: &str, steps| PathThroughTime { name: name.to_owned(), cotangents: forward(steps) };
        let paths = vec![path("state", self.coupled), path("carry", self.carry)];
        ThroughTime { states: forward(self.states), paths }
    }
}

fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.wide()).collect()
}
