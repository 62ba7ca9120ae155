//! Typed access to a recipe's tables: every value is asked for by key, and what nobody asked for is an unknown key.

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{RecipeError, Suggestion, shortened};
use super::source::Document;
use super::validate::MAX_SEED;
use super::variants::{variant, variant_names};
use crate::theory::NameError;
use crate::theory::activations::Activation;
use crate::theory::initializers::Initializer;

/// A table being read.
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    /// Path of the table, `network.layers[2]`; empty for the whole recipe.
    path: String,
    entries: &'a DeTable<'a>,
    /// The keys asked for so far: all keys this table has.
    asked: Vec<&'static str>,
}

/// The value of one key.
pub(super) struct Entry<'a> {
    document: &'a Document<'a>,
    path: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Table<'a> {
    /// The whole recipe.
    pub(super) fn root(document: &'a Document<'a>) -> Self {
        Self { document, path: String::new(), entries: document.root(), asked: Vec::new() }
    }

    /// The value of `key`, if it is there.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.asked.push(key);
        let value = self.entries.get(key)?;
        Some(Entry { document: self.document, path: self.path_of(key), value })
    }

    /// The value of `key`, or `default` when it is not there.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Entry<'a>) -> Result<T, RecipeError>,
    ) -> Result<T, RecipeError> {
        self.entry(key).map_or(Ok(default), read)
    }

    /// The value of `key`, if it is there.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Entry<'a>) -> Result<T, RecipeError>,
    ) -> Result<Option<T>, RecipeError> {
        self.entry(key).map(read).transpose()
    }

    /// Refuses keys that would be ignored, because a setting without effect misleads.
    pub(super) fn refuse(&self, keys: &[&str], why: &str) -> Result<(), RecipeError> {
        let found = keys.iter().find_map(|key| Some((key, self.entries.get(*key)?)));
        let Some((key, value)) = found else { return Ok(()) };
        let entry = Entry { document: self.document, path: self.path_of(key), value };
        Err(entry.wrong(why))
    }

    /// Every key with its value, in the order of the text.
    pub(super) fn into_entries(self) -> Vec<(&'a str, Entry<'a>)> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entry = |(key, value): (&'a Spanned<_>, _)| -> (&'a str, Entry<'a>) {
            let key: &str = AsRef::<str>::as_ref(key.get_ref());
            (key, Entry { document: self.document, path: self.path_of(key), value })
        };
        entries.into_iter().map(entry).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// The first key that nobody asked for.
    pub(super) fn finish(self) -> Result<(), RecipeError> {
        let unknown = self.entries.iter().filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref()));
        let Some((key, _)) = unknown.min_by_key(|(key, _)| key.span().start) else {
            return Ok(());
        };
        Err(RecipeError::UnknownKey {
            place: self.document.place(&key.span()),
            key: shortened(key.get_ref()),
            table: self.path,
            suggestion: Suggestion::new(key.get_ref(), &self.asked),
        })
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Entry<'a> {
    /// A table.
    pub(super) fn table(self) -> Result<Table<'a>, RecipeError> {
        match self.value.get_ref() {
            DeValue::Table(entries) => {
                Ok(Table { document: self.document, path: self.path, entries, asked: Vec::new() })
            }
            _ => Err(self.wrong("must be a table")),
        }
    }

    /// A list.
    pub(super) fn list(self) -> Result<Vec<Entry<'a>>, RecipeError> {
        let DeValue::Array(items) = self.value.get_ref() else {
            return Err(self.wrong("must be a list"));
        };
        let entry = |(index, value)| Entry { document: self.document, path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(entry).collect())
    }

    /// A whole number from 0 to the largest seed.
    pub(super) fn seed(self) -> Result<u64, RecipeError> {
        let read = |number: &DeInteger<'_>| u64::from_str_radix(number.as_str(), number.radix()).ok();
        let number = self.value.get_ref().as_integer().and_then(read).filter(|number| *number <= MAX_SEED);
        number.ok_or_else(|| self.wrong(&format!("must be a whole number from 0 to {MAX_SEED}")))
    }

    /// A whole number that counts something. What does not fit becomes 0 or the largest number there is: the
    /// validation knows the range, and shows the number as it was written.
    pub(super) fn whole(self) -> Result<usize, RecipeError> {
        let Some(number) = self.value.get_ref().as_integer() else {
            return Err(self.wrong("must be a whole number"));
        };
        let nearest = if number.as_str().starts_with('-') { 0 } else { usize::MAX };
        Ok(usize::from_str_radix(number.as_str(), number.radix()).unwrap_or(nearest))
    }

    /// A number, with or without a decimal point. `inf` and `nan` are read: what is wrong with them is for the
    /// validation to say.
    pub(super) fn number(self) -> Result<f64, RecipeError> {
        let number = match self.value.get_ref() {
            DeValue::Integer(number) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wrong("must be a number"))
    }

    /// `true` or `false`.
    pub(super) fn flag(self) -> Result<bool, RecipeError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong("must be true or false"))
    }

    /// A text.
    pub(super) fn text(&self) -> Result<&'a str, RecipeError> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong("must be a text in quotes"))
    }

    /// Two numbers.
    pub(super) fn pair(self) -> Result<[f64; 2], RecipeError> {
        let wrong = self.wrong("must be a list of two numbers");
        let numbers = self.list()?.into_iter().map(Entry::number).collect::<Result<Vec<_>, _>>()?;
        numbers.try_into().map_err(|_| wrong)
    }

    /// A variant of an enum by its name; `what` says of what kind, for the message.
    pub(super) fn choice<T: DeserializeOwned>(self, what: &str) -> Result<T, RecipeError> {
        let name = self.text()?;
        variant(name).ok_or_else(|| self.unknown(what, name, variant_names::<T>()))
    }

    /// An activation: its name, or a table of name and parameter.
    pub(super) fn activation(self) -> Result<Activation, RecipeError> {
        self.named(Activation::named, Activation::with_parameter)
    }

    /// The same where these names could stand too, which a message then mentions.
    pub(super) fn activation_or(self, others: &[&str]) -> Result<Activation, RecipeError> {
        match (self.copy().activation(), self.text()) {
            (Err(RecipeError::UnknownName { what, .. }), Ok(name)) => {
                let known: Vec<&str> =
                    Activation::all().map(|activation| activation.name()).chain(others.iter().copied()).collect();
                Err(self.unknown(&what, name, &known))
            }
            (activation, _) => activation,
        }
    }

    /// An initialiser: its name, or a table of name and parameters.
    pub(super) fn initializer(self) -> Result<Initializer, RecipeError> {
        self.named(Initializer::named, Initializer::with_parameter)
    }

    /// `"leaky-relu"` or `{ name = "leaky-relu", slope = 0.2 }`.
    fn named<T>(
        self,
        named: impl Fn(&str) -> Result<T, NameError>,
        with: impl Fn(T, &str, f64) -> Result<T, NameError>,
    ) -> Result<T, RecipeError> {
        if self.value.get_ref().is_str() {
            return named(self.text()?).map_err(|error| self.not_named(error));
        }
        if !self.value.get_ref().is_table() {
            return Err(
                self.wrong("must be a name in quotes, or a table such as { name = \"leaky-relu\", slope = 0.2 }")
            );
        }
        let no_name = self.wrong("must say its name, as in { name = \"leaky-relu\", slope = 0.2 }");
        let mut table = self.table()?;
        let name = table.entry("name").ok_or(no_name)?;
        let mut value = named(name.text()?).map_err(|error| name.not_named(error))?;
        for (key, entry) in table.into_entries().into_iter().filter(|(key, _)| *key != "name") {
            let number = entry.copy().number()?;
            value = with(value, key, number).map_err(|error| entry.not_named(error))?;
        }
        Ok(value)
    }

    /// That value, with what would be right.
    pub(super) fn wrong(&self, expected: &str) -> RecipeError {
        let span = self.value.span();
        let mut error = RecipeError::value(&self.path, self.document.snippet(&span), expected);
        if let RecipeError::Value { place, .. } = &mut error {
            *place = self.document.place(&span);
        }
        error
    }

    fn copy(&self) -> Entry<'a> {
        Entry { document: self.document, path: self.path.clone(), value: self.value }
    }

    fn unknown(&self, what: &str, name: &str, known: &[&str]) -> RecipeError {
        RecipeError::UnknownName {
            place: self.document.place(&self.value.span()),
            key: self.path.clone(),
            what: what.to_owned(),
            value: shortened(name),
            suggestion: Suggestion::new(name, known),
        }
    }

    /// What the table of activations or initialisers refused, as an error of this recipe.
    fn not_named(&self, error: NameError) -> RecipeError {
        match error {
            NameError::UnknownName { kind, name, known, .. } => self.unknown(kind, &name, &known),
            NameError::UnknownKey { key, known, .. } => RecipeError::UnknownKey {
                place: self.document.place(&self.value.span()),
                key: shortened(&key),
                table: self.path.strip_suffix(&format!(".{key}")).unwrap_or(&self.path).to_owned(),
                suggestion: Suggestion::new(&key, &std::iter::once("name").chain(known).collect::<Vec<_>>()),
            },
            NameError::OutOfRange { domain, .. } => self.wrong(&format!("must be {domain}")),
        }
    }
}
