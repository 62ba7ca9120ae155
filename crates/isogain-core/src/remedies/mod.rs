//! What to do: one remedy, one file, one page. A remedy turns a recipe into another recipe and says what it changed.

use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::rules::Case;

/// A changed recipe, and what was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prescription {
    /// Names of the remedies, in the order applied (one, or a pair).
    pub remedies: Vec<String>,
    /// What was chosen, for people: `init = he-normal`, `learning_rate = 0.01`.
    pub parameters: String,
    /// The whole treated recipe.
    pub recipe: Recipe,
}

/// A remedy: one line of the table.
#[derive(Debug)]
pub struct Remedy {
    /// Name of the act, kebab-case.
    pub name: &'static str,
    /// One line for the list of remedies.
    pub summary: &'static str,
    /// The page.
    pub page: &'static str,
    /// The variants that apply to this case, best guess first; empty when it does not apply.
    pub prescribe: fn(&Case<'_>, &Recipe) -> Vec<Prescription>,
}
