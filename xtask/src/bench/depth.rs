//! What a layer costs at depth.

use anyhow::Result;

use super::number;
use super::program::example;
use crate::steps::say;

/// Depths of the table, from the one that others are compared with.
const DEPTHS: [u32; 4] = [10, 100, 1_000, 10_000];
/// Stages of `depth_bench`.
const STAGES: [&str; 4] = ["step", "watched", "check", "findings"];

/// What a layer costs at depth, over what it costs in a network of 10 layers: a process of its own for each number.
pub(super) fn table() -> Result<()> {
    say("\nReLU layers of width 64, batch 64: processor time per layer over that of 10 layers, and peak memory:\n");
    say("| layers | a training step | the same, watched | `check` | rules alone |");
    say("|---|---|---|---|---|");
    let mut shallow = [None; STAGES.len()];
    for depth in DEPTHS {
        let mut row = format!("| {depth} |");
        for (stage, shallow) in STAGES.iter().zip(&mut shallow) {
            let found = example("isogain", "depth_bench", &["--stage", stage, "--depth", &depth.to_string()])?;
            let each = number(&found, "ms")? / f64::from(depth);
            let share = each / *shallow.get_or_insert(each);
            row += &format!(" {share:.2}, {:.0} MB |", number(&found, "peak_mb")?);
        }
        say(&row);
    }
    Ok(())
}
