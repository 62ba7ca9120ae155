//! h' = lambda h + sqrt(1 - lambda^2) phi(x W + b), unit by unit, with lambda = exp(-exp(nu)): a linear state-space layer whose
//! matrix is diagonal (Gu et al. 2022, S4D; Orvieto et al. 2023, LRU, here with real numbers).
//!
//! Nothing goes from one unit's state to another's, so that all steps of all samples meet the input's weights in one
//! product, and what remains of a step is a product of two numbers. The way back through time is multiplied by lambda
//! and nothing else. The factor on the input keeps the state's mean square that of an input without a mean, whatever
//! lambda is.

use burn::tensor::Tensor;

use isogain_core::network::{Cell, Recurrent};
use isogain_core::record::Detail;

use super::super::buffer::{Buffer, Loop, Real, by_type, extent, filled, primitive, vectorised};
use super::super::linear::column_sums;
use super::super::matmul::{Matrix, product, product_plus};
use super::super::site::{PathThroughTime, Site, ThroughTime};
use super::super::tape::{Pull, apply};
use super::rnn::{Backward, Forward, Phi, Rnn};
use super::watched::Gates;
use super::{Sizes, stock};

/// States `[batch x steps, units]` of inputs `[batch x steps, inputs]`, from a state of zeros. `weight` `[inputs, units]`,
/// `bias` and `log_decay` `[units]`; their gradients leave through the site.
pub(crate) fn diagonal_recurrent(
    x: Tensor<2>,
    layer: &Recurrent,
    weight: Tensor<2>,
    [bias, log_decay]: [Tensor<1>; 2],
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock::diagonal(x, layer, weight, [bias, log_decay], &site));
    }
    let parameters = Parameters { weight: primitive(weight), bias: primitive(bias), log_decay: primitive(log_decay) };
    let (layer, here) = (layer.clone(), site.clone());
    apply(x, site, move |x| by_type!(x, forward(x, layer, parameters, here)))
}

struct Parameters {
    weight: Buffer,
    bias: Buffer,
    log_decay: Buffer,
}

/// What a unit does in a step, and how that depends on its nu; each `[units]`.
struct Decays<T> {
    /// lambda.
    kept: Vec<T>,
    /// g = sqrt(1 - lambda^2).
    gain: Vec<T>,
    /// d lambda / d nu = -lambda exp(nu).
    kept_slope: Vec<T>,
    /// d g / d nu = lambda^2 exp(nu) / g.
    gain_slope: Vec<T>,
}

impl<T: Real> Decays<T> {
    fn of(log_decay: &[T]) -> Self {
        let of = |value: fn(f64) -> f64| log_decay.iter().map(|nu| T::of(value(nu.wide().exp()))).collect();
        Self {
            kept: of(|decay| (-decay).exp()),
            gain: of(gain),
            // Both go to 0 where the decay leaves the range of numbers, and the products 0 x infinity and 0 / 0 do not.
            kept_slope: of(|decay| if decay == f64::INFINITY { 0.0 } else { -decay * (-decay).exp() }),
            gain_slope: of(|decay| match decay {
                0.0 | f64::INFINITY => 0.0,
                _ => (-2.0 * decay).exp() * decay / gain(decay),
            }),
        }
    }
}

/// sqrt(1 - exp(-2 decay)), small decays included.
fn gain(decay: f64) -> f64 {
    (-(-2.0 * decay).exp_m1()).sqrt()
}

fn forward<T: Real>(x: Buffer, layer: Recurrent, parameters: Parameters, site: Site) -> (Buffer, Pull) {
    let (rows, inputs) = extent(&x);
    let Recurrent { units, steps, .. } = layer;
    let phi = Phi::of(layer.activation);
    let z = product_plus(T::read(&parameters.bias), Matrix::of(&x), Matrix::of(&parameters.weight));
    if site.is_watched() {
        let sizes = Sizes { batch: rows / steps, steps, inputs, units, width: units, cells: 0, hidden: 0 };
        let mut standing = Gates::new(Cell::Rnn);
        standing.add(&Rnn { activation: layer.activation, antisymmetric_step: None }, sizes, &z);
        site.detail(Detail::Gates(standing.records(Cell::Rnn)));
    }
    let mut read = vec![T::default(); z.len()];
    vectorised(Forward(phi, &z, &mut read));
    let decays = Decays::of(T::read(&parameters.log_decay));
    let mut states = read.clone();
    vectorised(Scan { decays: &decays, steps, states: &mut states });
    let states = filled(states, &[rows, units]);
    let kept = states.clone();
    let pull = move |cotangent: Buffer, is_read: bool| {
        let mut slopes = T::read(&cotangent).to_vec();
        vectorised(ScanBack { kept: &decays.kept, steps, slopes: &mut slopes });
        if site.keeps_values() {
            site.through_time(through_time(&slopes, &decays.kept, steps));
        }
        let mut log_decay = vec![T::default(); units];
        vectorised(PullDecays {
            decays: &decays,
            steps,
            slopes: &slopes,
            states: T::read(&kept),
            read: &read,
            pulled: &mut log_decay,
        });
        site.vector_gradient("log_decay", filled(log_decay, &[units]));
        for row in slopes.chunks_exact_mut(units) {
            row.iter_mut().zip(&decays.gain).for_each(|(slope, &gain)| *slope = gain * *slope);
        }
        let mut brought = vec![T::default(); slopes.len()];
        vectorised(Backward(phi, &z, &slopes, &mut brought));
        let weight = product(Matrix::<T>::of(&x).transposed(), Matrix::new(&brought, rows, units));
        site.matrix_gradient("weight", filled(weight, &[inputs, units]));
        site.vector_gradient("bias", filled(column_sums(&brought, units), &[units]));
        is_read.then(|| {
            let weight = Matrix::<T>::of(&parameters.weight).transposed();
            filled(product(Matrix::new(&brought, rows, units), weight), &[rows, inputs])
        })
    };
    (states, Box::new(pull))
}

