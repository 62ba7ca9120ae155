//! One command, one file.

pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod cure;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod map;
mod measured;
pub(crate) mod reproduce;
pub(crate) mod smooth;
pub(crate) mod tour;
pub(crate) mod train;
pub(crate) mod view;
