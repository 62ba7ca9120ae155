//! Trainings side by side: how they scale with cores, and how long the same search takes PyTorch.

use std::path::Path;

use anyhow::Result;

use super::program::{Program, python_with};
use super::{median, number, smallest};
use crate::steps::say;

/// Turns of each side.
const TURNS: usize = 7;

/// Prints the table.
pub(super) fn table() -> Result<()> {
    let python = python_with("import torch; print(torch.__version__)");
    let mut ours = Program::example("isogain", "trials_bench", &[])?;
    let mut theirs = match &python {
        Some(python) => Some(Program::script(&python.path, Path::new("benches/search_torch.py"), &[])?),
        None => None,
    };
    // The first search pays for what later ones find ready.
    ours.ask(1)?;
    let (mut alone, mut together, mut torch) = (Vec::new(), Vec::new(), Vec::new());
    let (mut efficiencies, mut shares, mut processor, mut dearer) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut trainings = 0.0;
    for _ in 0..TURNS {
        let [one, two] = [1, 2].map(|threads| ours.ask(threads));
        let (one, two) = (one?, two?);
        trainings = number(&one, "trainings")?;
        let own = number(&one, "processor_seconds")?;
        dearer.push(number(&two, "processor_seconds")? / own);
        let (one, two) = (number(&one, "seconds")?, number(&two, "seconds")?);
        efficiencies.push(one / two / 2.0);
        if let Some(theirs) = &mut theirs {
            let seconds = number(&theirs.ask(1)?, "processor_seconds")?;
            shares.push(seconds / own);
            torch.push(seconds);
        }
        alone.push(one);
        together.push(two);
        processor.push(own);
    }
    let rate = |seconds: &[f64]| format!("{:.0} / {:.0}", trainings / smallest(seconds), trainings / median(seconds));
    say(&format!(
        "\n{trainings} trainings of ten ReLU layers of 64, 100 steps each, with the judgement at the end. Trainings per \
         second on the clock, best / median; PyTorch's on the processor:\n"
    ));
    say("| | trainings per second | against one thread of ours | goal |");
    say("|---|---|---|---|");
    say(&format!("| one thread | {} | 1 | |", rate(&alone)));
    say(&format!(
        "| two, one training each | {} | {:.2} / {:.2} of twice as many; {:.2} of the processor time of each | 0.9 |",
        rate(&together),
        smallest(&alone) / smallest(&together) / 2.0,
        median(&efficiencies),
        median(&dearer)
    ));
    match &python {
        Some(python) => say(&format!(
            "| PyTorch {}, one thread | {} | takes {:.1} / {:.1} times as long | 3 |",
            python.version,
            rate(&torch),
            smallest(&torch) / smallest(&processor),
            median(&shares)
        )),
        None => say("| PyTorch | skipped: no Python with torch (set ISOGAIN_PYTHON) | | 3 |"),
    }
    Ok(())
}
