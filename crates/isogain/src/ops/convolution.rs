//! Convolution of a grid, channels last: the patches of one sample at a time become the rows of a matrix that stays in
//! the cache.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;

use isogain_core::network::Window;

use super::buffer::{Buffer, Loop, Real, by_type, extent, filled, primitive, vectorised};
use super::linear::column_sums;
use super::matmul::{Factor, Matrix, Mosaic, add_product, multiply_into};
use super::site::Site;
use super::stock::{channels_first, channels_last};
use super::tape::apply;
use super::threads::{both, for_each_share, share};
use super::workspace::Workspace;

/// Outputs `[batch x positions, channels out]` of a grid `[batch x positions, channels in]`; gradients of `weight`
/// `[taps x channels in, channels out]` and `bias` `[channels out]` leave through the site.
pub(crate) fn convolution(x: Tensor<2>, window: Window, weight: Tensor<2>, bias: Tensor<1>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(x, window, weight, bias));
    }
    let (weight, bias) = (primitive(weight), primitive(bias));
    let here = site.clone();
    apply(x, site, move |x| {
        let output = by_type!(x, forward(&x, window, &weight, &bias));
        let pull =
            move |cotangent: Buffer, is_read| by_type!(x, backward(&x, window, &weight, &cotangent, is_read, &here));
        (output, Box::new(pull))
    })
}

fn stock(x: Tensor<2>, window: Window, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([_, channels], [_, filters]) = (x.dims(), weight.dims());
    let weight = weight.reshape([window.size[0], window.size[1], channels, filters]).permute([3, 2, 0, 1]);
    let options = ConvOptions::new(window.stride, window.padding, window.dilation, 1);
    channels_last(conv2d(channels_first(x, window.grid), weight, Some(bias), options))
}

fn forward<T: Real>(x: &Buffer, window: Window, weight: &Buffer, bias: &Buffer) -> Buffer {
    let patches = Patches::new(window, extent(x).1);
    let (bias, samples) = (T::read(bias), extent(x).0 / patches.positions_in);
    let weight = Factor::new(Matrix::new(T::read(weight), patches.width, bias.len()), patches.positions_out);
    let (values_in, values_out) = (patches.values_in(), patches.positions_out * bias.len());
    let share = share(samples, values_out * patches.width);
    let mut output = Mosaic::new(samples * values_out);
    let shares = T::read(x).chunks(share * values_in).zip(output.rooms(share * values_out));
    for_each_share(shares.collect(), |(samples, mut room)| {
        // Beyond the edge it stays zero from sample to sample.
        let mut rows = Workspace::zeros(patches.positions_out * patches.width);
        for (index, sample) in samples.chunks_exact(values_in).enumerate() {
            vectorised(Gather(&patches, sample, &mut rows));
            room.write_plus(index * values_out, bias, patches.matrix(&rows), &weight);
        }
    });
    // SAFETY: every sample of every share wrote its outputs.
    filled(unsafe { output.finish() }, &[samples * patches.positions_out, bias.len()])
}

fn backward<T: Real>(
    x: &Buffer,
    window: Window,
    weight: &Buffer,
    cotangent: &Buffer,
    is_read: bool,
    site: &Site,
) -> Option<Buffer> {
    let patches = Patches::new(window, extent(x).1);
    let channels = extent(cotangent).1;
    let samples = extent(x).0 / patches.positions_in;
    let (x, weight, cotangent) = (T::read(x), T::read(weight), T::read(cotangent));
    let products = samples * patches.positions_out * patches.width * channels;
    let of_weight = || (weight_gradient(&patches, x, cotangent, channels), column_sums(cotangent, channels));
    let of_inputs = || is_read.then(|| input_gradient(&patches, weight, cotangent, channels));
    let ((of_weight, of_bias), of_inputs) = both(2 * products, of_weight, of_inputs);
    site.matrix_gradient("weight", filled(of_weight, &[patches.width, channels]));
    site.vector_gradient("bias", filled(of_bias, &[channels]));
    of_inputs.map(|gradient| filled(gradient, &[samples * patches.positions_in, patches.channels]))
}

/// `[taps x channels in, channels out]`, summed over the samples in their order.
fn weight_gradient<T: Real>(patches: &Patches, x: &[T], cotangent: &[T], channels: usize) -> Vec<T> {
    // The product is fastest along rows of many columns.
    let is_turned = channels < ENOUGH_CHANNELS && channels < patches.width;
    let mut gradient = vec![T::default(); patches.width * channels];
    let mut rows = Workspace::zeros(patches.positions_out * patches.width);
    let cotangents = cotangent.chunks_exact(patches.positions_out * channels);
    for (sample, cotangent) in x.chunks_exact(patches.values_in()).zip(cotangents) {
        let cotangent = Matrix::new(cotangent, patches.positions_out, channels);
        vectorised(Gather(patches, sample, &mut rows));
        let rows = patches.matrix(&rows);
        if is_turned {
            add_product(&mut gradient, cotangent.transposed(), rows);
        } else {
            add_product(&mut gradient, rows.transposed(), cotangent);
        }
    }
    if is_turned { Matrix::new(&gradient, channels, patches.width).transposed().to_vec() } else { gradient }
}

