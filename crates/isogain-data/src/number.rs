//! The number types of binary files.

use half::{bf16, f16};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Number {
    /// Bytes of one.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Whether it can hold what is not a finite number.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }

    /// Appends the numbers stored in `bytes`.
    pub(crate) fn decode(self, is_big_endian: bool, bytes: &[u8], out: &mut Vec<f64>) {
        macro_rules! each {
            ($kind:ty, $wide:expr) => {
                out.extend(bytes.chunks_exact(size_of::<$kind>()).map(|chunk| {
                    // The chunk has exactly this length.
                    let chunk = chunk.try_into().unwrap_or_default();
                    let wide: fn($kind) -> f64 = $wide;
                    wide(if is_big_endian { <$kind>::from_be_bytes(chunk) } else { <$kind>::from_le_bytes(chunk) })
                }))
            };
        }
        match self {
            Self::Bool => out.extend(bytes.iter().map(|&byte| f64::from(u8::from(byte != 0)))),
            Self::U8 => out.extend(bytes.iter().map(|&byte| f64::from(byte))),
            Self::I8 => each!(i8, f64::from),
            Self::U16 => each!(u16, f64::from),
            Self::I16 => each!(i16, f64::from),
            Self::U32 => each!(u32, f64::from),
            Self::I32 => each!(i32, f64::from),
            Self::U64 => each!(u64, |value| value as f64),
            Self::I64 => each!(i64, |value| value as f64),
            Self::F16 => each!(f16, f16::to_f64),
            Self::Bf16 => each!(bf16, bf16::to_f64),
            Self::F32 => each!(f32, f64::from),
            Self::F64 => each!(f64, |value| value),
        }
    }
}
