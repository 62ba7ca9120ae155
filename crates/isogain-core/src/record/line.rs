//! One line of `run.jsonl`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::network::Network;
use crate::recipe::Precision;
use crate::rules::Finding;
use crate::trial::{Job, Score};

use super::{DataSummary, Healed, Outcome, StepRecord};

/// Version of the lines' format. It rises when an older reader would misunderstand a newer file.
pub const SCHEMA: u32 = 1;

/// One line of a run; which kind stands in its key `line`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// What was run. Always the first line, and only there.
    Header(Box<Header>),
    /// One watched step.
    Step(Box<StepRecord>),
    /// Something that is wrong.
    Finding(Finding),
    /// One training of a search.
    Trial(TrialRecord),
    /// How the run ended.
    Outcome(Outcome),
    /// Something a reader of the run should know.
    Note(Note),
    /// The run went on from a checkpoint: what stands above for this step and later ones was left behind.
    Resumed(Resumed),
    /// What was done about a finding while the run went on.
    Healed(Box<Healed>),
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// Version of the program that wrote the run.
    pub version: String,
    /// The whole recipe, as TOML.
    pub recipe: String,
    /// The network.
    pub network: Network,
    /// What it is trained on.
    pub data: DataSummary,
    /// Seed of the run.
    pub seed: u64,
    /// Floating-point type of parameters, activations and gradients.
    pub precision: Precision,
}

/// One training of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Names of the remedies; empty for the untreated network.
    pub remedies: Vec<String>,
    /// What was chosen, for people.
    pub parameters: String,
    /// What was run.
    pub job: Job,
    /// What came out.
    pub score: Score,
}

/// Something a reader of the run should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// One or more sentences.
    pub text: String,
}

/// Where a run went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// Optimizer updates done before the first step that is run again.
    pub step: u64,
}

impl Line {
    /// The line as JSON, its newline included.
    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads one line, with or without its newline.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the line.
    ///
    /// The kind is read before the rest, and not by serde's tagged enums: those hold the whole line in memory in a form
    /// many times its size and no longer know at which column it went wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if let Err(error) = std::str::from_utf8(bytes) {
            return Err(format!("not UTF-8 text (byte {} of the line)", error.valid_up_to() + 1));
        }
        // So that a column is never counted from the newline at the end.
        let bytes = bytes.trim_ascii_end();
        let Tag { line: kind } = read("record", bytes)?;
        match kind.as_str() {
            "header" => {
                let Schema { schema } = read("header", bytes)?;
                if schema > SCHEMA {
                    return Err(format!(
                        "written by a newer version of isogain (schema {schema}; this one reads up to {SCHEMA}); update isogain to read it"
                    ));
                }
                read("header", bytes).map(|header| Self::Header(Box::new(header)))
            }
            "step" => read("step", bytes).map(|step| Self::Step(Box::new(step))),
            "finding" => read("finding", bytes).map(Self::Finding),
            "trial" => read("trial", bytes).map(Self::Trial),
            "outcome" => read("outcome", bytes).map(Self::Outcome),
            "note" => read("note", bytes).map(Self::Note),
            "resumed" => read("resumed", bytes).map(Self::Resumed),
            "healed" => read("healed", bytes).map(|healed| Self::Healed(Box::new(healed))),
            _ => Err(format!(
                "unknown kind of line {kind:?}; known are header, step, finding, trial, outcome, note, resumed and healed"
            )),
        }
    }
}

#[derive(Deserialize)]
struct Tag {
    line: String,
}

#[derive(Deserialize)]
struct Schema {
    schema: u32,
}

fn read<T: DeserializeOwned>(kind: &str, bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        // serde_json counts lines within the bytes it was given, which here is always 1.
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = text.strip_suffix(&position).unwrap_or(&text);
        match error.classify() {
            serde_json::error::Category::Data => format!("not a {kind} line: {reason} (column {})", error.column()),
            _ => format!("not JSON: {reason} (column {})", error.column()),
        }
    })
}

#[cfg(test)]
mod tests;
