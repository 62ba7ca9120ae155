//! One command, one file.

pub(crate) mod check;
pub(crate) mod cure;
pub(crate) mod explain;
pub(crate) mod smooth;
pub(crate) mod train;
