//! The flow against exact identities, independent formulas and published numbers, on networks run by the reference
//! engine. Run with `--release`: unoptimised, the larger networks take minutes.

mod acceptance;
mod attribution;
mod batch_norm;
mod glorot;
mod gradients;
mod identities;
mod log_normal;
mod profile;
mod residual;
mod saturation;
mod slopes;
mod splits;
mod support;
mod zeros;
