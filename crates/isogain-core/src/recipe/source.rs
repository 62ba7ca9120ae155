//! The text of a recipe as a tree in which every key and value knows its place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Place, RecipeError, shortened};

/// Longest recipe read, in bytes: some thirty thousand explicit layers.
const LONGEST: usize = 1 << 20;

/// A recipe as TOML, before anything is known about its keys.
pub(super) struct Document<'t> {
    text: &'t str,
    file: &'t str,
    root: DeTable<'t>,
}

impl<'t> Document<'t> {
    /// The tree of `text`.
    ///
    /// # Errors
    /// A text that is too long, not TOML, or says nothing.
    pub(super) fn parse(text: &'t str, file: &'t str) -> Result<Self, RecipeError> {
        let whole = Place { file: file.to_owned(), line: None };
        if text.len() > LONGEST {
            return Err(RecipeError::TooLong { place: whole, bytes: text.len(), limit: LONGEST });
        }
        let root = DeTable::parse(text).map_err(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            let found = text.get(span.clone()).map(|found| shortened(found.trim_end())).unwrap_or_default();
            let place = Place::new(file, line_at(text, span.start));
            RecipeError::Syntax { place, message: error.message().to_owned(), found }
        })?;
        let root = root.into_inner();
        if root.is_empty() {
            return Err(RecipeError::Empty { place: whole });
        }
        Ok(Self { text, file, root })
    }

    pub(super) fn root(&self) -> &DeTable<'t> {
        &self.root
    }

    /// The place of what stands at `span`.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place::new(self.file, line_at(self.text, span.start))
    }

    /// The file, no line.
    pub(super) fn whole(&self) -> Place {
        Place { file: self.file.to_owned(), line: None }
    }

    /// What stands at `span`, shortened.
    pub(super) fn snippet(&self, span: &Range<usize>) -> String {
        shortened(self.text.get(span.clone()).unwrap_or_default())
    }

    /// The line of the key `path`, such as `network.layers[2].linear`, or of the innermost table around it.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        self.find(path).map(|(span, _)| line_at(self.text, span.start))
    }

    /// The value at `path` as it was written, shortened; `None` when it is not there or has parts of its own.
    pub(super) fn written(&self, path: &str) -> Option<String> {
        match self.find(path) {
            Some((_, Some(value))) if !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)) => {
                Some(self.snippet(&value.span()))
            }
            _ => None,
        }
    }

    /// Span of the last key on the way to `path`; and the value, if the way leads to its end.
    fn find(&self, path: &str) -> Option<(Range<usize>, Option<&Spanned<DeValue<'t>>>)> {
        let (mut table, mut rest, mut last) = (&self.root, path, None);
        loop {
            let step = table.iter().find_map(|(key, value)| {
                let after = rest.strip_prefix(key.get_ref().as_ref())?;
                (after.is_empty() || after.starts_with(['.', '['])).then_some((key, value, after))
            });
            let Some((key, mut value, mut after)) = step else {
                return last.map(|span| (span, None));
            };
            let mut span = key.span();
            while let Some((index, tail)) = after.strip_prefix('[').and_then(|tail| tail.split_once(']')) {
                let item = value.get_ref().as_array().and_then(|items| items.get(index.parse::<usize>().ok()?));
                let Some(item) = item else { return Some((span, None)) };
                (span, value, after) = (item.span(), item, tail);
            }
            let Some(tail) = after.strip_prefix('.') else {
                return Some((span, Some(value)));
            };
            let Some(inner) = value.get_ref().as_table() else {
                return Some((span, None));
            };
            (table, rest, last) = (inner, tail, Some(span));
        }
    }
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    let before = &text.as_bytes()[..byte.min(text.len())];
    1 + before.iter().filter(|b| **b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "run.seed = 3\n[network]\nkind = \"layers\"\nlayers = [\n  { linear = 8 },\n  { residual = [\n    { linear = 0x9 },\n  ] },\n]\n";

    #[test]
    fn finds_the_line_of_a_key_and_of_what_surrounds_a_missing_one() {
        let document = Document::parse(TEXT, "net.toml").unwrap();
        for (path, line) in [
            ("run.seed", Some(1)),
            ("run.steps", Some(1)),
            ("network", Some(2)),
            ("network.kind", Some(3)),
            ("network.width", Some(2)),
            ("network.layers", Some(4)),
            ("network.layers[0].linear", Some(5)),
            ("network.layers[1].residual[0].linear", Some(7)),
            ("network.layers[7].linear", Some(4)),
            ("optimizer.eps", None),
        ] {
            assert_eq!(document.line_of(path), line, "{path}");
        }
    }

    #[test]
    fn shows_values_as_they_were_written() {
        let document = Document::parse(TEXT, "net.toml").unwrap();
        assert_eq!(document.written("network.layers[1].residual[0].linear").as_deref(), Some("0x9"));
        assert_eq!(document.written("network.kind").as_deref(), Some("\"layers\""));
        assert_eq!(document.written("network.layers"), None);
        assert_eq!(document.written("network.depth"), None);
    }
}
