//! What operations put together from Burn's own have in common: on devices that are not the processor.
//!
//! Every operation is there twice, in one file: as code over buffers, and as a formula of Burn's operations, which runs
//! wherever Burn does and is differentiated by it. A pass's [`super::Arithmetic`] says which of the two.

use burn::tensor::{Bool, Tensor, TensorData};

use crate::model::to_f64;

/// A row for every sample.
pub(super) fn row(vector: Tensor<1>) -> Tensor<2> {
    vector.unsqueeze()
}

/// (x - mean) / sqrt(variance + eps) along a dimension.
pub(super) fn standardised(x: Tensor<2>, dimension: usize, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(dimension);
    over_rms(centred, dimension, eps)
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

/// Which values of `like` are meant, row-major.
pub(super) fn mask(chosen: Vec<bool>, like: &Tensor<2>) -> Tensor<2, Bool> {
    Tensor::from_data(TensorData::new(chosen, like.dims().to_vec()), &like.device())
}

/// The values, row-major, brought to the processor.
pub(super) fn to_processor<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    to_f64(tensor.inner().into_data())
}
