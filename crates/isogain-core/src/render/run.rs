//! One recorded run, for a person at a terminal: what it was, how it stands, what is wrong.

use crate::record::Run;

use super::escape::{printable, printable_lines};
use super::numbers::{accuracy, loss, plural};
use super::text::{self, INDENT, LINE_WIDTH, wrapped};
use super::{Context, Format};

/// The run as text, or as the JSON document of an export; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn run(name: &str, run: &Run, format: Format, context: &Context<'_>) -> std::io::Result<String> {
    if format == Format::Json {
        let mut document = Vec::new();
        crate::record::export::json::to_json(run, &mut document)?;
        return Ok(String::from_utf8_lossy(&document).into_owned());
    }
    let style = context.style;
    let header = &run.header;
    let mut page = text::bare(&run.findings, style);
    page += &style.bold(&printable(name));
    page += &format!(
        "\n{INDENT}{}, {}, seed {}, isogain {}\n",
        printable(&header.data.source),
        plural(header.network.ops.len(), "operation"),
        header.seed,
        printable(&header.version)
    );
    page += &format!("{INDENT}{}\n", standing(run));
    for note in &run.notes {
        page += &format!("{INDENT}note: {}\n", wrapped(&printable_lines(note), LINE_WIDTH - 9, "         "));
    }
    for healed in &run.healed {
        page += &format!("{INDENT}healed: {}\n", wrapped(&printable(&healed.sentence()), LINE_WIDTH - 9, "          "));
    }
    let ill = run.findings.iter().any(|finding| finding.level > crate::recipe::Level::Note);
    page += &if ill { style.bold(&text::tally(&run.findings)) } else { style.good("ok") };
    Ok(page + "\n")
}

/// `1000 steps, loss 2.303 → 0.021, test accuracy 0.96`, or how far it came.
pub fn standing(run: &Run) -> String {
    let losses = run.losses();
    let first = losses.first_key_value().map(|(_, loss)| *loss);
    let finite = |loss: Option<f64>| loss.filter(|loss| loss.is_finite());
    let mut told = match (&run.outcome, losses.last_key_value()) {
        (Some(outcome), _) => plural(outcome.steps as usize, "step"),
        (None, Some((step, _))) => format!("at step {step}, running or stopped"),
        (None, None) => return "no step is written yet".to_owned(),
    };
    let last = losses.last_key_value().map(|(_, loss)| *loss);
    told += &format!(", loss {} → {}", loss(finite(first)), loss(finite(last)));
    if let Some(outcome) = &run.outcome {
        if let Some(found) = outcome.test_accuracy {
            told += &format!(", test accuracy {}", accuracy(found));
        }
        if let Some(seen) = &outcome.first_non_finite {
            told += &format!(", first non-finite value at step {} in {}", seen.step, printable(&seen.name));
        }
    }
    if run.truncated {
        told += "; its last line is cut short, so it was killed or still writes";
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Line;
    use crate::record::samples;

    #[test]
    fn how_a_run_stands() {
        let mut recorded = Run::new(samples::header());
        assert_eq!(standing(&recorded), "no step is written yet");
        recorded.absorb(Line::Step(Box::new(samples::step(3))));
        assert_eq!(standing(&recorded), "at step 3, running or stopped, loss 2.300 → 2.300");
        recorded.absorb(Line::Outcome(samples::outcome()));
        recorded.absorb(Line::Finding(samples::finding(2)));
        let text = run("runs/x", &recorded, Format::Text, &Context::default()).unwrap();
        let expected = "3 steps, loss 2.300 → 0.100, test accuracy 0.25, first non-finite value at step 1 in fc1";
        assert!(text.contains(expected) && text.starts_with("error[vanishing-gradient]: "), "{text}");
        assert!(text.ends_with("1 error\n"), "{text}");
        let json = run("runs/x", &recorded, Format::Json, &Context::default()).unwrap();
        assert!(json.starts_with("{\"schema\":\"isogain-run/1\""), "{json}");
    }
}
