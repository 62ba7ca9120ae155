//! What a layer costs at depth.

use anyhow::Result;

use super::program::example;
use super::{machine, number};
use crate::steps::say;

/// Depths of the table, from the one that others are compared with.
const DEPTHS: [u32; 4] = [10, 100, 1_000, 10_000];
/// Stages of `depth_bench`.
const STAGES: [&str; 4] = ["step", "watched", "check", "findings"];

/// What a layer costs at depth, over what it costs in a network of 10 layers: a process of its own for each number.
pub(crate) fn depth() -> Result<()> {
    machine()?;
    say("ReLU layers of 64, batch 64, by depth: processor time per layer over that at 10 layers, peak memory");
    for stage in STAGES {
        let mut shallow = None;
        for depth in DEPTHS {
            let found = example("isogain", "depth_bench", &["--stage", stage, "--depth", &depth.to_string()])?;
            let each = number(&found, "ms")? / f64::from(depth);
            let share = each / *shallow.get_or_insert(each);
            say(&format!(
                "  {stage} at {depth}: {each:.4} ms a layer, x{share:.2}; {:.0} MB",
                number(&found, "peak_mb")?
            ));
        }
    }
    Ok(())
}
