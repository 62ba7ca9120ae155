//! The frame of the page: head, sections in order, data, and the script at the end.

use isogain_core::record::Run;
use isogain_core::record::export::json::Overview;
use isogain_core::summary::{CheckReport, CureReport};
use serde::Serialize;

use crate::markup::{self, section};
use crate::policy;
use crate::views::{
    course, findings, gradient, header, judged, limits, loss, maps, recipe, recorded, remedies, waterfall,
};

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");

/// Why a page cannot be made: the report cannot be written as JSON.
pub type ReportError = serde_json::Error;

/// What the causes mean, above their charts.
const CAUSES: &str = "<p>By the chain rule the gradient is multiplied at every layer, on its way back from the head to the input. \
    Each bar is one factor over all layers, measured on one batch; the bars add up exactly to the whole.</p>\n";

pub(crate) fn cure(report: &CureReport) -> Result<String, ReportError> {
    let after = report.cured_flow.as_ref();
    let charts =
        format!("<div class=\"pair\">{}{}</div>\n", loss::figure(report), gradient::figure(&report.check.flow, after));
    let mut body = header::cure(report) + "<main>\n" + &charts;
    body += &section(
        "causes",
        "Why: the causes",
        &format!("{CAUSES}<div class=\"pair\">{}</div>", waterfall::figures(&report.check.flow, after)),
    );
    body += &section("findings", "What was wrong", &findings::list(&report.check));
    body += &section("remedies", "Remedies tried", &remedies::table(report));
    if let Some((cure, _)) = report.cure() {
        body += &section("recipe", "The cured recipe", &recipe::block(&cure.recipe, Some(&report.recipe)));
    }
    body += &section("limits", "How deep it could be, untreated", &limits::table(&report.check));
    body += &section("judged", "How it was judged", &judged::text(report));
    frame("isogain cure", &(body + "</main>\n"), report)
}

pub(crate) fn check(report: &CheckReport) -> Result<String, ReportError> {
    let charts = format!(
        "<div class=\"pair\">{}{}</div>\n",
        gradient::figure(&report.flow, None),
        waterfall::figures(&report.flow, None)
    );
    let mut body = header::check(report) + "<main>\n" + &charts;
    body += &section("findings", "What is wrong", &findings::list(report));
    body += &section("limits", "How deep it could be", &limits::table(report));
    body += &section("recipe", "The recipe", &recipe::block(&report.recipe, None));
    frame("isogain check", &(body + "</main>\n"), report)
}

pub(crate) fn run(run: &Run, name: &str) -> Result<String, ReportError> {
    let charts: String = [course::figure(run)].into_iter().chain(maps::figures(run)).collect();
    let mut body = recorded::head(run, name) + "<main>\n";
    if !charts.is_empty() {
        body += &format!("<div class=\"pair\">{charts}</div>\n");
    }
    body += &section("findings", "What is wrong", &findings::recorded(run));
    let notes = recorded::notes(run);
    if !notes.is_empty() {
        body += &section("notes", "Notes", &notes);
    }
    if !run.header.recipe.trim().is_empty() {
        body += &section("recipe", "The recipe", &recipe::recorded(&run.header.recipe));
    }
    // The steps stay in the record: a page of a long run would be as large as the run.
    frame("isogain run", &(body + "</main>\n"), &Overview::of(run))
}

/// `title` is one of this page's own, `body` is markup.
fn frame(title: &str, body: &str, data: &impl Serialize) -> Result<String, ReportError> {
    let data = markup::json(&serde_json::to_string(data)?);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\
         <footer><p>isogain {} · made on this machine, opens offline · the same seed gives the same numbers</p></footer>\n\
         <script type=\"application/json\" id=\"report\">{data}</script>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        policy::of(STYLE, SCRIPT),
        env!("CARGO_PKG_VERSION")
    ))
}
