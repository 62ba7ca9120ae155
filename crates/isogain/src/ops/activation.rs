//! Activations, element by element.
//!
//! Piecewise linear ones, and in f32 the others that networks use most, run through vector instructions
//! ([`super::elementary`]). The rest applies the core's value and derivative one by one, so that adding an activation to
//! the core is enough.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::{DType, Tensor, TensorData, activation as burn_activation};

use isogain_core::theory::activations::Activation;
use isogain_core::theory::kernel_shaping::Shape;

use super::buffer::{Buffer, Loop, Real, by_type, vectorised};
use super::elementary::{exp, exp_m1, normal_cdf, normal_pdf, sigmoid, tanh};
use super::site::Site;
use super::stock::{self, above_zero, below_zero, softplus, to_processor, with_slope};
use super::tape::{Pull, apply};
use super::threads::{for_each_share, share_of_values};

/// phi(x).
pub(crate) fn activation(activation: Activation, x: Tensor<2>, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(activation, x));
    }
    apply(x, site, move |x| by_element(activation, x))
}

/// phi(x) in Burn's operations, of any shape.
pub(super) fn stock<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match activation.shape() {
        None => plain(activation, x),
        Some(Shape { input_scale, input_shift, output_shift, output_scale }) => {
            (plain(activation, x * input_scale + input_shift) + output_shift) * output_scale
        }
    }
}

/// The same before it is moved and scaled.
fn plain<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    match (activation.slopes(), activation.name().trim_start_matches("shaped-")) {
        (_, "linear") => x,
        (Some((0.0, above)), _) => above_zero(x) * above,
        (Some((below, above)), _) => above_zero(x.clone()) * above + below_zero(x) * below,
        (_, "elu" | "selu") => {
            let (above, below) = (activation.derivative(1.0), -activation.range().0);
            let (fixed, negative) = (x.clone().detach(), below_zero(x.clone().detach()));
            let less_one = stock::exp_m1(negative.clone());
            let slope = (negative.exp() * below).mask_fill(fixed.clone().greater_elem(0.0), above);
            with_slope(x, above_zero(fixed) * above + less_one * below, slope)
        }
        (_, "sigmoid") => {
            let fixed = x.clone().detach();
            with_slope(x, burn_activation::sigmoid(fixed.clone()), stock::sigmoid_slope(fixed))
        }
        (_, "silu") => {
            let fixed = x.clone().detach();
            let open = burn_activation::sigmoid(fixed.clone());
            let slope = open.clone() + fixed.clone() * stock::sigmoid_slope(fixed.clone());
            with_slope(x, fixed * open, slope)
        }
        (_, "tanh") => stock::tanh(x),
        (_, "gelu") => x.clone() * ((x * FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
        (_, "softplus") => softplus(x),
        (_, "softsign") => {
            let fixed = x.clone().detach();
            let share = (fixed.clone().abs() + 1.0).recip();
            with_slope(x, fixed * share.clone(), share.clone() * share)
        }
        (_, "hard-tanh") => {
            let (high, low) = (x.clone().greater_equal_elem(1.0), x.clone().lower_equal_elem(-1.0));
            x.mask_fill(high, 1.0).mask_fill(low, -1.0)
        }
        (_, "exponential") => x.exp(),
        _ => by_values(activation, x),
    }
}

/// Of an activation that nothing is known of: the core's values and slopes, brought to the device.
pub(super) fn by_values<const D: usize>(activation: Activation, x: Tensor<D>) -> Tensor<D> {
    let (shape, of) = (x.dims(), to_processor(x.clone()));
    let brought = |function: fn(Activation, f64) -> f64| {
        let values: Vec<f64> = of.iter().map(|&x| function(activation, x)).collect();
        Tensor::<D>::from_data(TensorData::new(values, shape), (&x.device(), x.dtype()))
    };
    let (value, slope) = (brought(Activation::value), brought(Activation::derivative));
    with_slope(x, value, slope)
}

fn by_element(activation: Activation, x: Buffer) -> (Buffer, Pull) {
    if activation.name() == "linear" {
        return (x, Box::new(|cotangent, _| Some(cotangent)));
    }
    if let Some((below, above)) = activation.slopes() {
        return by_type!(x, between_slopes(below, above, x));
    }
    if x.dtype() == DType::F64 {
        return through::<f64, _>(Exact(activation), x);
    }
    if let Some(shape) = activation.shape() {
        return match activation.name() {
            "shaped-sigmoid" => through(Shaped::new(Sigmoid, shape), x),
            "shaped-silu" => through(Shaped::new(Silu, shape), x),
            "shaped-tanh" => through(Shaped::new(Tanh, shape), x),
            "shaped-gelu" => through(Shaped::new(Gelu, shape), x),
            _ => through::<f32, _>(Exact(activation), x),
        };
    }
    match activation.name() {
        // Both are a multiple of x for x > 0, and of e^x - 1 below.
        "elu" | "selu" => {
            let (above, below) = (activation.derivative(1.0) as f32, -activation.range().0 as f32);
            through(Exponential { above, below }, x)
        }
        "sigmoid" => through(Sigmoid, x),
        "silu" => through(Silu, x),
        "tanh" => through(Tanh, x),
        "gelu" => through(Gelu, x),
        _ => through::<f32, _>(Exact(activation), x),
    }
}

/// ReLU and its leaky kin.
fn between_slopes<T: Real>(below: f64, above: f64, x: Buffer) -> (Buffer, Pull) {
    if below == 0.0 {
        return through_gate(T::of(above), x);
    }
    through(PiecewiseLinear { below: T::of(below), above: T::of(above) }, x)
}

/// A function with its derivative; both are marked `#[inline(always)]`.
trait Function<T>: Send + Sync + 'static {
    /// phi(x).
    fn value(&self, x: T) -> T;
    /// phi'(x).
    fn slope(&self, x: T) -> T;
}

