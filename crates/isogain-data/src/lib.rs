//! Data for networks: files of many formats and generators in, [`Dataset`] out. No framework in here.
//!
//! ```text
//! recipe [data] ─► format (csv, idx, npy ...) ─► Sheet ─► Table ─► Part (training, test) ─► Samples (one batch)
//!                                                raw       in the file's     split by seed,       standardised,
//!                                                answers   own number type   scales measured      f64
//! ```
//!
//! A [`Part`] keeps numbers as the file has them and applies the standardisation when rows are asked for, so that
//! CIFAR-10 takes 180 MB and not 1.4 GB; a file of numbers too large for memory stays on disk.

mod array;
mod batches;
mod classes;
mod dataset;
mod error;
mod file;
mod formats;
mod generate;
mod number;
mod part;
mod png;
#[cfg(test)]
mod png_tests;
mod raw;
mod samples;
mod scale;
mod sheet;
mod summary;
mod table;

pub use batches::{EpochOrder, batch_rows};
pub use dataset::Dataset;
pub use error::{Error, Place};
pub use part::Part;
pub use samples::{Samples, Targets};
