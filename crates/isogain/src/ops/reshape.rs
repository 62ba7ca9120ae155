//! The same values in other rows.

use burn::tensor::Tensor;

use super::buffer::{Buffer, Real, by_type, extent, filled};
use super::site::Site;
use super::tape::{Pull, apply};

/// `[batch x positions, features]` to `[batch, positions x features]`.
pub(crate) fn flatten(x: Tensor<2>, positions: usize, site: Site) -> Tensor<2> {
    if site.is_stock() {
        let [rows, features] = x.dims();
        return site.shown(x.reshape([rows / positions, positions * features]));
    }
    apply(x, site, move |x| by_type!(x, forward(&x, positions)))
}

fn forward<T: Real>(x: &Buffer, positions: usize) -> (Buffer, Pull) {
    let (rows, features) = extent(x);
    let output = filled(T::read(x).to_vec(), &[rows / positions, positions * features]);
    let pull = move |cotangent: Buffer, _| Some(filled(T::read(&cotangent).to_vec(), &[rows, features]));
    (output, Box::new(pull))
}
