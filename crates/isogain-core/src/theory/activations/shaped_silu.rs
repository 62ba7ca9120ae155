//! SiLU shaped for depth: moved and scaled so that signals keep their size and their angles, see
//! [`crate::theory::kernel_shaping`].

use super::super::kernel_shaping::Plain;
use super::{Entry, SHAPED_SLOPE, silu};

pub(super) static ENTRY: Entry = Entry {
    name: "shaped-silu",
    parameter: Some(SHAPED_SLOPE),
    // Two digits: the iteration finds the rest.
    shaping: Some(Plain {
        value: |x| (silu::ENTRY.value)(x, 0.0),
        derivative: |x| (silu::ENTRY.derivative)(x, 0.0),
        shift: 0.35,
    }),
    ..silu::ENTRY
};
