//! 16-bit arithmetic emulated: values are kept in f32 and rounded to the format wherever a processor that computes in it
//! would store them. Sums inside an operation stay in f32, as in the matrix units of accelerators.

use burn::tensor::{DType, Tensor};

use isogain_core::recipe::Precision;
use isogain_core::statistics::rounding::{to_bf16, to_fp16};

use super::buffer::{Buffer, Loop, Real, primitive, tensor, vectorised};

/// A 16-bit format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Narrow {
    /// bfloat16.
    Bf16,
    /// IEEE half.
    Fp16,
}

impl Narrow {
    /// The format of activations, cotangents and gradients; `None` where they are as wide as parameters.
    pub(crate) fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::F32 | Precision::F64 => None,
            Precision::Bf16 => Some(Self::Bf16),
            Precision::Fp16 => Some(Self::Fp16),
        }
    }

    /// Half of the spacing between 1 and the next number.
    pub(crate) fn unit_roundoff(self) -> f64 {
        match self {
            Self::Bf16 => 2.0_f64.powi(-8),
            Self::Fp16 => 2.0_f64.powi(-11),
        }
    }

    /// Rounds every value in place; a shared buffer is copied first.
    pub(crate) fn round(self, buffer: &mut Buffer) {
        if buffer.dtype() != DType::F32 {
            return;
        }
        match self {
            Self::Bf16 => vectorised(Round(f32::write(buffer), to_bf16)),
            Self::Fp16 => vectorised(Round(f32::write(buffer), to_fp16)),
        }
    }

    /// A rounded copy of a tensor.
    pub(crate) fn rounded<const D: usize>(self, values: Tensor<D>) -> Tensor<D> {
        let mut buffer = primitive(values);
        self.round(&mut buffer);
        tensor(buffer)
    }
}

struct Round<'a, F>(&'a mut [f32], F);

impl<F: Fn(f32) -> f32> Loop for Round<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(values, round) = self;
        for value in values {
            *value = round(*value);
        }
    }
}
