//! A rule's page taken apart: its sections, and the two recipes that make it a test.

use std::fmt;

use thiserror::Error;

/// Headings of a page, in order.
pub const SECTIONS: [&str; 8] = [
    "What it means",
    "Why it happens",
    "How it is detected",
    "A network that has it",
    "The same network, treated",
    "Remedies, in order",
    "When to ignore it",
    "References",
];
const ILL: usize = 3;
const TREATED: usize = 4;

/// A page taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// The rule's name, from the first line.
    pub title: &'a str,
    /// Heading and text of each section, in the order of [`SECTIONS`].
    pub sections: Vec<(&'a str, &'a str)>,
    /// A network that the rule finds ill.
    pub ill: Example<'a>,
    /// The same network treated, which it does not.
    pub treated: Example<'a>,
}

/// A recipe of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example<'a> {
    /// The recipe as TOML. Paths in it are relative to the folder of recipes.
    pub recipe: &'a str,
    /// When the rule is asked.
    pub when: When,
}

/// When a page's rule is asked about its recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before training.
    Check,
    /// After training.
    Train,
}

/// Why a page is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    /// No `# title` in the first line.
    #[error("the page does not begin with `# name`")]
    NoTitle,
    /// The headings differ from [`SECTIONS`].
    #[error("the page has the sections {found:?}, expected {SECTIONS:?}")]
    Sections {
        /// The headings found.
        found: Vec<String>,
    },
    /// A section without its one recipe.
    #[error("the section `{section}` needs one recipe that begins with ```toml check or ```toml train")]
    NoRecipe {
        /// The section.
        section: &'static str,
    },
}

impl<'a> Page<'a> {
    /// Takes the text of a page apart.
    ///
    /// # Errors
    /// A missing title, section or recipe.
    pub fn parse(text: &'a str) -> Result<Self, PageError> {
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).ok_or(PageError::NoTitle)?;
        let mut sections: Vec<(&str, &str)> = Vec::new();
        for part in text.split("\n## ").skip(1) {
            let (heading, body) = part.split_once('\n').unwrap_or((part, ""));
            sections.push((heading.trim(), body.trim()));
        }
        if !sections.iter().map(|section| section.0).eq(SECTIONS) {
            return Err(PageError::Sections { found: sections.iter().map(|section| section.0.to_owned()).collect() });
        }
        let (ill, treated) = (example(&sections, ILL)?, example(&sections, TREATED)?);
        Ok(Self { title, sections, ill, treated })
    }
}

fn example<'a>(sections: &[(&'a str, &'a str)], index: usize) -> Result<Example<'a>, PageError> {
    let error = PageError::NoRecipe { section: SECTIONS[index] };
    let mut fences = sections[index].1.split("```toml ").skip(1);
    let (Some(fence), None) = (fences.next(), fences.next()) else {
        return Err(error);
    };
    let (tag, rest) = fence.split_once('\n').ok_or_else(|| error.clone())?;
    let (recipe, _) = rest.split_once("```").ok_or_else(|| error.clone())?;
    let when = match tag.trim() {
        "check" => When::Check,
        "train" => When::Train,
        _ => return Err(error),
    };
    Ok(Example { recipe, when })
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check => "check",
            Self::Train => "train",
        })
    }
}
