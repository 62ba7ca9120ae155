//! Why weights could not be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why weights could not be read.
#[derive(Debug, Error)]
pub enum WeightError {
    /// The operating system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{}: {message}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A name that is there twice.
    #[error("two tensors are called '{0}'; the files of one model must not overlap")]
    Twice(String),
    /// A tensor that was not announced.
    #[error("'{0}' is none of the announced tensors")]
    Unknown(String),
    /// Values that do not fill the shape.
    #[error("'{name}' has {found} values; its shape holds {expected}")]
    Length {
        /// The tensor.
        name: String,
        /// Values given.
        found: usize,
        /// Values of that shape.
        expected: usize,
    },
}
