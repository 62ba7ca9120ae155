//! The tangent kernel on some samples: how alike the gradients of single outputs are.
//!
//! K_ij = <df_i / dw, df_j / dw>, where f_i is one number that stands for the outputs of sample i: their sum with signs
//! that alternate, over the root of their count. At a random start outputs are alike and independent, and K is what the
//! kernel of each of them is on average. Gradient descent on a network that stays near its start moves outputs by K alone
//! (Jacot et al. 2018): along an eigenvector of eigenvalue lambda the error shrinks by `1 - rate * curvature * lambda / n`
//! a step, where the curvature is that of a sample's loss in one of its outputs.

use serde::{Deserialize, Serialize};

use crate::network::Loss;
use crate::weights::spectrum::largest_eigenvalue;

/// Samples that the kernel is measured on, where the data has as many.
pub const SAMPLES: usize = 32;

/// What the kernel says before training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TangentKernel {
    /// Samples it was measured on.
    pub samples: usize,
    /// tr(K)^2 / tr(K^2), from 1, where the gradient is the same for all samples up to its size, to the number of samples;
    /// `None` where no output depends on a parameter.
    pub effective_rank: Option<f64>,
    /// The largest eigenvalue.
    pub largest_eigenvalue: f64,
    /// Largest learning rate that plain gradient descent stands, `2 n / (curvature lambda)`; `None` where that is not
    /// known, or not finite.
    pub learning_rate_ceiling: Option<f64>,
    /// Squared error of the samples after the recipe's steps of gradient descent at its learning rate, as far as the
    /// network stays near its start; `None` for other losses, and where it would not be finite.
    pub predicted_loss: Option<f64>,
}

/// What the kernel was measured of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs {
    /// What they are compared with.
    pub loss: Loss,
    /// Numbers for each sample.
    pub count: usize,
}

/// The training that is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent<'a> {
    /// Outputs minus targets, row-major `[samples, outputs]`.
    pub errors: &'a [f64],
    /// Learning rate of plain gradient descent.
    pub learning_rate: f64,
    /// Its steps.
    pub steps: usize,
}

impl TangentKernel {
    /// Of the kernel, symmetric, row by row. `None` where a value is not finite. `descent` is for squared errors alone.
    pub fn new(gram: &[Vec<f64>], outputs: Outputs, descent: Option<Descent<'_>>) -> Option<Self> {
        if !gram.iter().flatten().all(|value| value.is_finite()) {
            return None;
        }
        let samples = gram.len();
        let trace: f64 = gram.iter().enumerate().map(|(index, row)| row[index]).sum();
        let square: f64 = gram.iter().flatten().map(|value| value * value).sum();
        let largest_eigenvalue = largest_eigenvalue(gram.to_vec()).max(0.0);
        let curvature = curvature(outputs);
        let ceiling = curvature.map(|curvature| 2.0 * samples as f64 / (curvature * largest_eigenvalue));
        Some(Self {
            samples,
            effective_rank: finite(trace * trace / square),
            largest_eigenvalue,
            learning_rate_ceiling: ceiling.and_then(finite),
            predicted_loss: descent.filter(|_| outputs.loss == Loss::MeanSquaredError).and_then(|descent| {
                let shrink = descent.learning_rate * curvature? / samples as f64;
                finite(descent.loss_after(gram, shrink, outputs.count))
            }),
        })
    }
}

/// Second derivative of a sample's loss in one of its outputs, where it starts: probabilities all alike.
fn curvature(outputs: Outputs) -> Option<f64> {
    let of_one = match outputs.loss {
        Loss::MeanSquaredError => 2.0,
        // p (1 - p), at 1/2; of classes p, less what a change of all of them alike would do.
        Loss::BinaryCrossEntropy => 0.25,
        Loss::CrossEntropy => 1.0,
        Loss::Other => return None,
    };
    Some(of_one / outputs.count as f64)
}

impl Descent<'_> {
    /// Mean square of `(1 - shrink K)^steps errors`.
    fn loss_after(&self, gram: &[Vec<f64>], shrink: f64, outputs: usize) -> f64 {
        let one_step: Vec<Vec<f64>> = gram
            .iter()
            .enumerate()
            .map(|(i, row)| row.iter().enumerate().map(|(j, k)| f64::from(u8::from(i == j)) - shrink * k).collect())
            .collect();
        let all = power(one_step, self.steps);
        let sum: f64 = (0..outputs)
            .flat_map(|output| {
                let error = move |sample: usize| self.errors[sample * outputs + output];
                all.iter().map(move |row| row.iter().enumerate().map(|(sample, a)| a * error(sample)).sum::<f64>())
            })
            .map(|error| error * error)
            .sum();
        sum / self.errors.len() as f64
    }
}

