//! A training step against PyTorch's, and watched against unwatched, for each network of `benches/networks`.

use std::path::Path;

use anyhow::{Result, bail};

use serde_json::Value;

use super::program::{Program, Python, python_with};
use super::{median, number, numbers, range, smallest, text};
use crate::steps::say;

/// A network, and what is asked of it.
struct Case {
    name: &'static str,
    /// Steps of one turn, some 50 ms or more.
    steps: usize,
    /// Most of PyTorch's time.
    goal: f64,
    /// Most of the unwatched time.
    watched_goal: f64,
}

/// The table.
const CASES: [Case; 6] = [
    Case { name: "mlp-20x256", steps: 5, goal: 0.85, watched_goal: 1.03 },
    Case { name: "mlp-50x100", steps: 10, goal: 0.45, watched_goal: 1.02 },
    Case { name: "cnn", steps: 2, goal: 1.0, watched_goal: 1.02 },
    Case { name: "resnet-20", steps: 1, goal: 1.0, watched_goal: 1.02 },
    Case { name: "gpt", steps: 2, goal: 0.9, watched_goal: 1.02 },
    Case { name: "lstm", steps: 5, goal: 0.8, watched_goal: 1.02 },
];

/// How many times as many steps a turn of two threads has: the first ones after a pause are slow on the clock.
const LONGER: usize = 10;

/// Turns of each side.
const TURNS: usize = 15;

/// Prints the table.
pub(super) fn table() -> Result<()> {
    let python = python_with("import torch; print(torch.__version__)");
    let against = match &python {
        Some(python) => format!("against PyTorch {}, eager", python.version),
        None => "not against PyTorch: no Python with torch (set ISOGAIN_PYTHON)".to_string(),
    };
    say(&format!(
        "\nA training step, one thread, {against}. Milliseconds on the processor, smallest / median; of two threads \
         on the clock:\n"
    ));
    say(
        "| network | ours | PyTorch | ours over PyTorch, smallest / median | goal | watched over unwatched, smallest / median | goal | the same on two threads |",
    );
    say("|---|---|---|---|---|---|---|---|");
    CASES.iter().try_for_each(|case| row(case, python.as_ref()))
}

/// Both programs take turns, so that both see the same machine.
fn row(case: &Case, python: Option<&Python>) -> Result<()> {
    let name = case.name;
    let mut ours = Program::example("isogain", "step_bench", &[name])?;
    let mut two_threads = Program::example("isogain", "step_bench", &[name, "--threads", "2"])?;
    two_threads.next()?;
    let mut theirs = match python {
        Some(python) => Some(Program::script(&python.path, Path::new("benches/step_torch.py"), &[name])?),
        None => None,
    };
    let described = ours.next()?;
    if let Some(theirs) = &mut theirs {
        let other = theirs.next()?;
        if number(&described, "parameters")? != number(&other, "parameters")? {
            bail!("not the same network: {described} and {other}");
        }
        if text(&other, "blas") == "reference" {
            say("PyTorch runs on reference BLAS here, which says nothing; install OpenBLAS");
        }
    }
    let (mut plain, mut watched, mut torch) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shares, mut costs, mut costs_of_two) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let [unwatched, seen] = both(&ours.ask(case.steps)?)?;
        costs.push(median(&seen) / median(&unwatched));
        let [unwatched_by_two, seen_by_two] = both(&two_threads.ask(LONGER * case.steps)?)?;
        costs_of_two.push(median(&seen_by_two) / median(&unwatched_by_two));
        if let Some(theirs) = &mut theirs {
            let other = numbers(&theirs.ask(case.steps)?, "ms")?;
            shares.push(median(&unwatched) / median(&other));
            torch.extend(other);
        }
        plain.extend(unwatched);
        watched.extend(seen);
    }
    let (share, other) = if torch.is_empty() {
        ("-".to_string(), "-".to_string())
    } else {
        let share = format!("{:.2} / {:.2}", smallest(&plain) / smallest(&torch), median(&shares));
        (share, range(&torch))
    };
    let cost = format!("{:.3} / {:.3}", smallest(&watched) / smallest(&plain), median(&costs));
    let Case { goal, watched_goal, .. } = case;
    let ours = range(&plain);
    let of_two = median(&costs_of_two);
    say(&format!("| {name} | {ours} | {other} | {share} | {goal:.2} | {cost} | {watched_goal:.2} | {of_two:.3} |"));
    Ok(())
}

/// Unwatched and watched steps of a turn.
fn both(turn: &Value) -> Result<[Vec<f64>; 2]> {
    Ok([numbers(turn, "plain_ms")?, numbers(turn, "watched_ms")?])
}
