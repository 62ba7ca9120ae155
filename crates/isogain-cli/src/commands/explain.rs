//! `isogain explain`: the page of a rule or a remedy.

use std::fmt::Write;

use anyhow::{Result, bail};
use isogain_core::names::nearest;
use isogain_core::{remedies, rules};

use crate::args::Explain;
use crate::output::{self, Status};

pub(crate) fn run(options: &Explain) -> Result<Status> {
    let text = match options.name.as_deref() {
        Some(name) => page(name)?.to_owned(),
        None => list()?,
    };
    output::result(&text)?;
    Ok(Status::Clean)
}

fn page(name: &str) -> Result<&'static str> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    if let Some(rule) = rules::TABLE.iter().find(|rule| is(rule.name) || is(rule.code)) {
        return Ok(rule.page);
    }
    if let Some(remedy) = remedies::TABLE.iter().find(|remedy| is(remedy.name)) {
        return Ok(remedy.page);
    }
    match meant(name).as_slice() {
        [] => bail!("no rule or remedy '{name}'; `isogain explain` lists them"),
        names => bail!("no rule or remedy '{name}'; did you mean {}?", names.join(" or ")),
    }
}

/// The names of which `name` is a part; else the nearest one.
fn meant(name: &str) -> Vec<String> {
    let known = || rules::TABLE.iter().map(|rule| rule.name).chain(remedies::TABLE.iter().map(|remedy| remedy.name));
    let part = name.to_ascii_lowercase();
    let mut names: Vec<&str> = known().filter(|known| part.len() > 2 && known.contains(&part)).collect();
    if names.is_empty() {
        names.extend(nearest(name, known()));
    }
    names.into_iter().map(|name| format!("'{name}'")).collect()
}

fn list() -> Result<String> {
    let mut text = String::from("What can be wrong (isogain explain RULE):\n\n");
    for rule in rules::TABLE {
        writeln!(text, "  {:<5} {:<24} {}", rule.code, rule.name, rule.summary)?;
    }
    text += "\nWhat can be done (isogain explain REMEDY):\n\n";
    for remedy in remedies::TABLE {
        writeln!(text, "  {:<24} {}", remedy.name, remedy.summary)?;
    }
    Ok(text)
}
