//! isogain for Burn: networks from recipes, probes on every joint, training that can be watched, stopped and resumed,
//! and trials that run side by side.
//!
//! All judgement lives in `isogain_core`; this crate only builds, runs and measures.
#![recursion_limit = "256"]

mod budget;
pub mod cache;
pub mod check;
pub mod checkpoint;
pub mod clip;
pub mod cure;
pub mod device;
mod direction;
pub mod error;
pub mod experiment;
mod file;
pub mod heal;
pub mod initialize;
mod memory;
pub mod model;
mod ops;
pub mod optimizer;
mod potential;
pub mod probe;
pub mod reproduce;
pub mod run;
pub mod scaler;
pub mod sharpness;
pub mod smoothness;
pub mod snapshot;
mod tangent_kernel;
pub mod tour;
pub mod train;
pub mod trials;

pub use error::Error;
pub use isogain_data as data;
