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
        "| network | ours | PyTorch | ours over PyTorch, smallest / median | goal | watched over unwatched, smallest / median | goal | two threads: ours | PyTorch | ours over PyTorch, smallest / median | watched over unwatched, smallest / median |",
    );
    say("|---|---|---|---|---|---|---|---|---|---|---|");
    CASES.iter().try_for_each(|case| row(case, python.as_ref()))
}

fn row(case: &Case, python: Option<&Python>) -> Result<()> {
    let one = Times::measured(case, python, 1)?;
    let [ours, theirs, share, cost] = one.columns();
    let [ours_of_two, theirs_of_two, share_of_two, cost_of_two] = Times::measured(case, python, 2)?.columns();
    let Case { name, goal, watched_goal, .. } = case;
    say(&format!(
        "| {name} | {ours} | {theirs} | {share} | {goal:.2} | {cost} | {watched_goal:.2} | {ours_of_two} | {theirs_of_two} \
         | {share_of_two} | {cost_of_two} |"
    ));
    Ok(())
}

/// Milliseconds of each step, and ratios of each turn's medians.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    watched: Vec<f64>,
    /// Empty without PyTorch.
    theirs: Vec<f64>,
    /// Ours over theirs.
    shares: Vec<f64>,
    /// Watched over unwatched.
    costs: Vec<f64>,
}

impl Times {
    /// Both programs on so many threads take turns, so that both see the same machine.
    fn measured(case: &Case, python: Option<&Python>, threads: usize) -> Result<Self> {
        let (name, on) = (case.name, threads.to_string());
        let mut ours = Program::example("isogain", "step_bench", &[name, "--threads", &on])?;
        let script = Path::new("benches/step_torch.py");
        let theirs = python.map(|python| Program::script(&python.path, script, &[name, &on]));
        let mut theirs = theirs.transpose()?;
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
        let steps = if threads > 1 { LONGER * case.steps } else { case.steps };
        let mut times = Self::default();
        for _ in 0..TURNS {
            let [unwatched, watched] = both(&ours.ask(steps)?)?;
            times.costs.push(median(&watched) / median(&unwatched));
            if let Some(theirs) = &mut theirs {
                let other = numbers(&theirs.ask(steps)?, "ms")?;
                times.shares.push(median(&unwatched) / median(&other));
                times.theirs.extend(other);
            }
            times.ours.extend(unwatched);
            times.watched.extend(watched);
        }
        Ok(times)
    }

    /// Ours, theirs, ours over theirs, watched over unwatched.
    fn columns(&self) -> [String; 4] {
        let Self { ours, watched, theirs, shares, costs } = self;
        let ratio = |of: &[f64], over: &[f64], turns: &[f64], digits: usize| {
            format!("{:.digits$} / {:.digits$}", smallest(of) / smallest(over), median(turns))
        };
        let [other, share] = match theirs.as_slice() {
            [] => ["-".to_string(), "-".to_string()],
            theirs => [range(theirs), ratio(ours, theirs, shares, 2)],
        };
        [range(ours), other, share, ratio(watched, ours, costs, 3)]
    }
}

/// Unwatched and watched steps of a turn.
fn both(turn: &Value) -> Result<[Vec<f64>; 2]> {
    Ok([numbers(turn, "plain_ms")?, numbers(turn, "watched_ms")?])
}
