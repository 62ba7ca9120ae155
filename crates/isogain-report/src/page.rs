//! The frame of the page: head, sections in order, data, and the script at the end.

use isogain_core::record::Run;
use isogain_core::record::compare::compare as side_by_side;
use isogain_core::record::export::json::Overview;
use isogain_core::summary::phase_map::PhaseMap;
use isogain_core::summary::reproduction::ReproduceReport;
use isogain_core::summary::{CheckReport, CureReport};
use serde::Serialize;

use crate::digest::Digest;
use crate::markup::{self, hinted, section};
use crate::policy;
use crate::views::gradient::Theory;
use crate::views::{
    self, differential, findings, gradient, header, judged, limits, loss, network, path_lengths, phase, phase_map,
    predicted, recipe, recorded, remedies, reproduced, waterfall, what_if,
};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("../assets/page.js"),
    include_str!("../assets/select.js"),
    include_str!("../assets/map.js"),
    include_str!("../assets/save.js"),
    include_str!("../assets/live.js"),
    "})();\n"
);

/// Why a page cannot be made: the report cannot be written as JSON.
pub type ReportError = serde_json::Error;

/// What the causes mean, above their charts.
const CAUSES: &str = "<p>By the chain rule the gradient is multiplied at every layer, on its way back from the head to the input. \
    Each bar is one factor over all layers, measured on one batch; the bars add up exactly to the whole.</p>\n";

/// The title above the kinds of illness.
const KINDS: &str = "Which kind of illness it is";

/// How the charts of a cure are read.
const LOSS: &str = "The loss of each step's batch: what training makes small. Before and after treatment each seed is a line, and the band \
    is from the lowest to the highest of them; the thin lines are the medians of the other remedies that were trained to the end.";
/// See [`LOSS`].
const DEPTH: &str = "RMS, the usual size, of dL/dz: how much the loss changes with what each layer puts out before its activation, on one \
    batch before training. A straight line is the same factor at every layer, flat is equal gain. Theory's band holds two standard \
    deviations of networks of this width.";
/// See [`LOSS`].
const PREDICTED: &str = "Across: the factor by which one batch says that the gradient changes per layer, before training. Up: the loss that \
    each seed ended at. Where the prediction holds, what stands near equal gain stands low.";

