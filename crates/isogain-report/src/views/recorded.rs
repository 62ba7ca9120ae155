//! The head of a recorded run's page: what is wrong first, what was run, how it stands.

use isogain_core::recipe::{self, Level};
use isogain_core::record::Run;
use isogain_core::render::numbers::{count, plural};
use isogain_core::render::run::standing;

use super::header;
use crate::markup::{capital, prose, text};

/// The head; `name` is the run's folder.
pub(crate) fn head(run: &Run, name: &str) -> String {
    let worst = run.findings.iter().max_by_key(|finding| finding.level).filter(|worst| worst.level > Level::Note);
    let (class, sign, word) = match worst.map(|worst| worst.level) {
        Some(Level::Deny) => ("bad", "✗", "ill"),
        Some(_) => ("warn", "!", "at risk"),
        None => ("good", "✓", "no finding"),
    };
    let first = worst.and_then(|worst| run.findings.iter().find(|finding| finding.level == worst.level));
    let sentence = first.map_or_else(
        || prose(&capital(&standing(run))),
        |finding| format!("<b>{}</b>: {}", text(&finding.rule), prose(&finding.message)),
    );
    let how = first.map_or_else(String::new, |_| format!("<p>{}.</p>\n", prose(&capital(&standing(run)))));
    format!(
        "<header>\n<p class=\"brand\">isogain <span>run</span></p>\n\
         <h1><span class=\"badge {class} big\"><span aria-hidden=\"true\">{sign}</span> {word}</span> {sentence}</h1>\n\
         {how}<p class=\"subject\"><b>{}</b> · {}</p>\n</header>\n",
        text(name),
        subject(run)
    )
}

/// What was run, in one line: the recipe where it is one, else what the header knows of it.
fn subject(run: &Run) -> String {
    let header = &run.header;
    if let Ok(recipe) = recipe::parse(&header.recipe, "recipe") {
        let repairs = run.healed.iter().filter(|healed| healed.applied.is_some()).count();
        let repaired =
            if repairs > 0 { format!(" · {} while training", plural(repairs, "repair")) } else { String::new() };
        return header::subject(&recipe) + &repaired;
    }
    let data = &header.data;
    let samples =
        if data.train_samples > 0 { format!(", {} samples", count(data.train_samples)) } else { String::new() };
    let parts = [
        plural(header.network.ops.len(), "operation"),
        format!("{}{samples}", data.source),
        format!("seed {}", header.seed),
    ];
    parts.iter().map(|part| text(part)).collect::<Vec<_>>().join(" · ")
}

/// Notes, and the steps at which it was resumed; empty without any.
pub(crate) fn notes(run: &Run) -> String {
    let resumed = run.resumed.iter().map(|step| format!("resumed at step {step}"));
    let items: String =
        run.notes.iter().cloned().chain(resumed).map(|note| format!("<li>{}</li>", text(&note))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}
