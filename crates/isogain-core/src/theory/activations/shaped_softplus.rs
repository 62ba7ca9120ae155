//! Softplus shaped for depth: moved and scaled so that signals keep their size and their angles, see
//! [`crate::theory::kernel_shaping`].

use super::super::kernel_shaping::Plain;
use super::{Entry, SHAPED_SLOPE, softplus};

pub(super) static ENTRY: Entry = Entry {
    name: "shaped-softplus",
    parameter: Some(SHAPED_SLOPE),
    // ln(3/2).
    shaping: Some(Plain {
        value: |x| (softplus::ENTRY.value)(x, 0.0),
        derivative: |x| (softplus::ENTRY.derivative)(x, 0.0),
        shift: 0.405_465_108_108_164_4,
    }),
    ..softplus::ENTRY
};
