//! Every weight zero: an illness, except for the last layer of a residual branch. No signal forward, no gradient back.

use super::{Entry, PLAIN};

pub(super) static ENTRY: Entry = Entry { name: "zeros", ..PLAIN };
