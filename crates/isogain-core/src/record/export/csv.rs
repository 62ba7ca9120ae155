//! A run as CSV in long format: one number a row, ready for a data frame.

use std::io::{self, Write};

use super::long;
use crate::record::Run;

/// Writes `step,name,kind,statistic,value` and a row for each number of the run, by step ([`long::Row`]).
///
/// A value that is not finite is `NaN`, `inf` or `-inf`; one that does not exist is empty.
///
/// # Errors
/// When `output` cannot be written.
pub fn to_csv(run: &Run, mut output: impl Write) -> io::Result<()> {
    writeln!(output, "{}", long::COLUMNS.join(","))?;
    long::rows(run, |row| {
        let value = row.value.map(|value| value.to_string()).unwrap_or_default();
        writeln!(output, "{},{},{},{},{value}", row.step, quoted(row.name), row.kind, row.statistic)
    })?;
    output.flush()
}

/// A field as RFC 4180 has it: in quotes when it would be taken for several fields or lines otherwise.
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}

#[cfg(test)]
mod tests;
