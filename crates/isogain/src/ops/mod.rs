//! The operations of a network, each one node on Burn's tape with a backward pass of its own; one file each.
//!
//! Burn's own operations would do, at a price: a normalisation becomes a dozen nodes, every node costs a few
//! microseconds of bookkeeping, and functions such as tanh are computed one value at a time. Here an operation is plain
//! code over the tensor's buffer. It also watches its own output and hands out its parameters' gradients
//! ([`site::Site`]), so that neither watching nor a parameter needs a node.
//!
//! On a device that is not the processor the same operation is put together from Burn's own after all ([`stock`]).

mod activation;
mod attention;
mod batch_norm;
mod batch_renorm;
mod buffer;
mod collected;
mod concatenate;
mod convolution;
mod dropout;
mod elementary;
mod embedding;
mod gate;
mod group_norm;
mod layer_norm;
mod layer_scale;
mod linear;
mod loss;
mod matmul;
mod narrow;
mod orthogonal;
mod pool;
mod qk_norm;
mod recurrent;
mod reshape;
mod residual;
mod site;
mod soft_cap;
mod softmax;
mod stochastic_depth;
mod stock;
mod tape;
mod threads;
mod workspace;

pub(crate) use activation::activation;
pub(crate) use attention::attention;
pub(crate) use batch_norm::{BatchStatistics, batch_norm};
pub(crate) use batch_renorm::batch_renorm;
pub(crate) use buffer::{Buffer, Loop, Real, buffer_moments, by_type, filled, primitive, scale, tensor, vectorised};
pub(crate) use collected::Collected;
pub(crate) use concatenate::concatenate;
pub(crate) use convolution::convolution;
pub(crate) use dropout::dropout;
pub(crate) use embedding::embedding;
pub(crate) use gate::gated;
pub(crate) use group_norm::{Groups, group_norm};
pub(crate) use layer_norm::{layer_norm, rms_norm};
pub(crate) use layer_scale::layer_scale;
pub(crate) use linear::linear;
pub(crate) use loss::{binary_cross_entropy, cross_entropy, squared_error};
pub(crate) use narrow::Narrow;
pub(crate) use orthogonal::orthogonalise;
pub(crate) use pool::pool;
pub(crate) use qk_norm::qk_norm;
pub(crate) use recurrent::{diagonal_recurrent, oscillating, recurrent};
pub(crate) use reshape::flatten;
pub(crate) use residual::residual;
pub(crate) use site::{Arithmetic, PathThroughTime, Site, ThroughTime};
pub(crate) use softmax::{softmax, softmax_row};
pub(crate) use stochastic_depth::{expected_depth, stochastic_depth};
pub(crate) use tape::{identity, watch};
pub(crate) use threads::{for_each_share, share_of_values};

#[cfg(test)]
mod tests;
