//! What was tried: what was predicted, what happened on each seed, and the verdict.

use isogain_core::render::numbers::{accuracy, loss, number, setting};
use isogain_core::render::words;
use isogain_core::summary::{CureReport, median_loss, median_test_accuracy};
use isogain_core::trial::SeedScore;
use isogain_core::trial::result::{PrescriptionResult, RandomSearchResult};

use crate::chart::{Axis, at};
use crate::markup::{MISSING, text, verdict};

/// Size of the strip that shows each seed's loss.
const STRIP: [f64; 2] = [180.0, 22.0];

/// The table, and behind a fold what was dropped on the way.
pub(crate) fn table(report: &CureReport) -> String {
    let finished = report.finished();
    let random = report.trial.random_search.as_ref();
    let baseline = &report.trial.baseline.seeds;
    let runs = || {
        let tried = finished.iter().map(|tried| &tried.seeds).chain(random.map(|random| &random.seeds));
        tried.chain([baseline]).flatten()
    };
    let strip = Strip {
        axis: Axis::log(runs().filter_map(|run| run.score.loss), 1.0).drawn(8.0, STRIP[0] - 22.0),
        untreated: median_loss(baseline),
    };
    let cure = report.cure().map(|(_, result)| result);
    let rows =
        finished.iter().map(|tried| row(report, tried, &strip, cure.is_some_and(|cure| std::ptr::eq(cure, *tried))));
    let rows: String = rows.collect();
    let random = random.map_or_else(String::new, |random| random_search(baseline, random, &strip));
    format!(
        "<div class=\"scroll\"><table class=\"remedies\">\n<thead><tr><th scope=\"col\" class=\"words\">remedy</th>\
         <th scope=\"col\">predicted<br>per layer</th><th scope=\"col\">predicted<br>first step</th>\
         <th scope=\"col\">learning<br>rate</th>\
         <th scope=\"col\" class=\"strip\">loss of each seed, log scale<br>{}</th><th scope=\"col\">median<br>loss</th>\
         <th scope=\"col\">test<br>accuracy</th><th scope=\"col\">better<br>seeds</th><th scope=\"col\">superiority</th>\
         <th scope=\"col\" class=\"words\">verdict</th></tr></thead>\n\
         <tbody>{}{rows}{random}</tbody></table></div>\n{}",
        strip.scale(),
        untreated(report, &strip),
        dropped(&report.dropped())
    )
}

fn untreated(report: &CureReport, strip: &Strip) -> String {
    let baseline = &report.trial.baseline;
    let slope = words::slope(&report.check.flow);
    format!(
        "<tr class=\"reference\"><th scope=\"row\" class=\"words\">untreated <small>at its own best learning rate</small></th>\
         <td>{slope}</td><td>{MISSING}</td><td>{}</td>{}<td></td><td></td><td></td></tr>\n",
        setting(baseline.learning_rate),
        strip.cells(&baseline.seeds, "before")
    )
}

fn row(report: &CureReport, tried: &PrescriptionResult, strip: &Strip, is_cure: bool) -> String {
    let (won, seeds) = words::seeds_won(report.trial.reference(tried).1, &tried.seeds);
    let (class, mark) =
        if is_cure { (" class=\"chosen\"", " <span class=\"badge good\">the cure</span>") } else { ("", "") };
    format!(
        "<tr{class}><th scope=\"row\" class=\"words\">{}{mark} <small>{}</small></th><td>{}</td><td>{}</td><td>{}</td>{}\
         <td>{won} of {seeds}</td><td>{}</td><td class=\"words\">{}</td></tr>\n",
        text(&tried.remedy),
        text(&tried.parameters),
        words::predicted(tried),
        first_step(tried),
        tried.learning_rate.map_or_else(|| MISSING.to_owned(), setting),
        strip.cells(&tried.seeds, if is_cure { "after" } else { "other" }),
        words::superiority(tried.effect.as_ref()),
        verdict(tried.verdict),
    )
}

fn random_search(baseline: &[SeedScore], random: &RandomSearchResult, strip: &Strip) -> String {
    let (won, seeds) = words::seeds_won(baseline, &random.seeds);
    format!(
        "<tr class=\"reference\"><th scope=\"row\" class=\"words\">random search <small>{}</small></th><td>{MISSING}</td><td>{MISSING}</td><td>{}</td>{}\
         <td>{won} of {seeds}</td><td>{}</td><td class=\"words\">{}</td></tr>\n",
        text(&words::named(&random.remedies, &random.parameters)),
        setting(random.learning_rate),
        strip.cells(&random.seeds, "other"),
        words::superiority(Some(&random.effect)),
        verdict(random.verdict),
    )
}

