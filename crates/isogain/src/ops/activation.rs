//! Activations, element by element.
//!
//! Those that networks use most run in f32 through vector instructions ([`super::elementary`]). Every other one, and all
//! of them in f64, apply the core's value and derivative one by one, so that adding an activation to the core is enough.

use burn::tensor::{DType, Tensor};

use isogain_core::theory::activations::Activation;

use super::buffer::{Buffer, Real, vectorised};
use super::elementary::{exp, exp_m1, normal_cdf, normal_pdf};
use super::site::Site;
use super::tape::{Pull, apply};

/// phi(x).
pub(crate) fn activation(activation: Activation, x: Tensor<2>, site: Site) -> Tensor<2> {
    apply(x, site, move |x| if x.dtype() == DType::F64 { exact::<f64>(activation, x) } else { fast(activation, x) })
}

/// Through the core's own functions.
fn exact<T: Real>(activation: Activation, x: Buffer) -> (Buffer, Pull) {
    by_functions::<T>(
        x,
        move |x| T::of(activation.value(x.wide())),
        move |x, cotangent| cotangent * T::of(activation.derivative(x.wide())),
    )
}

/// Through f32 functions where there are some.
fn fast(activation: Activation, x: Buffer) -> (Buffer, Pull) {
    if activation.name() == "linear" {
        return (x, Box::new(|cotangent, _| Some(cotangent)));
    }
    if let Some((below, above)) = activation.slopes() {
        return piecewise_linear(below as f32, above as f32, x);
    }
    match activation.name() {
        // Both are `above` x for x > 0 and `floor` (e^x - 1) below.
        "elu" | "selu" => {
            let (above, floor) = (activation.derivative(1.0) as f32, -activation.range().0 as f32);
            by_functions::<f32>(
                x,
                move |x| if x > 0.0 { above * x } else { floor * exp_m1(x) },
                move |x, cotangent| cotangent * if x > 0.0 { above } else { floor * exp(x) },
            )
        }
        "sigmoid" => by_functions::<f32>(x, sigmoid, |x, cotangent| cotangent * sigmoid_slope(x)),
        "silu" => {
            by_functions::<f32>(x, |x| x * sigmoid(x), |x, cotangent| cotangent * (sigmoid(x) + x * sigmoid_slope(x)))
        }
        "tanh" => by_functions::<f32>(
            x,
            |x| {
                let e = exp_m1(-2.0 * x.abs());
                (-e / (2.0 + e)).copysign(x)
            },
            |x, cotangent| {
                let e = exp(-2.0 * x.abs());
                cotangent * (4.0 * e / ((1.0 + e) * (1.0 + e)))
            },
        ),
        "gelu" => by_functions::<f32>(
            x,
            |x| x * normal_cdf(x),
            |x, cotangent| cotangent * (normal_cdf(x) + x * normal_pdf(x)),
        ),
        _ => exact::<f32>(activation, x),
    }
}

/// `below` x for x <= 0, `above` x for x > 0.
fn piecewise_linear(below: f32, above: f32, x: Buffer) -> (Buffer, Pull) {
    if below != 0.0 {
        return by_functions::<f32>(
            x,
            move |x| if x > 0.0 { above * x } else { below * x },
            move |x, cotangent| cotangent * if x > 0.0 { above } else { below },
        );
    }
    // Written so that a NaN stays one and an infinite value behind a closed gate is 0. The output tells on which side
    // the input was, so that the input need not be kept.
    let mut output = x;
    let values = f32::write(&mut output);
    vectorised(|| values.iter_mut().for_each(|x| *x = if *x <= 0.0 { 0.0 } else { above * *x }));
    let gate = output.clone();
    let pull = move |mut cotangent: Buffer, _| {
        let (gates, slopes) = (f32::read(&gate), f32::write(&mut cotangent));
        vectorised(|| {
            slopes
                .iter_mut()
                .zip(gates)
                .for_each(|(slope, &gate)| *slope = if gate > 0.0 { above * *slope } else { 0.0 });
        });
        Some(cotangent)
    };
    (output, Box::new(pull))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Without the difference of nearly equal numbers in y (1 - y).
#[inline(always)]
fn sigmoid_slope(x: f32) -> f32 {
    let e = exp(-x.abs());
    e / ((1.0 + e) * (1.0 + e))
}

/// phi(x) by `value`, and cotangent * phi'(x) by `slope`.
fn by_functions<T: Real>(
    x: Buffer,
    value: impl Fn(T) -> T + Send + Sync + 'static,
    slope: impl Fn(T, T) -> T + Send + Sync + 'static,
) -> (Buffer, Pull) {
    let mut output = x.clone();
    let values = T::write(&mut output);
    vectorised(|| values.iter_mut().for_each(|x| *x = value(*x)));
    let pull = move |mut cotangent: Buffer, _| {
        let (values, slopes) = (T::read(&x), T::write(&mut cotangent));
        vectorised(|| slopes.iter_mut().zip(values).for_each(|(cotangent, &x)| *cotangent = slope(x, *cotangent)));
        Some(cotangent)
    };
    (output, Box::new(pull))
}
