//! Softmax over the features of each sample, as an operation of its own: y_i = exp(x_i) / sum exp(x), and back dL/dx_i =
//! y_i (g_i - sum_j y_j g_j).

use burn::tensor::{Tensor, activation as burn_activation};

use super::buffer::{Buffer, Real, by_type, extent};
use super::site::Site;
use super::tape::{Pull, apply};

/// Outputs `[batch, features]` of inputs `[batch, features]`; each row adds up to 1.
pub(crate) fn softmax(x: Tensor<2>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(burn_activation::softmax(x, 1));
    }
    apply(x, site, move |x| by_type!(x, operation(x)))
}

fn operation<T: Real>(mut x: Buffer) -> (Buffer, Pull) {
    let (_, features) = extent(&x);
    for row in T::write(&mut x).chunks_exact_mut(features.max(1)) {
        softmax_row(row);
    }
    let kept = x.clone();
    let pull = move |mut cotangent: Buffer, _| {
        let rows = T::read(&kept).chunks_exact(features.max(1));
        for (y, g) in rows.zip(T::write(&mut cotangent).chunks_exact_mut(features.max(1))) {
            let mean: f64 = y.iter().zip(&*g).map(|(y, g)| y.wide() * g.wide()).sum();
            for (y, g) in y.iter().zip(g) {
                *g = T::of(y.wide() * (g.wide() - mean));
            }
        }
        Some(cotangent)
    };
    (x, Box::new(pull))
}

/// The same of one row, in place. Shifted by the largest value, so that no exponential overflows.
pub(crate) fn softmax_row<T: Real>(row: &mut [T]) {
    let largest = row.iter().map(|x| x.wide()).fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = row.iter().map(|x| (x.wide() - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    for (y, exponential) in row.iter_mut().zip(exponentials) {
        *y = T::of(exponential / total);
    }
}
