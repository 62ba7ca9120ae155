//! The flow against exact identities, independent formulas and published numbers, on networks run by the reference
//! engine. Run with `--release`: unoptimised, the larger networks take minutes.

#![expect(clippy::unwrap_used, reason = "the exemption for tests does not reach the helpers of an integration test")]

mod acceptance;
mod attribution;
mod batch_norm;
mod batch_renorm;
mod conservation;
mod counterfactual;
mod ghost_batch_norm;
mod glorot;
mod gradients;
mod identities;
mod jacobian;
mod log_normal;
mod path_lengths;
mod profile;
mod residual;
mod saturation;
mod slopes;
mod splits;
mod supervision;
mod support;
mod zeros;
