//! What `explain` prints: the page of a rule or a remedy, or the list of all. Every command of that name prints this.

use std::fmt::Write;

use serde::Serialize;

use crate::names::nearest;
use crate::{remedies, rules};

use super::Format;
use super::json;

/// One thing that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// `rule` or `remedy`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The short code of a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// One line.
    pub summary: &'static str,
    /// The whole page, Markdown; left out of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<&'static str>,
}

/// The page of a rule (by name or code) or a remedy; the list of all without a name. Formats but JSON are the text.
///
/// # Errors
/// A name that is none, with those that may have been meant; one sentence.
pub fn explain(name: Option<&str>, format: Format) -> Result<String, String> {
    match (name, format) {
        (Some(name), Format::Json) => json::of(&topic(name)?).map_err(|error| error.to_string()),
        (Some(name), _) => topic(name).map(|topic| topic.page.unwrap_or_default().to_owned()),
        (None, Format::Json) => {
            let topics: Vec<Topic> = topics().map(|topic| Topic { page: None, ..topic }).collect();
            json::of(&topics).map_err(|error| error.to_string())
        }
        (None, _) => Ok(list()),
    }
}

fn topics() -> impl Iterator<Item = Topic> {
    let rules = rules::TABLE.iter().map(|rule| Topic {
        kind: "rule",
        name: rule.name,
        code: Some(rule.code),
        summary: rule.summary,
        page: Some(rule.page),
    });
    let remedies = remedies::TABLE.iter().map(|remedy| Topic {
        kind: "remedy",
        name: remedy.name,
        code: None,
        summary: remedy.summary,
        page: Some(remedy.page),
    });
    rules.chain(remedies)
}

fn topic(name: &str) -> Result<Topic, String> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let found = topics().find(|topic| is(topic.name) || topic.code.is_some_and(is));
    found.ok_or_else(|| match meant(name).as_slice() {
        [] => format!("no rule or remedy '{name}'; `isogain explain` lists them"),
        names => format!("no rule or remedy '{name}'; did you mean {}?", names.join(" or ")),
    })
}

/// The names of which `name` is a part; else the nearest one.
fn meant(name: &str) -> Vec<String> {
    let known = || topics().map(|topic| topic.name);
    let part = name.to_ascii_lowercase();
    let mut names: Vec<&str> = known().filter(|known| part.len() > 2 && known.contains(&part)).collect();
    if names.is_empty() {
        names.extend(nearest(name, known()));
    }
    names.into_iter().map(|name| format!("'{name}'")).collect()
}

fn list() -> String {
    let mut text = String::from("What can be wrong (isogain explain RULE):\n\n");
    // Writing to a string cannot fail.
    for rule in rules::TABLE {
        let _ = writeln!(text, "  {:<5} {:<24} {}", rule.code, rule.name, rule.summary);
    }
    text += "\nWhat can be done (isogain explain REMEDY):\n\n";
    for remedy in remedies::TABLE {
        let _ = writeln!(text, "  {:<24} {}", remedy.name, remedy.summary);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_by_name_and_code_and_remedies_by_name() {
        for rule in rules::TABLE {
            for name in [rule.name, rule.code, &rule.name.to_uppercase()] {
                assert_eq!(explain(Some(name), Format::Text).as_deref(), Ok(rule.page));
            }
        }
        for remedy in remedies::TABLE {
            assert_eq!(explain(Some(remedy.name), Format::Text).as_deref(), Ok(remedy.page));
        }
        let list = explain(None, Format::Text).unwrap();
        assert!(topics().all(|topic| list.contains(&format!(" {} ", topic.name))));
    }

    #[test]
    fn what_is_misspelt_is_guessed() {
        for (typed, expected) in [
            ("vanishing-gradeint", "did you mean 'vanishing-gradient'?"),
            (
                "vanishing",
                "did you mean 'vanishing-activation' or 'vanishing-through-time' or 'vanishing-gradient' or \
                 'penalise-vanishing'?",
            ),
            ("zzzzzzzz", "`isogain explain` lists them"),
            ("", "`isogain explain` lists them"),
        ] {
            let error = explain(Some(typed), Format::Text).unwrap_err();
            assert!(
                error.starts_with(&format!("no rule or remedy '{typed}'; ")) && error.ends_with(expected),
                "{error}"
            );
        }
    }

    #[test]
    fn as_json() {
        let one: serde_json::Value = serde_json::from_str(&explain(Some("G012"), Format::Json).unwrap()).unwrap();
        assert_eq!((&one["kind"], &one["name"]), (&"rule".into(), &"vanishing-gradient".into()));
        assert!(one["page"].as_str().unwrap().starts_with("# vanishing-gradient"));
        let all: serde_json::Value = serde_json::from_str(&explain(None, Format::Json).unwrap()).unwrap();
        assert_eq!(all.as_array().unwrap().len(), rules::TABLE.len() + remedies::TABLE.len());
        assert!(all[0].get("page").is_none());
    }
}
