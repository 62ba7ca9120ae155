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
    /// The data is not usable.
    #[error(transparent)]
    Data(isogain_data::Error),
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

/// What is wrong with the recipe stays an error of the recipe, which is told its place in the file.
impl From<isogain_data::Error> for Error {
    fn from(error: isogain_data::Error) -> Self {
        match error {
            isogain_data::Error::Recipe(error) => Self::Recipe(error),
            other => Self::Data(other),
        }
    }
}

impl Error {
    /// For `map_err` on file operations.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
