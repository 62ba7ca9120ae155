//! The logistic sigmoid shaped for depth: moved and scaled so that signals keep their size and their angles, see
//! [`crate::theory::kernel_shaping`].

use super::super::kernel_shaping::Plain;
use super::{Entry, SHAPED_SLOPE, sigmoid};

pub(super) static ENTRY: Entry = Entry {
    name: "shaped-sigmoid",
    parameter: Some(SHAPED_SLOPE),
    // ln 3.
    shaping: Some(Plain {
        value: |x| (sigmoid::ENTRY.value)(x, 0.0),
        derivative: |x| (sigmoid::ENTRY.derivative)(x, 0.0),
        shift: 1.098_612_288_668_109_8,
    }),
    ..sigmoid::ENTRY
};
