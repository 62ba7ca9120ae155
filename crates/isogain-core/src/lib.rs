//! The framework-free core of isogain: what is measured, what theory expects, what is wrong and why,
//! what to do about it, and what a trial proved. No framework, no sockets, no clock, no printing.

pub mod names;
pub mod statistics;
pub mod theory;
