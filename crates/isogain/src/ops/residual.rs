//! y = x + scale F(x).

use burn::tensor::Tensor;

use super::buffer::{self, Buffer, Loop, Real, by_type, filled, primitive, vectorised};
use super::site::Site;
use super::stock::row;
use super::tape::{PullPair, apply_pair};

/// x + scale * branch, both `[batch, features]`. A learnable scale `[1]` is given as a tensor: its gradient leaves
/// through the site.
pub(crate) fn residual(
    x: Tensor<2>,
    branch: Tensor<2>,
    scale: f64,
    learnable: Option<Tensor<1>>,
    site: Site,
) -> Tensor<2> {
    if site.is_stock() {
        let branch = match learnable {
            Some(scale) => branch * row(scale),
            None => branch * scale,
        };
        return site.shown(x + branch);
    }
    let learnable = learnable.map(primitive);
    let here = site.clone();
    apply_pair(x, branch, site, move |x, branch| by_type!(x, operation(x, branch, scale, learnable, here)))
}

fn operation<T: Real>(
    mut x: Buffer,
    branch: Buffer,
    scale: f64,
    learnable: Option<Buffer>,
    site: Site,
) -> (Buffer, PullPair) {
    let scale = learnable.as_ref().map_or(T::of(scale), |scale| T::read(scale)[0]);
    let (sums, values) = (T::write(&mut x), T::read(&branch));
    vectorised(AddScaled::<T>(sums, scale, values));
    let branch = learnable.is_some().then_some(branch);
    let pull = move |cotangent: Buffer| {
        if let Some(branch) = &branch {
            let pairs = T::read(branch).iter().zip(T::read(&cotangent));
            let sum: f64 = pairs.map(|(value, slope)| value.wide() * slope.wide()).sum();
            site.vector_gradient("scale", filled(vec![T::of(sum)], &[1]));
        }
        let mut branch_cotangent = cotangent.clone();
        if scale != T::of(1.0) {
            buffer::scale(&mut branch_cotangent, scale);
        }
        [cotangent, branch_cotangent]
    };
    (x, Box::new(pull))
}

struct AddScaled<'a, T>(&'a mut [T], T, &'a [T]);

impl<T: Real> Loop for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(sums, scale, values) = self;
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += scale * value;
        }
    }
}
