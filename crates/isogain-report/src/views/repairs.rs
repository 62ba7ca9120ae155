//! What `train --heal` did: each finding while training, the repairs that were tried on copies, and what became of them.

use isogain_core::record::Healed;
use isogain_core::record::healed::Attempt;
use isogain_core::render::numbers::{loss, plural};

use crate::chart::{csv, field};
use crate::digest::Digest;
use crate::markup::text;

/// The table; `None` of a run in which no repair was tried.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let healed = &run.overview().healed;
    if healed.is_empty() {
        return None;
    }
    let applied = healed.iter().filter(|one| one.applied.is_some()).count();
    let rows: String = healed.iter().map(rows).collect();
    Some(format!(
        "<figure class=\"chart repairs\" data-view=\"repairs\">\n<figcaption><h3>Repairs while training</h3>\
         <p class=\"scale\">{applied} of {} answered with a repair</p></figcaption>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Repairs while training\"><table><thead><tr>\
         <th scope=\"col\">step</th><th scope=\"col\" class=\"words\">found</th><th scope=\"col\" class=\"words\">tried on a copy</th>\
         <th scope=\"col\">from step</th><th scope=\"col\">to step</th><th scope=\"col\">loss</th></tr></thead>\
         <tbody>{rows}</tbody></table></div>\n{}</figure>\n",
        plural(healed.len(), "finding"),
        csv(&numbers(healed))
    ))
}

/// One finding's rows: the copy that nothing was done to, then each repair.
fn rows(healed: &Healed) -> String {
    let untreated = format!(
        "<tr class=\"reference\"><td>{}</td><th scope=\"row\" class=\"words\">{}</th><td class=\"words\">nothing</td><td>{}</td>\
         <td>{}</td><td>{}</td></tr>\n",
        healed.found,
        text(&healed.rule),
        healed.found,
        healed.until,
        ended(healed.untreated)
    );
    let row = |(index, attempt): (usize, &Attempt)| {
        let (class, mark) = if healed.applied == Some(index) {
            (" class=\"chosen\"", " <span class=\"badge good\">applied</span>")
        } else {
            ("", "")
        };
        format!(
            "<tr{class}><th scope=\"row\"></th><td></td><td class=\"words\">{}{mark}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            text(&attempt.name()),
            attempt.step,
            attempt.until,
            ended(attempt.loss)
        )
    };
    untreated + &healed.tried.iter().enumerate().map(row).collect::<String>()
}

fn ended(mean: Option<f64>) -> String {
    mean.map_or_else(|| "broke".to_owned(), |mean| loss(Some(mean)))
}

fn numbers(healed: &[Healed]) -> String {
    let mut table = String::from("found at step,finding,repair,applied,from step,to step,loss\n");
    let number = |loss: Option<f64>| loss.map_or_else(String::new, |loss| loss.to_string());
    for one in healed {
        let Healed { found, rule, until, untreated, .. } = one;
        table += &format!("{found},{},\"nothing\",no,{found},{until},{}\n", field(rule), number(*untreated));
        for (index, attempt) in one.tried.iter().enumerate() {
            let applied = if one.applied == Some(index) { "yes" } else { "no" };
            table += &format!(
                "{found},{},{},{applied},{},{},{}\n",
                field(rule),
                field(&attempt.name()),
                attempt.step,
                attempt.until,
                number(attempt.loss)
            );
        }
    }
    table
}