/// From what is read at each step, in `states` `[batch, steps, units]`, to the states.
struct Scan<'a, T> {
    decays: &'a Decays<T>,
    steps: usize,
    states: &'a mut [T],
}

impl<T: Real> Loop for Scan<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { decays: Decays { kept, gain, .. }, steps, states } = self;
        let units = kept.len();
        for sample in states.chunks_exact_mut(steps * units) {
            for (h, &gain) in sample[..units].iter_mut().zip(gain) {
                *h = gain * *h;
            }
            for at in 1..steps {
                let (before, after) = sample.split_at_mut(at * units);
                let before = &before[(at - 1) * units..];
                for (((h, &before), &kept), &gain) in after[..units].iter_mut().zip(before).zip(kept).zip(gain) {
                    *h = kept * before + gain * *h;
                }
            }
        }
    }
}

/// From what each state's own output brings, in `slopes` `[batch, steps, units]`, to the states' cotangents.
struct ScanBack<'a, T> {
    kept: &'a [T],
    steps: usize,
    slopes: &'a mut [T],
}

impl<T: Real> Loop for ScanBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { kept, steps, slopes } = self;
        let units = kept.len();
        for sample in slopes.chunks_exact_mut(steps * units) {
            for at in (1..steps).rev() {
                let (before, after) = sample.split_at_mut(at * units);
                let before = &mut before[(at - 1) * units..];
                for ((before, &after), &kept) in before.iter_mut().zip(&*after).zip(kept) {
                    *before += kept * after;
                }
            }
        }
    }
}

/// The gradient of nu: sum over samples and steps of dh (d lambda / d nu h_before + d g / d nu u).
struct PullDecays<'a, T> {
    decays: &'a Decays<T>,
    steps: usize,
    slopes: &'a [T],
    states: &'a [T],
    read: &'a [T],
    pulled: &'a mut [T],
}

impl<T: Real> Loop for PullDecays<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { decays: Decays { kept_slope, gain_slope, .. }, steps, slopes, states, read, pulled } = self;
        let units = pulled.len();
        for (row, (slopes, read)) in slopes.chunks_exact(units).zip(read.chunks_exact(units)).enumerate() {
            let terms = pulled.iter_mut().zip(slopes).zip(read).zip(gain_slope);
            terms.for_each(|(((pulled, &slope), &read), &gain_slope)| *pulled += slope * gain_slope * read);
            if !row.is_multiple_of(steps) {
                let before = &states[(row - 1) * units..][..units];
                let terms = pulled.iter_mut().zip(slopes).zip(before).zip(kept_slope);
                terms.for_each(|(((pulled, &slope), &before), &kept_slope)| *pulled += slope * kept_slope * before);
            }
        }
    }
}

/// The cotangents of the states, and what each hands to the one before, by one way alone.
fn through_time<T: Real>(slopes: &[T], kept: &[T], steps: usize) -> ThroughTime {
    let samples = slopes.chunks_exact(steps * kept.len());
    let of_step = |at: usize, value: &dyn Fn(T, T) -> T| -> Vec<f64> {
        let rows = samples.clone().flat_map(|sample| sample[at * kept.len()..].iter().zip(kept));
        rows.map(|(&slope, &kept)| value(slope, kept).wide()).collect()
    };
    let states = (0..steps).map(|at| of_step(at, &|slope, _| slope)).collect();
    let carry = (1..steps).map(|at| of_step(at, &|slope, kept| slope * kept)).collect();
    ThroughTime { states, paths: vec![PathThroughTime { name: "carry".to_owned(), cotangents: carry }] }
}
