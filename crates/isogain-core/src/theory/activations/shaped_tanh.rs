//! tanh shaped for depth: moved and scaled so that signals keep their size and their angles, see
//! [`crate::theory::kernel_shaping`].

use super::super::kernel_shaping::Plain;
use super::{Entry, SHAPED_SLOPE, tanh};

pub(super) static ENTRY: Entry = Entry {
    name: "shaped-tanh",
    parameter: Some(SHAPED_SLOPE),
    // artanh(1/2).
    shaping: Some(Plain {
        value: |x| (tanh::ENTRY.value)(x, 0.0),
        derivative: |x| (tanh::ENTRY.derivative)(x, 0.0),
        shift: 0.549_306_144_334_054_8,
    }),
    ..tanh::ENTRY
};
