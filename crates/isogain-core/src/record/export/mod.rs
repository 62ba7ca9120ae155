//! A run in the formats of other programs: one file each.

pub mod csv;
pub mod json;
pub mod long;
pub mod parquet;
pub mod tensorboard;
