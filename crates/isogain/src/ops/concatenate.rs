//! y = [x, F(x)]: the block of a DenseNet (Huang et al. 2017).

use burn::tensor::Tensor;

use super::buffer::{Buffer, Real, by_type, extent, filled};
use super::site::Site;
use super::tape::{PullPair, apply_pair};

/// `[rows, n + k]` of `[rows, n]` and `[rows, k]`, row by row.
pub(crate) fn concatenate(x: Tensor<2>, branch: Tensor<2>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(Tensor::cat(vec![x, branch], 1));
    }
    apply_pair(x, branch, site, |x, branch| by_type!(x, operation(&x, &branch)))
}

fn operation<T: Real>(x: &Buffer, branch: &Buffer) -> (Buffer, PullPair) {
    let ((rows, read), (_, added)) = (extent(x), extent(branch));
    let width = read + added;
    let pairs = T::read(x).chunks_exact(read).zip(T::read(branch).chunks_exact(added));
    let output: Vec<T> = pairs.flat_map(|(x, f)| x.iter().chain(f)).copied().collect();
    let pull = move |cotangent: Buffer| {
        let rows_of = || T::read(&cotangent).chunks_exact(width);
        let part = |from: usize, to: usize| -> Vec<T> { rows_of().flat_map(|row| &row[from..to]).copied().collect() };
        [filled(part(0, read), &[rows, read]), filled(part(read, width), &[rows, added])]
    };
    (filled(output, &[rows, width]), Box::new(pull))
}