pub(crate) fn cure(report: &CureReport) -> Result<String, ReportError> {
    let after = report.cured_flow.as_ref();
    let cured = report.cure().map(|(cure, _)| &cure.recipe);
    let mut theories: Vec<(&'static str, Theory)> = Vec::new();
    theories.extend(Theory::of(&report.check).map(|theory| ("before", theory)));
    theories.extend(cured.and_then(Theory::of_recipe).map(|theory| ("after", theory)));
    let charts = format!(
        "<div class=\"pair\">{}{}</div>\n",
        hinted(&loss::figure(report), "loss", LOSS),
        hinted(&gradient::figure(&report.check.flow, after, &theories), "gradient", DEPTH)
    );
    let strip = network::of_flow(&report.check.flow, &report.check.findings);
    let mut body = header::cure(report) + &strip + "<main>\n" + &charts;
    body += &section(
        "causes",
        "Why: the causes",
        &format!(
            "{CAUSES}<div class=\"pair\">{}</div>\n{}",
            waterfall::figures(&report.check.flow, after),
            what_if::table(&report.check.flow) + &path_lengths::table(&report.check.flow)
        ),
    );
    if !report.check.differential.is_empty() {
        body += &section("kinds", KINDS, &differential::table(&report.check.differential, &report.check.flow));
    }
    let theory = hinted(&phase::of_recipes(&report.recipe, cured), "phase", views::about("phase"));
    let predicted = hinted(&predicted::figure(report), "predicted", PREDICTED);
    body += &section("findings", "What was wrong", &findings::list(&report.check));
    let tried = format!("{}<div class=\"pair\">{predicted}{theory}</div>\n", remedies::table(report));
    body += &section("remedies", "Remedies tried", &tried);
    if let Some((cure, _)) = report.cure() {
        body += &section("recipe", "The cured recipe", &recipe::block(&cure.recipe, Some(&report.recipe)));
    }
    body += &section("limits", "How deep it could be, untreated", &limits::table(&report.check));
    body += &section("judged", "How it was judged", &judged::text(report));
    frame("isogain cure", &(body + "</main>\n"), report)
}

pub(crate) fn check(report: &CheckReport) -> Result<String, ReportError> {
    let theories: Vec<(&'static str, Theory)> =
        Theory::of(report).map(|theory| ("before training", theory)).into_iter().collect();
    let charts = format!(
        "<div class=\"pair\">{}{}{}</div>\n",
        hinted(&gradient::figure(&report.flow, None, &theories), "gradient", DEPTH),
        hinted(&waterfall::figures(&report.flow, None), "waterfall", views::about("waterfall")),
        hinted(&phase::of_recipes(&report.recipe, None), "phase", views::about("phase"))
    );
    let strip = network::of_flow(&report.flow, &report.findings);
    let mut body = header::check(report) + &strip + "<main>\n" + &charts;
    body += &section("findings", "What is wrong", &findings::list(report));
    if !report.differential.is_empty() {
        body += &section("kinds", KINDS, &differential::table(&report.differential, &report.flow));
    }
    if report.flow.counterfactual.is_some() {
        body += &section("what-if", "What if one factor were ideal", &what_if::table(&report.flow));
    }
    if report.flow.path_lengths.is_some() {
        body += &section("path-lengths", "How long the gradient's paths are", &path_lengths::table(&report.flow));
    }
    body += &section("limits", "How deep it could be", &limits::table(report));
    body += &section("recipe", "The recipe", &recipe::block(&report.recipe, None));
    frame("isogain check", &(body + "</main>\n"), report)
}

pub(crate) fn map(map: &PhaseMap) -> Result<String, ReportError> {
    frame("isogain map", &phase_map::body(map), map)
}

pub(crate) fn reproduce(report: &ReproduceReport) -> Result<String, ReportError> {
    frame("isogain reproduce", &reproduced::body(report), report)
}

pub(crate) fn tour(report: &ReproduceReport) -> Result<String, ReportError> {
    frame("isogain tour", &reproduced::tour(report), report)
}

/// A piece of a page that can be put in the place of an older one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name, unique in the page; one of this page's own words.
    pub id: &'static str,
    /// Markup.
    pub html: String,
}

/// How a page is kept up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    /// Nothing will change.
    Still,
    /// Parts come as server-sent events from this address on the same host.
    Live(&'a str),
}

/// The parts of a run's page, in reading order; a view that has nothing to draw is an empty one.
pub(crate) fn run_parts(run: &Digest, name: &str, left_out: &[String]) -> Vec<Part> {
    let overview = run.overview();
    let mut parts = vec![
        Part { id: "head", html: recorded::head(overview, name) },
        Part { id: "network", html: network::strip(run) },
    ];
    let mut missing = String::new();
    for view in views::OF_A_RUN {
        let html = hinted(&(view.draw)(run).unwrap_or_default(), view.id, view.about);
        if html.is_empty() {
            missing += &format!("<li>{}: needs {}</li>", view.name, view.needs);
        }
        parts.push(Part { id: view.id, html });
    }
    let or_empty = |body: String, id: &str, title: &str| {
        if body.is_empty() { body } else { section(id, title, &body) }
    };
    parts.push(Part { id: "findings", html: section("found", "What is wrong", &findings::recorded(run)) });
    parts.push(Part { id: "notes", html: or_empty(recorded::notes(overview), "notes-list", "Notes") });
    let recipe = overview.header.recipe.trim();
    let recipe = if recipe.is_empty() { String::new() } else { recipe::recorded(&overview.header.recipe) };
    parts.push(Part { id: "recipe", html: or_empty(recipe, "recipe-text", "The recipe") });
    let told = run.left_out();
    let told: String = told.iter().chain(left_out).map(|told| format!("<li>{}</li>", markup::text(told))).collect();
    let mut html = String::new();
    if !told.is_empty() {
        html += &section("left-out-list", "Left out", &format!("<ul>{told}</ul>"));
    }
    if !missing.is_empty() {
        html += &format!(
            "<details class=\"missing-views\"><summary>Views that this record has nothing for</summary><ul>{missing}</ul></details>\n"
        );
    }
    parts.push(Part { id: "left-out", html });
    parts
}

/// The parts of a run's page without a run.
pub(crate) fn empty_parts(name: &str, message: &str, left_out: &[String]) -> Vec<Part> {
    let head = format!(
        "<header>\n<p class=\"brand\">isogain <span>run</span></p>\n<h1>{}</h1>\n<p class=\"subject\">{}</p>\n</header>\n",
        markup::text(name),
        markup::text(&markup::capital(message))
    );
    let told: String = left_out.iter().map(|told| format!("<li>{}</li>", markup::text(told))).collect();
    let told = if told.is_empty() { told } else { section("left-out-list", "Left out", &format!("<ul>{told}</ul>")) };
    let pictures = views::OF_A_RUN.iter().map(|view| view.id);
    ["head", "network"]
        .into_iter()
        .chain(pictures)
        .chain(["findings", "notes", "recipe", "left-out"])
        .map(|id| Part {
            id,
            html: match id {
                "head" => head.clone(),
                "left-out" => told.clone(),
                _ => String::new(),
            },
        })
        .collect()
}

/// The parts put together: pictures side by side, the rest below each other.
pub(crate) fn body(parts: &[Part]) -> String {
    let mut body = String::new();
    let mut is_in_pair = false;
    for part in parts {
        let is_picture = views::OF_A_RUN.iter().any(|view| view.id == part.id);
        if is_picture != is_in_pair {
            body += if is_picture { "<div class=\"pair\">\n" } else { "</div>\n" };
            is_in_pair = is_picture;
        }
        body += &format!("<div class=\"part\" id=\"part-{}\">{}</div>\n", part.id, part.html);
        if part.id == "network" {
            body += "<main>\n";
        }
    }
    if is_in_pair {
        body += "</div>\n";
    }
    body + "</main>\n"
}

pub(crate) fn run(run: &Run, name: &str) -> Result<String, ReportError> {
    let parts = run_parts(&Digest::of(run), name, &[]);
    // The steps stay in the record: a page of a long run would be as large as the run.
    frame("isogain run", &body(&parts), &Overview::of(run))
}

pub(crate) fn digest(run: &Digest, name: &str, left_out: &[String]) -> Result<String, ReportError> {
    frame("isogain run", &body(&run_parts(run, name, left_out)), &Overview::of(run.overview()))
}

pub(crate) fn compare(runs: &[(String, &Digest)]) -> Result<String, ReportError> {
    let light: Vec<(String, Run)> = runs.iter().map(|(name, run)| (name.clone(), run.losses_alone())).collect();
    frame("isogain compare", &body(&views::compare::parts(runs)), &side_by_side(&light))
}

/// `title` is one of this page's own, `body` is markup.
fn frame(title: &str, body: &str, data: &impl Serialize) -> Result<String, ReportError> {
    let data = markup::json(&serde_json::to_string(data)?);
    let data = format!("<script type=\"application/json\" id=\"report\">{data}</script>\n");
    Ok(framed(title, body, &data, Source::Still))
}

/// The whole document; `title` is one of this page's own, `body` and `data` are markup.
pub(crate) fn framed(title: &str, body: &str, data: &str, source: Source<'_>) -> String {
    let (connect, attribute, said) = match source {
        Source::Still => (None, String::new(), "made on this machine, opens offline"),
        Source::Live(events) => {
            (Some("'self'"), format!(" data-events=\"{}\"", markup::text(events)), "served by this machine")
        }
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body{attribute}>\n{body}\
         <footer><p>isogain {} · {said} · the same seed gives the same numbers</p></footer>\n\
         {data}<script>{SCRIPT}</script>\n</body>\n</html>\n",
        policy::of(STYLE, SCRIPT, connect),
        env!("CARGO_PKG_VERSION")
    )
}