/// A symmetric matrix to a power, by squaring.
fn power(mut base: Vec<Vec<f64>>, mut exponent: usize) -> Vec<Vec<f64>> {
    let size = base.len();
    let product = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let entry = |row: &[f64], column: usize| row.iter().zip(b).map(|(a, line)| a * line[column]).sum();
        a.iter().map(|row| (0..size).map(|column| entry(row, column)).collect()).collect()
    };
    let mut result: Vec<Vec<f64>> =
        (0..size).map(|i| (0..size).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    while exponent > 0 {
        if exponent % 2 == 1 {
            result = product(&result, &base);
        }
        base = product(&base, &base);
        exponent /= 2;
    }
    result
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Outputs = Outputs { loss: Loss::MeanSquaredError, count: 1 };

    #[test]
    fn the_rank_counts_directions() {
        let rank = |gram: &[Vec<f64>]| TangentKernel::new(gram, ONE, None).unwrap().effective_rank;
        assert_eq!(rank(&[vec![3.0, 0.0], vec![0.0, 3.0]]), Some(2.0));
        assert_eq!(rank(&[vec![3.0, 3.0], vec![3.0, 3.0]]), Some(1.0));
        assert_eq!(rank(&[vec![0.0, 0.0], vec![0.0, 0.0]]), None);
        assert_eq!(TangentKernel::new(&[vec![f64::NAN]], ONE, None), None);
    }

    /// Inputs and targets of a linear function of three weights, and the kernel X X^T.
    fn line() -> ([[f64; 3]; 4], [f64; 4], Vec<Vec<f64>>) {
        let x = [[1.0, 0.5, -0.2], [0.3, -1.0, 0.4], [0.9, 0.7, 0.1], [-0.5, 0.2, 1.5]];
        let gram = x.map(|a| x.map(|b| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>()).to_vec()).to_vec();
        (x, [1.0, -2.0, 0.5, 0.7], gram)
    }

    /// Gradient descent on the mean squared error from weights of zero; the loss after some steps.
    fn descend(rate: f64, steps: usize) -> f64 {
        let (x, y, _) = line();
        let mut weights = [0.0; 3];
        let errors = |weights: &[f64; 3]| -> Vec<f64> {
            x.iter().zip(y).map(|(x, y)| x.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() - y).collect()
        };
        for _ in 0..steps {
            let found = errors(&weights);
            for (feature, weight) in weights.iter_mut().enumerate() {
                *weight -= rate * x.iter().zip(&found).map(|(x, e)| 2.0 * x[feature] * e).sum::<f64>() / 4.0;
            }
        }
        errors(&weights).iter().map(|e| e * e).sum::<f64>() / 4.0
    }

    /// A linear function never leaves its start: there the prediction is exact.
    #[test]
    fn of_a_linear_function_the_loss_is_known_exactly() {
        let (_, y, gram) = line();
        let errors = y.map(|y| -y);
        for (learning_rate, steps) in [(0.1, 0), (0.1, 1), (0.1, 7), (0.3, 100)] {
            let descent = Descent { errors: &errors, learning_rate, steps };
            let predicted = TangentKernel::new(&gram, ONE, Some(descent)).unwrap().predicted_loss.unwrap();
            let loss = descend(learning_rate, steps);
            assert!((predicted - loss).abs() < 1e-12, "{learning_rate} {steps}: {predicted} {loss}");
        }
    }

    #[test]
    fn above_the_ceiling_the_loss_rises_and_below_it_falls() {
        let (.., gram) = line();
        let ceiling = TangentKernel::new(&gram, ONE, None).unwrap().learning_rate_ceiling.unwrap();
        assert!(descend(1.01 * ceiling, 2000) > 1e3 && descend(0.99 * ceiling, 2000) < descend(0.0, 0));
    }

    /// Two outputs halve the curvature of each, and the errors of both count.
    #[test]
    fn outputs_share_the_loss() {
        let (_, y, gram) = line();
        let both: Vec<f64> = y.iter().flat_map(|y| [-y, -y]).collect();
        let two = Outputs { count: 2, ..ONE };
        let of = |outputs, errors: &[f64], learning_rate| {
            let descent = Descent { errors, learning_rate, steps: 5 };
            TangentKernel::new(&gram, outputs, Some(descent)).unwrap()
        };
        let (one, two) = (of(ONE, &y.map(|y| -y), 0.1), of(two, &both, 0.2));
        assert!((one.predicted_loss.unwrap() - two.predicted_loss.unwrap()).abs() < 1e-12);
        assert_eq!(2.0 * one.learning_rate_ceiling.unwrap(), two.learning_rate_ceiling.unwrap());
    }
}
