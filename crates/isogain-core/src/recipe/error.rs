//! What can be wrong with a recipe. Every message names the file, the line, the value and what would be right.

use std::fmt;

use super::source::Document;
use crate::names::nearest;

/// The shortest recipe, for messages about files that say too little.
const SHORTEST: &str = "the shortest recipe is the two lines `[network]` and `depth = 30`";

/// Where in which file; either may be unknown when a recipe was not read from a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name of the file as the user gave it; empty when unknown.
    pub file: String,
    /// Line, counted from 1; `None` when unknown.
    pub line: Option<usize>,
}

impl Place {
    pub(super) fn new(file: &str, line: usize) -> Self {
        Self { file: file.to_owned(), line: Some(line) }
    }
}

/// Writes `net.toml:3: `, or what is known of it, so that the message follows directly.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", None) => Ok(()),
            ("", Some(line)) => write!(f, "line {line}: "),
            (file, None) => write!(f, "{file}: "),
            (file, Some(line)) => write!(f, "{file}:{line}: "),
        }
    }
}

/// What could be meant by something unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The known name that was probably meant.
    pub nearest: Option<String>,
    /// Every known name.
    pub known: Vec<String>,
}

impl Suggestion {
    pub(super) fn new(name: &str, known: &[&str]) -> Box<Self> {
        let nearest = nearest(name, known.iter().copied());
        let known = known.iter().map(|&name| name.to_owned()).collect();
        Box::new(Self { nearest: nearest.map(str::to_owned), known })
    }
}

/// Continues a message that named the unknown.
impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            Some(name) => write!(f, "; did you mean '{name}'?"),
            None => write!(f, "; known: {}", self.known.join(", ")),
        }
    }
}

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeError {
    /// There is nothing in it, or nothing but comments.
    #[error("{place}the recipe is empty; {SHORTEST}")]
    Empty {
        /// The file.
        place: Place,
    },
    /// There is no `[network]`.
    #[error("{place}no [network] in this recipe; {SHORTEST}")]
    NoNetwork {
        /// The file.
        place: Place,
    },
    /// It is longer than a recipe can sensibly be.
    #[error("{place}{bytes} bytes are too many for a recipe: must be at most {limit}")]
    TooLong {
        /// The file.
        place: Place,
        /// Its length.
        bytes: usize,
        /// The largest length accepted.
        limit: usize,
    },
    /// It is not TOML.
    #[error("{place}not valid TOML: {message}{}", near(found))]
    Syntax {
        /// Where.
        place: Place,
        /// What the TOML parser says.
        message: String,
        /// The text it stumbled over, shortened; empty at the end of the file.
        found: String,
    },
    /// A key that no table has.
    #[error("{place}unknown {}{suggestion}", key_of(key, table))]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key as written, shortened.
        key: String,
        /// The table it stands in; empty for the recipe itself, whose keys are tables.
        table: String,
        /// Which keys that table has.
        suggestion: Box<Suggestion>,
    },
    /// A name that is in no list: an activation, an initialiser, a kind, a rule.
    #[error("{place}unknown {what} '{value}'{suggestion}")]
    UnknownName {
        /// Where.
        place: Place,
        /// The key it is the value of, such as `network.activation`; for a rule the key itself.
        key: String,
        /// What the list holds, such as `activation`.
        what: String,
        /// The name as written, shortened.
        value: String,
        /// Which names there are.
        suggestion: Box<Suggestion>,
    },
    /// A value of the wrong type, out of its range, or at odds with another one.
    #[error("{place}{key}{}: {expected}", equals(value.as_deref()))]
    Value {
        /// Where.
        place: Place,
        /// The key, such as `network.layers[2].linear`.
        key: String,
        /// The value as written, shortened; `None` when there is none.
        value: Option<String>,
        /// What would be right, such as `must be from 1 to 10000`.
        expected: String,
    },
}

impl RecipeError {
    /// A value that cannot be used, place unknown so far.
    pub(super) fn value(key: impl Into<String>, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        let value = Some(shortened(&value.to_string()));
        Self::Value { place: Place::default(), key: key.into(), value, expected: expected.into() }
    }

    /// A key that is missing, place unknown so far.
    pub(super) fn missing(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Value { place: Place::default(), key: key.into(), value: None, expected: expected.into() }
    }

    /// The same error with file and line, and the value as it stands in `text`, found by the error's key.
    ///
    /// For errors about a recipe that was already read, such as those of [`super::validate()`] and
    /// [`super::expand::network`]. A key that is not in the text (its default is at fault) gets the line of the
    /// nearest table around it.
    #[must_use]
    pub fn in_text(mut self, text: &str, file: &str) -> Self {
        let document = Document::parse(text, file).ok();
        match &mut self {
            Self::Empty { place } | Self::NoNetwork { place } | Self::TooLong { place, .. } => {
                file.clone_into(&mut place.file)
            }
            Self::Syntax { place, .. } | Self::UnknownKey { place, .. } => file.clone_into(&mut place.file),
            Self::UnknownName { place, key, .. } => {
                *place = Place { file: file.to_owned(), line: document.and_then(|document| document.line_of(key)) };
            }
            Self::Value { place, key, value, .. } => {
                *place =
                    Place { file: file.to_owned(), line: document.as_ref().and_then(|document| document.line_of(key)) };
                if let Some(written) = document.and_then(|document| document.written(key)) {
                    *value = Some(written);
                }
            }
        }
        self
    }
}

/// At most 60 characters on one line, control characters escaped.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    let short: String = text.chars().take(LONGEST).map(escape).collect();
    if text.chars().nth(LONGEST).is_some() { format!("{short}...") } else { short }
}

fn key_of(key: &str, table: &str) -> String {
    if table.is_empty() { format!("table '{key}'") } else { format!("key '{key}' in [{table}]") }
}

fn equals(value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(" = {value}"))
}

fn near(found: &str) -> String {
    if found.is_empty() { String::new() } else { format!(" (at '{found}')") }
}
