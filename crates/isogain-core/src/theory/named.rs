//! Reading and writing a table entry: `"leaky-relu"`, or `{ name = "leaky-relu", slope = 0.2 }` where a number
//! differs from its default. Activations and initialisers are both written so.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serializer};

use crate::names::nearest;

/// A number that belongs to a table entry, with the value it has when nothing is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// The key it is written under.
    pub name: &'static str,
    /// Its value when not written.
    pub default: f64,
    /// The values it may take.
    pub domain: Domain,
}

/// The values a [`Parameter`] may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Any finite number.
    Finite,
    /// A finite number above zero.
    Positive,
    /// A finite number, zero or above.
    NonNegative,
    /// A number above 1 by 0.00001 to 0.25.
    SlightlyAboveOne,
}

impl Domain {
    fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Finite => true,
                Self::Positive => value > 0.0,
                Self::NonNegative => value >= 0.0,
                Self::SlightlyAboveOne => (1.00001..=1.25).contains(&value),
            }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finite => "a finite number",
            Self::Positive => "a number above 0",
            Self::NonNegative => "a number that is 0 or more",
            Self::SlightlyAboveOne => "a number from 1.00001 to 1.25",
        })
    }
}

/// A name, key or number that no table entry accepts.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NameError {
    /// The name is in no entry of the table.
    #[error("unknown {kind} `{name}`{}", suggestion(*nearest, known))]
    UnknownName {
        /// What the table lists, such as `activation`.
        kind: &'static str,
        /// The name as written.
        name: String,
        /// The known name that was probably meant.
        nearest: Option<&'static str>,
        /// Every known name.
        known: Vec<&'static str>,
    },
    /// The entry exists but has no such number.
    #[error("{kind} `{name}` has no `{key}`{}", suggestion(*nearest, known))]
    UnknownKey {
        /// What the table lists.
        kind: &'static str,
        /// The entry's name.
        name: &'static str,
        /// The key as written.
        key: String,
        /// The known key that was probably meant.
        nearest: Option<&'static str>,
        /// Every key of this entry.
        known: Vec<&'static str>,
    },
    /// The number is outside of what it may be.
    #[error("{kind} `{name}`: {key} = {value} must be {domain}")]
    OutOfRange {
        /// What the table lists.
        kind: &'static str,
        /// The entry's name.
        name: &'static str,
        /// The number's key.
        key: &'static str,
        /// The value as written.
        value: f64,
        /// What would be right.
        domain: Domain,
    },
}

impl NameError {
    pub(super) fn unknown_name(kind: &'static str, name: &str, known: Vec<&'static str>) -> Self {
        let nearest = nearest(name, known.iter().copied());
        let name = name.to_owned();
        Self::UnknownName { kind, name, nearest, known }
    }
}

fn suggestion(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(name) => format!(", did you mean `{name}`?"),
        None if known.is_empty() => ", and no other number".to_owned(),
        None => format!("; known: {}", known.join(", ")),
    }
}

/// Where `key` stands among `parameters`, after checking that it may have this `value`.
pub(super) fn checked_index(
    kind: &'static str,
    name: &'static str,
    parameters: &[Parameter],
    key: &str,
    value: f64,
) -> Result<usize, NameError> {
    let Some(index) = parameters.iter().position(|parameter| parameter.name == key) else {
        let known: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
        let nearest = nearest(key, known.iter().copied());
        return Err(NameError::UnknownKey { kind, name, key: key.to_owned(), nearest, known });
    };
    let Parameter { name: key, domain, .. } = parameters[index];
    if domain.contains(value) { Ok(index) } else { Err(NameError::OutOfRange { kind, name, key, value, domain }) }
}

/// What was written, before any table was asked: a name and the numbers beside it, in the order of the text.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) numbers: Vec<(String, f64)>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WrittenVisitor)
    }
}

struct WrittenVisitor;

impl<'de> Visitor<'de> for WrittenVisitor {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name, or a table with `name` and numbers")
    }

    fn visit_str<E>(self, name: &str) -> Result<Written, E> {
        Ok(Written { name: name.to_owned(), numbers: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let mut name = None;
        let mut numbers = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "name" {
                name = Some(map.next_value()?);
            } else {
                let value = map.next_value()?;
                numbers.push((key, value));
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("name"))?;
        Ok(Written { name, numbers })
    }
}

/// Writes the bare name where every value is its default, else a table with those that are not.
pub(super) fn serialize<S: Serializer>(
    name: &str,
    parameters: &[Parameter],
    values: &[f64],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let changed: Vec<(&str, f64)> = changed(parameters, values).collect();
    if changed.is_empty() {
        return serializer.serialize_str(name);
    }
    let mut map = serializer.serialize_map(Some(changed.len() + 1))?;
    map.serialize_entry("name", name)?;
    for (key, value) in changed {
        map.serialize_entry(key, &value)?;
    }
    map.end()
}

/// Writes `name` or `name(key = value, ...)`.
pub(super) fn display(name: &str, parameters: &[Parameter], values: &[f64], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(name)?;
    let changed: Vec<String> = changed(parameters, values).map(|(key, value)| format!("{key} = {value}")).collect();
    if changed.is_empty() { Ok(()) } else { write!(f, "({})", changed.join(", ")) }
}

fn changed(parameters: &[Parameter], values: &[f64]) -> impl Iterator<Item = (&'static str, f64)> {
    parameters
        .iter()
        .zip(values)
        .filter(|(parameter, value)| parameter.default != **value)
        .map(|(parameter, value)| (parameter.name, *value))
}
