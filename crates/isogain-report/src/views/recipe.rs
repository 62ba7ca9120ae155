//! A recipe as TOML, with what the cure changed marked, and a button that copies it.

use isogain_core::recipe::{self, Recipe};

use crate::markup::text;

/// The recipe; lines that `before` does not have are marked.
pub(crate) fn block(recipe: &Recipe, before: Option<&Recipe>) -> String {
    of_text(&recipe::to_toml(recipe), before.map(recipe::to_toml))
}

/// A recipe as it stands in a record, whoever wrote it.
pub(crate) fn recorded(toml: &str) -> String {
    of_text(toml, None)
}

fn of_text(toml: &str, old: Option<String>) -> String {
    let is_new = |line: &&str| match &old {
        Some(old) => !line.is_empty() && !old.lines().any(|known| known == *line),
        None => false,
    };
    let lines: String = toml
        .lines()
        .map(|line| if is_new(&line) { format!("<mark>{}</mark>\n", text(line)) } else { format!("{}\n", text(line)) })
        .collect();
    let note = if old.is_some() { "<p class=\"soft\">Marked lines are what the cure changed.</p>\n" } else { "" };
    format!(
        "<div class=\"code\"><button type=\"button\" id=\"copy\" hidden>Copy</button>\
         <pre id=\"toml\" tabindex=\"0\"><code>{lines}</code></pre></div>\n{note}"
    )
}
