//! The runs in some folders, each a line that leads to its page.

use isogain_core::render::numbers;

use crate::markup::{MISSING, text};
use crate::page::Part;

/// One run of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Names its page; letters and digits.
    pub id: String,
    /// Its folder.
    pub name: String,
    /// What it is trained on.
    pub data: String,
    /// The last step that is written.
    pub last_step: Option<u64>,
    /// The loss there; `None` where it is not finite.
    pub last_loss: Option<f64>,
    /// How it stands, a few words.
    pub state: String,
    /// Size of its record, bytes.
    pub bytes: u64,
}

/// The parts of the page.
pub(crate) fn parts(runs: &[Listed], folders: &str, more: bool) -> Vec<Part> {
    let title = match runs.len() {
        0 => "No run yet".to_owned(),
        count => numbers::plural(count, "run"),
    };
    let head = format!(
        "<header>\n<p class=\"brand\">isogain <span>view</span></p>\n<h1>{title}</h1>\n<p class=\"subject\">{}</p>\n</header>\n",
        text(folders)
    );
    let row = |run: &Listed| {
        let id = text(&run.id);
        let name = text(&run.name);
        format!(
            "<tr><td><input type=\"checkbox\" class=\"pick\" value=\"{id}\" aria-label=\"compare {name}\"></td>\
             <th scope=\"row\" class=\"words\"><a href=\"/run/{id}\">{name}</a></th><td class=\"words\">{}</td><td>{}</td><td>{}</td>\
             <td class=\"words\">{}</td><td>{:.1} MB</td></tr>",
            text(&run.data),
            run.last_step.map_or_else(|| MISSING.to_owned(), |step| step.to_string()),
            numbers::loss(run.last_loss),
            text(&run.state),
            run.bytes as f64 / 1e6
        )
    };
    let rows: String = runs.iter().map(row).collect();
    let table = if runs.is_empty() {
        "<p>As soon as a run is written there, it is listed here.</p>\n".to_owned()
    } else {
        format!(
            "<p><a id=\"compare\" hidden href=\"/compare\">Compare the chosen runs</a></p>\n<div class=\"scroll\"><table class=\"runs\"><thead><tr>\
             <th scope=\"col\"></th><th scope=\"col\" class=\"words\">run</th><th scope=\"col\" class=\"words\">data</th><th scope=\"col\">last step</th><th scope=\"col\">loss there</th>\
             <th scope=\"col\" class=\"words\">state</th><th scope=\"col\">record</th></tr></thead><tbody>{rows}</tbody></table></div>\n"
        )
    };
    let more = if more { "<p>There are more runs than are listed here.</p>\n" } else { "" };
    vec![
        Part { id: "head", html: head },
        Part { id: "network", html: String::new() },
        Part { id: "notes", html: table + more },
    ]
}
