//! What single factors of the gradient's way back would change, as a table.

use isogain_core::flow::{Counterfactual, Flow};
use isogain_core::render::what_if::{heading, interactions, rows};

use crate::markup::{capital, prose};

/// The table with its sentences; empty where nobody asked.
pub(crate) fn table(flow: &Flow) -> String {
    let changes = match &flow.counterfactual {
        None => return String::new(),
        Some(Counterfactual::LeftOut { left_out }) => {
            return format!("<p>What single factors would change is left out: {}.</p>\n", prose(left_out));
        }
        Some(Counterfactual::Told(changes)) => changes,
    };
    let row = |[what, nepers, factor]: [String; 3]| {
        format!(
            "<tr><th scope=\"row\" class=\"words\">{}</th><td>{}</td><td>{}</td></tr>",
            prose(&what),
            prose(&nepers),
            prose(&format!(" {factor}"))
        )
    };
    let rows: String = rows(changes).into_iter().map(row).collect();
    let pairs: String =
        interactions(changes).iter().map(|line| format!("<p>{}.</p>\n", prose(&capital(line)))).collect();
    format!(
        "<div class=\"scroll\"><table><caption>{}</caption><thead><tr><th scope=\"col\" class=\"words\">only this were so</th>\
         <th scope=\"col\">change of the gradient</th><th scope=\"col\">as a factor</th></tr></thead><tbody>{rows}</tbody></table></div>\n\
         {pairs}<p>No prediction: a remedy changes the forward pass too.</p>\n",
        prose(&capital(&heading(changes)))
    )
}
