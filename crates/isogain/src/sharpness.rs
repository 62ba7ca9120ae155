//! Whether the recipe's learning rate suits a network that has not been trained yet.
//!
//! Two measurements, each with its own blind spot, so that both must agree: the largest eigenvalue of the Gauss-Newton
//! matrix (a gradient step is stable up to 2 / lambda, and recovers up to about 4 / lambda), and a rehearsal: a copy of
//! the network takes some steps on one batch again and again, on which a usable learning rate only goes down.
//! The Hessian itself is of no use at kinked activations: its finite differences change sign from step to step.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor, activation};
use isogain_core::network::{Loss, Network};
use isogain_core::recipe::Recipe;
use isogain_core::record::Sharpness;

use crate::data::{Dataset, Samples};
use crate::model::{Mode, Model, Value};
use crate::train::Trainer;

/// Power iterations; the estimate is a lower bound that settles within a few per cent.
const ITERATIONS: usize = 10;
/// Length of the finite-difference step, as a part of the parameters' norm.
const STEP: f64 = 1e-6;
/// Steps of a rehearsal.
const REHEARSAL: usize = 40;
/// Samples in the batch that both measurements use, where the data has as many.
const SAMPLES: usize = 256;

type Direction = BTreeMap<String, Vec<f64>>;

/// Medians over `seeds` initialisations, from the recipe's seed on.
pub fn sharpness(recipe: &Recipe, network: &Network, data: &Dataset, seeds: usize) -> Sharpness {
    let rows: Vec<usize> = (0..data.train.len().min(SAMPLES)).collect();
    let batch = data.train.select(&rows);
    let (mut curvature, mut rise, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for seed in (0..seeds as u64).map(|offset| recipe.run.seed + offset) {
        let mut trainer = Trainer::new(recipe, network, data, seed);
        curvature.push(gauss_newton(&trainer.model, &batch));
        let (before, rose) = rehearse(&mut trainer, &batch);
        first.push(before);
        rise.push(rose);
    }
    let rise = median(rise);
    Sharpness {
        gauss_newton: median(curvature),
        rehearsal_rise: rise.is_finite().then_some(rise),
        rehearsal_first: median(first),
        seeds,
    }
}

/// Middle value; values that are not numbers count as the largest.
fn median(mut values: Vec<f64>) -> f64 {
    values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = f64::INFINITY);
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Loss before, and its largest rise above the running minimum.
fn rehearse(trainer: &mut Trainer, batch: &Samples) -> (f64, f64) {
    let (mut first, mut lowest, mut rise) = (f64::NAN, f64::INFINITY, 0.0_f64);
    for step in 0..=REHEARSAL {
        let loss = trainer.advance_on(batch, false).0;
        if step == 0 {
            first = loss;
        }
        if !loss.is_finite() {
            return (first, f64::INFINITY);
        }
        lowest = lowest.min(loss);
        rise = rise.max(loss - lowest);
    }
    (first, rise)
}

/// Largest eigenvalue of G = J^T (d2 loss / d output2) J by power iteration, in f64; J v by a central difference of
/// outputs, J^T by the tape. G has no negative eigenvalue.
fn gauss_newton(model: &Model, batch: &Samples) -> f64 {
    let model = model.cast(DType::F64);
    let inputs = model.inputs(batch);
    let outputs = |model: &Model| model.forward(&mut model.plain(Mode::Train, None), inputs.clone());
    let size = norm(&flat(&model.parameters)).max(1.0);
    let here = outputs(&model);
    let mut direction = start(&model);
    let mut largest = f64::NAN;
    for _ in 0..ITERATIONS {
        let step = STEP * size;
        let ahead = outputs(&moved(&model, &direction, step));
        let behind = outputs(&moved(&model, &direction, -step));
        let image = curved(&model, here.clone(), (ahead - behind) / (2.0 * step));
        let mut pass = model.tracked(None);
        let tracked = model.forward(&mut pass, inputs.clone());
        let image = flat(&pass.gradients(&(tracked * image.autodiff()).sum()));
        let length = norm(&image);
        if !(length > 0.0 && length.is_finite()) {
            return if length == 0.0 { 0.0 } else { f64::INFINITY };
        }
        largest = length;
        direction = scaled(&image, 1.0 / length);
    }
    largest
}

/// (d2 loss / d output2) u for the mean loss over the batch.
fn curved(model: &Model, outputs: Tensor<2>, u: Tensor<2>) -> Tensor<2> {
    let [batch, columns] = outputs.dims();
    match model.network.loss {
        Loss::CrossEntropy => {
            let p = activation::softmax(outputs, 1);
            let mean = (p.clone() * u.clone()).sum_dim(1);
            p * (u - mean) / batch as f64
        }
        // A recipe's loss is one of the two.
        Loss::MeanSquaredError | Loss::Other => u * (2.0 / (batch * columns) as f64),
    }
}

/// A fixed direction with every parameter in it: alternating signs, unit length.
fn start(model: &Model) -> Direction {
    let signs = |count: usize| (0..count).map(|index| if index * 7 % 5 < 2 { 1.0 } else { -1.0 }).collect();
    let direction: Direction =
        model.parameters.iter().map(|(name, value)| (name.clone(), signs(value.to_f64().len()))).collect();
    let length = norm(&direction);
    scaled(&direction, 1.0 / length)
}

fn moved(model: &Model, direction: &Direction, step: f64) -> Model {
    let mut model = model.clone();
    for (name, value) in &mut model.parameters {
        let values: Vec<f64> = value.to_f64().iter().zip(&direction[name]).map(|(w, d)| w + step * d).collect();
        *value = value.with(&values, model.dtype, &model.device);
    }
    model
}

fn flat(values: &BTreeMap<String, Value>) -> Direction {
    values.iter().map(|(name, value)| (name.clone(), value.to_f64())).collect()
}

fn norm(direction: &Direction) -> f64 {
    direction.values().flatten().map(|value| value * value).sum::<f64>().sqrt()
}

fn scaled(direction: &Direction, factor: f64) -> Direction {
    let scale = |(name, values): (&String, &Vec<f64>)| (name.clone(), values.iter().map(|v| v * factor).collect());
    direction.iter().map(scale).collect()
}