/// Through the core's own functions.
struct Exact(Activation);

impl<T: Real> Function<T> for Exact {
    #[inline(always)]
    fn value(&self, x: T) -> T {
        T::of(self.0.value(x.wide()))
    }
    #[inline(always)]
    fn slope(&self, x: T) -> T {
        T::of(self.0.derivative(x.wide()))
    }
}

/// Another function, moved and scaled.
struct Shaped<F> {
    inner: F,
    scale: f32,
    shift: f32,
    above: f32,
    factor: f32,
}

impl<F> Shaped<F> {
    fn new(inner: F, shape: Shape) -> Self {
        let [scale, shift, above, factor] =
            [shape.input_scale, shape.input_shift, shape.output_shift, shape.output_scale].map(|value| value as f32);
        Self { inner, scale, shift, above, factor }
    }
}

impl<F: Function<f32>> Function<f32> for Shaped<F> {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        self.factor * (self.inner.value(self.scale * x + self.shift) + self.above)
    }
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        self.factor * self.scale * self.inner.slope(self.scale * x + self.shift)
    }
}

struct PiecewiseLinear<T> {
    below: T,
    above: T,
}

impl<T: Real> Function<T> for PiecewiseLinear<T> {
    #[inline(always)]
    fn value(&self, x: T) -> T {
        x * self.slope(x)
    }
    #[inline(always)]
    fn slope(&self, x: T) -> T {
        if x > T::default() { self.above } else { self.below }
    }
}

struct Exponential {
    above: f32,
    below: f32,
}

impl Function<f32> for Exponential {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        if x > 0.0 { self.above * x } else { self.below * exp_m1(x) }
    }
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        if x > 0.0 { self.above } else { self.below * exp(x) }
    }
}

struct Sigmoid;

impl Function<f32> for Sigmoid {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        sigmoid(x)
    }
    /// Without the difference of nearly equal numbers in y (1 - y).
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        let e = exp(-x.abs());
        e / ((1.0 + e) * (1.0 + e))
    }
}

struct Silu;

impl Function<f32> for Silu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * Sigmoid.value(x)
    }
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        let y = Sigmoid.value(x);
        y + x * y * Sigmoid.value(-x)
    }
}

struct Tanh;

impl Function<f32> for Tanh {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        tanh(x)
    }
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        let e = exp(-2.0 * x.abs());
        4.0 * e / ((1.0 + e) * (1.0 + e))
    }
}

struct Gelu;

impl Function<f32> for Gelu {
    #[inline(always)]
    fn value(&self, x: f32) -> f32 {
        x * normal_cdf(x)
    }
    #[inline(always)]
    fn slope(&self, x: f32) -> f32 {
        normal_cdf(x) + x * normal_pdf(x)
    }
}

/// Applies a function, and its slope on the way back.
fn through<T: Real, F: Function<T>>(function: F, x: Buffer) -> (Buffer, Pull) {
    let mut output = x.clone();
    let share = share_of_values(T::read(&x).len(), 1);
    for_each_share(T::write(&mut output).chunks_mut(share).collect(), |values| vectorised(Map(values, &function)));
    let pull = move |mut cotangent: Buffer, _| {
        let shares = T::read(&x).chunks(share).zip(T::write(&mut cotangent).chunks_mut(share));
        for_each_share(shares.collect(), |(x, cotangent)| vectorised(PullBack(x, cotangent, &function)));
        Some(cotangent)
    };
    (output, Box::new(pull))
}

struct Map<'a, T, F>(&'a mut [T], &'a F);

impl<T: Real, F: Function<T>> Loop for Map<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, function) = self;
        for x in values {
            *x = function.value(*x);
        }
    }
}

struct PullBack<'a, T, F>(&'a [T], &'a mut [T], &'a F);

impl<T: Real, F: Function<T>> Loop for PullBack<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(x, cotangent, function) = self;
        for (cotangent, &x) in cotangent.iter_mut().zip(x) {
            *cotangent = *cotangent * function.slope(x);
        }
    }
}

/// ReLU times `above`. The output tells on which side the input was, so that the input need not be kept.
fn through_gate<T: Real>(above: T, x: Buffer) -> (Buffer, Pull) {
    let mut output = x;
    let share = share_of_values(T::read(&output).len(), 1);
    for_each_share(T::write(&mut output).chunks_mut(share).collect(), |values| vectorised(Rectify(values, above)));
    let gate = output.clone();
    let pull = move |mut cotangent: Buffer, _| {
        let shares = T::read(&gate).chunks(share).zip(T::write(&mut cotangent).chunks_mut(share));
        for_each_share(shares.collect(), |(gate, cotangent)| vectorised(PullThroughGate(gate, cotangent, above)));
        Some(cotangent)
    };
    (output, Box::new(pull))
}

struct Rectify<'a, T>(&'a mut [T], T);

impl<T: Real> Loop for Rectify<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, above) = self;
        let zero = T::default();
        for x in values {
            // Written so that a NaN stays one.
            *x = if *x <= zero { zero } else { above * *x };
        }
    }
}

struct PullThroughGate<'a, T>(&'a [T], &'a mut [T], T);

impl<T: Real> Loop for PullThroughGate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(gate, cotangent, above) = self;
        let zero = T::default();
        for (cotangent, &gate) in cotangent.iter_mut().zip(gate) {
            // No product: an infinite cotangent behind a closed gate is 0, not NaN.
            *cotangent = if gate > zero { above * *cotangent } else { zero };
        }
    }
}