/// `[batch x positions, channels in]`.
fn input_gradient<T: Real>(patches: &Patches, weight: &[T], cotangent: &[T], channels: usize) -> Vec<T> {
    let (values_in, values_out) = (patches.values_in(), patches.positions_out * channels);
    let samples = cotangent.len() / values_out;
    let turned = Factor::new(Matrix::new(weight, patches.width, channels).transposed(), patches.positions_out);
    let share = share(samples, values_out * patches.width);
    let mut gradient = vec![T::default(); samples * values_in];
    let shares = cotangent.chunks(share * values_out).zip(gradient.chunks_mut(share * values_in));
    for_each_share(shares.collect(), |(cotangents, gradients)| {
        let mut slopes = Workspace::new(patches.positions_out * patches.width);
        for (cotangent, gradient) in cotangents.chunks_exact(values_out).zip(gradients.chunks_exact_mut(values_in)) {
            multiply_into(&mut slopes, Matrix::new(cotangent, patches.positions_out, channels), &turned);
            vectorised(Scatter(patches, &slopes, gradient));
        }
    });
    gradient
}

/// Channels that fill the registers of a product.
const ENOUGH_CHANNELS: usize = 32;

/// Where each output position finds its inputs.
struct Patches {
    window: Window,
    channels: usize,
    output: [usize; 2],
    positions_in: usize,
    positions_out: usize,
    /// Values of one patch.
    width: usize,
}

impl Patches {
    fn new(window: Window, channels: usize) -> Self {
        assert_eq!(window.dilation, Window::of_neighbours(), "runs of taps are copied, which must be neighbours");
        let output = window.output();
        let (positions_in, positions_out) = (window.grid.iter().product(), output.iter().product());
        Self { window, channels, output, positions_in, positions_out, width: window.taps() * channels }
    }

    /// Values of one sample's input.
    fn values_in(&self) -> usize {
        self.positions_in * self.channels
    }

    /// Visits each row of taps that lies in the grid; it is contiguous in a patch and in the sample.
    #[inline(always)]
    fn visit(&self, visitor: &mut impl Visit) {
        let Window { grid: [height, width], size: [taps_y, taps_x], stride, padding, dilation: _ } = self.window;
        for y in 0..self.output[0] {
            for x in 0..self.output[1] {
                let patch = (y * self.output[1] + x) * self.width;
                let left = (x * stride[1]).saturating_sub(padding[1]);
                let right = (x * stride[1] + taps_x).saturating_sub(padding[1]).min(width);
                // The first taps of the row may hang over the edge.
                let hanging = padding[1].saturating_sub(x * stride[1]);
                for tap in 0..taps_y {
                    let row = (y * stride[0] + tap).wrapping_sub(padding[0]);
                    if row < height && left < right {
                        let start = patch + (tap * taps_x + hanging) * self.channels;
                        visitor.run(start, (row * width + left) * self.channels, (right - left) * self.channels);
                    }
                }
            }
        }
    }

    /// Rows of patches as a matrix `[positions out, taps x channels]`.
    fn matrix<'r, T>(&self, rows: &'r [T]) -> Matrix<'r, T> {
        Matrix::new(rows, self.positions_out, self.width)
    }
}

/// What happens to a run of values. A trait and not a closure, which the compiler would be free not to inline.
trait Visit {
    /// From `in_rows` on in the patches, from `in_sample` on in the sample.
    fn run(&mut self, in_rows: usize, in_sample: usize, length: usize);
}

/// Writes the patches of a sample to rows; what lies beyond the edge is left as it is.
struct Gather<'a, T>(&'a Patches, &'a [T], &'a mut [T]);

impl<T: Real> Visit for Gather<'_, T> {
    #[inline(always)]
    fn run(&mut self, in_rows: usize, in_sample: usize, length: usize) {
        copy(&self.1[in_sample..in_sample + length], &mut self.2[in_rows..in_rows + length]);
    }
}

impl<T: Real> Loop for Gather<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let patches = self.0;
        patches.visit(&mut self);
    }
}

/// Copies a run. Of usual lengths without a call, which would take longer than the copy.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    macro_rules! of_length {
        ($($length:literal)*) => {
            match from.len() {
                $($length => {
                    if let (Some(from), Some(to)) = (from.first_chunk::<$length>(), to.first_chunk_mut::<$length>()) {
                        *to = *from;
                    }
                })*
                _ => to.copy_from_slice(from),
            }
        };
    }
    of_length!(1 2 3 6 9 16 32 48 64 96)
}

/// Adds rows of patches back to where they came from.
struct Scatter<'a, T>(&'a Patches, &'a [T], &'a mut [T]);

impl<T: Real> Visit for Scatter<'_, T> {
    #[inline(always)]
    fn run(&mut self, in_rows: usize, in_sample: usize, length: usize) {
        let values = &self.1[in_rows..in_rows + length];
        for (sum, &value) in self.2[in_sample..in_sample + length].iter_mut().zip(values) {
            *sum += value;
        }
    }
}

impl<T: Real> Loop for Scatter<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let patches = self.0;
        patches.visit(&mut self);
    }
}
