//! Ratios, never absolute times: each is taken between two things measured in the same run. Tables are printed as they
//! stand in `docs/performance.md`.

mod build;
mod depth;
mod kernel;
mod program;
mod start;
mod steps;
mod trials;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::steps::say;

pub(crate) use build::build_time;

/// A table's name, and what prints it.
type Table = (&'static str, fn() -> Result<()>);

/// Each table by its argument.
const TABLES: [Table; 5] = [
    ("--kernel", kernel::table),
    ("--steps", steps::table),
    ("--trials", trials::table),
    ("--start", start::table),
    ("--depth", depth::table),
];

/// Prints the table of this name, or all of them, and what they are measured on.
pub(crate) fn tables(name: Option<&str>) -> Result<()> {
    if let Some(name) = name
        && !TABLES.iter().any(|(known, _)| *known == name)
    {
        bail!("unknown argument '{name}' of bench; known: {}", TABLES.map(|(known, _)| known).join(", "));
    }
    say(&format!("machine: {}, {} threads", processor(), std::thread::available_parallelism()?));
    let mut chosen = TABLES.iter().filter(|(known, _)| name.is_none_or(|name| *known == name));
    chosen.try_for_each(|(_, table)| table())
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no number '{key}' in {value}"))
}

fn numbers(value: &Value, key: &str) -> Result<Vec<f64>> {
    let list = value[key].as_array().with_context(|| format!("no list '{key}' in {value}"))?;
    list.iter().map(|each| each.as_f64().with_context(|| format!("no number but {each} in '{key}'"))).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

/// The smallest of some times.
fn smallest(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The middle one; of an even number the upper of the two.
fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Smallest and median of some times.
fn range(times: &[f64]) -> String {
    format!("{:.2} / {:.2}", smallest(times), median(times))
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}
