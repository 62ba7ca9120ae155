//! The recipe that a command works on.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use isogain_core::recipe::{Recipe, parse_with_rules, to_toml};
use isogain_core::render::{Context, RecipeFile};
use isogain_core::rules;

use crate::args::Common;
use crate::output;

/// A recipe, as read.
#[derive(Debug)]
pub(crate) struct Input {
    /// The recipe, options of the command line applied.
    pub(crate) recipe: Recipe,
    /// Its text, to point at.
    pub(crate) text: String,
    /// Its name in messages.
    pub(crate) name: String,
    /// The folder that paths in it start from.
    pub(crate) folder: PathBuf,
}

/// Name of the built-in recipe in messages.
const BUILT_IN: &str = "built-in recipe";

impl Input {
    /// Reads the recipe of the command line, or takes the built-in one.
    pub(crate) fn of(common: &Common) -> Result<Self> {
        let mut input = match &common.recipe {
            Some(path) => Self::read(path)?,
            None => {
                let recipe = Recipe::default();
                Self { text: to_toml(&recipe), recipe, name: BUILT_IN.into(), folder: PathBuf::from(".") }
            }
        };
        if let Some(seed) = common.seed {
            input.recipe.run.seed = seed;
        }
        Ok(input)
    }

    /// Adds file and line to an error about the recipe.
    pub(crate) fn place<T>(&self, result: Result<T, isogain::Error>) -> Result<T> {
        Ok(result.map_err(|error| match error {
            isogain::Error::Recipe(error) => isogain::Error::Recipe(error.in_text(&self.text, &self.name)),
            other => other,
        })?)
    }

    /// What renderers need besides a report.
    pub(crate) fn context(&self) -> Context<'_> {
        let path = if self.name == BUILT_IN { "" } else { self.name.as_str() };
        Context { style: output::style(), file: RecipeFile { path, text: &self.text }, ..Context::default() }
    }

    /// Reads a recipe file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the recipe {name}"))?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
                bail!("{name}:{line}: not UTF-8 text; a recipe is a TOML file");
            }
        };
        let known: Vec<&str> = rules::TABLE.iter().map(|rule| rule.name).collect();
        let recipe = parse_with_rules(&text, &name, &known)?;
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { recipe, text, name, folder })
    }
}
