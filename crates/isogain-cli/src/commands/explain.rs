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
    output::result(&text);
    Ok(Status::Clean)
}

fn page(name: &str) -> Result<&'static str> {
    let rule = rules::TABLE.iter().find(|rule| rule.name == name || rule.code.eq_ignore_ascii_case(name));
    if let Some(rule) = rule {
        return Ok(rule.page);
    }
    if let Some(remedy) = remedies::named(name) {
        return Ok(remedy.page);
    }
    let known = rules::TABLE.iter().map(|rule| rule.name).chain(remedies::TABLE.iter().map(|remedy| remedy.name));
    match nearest(name, known) {
        Some(near) => bail!("no rule or remedy '{name}'; did you mean '{near}'?"),
        None => bail!("no rule or remedy '{name}'; `isogain explain` lists them"),
    }
}

fn list() -> Result<String> {
    let mut text = String::from("What can be wrong (isogain explain RULE):\n\n");
    for rule in rules::TABLE {
        writeln!(text, "  {:<24} {}", rule.name, rule.summary)?;
    }
    text += "\nWhat can be done (isogain explain REMEDY):\n\n";
    for remedy in remedies::TABLE {
        writeln!(text, "  {:<24} {}", remedy.name, remedy.summary)?;
    }
    Ok(text)
}
