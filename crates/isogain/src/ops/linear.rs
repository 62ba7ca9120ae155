//! y = x W + b.

use burn::tensor::Tensor;

use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, primitive, vectorised};
use super::matmul::{Matrix, product, product_plus};
use super::site::Site;
use super::stock;
use super::tape::apply;

/// Outputs `[batch, fan_out]` of inputs `[batch, fan_in]`; gradients of `weight` `[fan_in, fan_out]` and `bias`
/// `[fan_out]` leave through the site.
pub(crate) fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(x.matmul(weight) + stock::row(bias));
    }
    let (weight, bias) = (primitive(weight), primitive(bias));
    let here = site.clone();
    apply(x, site, move |x| {
        let output = by_type!(x, forward(&x, &weight, &bias));
        let pull = move |cotangent: Buffer, is_read| by_type!(x, backward(&x, &weight, &cotangent, is_read, &here));
        (output, Box::new(pull))
    })
}

fn forward<T: Real>(x: &Buffer, weight: &Buffer, bias: &Buffer) -> Buffer {
    let (batch, _) = extent(x);
    let bias = T::read(bias);
    let output = product_plus(bias, Matrix::of(x), Matrix::of(weight));
    filled(output, &[batch, bias.len()])
}

fn backward<T: Real>(x: &Buffer, weight: &Buffer, cotangent: &Buffer, is_read: bool, site: &Site) -> Option<Buffer> {
    let (batch, fan_out) = extent(cotangent);
    let (_, fan_in) = extent(x);
    let weight_gradient = product(Matrix::<T>::of(x).transposed(), Matrix::of(cotangent));
    site.matrix_gradient("weight", filled(weight_gradient, &[fan_in, fan_out]));
    site.vector_gradient("bias", filled(column_sums::<T>(T::read(cotangent), fan_out), &[fan_out]));
    is_read.then(|| filled(product(Matrix::<T>::of(cotangent), Matrix::of(weight).transposed()), &[batch, fan_in]))
}

/// Sum of each column.
pub(super) fn column_sums<T: Real>(values: &[T], columns: usize) -> Vec<T> {
    let mut sums = vec![T::default(); columns];
    vectorised(AddRows(values, &mut sums));
    sums
}

/// Adds rows, one after the other, to sums.
pub(super) struct AddRows<'a, T>(pub(super) &'a [T], pub(super) &'a mut [T]);

impl<T: Real> Loop for AddRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, sums) = self;
        for row in values.chunks_exact(sums.len().max(1)) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}
