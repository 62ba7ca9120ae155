//! Whether an engine's buffers are what they are said to be: what is computed from them for other cotangents than the measured
//! one is wrong where a weight lies the other way round, or the numbers between two operations change their order.

use super::asked::check_cost;
use super::capture::{Capture, OpCapture};
use super::map::map;
use super::values::rms;

/// Relative distance beyond which it is no rounding, 16-bit numbers included.
const APART: f64 = 0.1;
/// Cotangents below this have lost digits.
const LEAST: f64 = 1e-30;

impl Capture {
    /// For every operation that can be followed for any direction, how far what it sends back of the measured cotangent is from
    /// what was measured, relative to that; forward order.
    pub fn retraced(&self) -> Vec<(&str, f64)> {
        let distance = |op: &OpCapture| {
            let (found, measured) = (map(op)?.back(&op.cotangent_out.to_f64()), op.cotangent_in.to_f64());
            let apart: Vec<f64> = found.iter().zip(measured.iter()).map(|(found, measured)| found - measured).collect();
            (rms(&measured) > LEAST).then(|| rms(&apart) / rms(&measured))
        };
        self.walk().into_iter().filter_map(|op| Some((op.name.as_str(), distance(op)?))).collect()
    }

    /// Why no other cotangent than the measured one can be followed through these buffers, as a sentence; `None` where nothing
    /// speaks against it.
    pub fn astray(&self) -> Option<String> {
        if let Some((before, after)) = reordered(self.ops()) {
            return Some(format!("the numbers that {before} gives and {after} reads are not in the same order"));
        }
        // Where that costs too much, so do the answers.
        let retraced = if check_cost(self.ops(), 1).is_ok() { self.retraced() } else { Vec::new() };
        let (name, _) = retraced.into_iter().find(|(_, distance)| *distance > APART)?;
        Some(format!("what comes back through {name} is not what its weights say"))
    }
}

/// The first two neighbours that do not share their numbers in the same order.
fn reordered(ops: &[OpCapture]) -> Option<(&str, &str)> {
    let between = ops.windows(2).find(|pair| {
        let (gave, reads) = (pair[0].output.to_f64(), pair[1].input.to_f64());
        gave.iter().zip(reads.iter()).any(|(gave, reads)| gave.to_bits() != reads.to_bits())
    });
    let inside = || ops.iter().flat_map(OpCapture::ways).find_map(reordered);
    between.map(|pair| (pair[0].name.as_str(), pair[1].name.as_str())).or_else(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;
    use crate::flow::capture::OpCaptureKind;
    use crate::rules::fixture::Bench;

    #[test]
    fn what_lies_the_other_way_round_is_seen() {
        let bench = Bench::new("[network]\ndepth = 4\nwidth = 16\nnorm = \"layer\"\n");
        assert_eq!(bench.capture.astray(), None);
        assert!(bench.capture.retraced().iter().all(|(_, distance)| *distance < 1e-12));

        let changed = |change: &dyn Fn(&mut OpCapture)| {
            let mut ops = bench.capture.ops().to_vec();
            change(ops.iter_mut().find(|op| op.name == "fc3").unwrap());
            Capture::new(bench.capture.batch(), ops, 0.0).unwrap().astray().unwrap()
        };
        let turned = changed(&|op| {
            let OpCaptureKind::Linear { weight, .. } = &mut op.kind else { unreachable!("a linear layer") };
            *weight = Values::from(crate::matmul::transpose(&weight.to_f64(), 16, 16));
        });
        assert_eq!(turned, "what comes back through fc3 is not what its weights say");
        let moved = changed(&|op| {
            op.input = Values::from(op.input.to_f64().iter().rev().copied().collect::<Vec<f64>>());
        });
        assert!(moved.ends_with("gives and fc3 reads are not in the same order"), "{moved}");
    }
}
