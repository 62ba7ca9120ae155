//! What theory expects of a layer before anything was trained.
//!
//! Conventions (Poole et al. 2016, Schoenholz et al. 2017): z_l = W_l phi(z_{l-1}) + b_l with
//! Var W = sw2 / fan_in and Var b = sb2; q is the variance of a pre-activation z; chi is the factor of the mean
//! *squared* gradient per layer, so that its RMS changes by sqrt(chi). RMS is per element.

pub mod activations;
pub mod batch_norm;
pub mod born_dead;
pub mod correlation;
pub mod dormant;
pub mod dropout;
pub mod edge_of_chaos;
pub mod finite_width;
pub mod gains;
pub mod gauge;
pub mod initializers;
pub mod kernel_shaping;
pub mod limits;
pub mod mean_field;
pub mod numerics;
pub mod padding;
pub mod phase_diagram;
pub mod plateau;
pub mod quadrature;
pub mod recurrent;
pub mod residual;
pub mod sampling;
pub mod slope;
pub mod supervision;
pub mod tailored;

pub(crate) mod distribution;
mod named;
mod solve;
mod special;

pub use activations::Activation;
pub use gains::Gains;
pub use initializers::Initializer;
pub use limits::{Ceiling, Limits, LimitsInput};
pub use mean_field::{FixedPoint, MeanField, Phase, Propagation};
pub use named::{Domain, NameError, Parameter};
pub use phase_diagram::PhaseDiagram;
