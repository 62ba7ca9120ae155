//! A run as one JSON document: what its lines say, gathered by kind.

use std::io;

use serde::Serialize;

use crate::record::line::{Header, TrialRecord};
use crate::record::{Healed, Outcome, Run, StepRecord};
use crate::rules::Finding;

/// Name and version of the document.
pub const RUN_SCHEMA: &str = "isogain-run/1";

/// A run without its steps: what it was, what was found, how it ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Overview<'a> {
    schema: &'static str,
    header: &'a Header,
    findings: &'a [Finding],
    trials: &'a [TrialRecord],
    outcome: Option<&'a Outcome>,
    notes: &'a [String],
    healed: &'a [Healed],
    resumed: &'a [u64],
    truncated: bool,
}

impl<'a> Overview<'a> {
    /// Of this run.
    pub fn of(run: &'a Run) -> Self {
        Self {
            schema: RUN_SCHEMA,
            header: &run.header,
            findings: &run.findings,
            trials: &run.trials,
            outcome: run.outcome.as_ref(),
            notes: &run.notes,
            healed: &run.healed,
            resumed: &run.resumed,
            truncated: run.truncated,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    overview: Overview<'a>,
    steps: &'a [StepRecord],
}

/// Writes `{schema, header, findings, trials, outcome, notes, healed, resumed, truncated, steps}` and a newline.
///
/// # Errors
/// When `output` cannot be written.
pub fn to_json(run: &Run, mut output: impl io::Write) -> io::Result<()> {
    let document = Document { overview: Overview::of(run), steps: &run.steps };
    serde_json::to_writer(&mut output, &document)?;
    writeln!(output)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Line;
    use crate::record::samples;

    #[test]
    fn everything_is_in_it() {
        let mut run = Run::new(samples::header());
        run.absorb(Line::Step(Box::new(samples::full_step())));
        run.absorb(Line::Finding(samples::finding(7)));
        run.absorb(Line::Outcome(samples::outcome()));
        let mut text = Vec::new();
        to_json(&run, &mut text).unwrap();
        let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(document["schema"], "isogain-run/1");
        assert_eq!(serde_json::from_value::<StepRecord>(document["steps"][0].clone()).unwrap(), run.steps[0]);
        assert_eq!(serde_json::from_value::<Outcome>(document["outcome"].clone()).unwrap(), samples::outcome());
        assert_eq!(document["findings"][0]["rule"], "vanishing-gradient");
    }
}
