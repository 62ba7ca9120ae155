//! What can be wrong with data: the file, the place in it, the value, and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use isogain_core::recipe::{self, RecipeError};

/// An error with the user's own values in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the recipe that is at odds with the data; its place is found by the key
    /// ([`RecipeError::in_text`]).
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A file is not usable.
    #[error("{}{place}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong and what would be right.
        message: String,
    },
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    Whole,
    /// A line of text, from 1.
    Line(usize),
    /// Bytes from the start.
    Byte(u64),
    /// A sample, from 0.
    Row(usize),
    /// A named part: a key, a column.
    Key(String),
    /// One value: sample and position in it, both from 0.
    Value(usize, usize),
    /// A row of a named column, from 0.
    Cell(String, usize),
}

/// Continues the name of the file.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Line(line) => write!(f, ":{line}"),
            Self::Byte(byte) => write!(f, ": byte {byte}"),
            Self::Row(row) => write!(f, ": row {row}"),
            Self::Key(key) => write!(f, ": '{key}'"),
            Self::Value(row, value) => write!(f, ": row {row}, value {value}"),
            Self::Cell(column, row) => write!(f, ": column '{column}', row {row}"),
        }
    }
}

/// Most files end here.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn file(path: &Path, place: Place, message: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), place, message: message.into() }
    }

    pub(crate) fn whole(path: &Path, message: impl Into<String>) -> Self {
        Self::file(path, Place::Whole, message)
    }

    /// What the system said about a file.
    pub(crate) fn system<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |error| Self::whole(path, format!("cannot {action}: {error}"))
    }

    /// A value of the recipe that is at odds with the data.
    pub(crate) fn value(key: &str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        let (place, key, expected) = (recipe::Place::default(), key.to_owned(), expected.into());
        Self::Recipe(RecipeError::Value { place, key, value: Some(value.to_string()), expected })
    }

    /// A key of the recipe that the data needs.
    pub(crate) fn missing(key: &str, expected: impl Into<String>) -> Self {
        let (place, key, expected) = (recipe::Place::default(), key.to_owned(), expected.into());
        Self::Recipe(RecipeError::Value { place, key, value: None, expected })
    }

    /// The same about a file that was read for something, told again.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Recipe(error) => Self::Recipe(error.clone()),
            Self::File { path, place, message } => {
                Self::File { path: path.clone(), place: place.clone(), message: message.clone() }
            }
        }
    }
}
