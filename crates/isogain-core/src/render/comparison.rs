//! Runs side by side, for a person at a terminal.

use crate::record::compare::{Comparison, LossPair, Parting, RunEnd};

use super::escape::{printable, shortened};
use super::numbers::{MISSING, accuracy, loss};
use super::text::{INDENT, Style};
use super::{Context, Format, columns, json};

/// Most characters of one value: an operation that was added is long.
const VALUE_WIDTH: usize = 40;

/// Most settings shown; networks of different depth differ in hundreds of operations.
const MOST_DIFFERENCES: usize = 30;

/// The comparison as text or JSON; formats that have none of their own are the text.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn comparison(comparison: &Comparison, format: Format, context: &Context<'_>) -> Result<String, serde_json::Error> {
    if format == Format::Json { json::of(comparison) } else { Ok(page(comparison, context.style)) }
}

fn page(comparison: &Comparison, style: Style) -> String {
    let labels: Vec<String> = (0..comparison.runs.len()).map(label).collect();
    let names: Vec<Vec<String>> =
        comparison.runs.iter().zip(&labels).map(|(run, label)| vec![label.clone(), printable(&run.name)]).collect();
    let mut page = style.bold("runs") + "\n" + &block(&names);
    page += &format!("\n{}\n{}", style.bold("what differs"), differences(comparison, &labels));
    let parted = comparison.parted.iter().zip(labels.iter().skip(1)).map(|(parting, label)| told(parting, label));
    page += &format!("\n{}\n", style.bold("where the losses part"));
    page.extend(parted);
    page + &format!("\n{}\n{}", style.bold("how they ended"), ends(&comparison.runs, &labels))
}

/// A, B ... Z, then 27, 28.
fn label(index: usize) -> String {
    u8::try_from(index)
        .ok()
        .filter(|index| *index < 26)
        .map_or_else(|| (index + 1).to_string(), |index| char::from(b'A' + index).to_string())
}

fn block(rows: &[Vec<String>]) -> String {
    columns::align(rows, INDENT).join("\n") + "\n"
}

fn headed(labels: &[String]) -> Vec<String> {
    [String::new()].into_iter().chain(labels.iter().cloned()).collect()
}

fn differences(comparison: &Comparison, labels: &[String]) -> String {
    let all = &comparison.differences;
    if all.is_empty() {
        return format!("{INDENT}nothing: recipe, network, data, seed and version are the same\n");
    }
    let value = |value: &Option<String>| {
        value.as_ref().map_or_else(|| MISSING.to_owned(), |value| shortened(&printable(value), VALUE_WIDTH))
    };
    let mut rows = vec![headed(labels)];
    rows.extend(all.iter().take(MOST_DIFFERENCES).map(|difference| {
        [printable(&difference.name)].into_iter().chain(difference.values.iter().map(value)).collect()
    }));
    let mut text = block(&rows);
    if all.len() > MOST_DIFFERENCES {
        text += &format!("{INDENT}and {} more\n", all.len() - MOST_DIFFERENCES);
    }
    text
}

fn told(parting: &Parting, label: &str) -> String {
    let pair = |pair: &LossPair| format!("step {} ({} and {})", pair.step, loss(pair.first), loss(pair.other));
    let told = match (&parting.first_different, &parting.first_apart) {
        _ if parting.common_steps == 0 => format!("{label} and A have no step in common"),
        (None, _) => format!("{label} has the losses of A at all {} common steps", parting.common_steps),
        (Some(different), None) => {
            format!("{label} leaves A at {}, and is never more than a tenth away", pair(different))
        }
        (Some(different), Some(apart)) if different.step == apart.step => {
            format!("{label} leaves A at {}, by more than a tenth", pair(apart))
        }
        (Some(different), Some(apart)) => {
            format!("{label} leaves A at {}, by more than a tenth at {}", pair(different), pair(apart))
        }
    };
    format!("{INDENT}{told}\n")
}

fn ends(runs: &[RunEnd], labels: &[String]) -> String {
    let row = |name: &str, cell: &dyn Fn(&RunEnd) -> String| -> Vec<String> {
        [name.to_owned()].into_iter().chain(runs.iter().map(cell)).collect()
    };
    let of_outcome = |tell: fn(&crate::record::Outcome) -> Option<String>| {
        move |run: &RunEnd| run.outcome.as_ref().and_then(tell).unwrap_or_else(|| MISSING.to_owned())
    };
    let mut rows = vec![
        headed(labels),
        row("state", &|run| if run.outcome.is_some() { "ended".into() } else { "running, or stopped".into() }),
        row("last step", &|run| run.last_step.map_or_else(|| MISSING.to_owned(), |step| step.to_string())),
        row("loss of that step", &|run| match run.last_step {
            Some(_) => loss(run.last_loss),
            None => MISSING.to_owned(),
        }),
        row("training loss", &of_outcome(|outcome| Some(loss(outcome.loss)))),
        row("test loss", &of_outcome(|outcome| Some(loss(outcome.test_loss)))),
        row("training accuracy", &of_outcome(|outcome| outcome.train_accuracy.map(accuracy))),
        row("test accuracy", &of_outcome(|outcome| outcome.test_accuracy.map(accuracy))),
        row(
            "first non-finite",
            &of_outcome(|outcome| {
                let seen = outcome.first_non_finite.as_ref()?;
                Some(format!("step {}, {} ({})", seen.step, printable(&seen.name), printable(&seen.phase)))
            }),
        ),
    ];
    // A row that says nothing of any run is left out.
    rows.retain(|row| row[0].is_empty() || row[1..].iter().any(|cell| cell != MISSING));
    let most = runs.iter().map(|run| run.findings.len()).max().unwrap_or(0);
    for index in 0..most {
        let name = if index == 0 { "findings" } else { "" };
        let cell = |run: &RunEnd| run.findings.get(index).map_or_else(String::new, |finding| printable(finding));
        rows.push(row(name, &cell));
    }
    block(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::compare::Difference;

    fn run(name: &str, last_loss: Option<f64>, findings: &[&str]) -> RunEnd {
        let findings = findings.iter().map(|finding| (*finding).to_owned()).collect();
        RunEnd { name: name.into(), last_loss, last_step: Some(9), outcome: None, findings }
    }

    #[test]
    fn side_by_side() {
        let pair = |step| LossPair { step, first: Some(2.0), other: None };
        let comparison_of = Comparison {
            runs: vec![run("runs/a", Some(0.5), &[]), run("runs/b\u{1b}", None, &["error[non-finite]"])],
            differences: vec![Difference {
                name: "optimizer.learning_rate".into(),
                values: vec![Some("0.05".into()), None],
            }],
            parted: vec![Parting {
                name: "runs/b".into(),
                common_steps: 10,
                first_different: Some(pair(1)),
                first_apart: Some(pair(4)),
            }],
        };
        let text = comparison(&comparison_of, Format::Text, &Context::default()).unwrap();
        let expected = "\
runs
   A   runs/a
   B   runs/b\\u{1b}

what differs
                             A      B
   optimizer.learning_rate   0.05   -

where the losses part
   B leaves A at step 1 (2.000 and diverged), by more than a tenth at step 4 (2.000 and diverged)

how they ended
                       A                     B
   state               running, or stopped   running, or stopped
   last step           9                     9
   loss of that step   0.500                 diverged
   findings                                  error[non-finite]
";
        assert_eq!(text, expected);
    }
}
