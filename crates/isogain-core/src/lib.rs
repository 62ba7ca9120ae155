//! The framework-free core of isogain: what is measured, what theory expects, what is wrong and why,
//! what to do about it, and what a trial proved. No framework, no sockets, no clock, no printing.

pub mod baseline;
pub mod conservation;
pub mod flow;
pub mod forecast;
pub mod ghost;
mod matmul;
pub mod names;
pub mod network;
pub mod online;
pub mod recipe;
pub mod record;
pub mod remedies;
pub mod render;
pub mod renorm;
pub mod rules;
pub mod statistics;
pub mod step_size;
pub mod summary;
pub mod theory;
pub mod traced;
pub mod trial;
pub mod weight_norm;
pub mod weights;
pub mod width_scaling;
