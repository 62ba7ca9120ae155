//! How loudly a finding speaks, in the words of its reader: `error`, `warning`, `note`.
//!
//! A recipe sets a rule's level (`deny`, `warn`, `note`, `allow`); a finding carries what that makes of it.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

use crate::recipe::Level;

/// Every level and its word.
const WORDS: [(Level, &str); 4] =
    [(Level::Deny, "error"), (Level::Warn, "warning"), (Level::Note, "note"), (Level::Allow, "allowed")];

/// The word for a level.
pub fn word(level: Level) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == level).map_or("", |(_, word)| word)
}

/// Writes the word.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*level))
}

/// Reads the word.
///
/// # Errors
/// A text that is none of the words.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
    let text = String::deserialize(deserializer)?;
    let level = WORDS.iter().find(|(_, word)| *word == text).map(|(level, _)| *level);
    level.ok_or_else(|| D::Error::custom(format!("unknown level '{text}'; known: error, warning, note, allowed")))
}
