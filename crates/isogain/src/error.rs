//! What can go wrong between a recipe and a trained network.

use std::path::PathBuf;

/// An error with the user's own values in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The recipe is not usable.
    #[error(transparent)]
    Recipe(#[from] isogain_core::recipe::RecipeError),
    /// The record of a run could not be written or read.
    #[error(transparent)]
    Record(#[from] isogain_core::record::RecordError),
    /// A data file is not usable.
    #[error("{}{}: {message}", path.display(), at_line(*line))]
    Data {
        /// The file.
        path: PathBuf,
        /// Line, from 1; 0 for the whole file.
        line: usize,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Data and recipe do not fit each other.
    #[error("{0}")]
    Mismatch(String),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `create` ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint does not fit the recipe, or is damaged.
    #[error("checkpoint {}: {message}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Stopped from outside (Ctrl-C); what was done so far is on disk.
    #[error("interrupted")]
    Interrupted,
}

/// Nothing for line 0, which stands for the whole file.
fn at_line(line: usize) -> String {
    if line == 0 { String::new() } else { format!(":{line}") }
}

impl Error {
    /// A value of the recipe that is at odds with the data; its place is found by the key
    /// ([`RecipeError::in_text`](isogain_core::recipe::RecipeError::in_text)).
    pub(crate) fn value(key: &str, value: impl std::fmt::Display, expected: String) -> Self {
        let (place, key, value) = (isogain_core::recipe::Place::default(), key.to_owned(), Some(value.to_string()));
        Self::Recipe(isogain_core::recipe::RecipeError::Value { place, key, value, expected })
    }

    /// For `map_err` on file operations.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
