//! A report as text, JSON, GitHub annotations, SARIF or Markdown: one file each. Nothing here prints; every renderer
//! returns what is to be printed.
//!
//! Names and messages may come from other people's networks and recipes: each format escapes them in its own way, and
//! control characters never reach a terminal.

pub mod alarm;
pub mod bars;
pub mod comparison;
pub mod differential;
pub mod escape;
pub mod explain;
pub mod github;
pub mod json;
pub mod layers;
pub mod markdown;
pub mod numbers;
pub mod path_lengths;
pub mod phase_map;
pub mod reproduction;
pub mod run;
pub mod sarif;
pub mod smoothness;
pub mod source;
pub mod text;
pub mod weights;
pub mod what_if;
pub mod words;

mod columns;
mod trials;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod schema_check;
#[cfg(test)]
mod snapshots;

pub use source::RecipeFile;
pub use text::Style;

use crate::names;
use crate::summary::{CheckReport, CureReport};

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    Text,
    /// The whole report, for programs.
    Json,
    /// Workflow commands that GitHub shows beside the recipe's lines.
    Github,
    /// Static Analysis Results Interchange Format 2.1.0.
    Sarif,
    /// For pull requests.
    Markdown,
}

/// Every format and its name on the command line.
pub const FORMATS: [(&str, Format); 5] = [
    ("text", Format::Text),
    ("json", Format::Json),
    ("github", Format::Github),
    ("sarif", Format::Sarif),
    ("markdown", Format::Markdown),
];

/// What a renderer needs besides the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// With or without colour; text only.
    pub style: Style,
    /// The recipe as the user wrote it, to point at.
    pub file: RecipeFile<'a>,
    /// Through which door the reader came, and so how a remedy is tried there.
    pub door: Door,
}

/// Where a report is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// The command line, which has recipes.
    #[default]
    CommandLine,
    /// The Python package, which has models.
    Python,
}

impl Door {
    /// What tries the remedies of a network: a command or a call. `path` is that of the recipe; empty for the built-in one.
    pub fn cure(self, path: &str) -> String {
        match self {
            Self::CommandLine if path.is_empty() => "isogain cure".to_owned(),
            Self::CommandLine => format!("isogain cure {path}"),
            Self::Python => "isogain.cure(build_model, data, loss_fn)".to_owned(),
        }
    }
}

impl Format {
    /// The format of this name.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self, String> {
        let known = FORMATS.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
        known.ok_or_else(|| {
            let all: Vec<&str> = FORMATS.iter().map(|(name, _)| *name).collect();
            match names::nearest(name, all.iter().copied()) {
                Some(nearest) => format!("unknown format '{name}'; did you mean '{nearest}'?"),
                None => format!("unknown format '{name}'; known: {}", all.join(", ")),
            }
        })
    }
}

/// What `check` prints, with a newline at the end.
///
/// # Errors
/// When the report cannot be written as JSON.
pub fn check(report: &CheckReport, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    match format {
        Format::Text => Ok(text::check(report, context)),
        Format::Json => json::of(report),
        Format::Github => Ok(github::check(report, context)),
        Format::Sarif => sarif::check(report, context),
        Format::Markdown => Ok(markdown::check(report)),
    }
}

/// What `cure` prints, with a newline at the end.
///
/// # Errors
/// When the report cannot be written as JSON.
pub fn cure(report: &CureReport, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    match format {
        Format::Text => Ok(text::cure(report, context)),
        Format::Json => json::of(report),
        Format::Github => Ok(github::cure(report, context)),
        Format::Sarif => sarif::cure(report, context),
        Format::Markdown => Ok(markdown::cure(report)),
    }
}
