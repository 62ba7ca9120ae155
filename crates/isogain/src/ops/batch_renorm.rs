//! Batch renormalisation ([`isogain_core::renorm`]): batch norm's pass with its statistics corrected towards the running ones.

use burn::tensor::Tensor;
use isogain_core::renorm::{Averages, Correction};

use super::batch_norm::{BatchStatistics, forward};
use super::buffer::{by_type, primitive};
use super::site::Site;
use super::stock::{row, standardised, to_processor};
use super::tape::apply;
use crate::model::{Running, vector};

/// As [`super::batch_norm`], towards averages that have followed some of the `ramp` batches over which the bounds open.
pub(crate) fn batch_renorm(
    x: Tensor<2>,
    eps: f64,
    [gamma, beta]: [Tensor<1>; 2],
    (running, ramp): (Running, usize),
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        let (device, dtype) = (x.device(), x.dtype());
        let count = x.dims()[0];
        let (normal, statistics) = standardised(x, 0, eps);
        let [mean, variance] = statistics.map(to_processor);
        let Correction { ratio, shift } = running.correction(&Averages::of(&mean, &variance), eps, ramp);
        site.statistics(BatchStatistics { count, mean, variance });
        let [ratio, shift] = [ratio, shift].map(|values| row(vector(&values, dtype, &device)));
        return site.shown((normal * ratio + shift) * row(gamma) + row(beta));
    }
    let (affine, here) = ([primitive(gamma), primitive(beta)], site.clone());
    let rows = 0..x.dims()[0];
    apply(x, site, move |x| {
        by_type!(
            x,
            forward(
                &x,
                eps,
                std::slice::from_ref(&rows),
                affine,
                |batch| Some(running.correction(&Averages::of(&batch.mean, &batch.variance), eps, ramp)),
                here
            )
        )
    })
}
