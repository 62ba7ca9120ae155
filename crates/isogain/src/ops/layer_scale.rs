//! y = x + s F(x) with a factor s for each channel: LayerScale (Touvron et al. 2021, "Going deeper with image
//! transformers", section 2).

use burn::tensor::Tensor;

use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, primitive, vectorised};
use super::site::Site;
use super::stock::row;
use super::tape::{PullPair, apply_pair};

/// x + factors * branch, both `[rows, channels]`, factors `[channels]`; their gradient leaves through the site.
pub(crate) fn layer_scale(x: Tensor<2>, branch: Tensor<2>, factors: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(x + branch * row(factors));
    }
    let (factors, here) = (primitive(factors), site.clone());
    apply_pair(x, branch, site, move |x, branch| by_type!(x, operation(x, branch, factors, here)))
}

fn operation<T: Real>(mut x: Buffer, branch: Buffer, factors: Buffer, site: Site) -> (Buffer, PullPair) {
    let channels = extent(&factors).1;
    vectorised(AddScaled::<T>(T::write(&mut x), T::read(&factors), T::read(&branch)));
    let pull = move |cotangent: Buffer| {
        let mut sums = vec![0.0; channels];
        for (slopes, values) in T::read(&cotangent).chunks_exact(channels).zip(T::read(&branch).chunks_exact(channels))
        {
            for ((sum, slope), value) in sums.iter_mut().zip(slopes).zip(values) {
                *sum += slope.wide() * value.wide();
            }
        }
        site.vector_gradient("scale", filled(sums.into_iter().map(T::of).collect::<Vec<T>>(), &[channels]));
        let mut branch_cotangent = cotangent.clone();
        for row in T::write(&mut branch_cotangent).chunks_exact_mut(channels) {
            for (slope, &factor) in row.iter_mut().zip(T::read(&factors)) {
                *slope = factor * *slope;
            }
        }
        [cotangent, branch_cotangent]
    };
    (x, Box::new(pull))
}

struct AddScaled<'a, T>(&'a mut [T], &'a [T], &'a [T]);

impl<T: Real> Loop for AddScaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(sums, factors, values) = self;
        let rows = sums.chunks_exact_mut(factors.len()).zip(values.chunks_exact(factors.len()));
        for (sums, values) in rows {
            for ((sum, &factor), &value) in sums.iter_mut().zip(factors).zip(values) {
                *sum += factor * value;
            }
        }
    }
}