/// What one step tells apart, and below it in how many directions the samples pull.
fn first_step(tried: &PrescriptionResult) -> String {
    let rank = words::gradient_rank(tried).map_or_else(String::new, |rank| format!("<br><small>{rank}</small>"));
    words::first_step(tried) + &rank
}

fn dropped(dropped: &[&PrescriptionResult]) -> String {
    if dropped.is_empty() {
        return String::new();
    }
    let row = |tried: &&PrescriptionResult| {
        let run = if tried.steps == 0 { "not run".to_owned() } else { format!("{} steps", tried.steps) };
        let reached = if tried.steps == 0 { MISSING.to_owned() } else { loss(median_loss(&tried.seeds)) };
        format!(
            "<tr><th scope=\"row\" class=\"words\">{} <small>{}</small></th><td>{}</td><td>{}</td><td>{}</td><td>{run}</td><td>{reached}</td></tr>",
            text(&tried.remedy),
            text(&tried.parameters),
            words::predicted(tried),
            first_step(tried),
            tried.learning_rate.map_or_else(|| MISSING.to_owned(), setting),
        )
    };
    format!(
        "<details><summary>{} more, dropped on the way</summary><div class=\"scroll\"><table><thead><tr>\
         <th scope=\"col\" class=\"words\">remedy</th><th scope=\"col\">predicted per layer</th><th scope=\"col\">predicted first step</th>\
         <th scope=\"col\">learning rate</th>\
         <th scope=\"col\">trained for</th><th scope=\"col\">loss then</th></tr></thead><tbody>{}</tbody></table></div></details>\n",
        dropped.len(),
        dropped.iter().map(row).collect::<String>()
    )
}

/// The scale that every row's dots share.
struct Strip {
    axis: Axis,
    /// Median loss of the untreated network.
    untreated: Option<f64>,
}

impl Strip {
    /// The ends of the scale, for the head of the column.
    fn scale(&self) -> String {
        let [width, _] = STRIP;
        let mut scale = format!(
            "<svg viewBox=\"0 0 {width} 14\" width=\"{width}\" height=\"14\" aria-hidden=\"true\"><g class=\"grid\">"
        );
        for (value, label) in self.axis.ticks() {
            if let Some(place) = self.axis.place(value) {
                scale += &format!("<text x=\"{}\" y=\"11\" text-anchor=\"middle\">{label}</text>", at(place));
            }
        }
        scale + "</g></svg>"
    }

    /// Each seed's loss as a dot, then the medians.
    fn cells(&self, seeds: &[SeedScore], class: &str) -> String {
        let [width, height] = STRIP;
        let middle = 0.5 * height;
        let told: Vec<String> = seeds.iter().map(|run| loss(run.score.loss)).collect();
        let mut drawing = format!("<path class=\"rail\" d=\"M4 {} H{}\"/>", at(middle), at(width - 18.0));
        for (value, _) in self.axis.ticks() {
            if let Some(place) = self.axis.place(value) {
                drawing += &format!("<path class=\"rail\" d=\"M{} {}v6\"/>", at(place), at(middle - 3.0));
            }
        }
        if let Some(place) = self.untreated.and_then(|untreated| self.axis.place(untreated)) {
            drawing += &format!("<path class=\"mark\" d=\"M{} 2V{}\"/>", at(place), at(height - 2.0));
        }
        for run in seeds {
            drawing += &match run.score.loss.and_then(|loss| self.axis.place(loss)) {
                Some(place) => {
                    format!("<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>", at(place), at(middle))
                }
                None => {
                    format!("<path class=\"missing\" d=\"M{} {}l7 7m0 -7l-7 7\"/>", at(width - 11.0), at(middle - 3.5))
                }
            };
        }
        let accuracy = median_test_accuracy(seeds).map_or_else(|| MISSING.to_owned(), accuracy);
        format!(
            "<td class=\"strip\"><svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
             aria-label=\"loss of each seed: {}\">{drawing}</svg></td><td>{}</td><td>{accuracy}</td>",
            told.join(", "),
            median_loss(seeds).map_or_else(
                || "diverged".to_owned(),
                |median| { if median < 1e-3 { number(median) } else { loss(Some(median)) } }
            ),
        )
    }
}
