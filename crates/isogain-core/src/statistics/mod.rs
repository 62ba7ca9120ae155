//! What is measured: one file for each statistic. A tensor is reduced to a fixed-size value, and everything after
//! that is plain data.

mod direction;
mod error;
mod exponent_histogram;
pub mod kernel;
mod median;
mod moments;
mod number_format;
mod real;
pub mod rounding;
mod units;

pub use direction::{cosine, dot, norm, update_ratio};
pub use error::StatisticsError;
pub use exponent_histogram::ExponentHistogram;
pub use median::median;
pub use moments::Moments;
pub use number_format::NumberFormat;
pub use real::Real;
pub use units::{UnitStatistics, unit_statistics};
