//! The loss heads: one number for a batch of outputs, always the mean.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::buffer::{self, Buffer, Real, by_type, extent, filled};
use super::site::Site;
use super::stock::softplus;
use super::tape::{Pull, apply};
use crate::model::matrix;

/// Softmax cross-entropy `[1]` of logits `[batch, classes]` and class indices.
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: &[usize], site: Site) -> Tensor<1> {
    if site.is_stock() {
        let rows: Vec<i32> = labels.iter().map(|&label| label as i32).collect();
        let chosen = Tensor::<2, Int>::from_data(TensorData::new(rows, [labels.len(), 1]), &logits.device());
        return log_softmax(logits, 1).gather(1, chosen).sum() * (-1.0 / labels.len() as f64);
    }
    let labels = labels.to_vec();
    apply(logits, site, move |logits| by_type!(logits, softmax_head(logits, &labels)))
}

/// As many numbers where the outputs are.
fn targets_like(outputs: &Tensor<2>, targets: &[f64]) -> Tensor<2> {
    let [batch, columns] = outputs.dims();
    matrix(targets, batch, columns, outputs.dtype(), &outputs.device())
}

fn softmax_head<T: Real>(mut logits: Buffer, labels: &[usize]) -> (Buffer, Pull) {
    let (batch, classes) = extent(&logits);
    let share = 1.0 / batch as f64;
    let mut loss = 0.0;
    let mut exponentials = vec![0.0; classes];
    // The logits turn into dloss/dlogits = (softmax - one-hot) / batch.
    for (row, &label) in T::write(&mut logits).chunks_exact_mut(classes.max(1)).zip(labels) {
        let largest = row.iter().map(|z| z.wide()).fold(f64::NEG_INFINITY, f64::max);
        for (exponential, z) in exponentials.iter_mut().zip(&*row) {
            *exponential = (z.wide() - largest).exp();
        }
        let sum: f64 = exponentials.iter().sum();
        loss -= row[label].wide() - largest - sum.ln();
        for (class, (slope, exponential)) in row.iter_mut().zip(&exponentials).enumerate() {
            *slope = T::of((exponential / sum - f64::from(u8::from(class == label))) * share);
        }
    }
    head::<T>(loss * share, logits)
}

/// Mean squared error `[1]` of outputs `[batch, columns]` and as many targets, row-major.
pub(crate) fn squared_error(outputs: Tensor<2>, targets: &[f64], site: Site) -> Tensor<1> {
    if site.is_stock() {
        let errors = outputs.clone() - targets_like(&outputs, targets);
        return (errors.clone() * errors).mean();
    }
    let targets = targets.to_vec();
    apply(outputs, site, move |outputs| by_type!(outputs, squared_head(outputs, &targets)))
}

fn squared_head<T: Real>(mut outputs: Buffer, targets: &[f64]) -> (Buffer, Pull) {
    let share = 1.0 / targets.len() as f64;
    let mut sum = 0.0;
    for (output, &target) in T::write(&mut outputs).iter_mut().zip(targets) {
        // The target in the outputs' own precision, as a tensor would hold it.
        let error = output.wide() - T::of(target).wide();
        sum += error * error;
        *output = T::of(2.0 * error * share);
    }
    head::<T>(sum * share, outputs)
}

/// Mean sigmoid cross-entropy `[1]` of logits `[batch, columns]` and as many targets from 0 to 1, row-major.
pub(crate) fn binary_cross_entropy(logits: Tensor<2>, targets: &[f64], site: Site) -> Tensor<1> {
    if site.is_stock() {
        let targets = targets_like(&logits, targets);
        return (softplus(logits.clone()) - targets * logits).mean();
    }
    let targets = targets.to_vec();
    apply(logits, site, move |logits| by_type!(logits, sigmoid_head(logits, &targets)))
}

fn sigmoid_head<T: Real>(mut logits: Buffer, targets: &[f64]) -> (Buffer, Pull) {
    let share = 1.0 / targets.len() as f64;
    let mut sum = 0.0;
    for (logit, &target) in T::write(&mut logits).iter_mut().zip(targets) {
        let z = logit.wide();
        // ln(1 + e^z) - t z, and its slope sigmoid z - t, from the one exponential that cannot overflow.
        let small = (-z.abs()).exp();
        sum += z.max(0.0) - target * z + small.ln_1p();
        let sigmoid = if z >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
        *logit = T::of((sigmoid - target) * share);
    }
    head::<T>(sum * share, logits)
}

/// A loss and its gradient, known at once.
fn head<T: Real>(loss: f64, gradient: Buffer) -> (Buffer, Pull) {
    let pull = move |cotangent: Buffer, _| {
        let factor = T::read(&cotangent)[0];
        let mut gradient = gradient.clone();
        if factor != T::of(1.0) {
            buffer::scale(&mut gradient, factor);
        }
        Some(gradient)
    };
    (filled(vec![T::of(loss)], &[1]), Box::new(pull))
}
