//! What operations put together from Burn's own have in common: on devices that are not the processor.
//!
//! Every operation is there twice, in one file: as code over buffers, and as a formula of Burn's operations, which runs
//! wherever Burn does and is differentiated by it. A pass's [`super::Arithmetic`] says which of the two.

use burn::tensor::{Bool, DType, Tensor, TensorData};

use crate::model::to_f64;

/// A row for every sample.
pub(super) fn row(vector: Tensor<1>) -> Tensor<2> {
    vector.unsqueeze()
}

/// (x - mean) / sqrt(variance + eps) along a dimension, and that mean and that biased variance.
pub(super) fn standardised(x: Tensor<2>, dimension: usize, eps: f64) -> (Tensor<2>, [Tensor<2>; 2]) {
    let mean = x.clone().mean_dim(dimension);
    let centred = x - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(dimension);
    (centred / (variance.clone() + eps).sqrt(), [mean, variance])
}

/// Rows `[samples x positions, features]` of a grid as `[samples, features, height, width]`.
pub(super) fn channels_first(rows: Tensor<2>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [count, features] = rows.dims();
    rows.reshape([count / (height * width), height, width, features]).permute([0, 3, 1, 2])
}

/// The other way round.
pub(super) fn channels_last(grid: Tensor<4>) -> Tensor<2> {
    let [samples, features, height, width] = grid.dims();
    grid.permute([0, 2, 3, 1]).reshape([samples * height * width, features])
}

/// x / sqrt(mean square + eps) along a dimension.
pub(super) fn over_rms<const D: usize>(x: Tensor<D>, dimension: usize, eps: f64) -> Tensor<D> {
    let mean_square = (x.clone() * x.clone()).mean_dim(dimension);
    x / (mean_square + eps).sqrt()
}

/// max(x, 0); at 0 its slope is 0.
pub(super) fn above_zero<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().mask_fill(x.lower_equal_elem(0.0), 0.0)
}

/// min(x, 0); at 0 its slope is 1.
pub(super) fn below_zero<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone().mask_fill(x.greater_elem(0.0), 0.0)
}

/// ln(1 + e^x).
pub(super) fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let (above, below) = (above_zero(x.clone()), below_zero(x));
    above.clone() + (below - above).exp().log1p()
}

/// A value, with this slope on the way back to x: where what Burn derives is the difference of nearly equal numbers.
pub(super) fn with_slope<const D: usize>(x: Tensor<D>, value: Tensor<D>, slope: Tensor<D>) -> Tensor<D> {
    // Zero, or of what is not finite no number.
    let nothing = x.clone() - x.detach();
    let gone = nothing.clone().is_nan();
    nothing.mask_fill(gone, 0.0) * slope + value
}

/// tanh x, of the smallest x too: a GPU's own loses what is far below 1.
pub(super) fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let fixed = x.clone().detach();
    // With m = e^-2|x| - 1.
    let m = exp_m1(fixed.clone().abs() * -2.0);
    let value = fixed.clone().sign() * -m.clone() / (m + 2.0);
    with_slope(x, value, sigmoid_slope(fixed * 2.0) * 4.0)
}

/// e^x - 1, near zero by its series.
pub(super) fn exp_m1<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // What is left out is 1e-8 or 1e-18 of the value there.
    let terms = if x.dtype() == DType::F64 { 14 } else { 7 };
    let series = (2..=terms).rev().fold(x.ones_like(), |sum, term| sum * x.clone() / f64::from(term) + 1.0);
    let is_small = x.clone().abs().lower_elem(0.35);
    (x.clone().exp() - 1.0).mask_where(is_small, series * x)
}

/// sigmoid'(x) = e / (1 + e)^2 with e = e^-|x|.
pub(super) fn sigmoid_slope<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let e = (-x.abs()).exp();
    let whole = e.clone() + 1.0;
    e / (whole.clone() * whole)
}

/// Which values of `like` are meant, row-major.
pub(super) fn mask(chosen: Vec<bool>, like: &Tensor<2>) -> Tensor<2, Bool> {
    Tensor::from_data(TensorData::new(chosen, like.dims().to_vec()), &like.device())
}

/// The values, row-major, brought to the processor.
pub(super) fn to_processor<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    to_f64(tensor.inner().into_data())
}
