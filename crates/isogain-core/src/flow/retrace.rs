//! Whether an engine's buffers are what they are said to be: what is computed from them for other cotangents than the measured
//! one is wrong where a weight lies the other way round, or the numbers between two operations change their order.

use std::borrow::Cow;

use super::capture::{Capture, OpCapture, OpCaptureKind};
use super::map::{are_known, map};
use super::samples::affordable;
use super::values::rms;

/// Relative distance beyond which it is no rounding, 16-bit numbers included.
const APART: f64 = 0.1;
/// Relative size of what rounding may leave of a sum, that of 16-bit numbers included.
const ROUNDING: f64 = 0.01;
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
        if let Some(name) = parted(self.ops()) {
            return Some(format!("what {name} reads or gives and what its branches do are not in the same order"));
        }
        // Of a large batch on as many samples as are affordable: the answers are of no more.
        let few = match affordable(self.ops(), 1, self.batch()) {
            Ok((Cow::Owned(ops), samples)) => Some(Self::new(samples, ops, self.loss()).ok()?),
            Ok((Cow::Borrowed(_), _)) => None,
            Err(_) => return None,
        };
        let retraced = few.as_ref().unwrap_or(self).retraced();
        let (name, _) = retraced.into_iter().find(|(_, distance)| *distance > APART)?;
        Some(format!("what comes back through {name} is not what its buffers say"))
    }

    /// Whether every operation between the first layer and the head can be followed for any direction.
    pub fn can_be_followed(&self) -> bool {
        are_known(self.after_first_layer())
    }
}

fn same_bits(one: &[f64], other: &[f64]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.to_bits() == other.to_bits())
}

/// The first operation of several ways of which one begins with other numbers than the operation itself, or whose ends do not add
/// up, or multiply, to what it gives.
fn parted(ops: &[OpCapture]) -> Option<&str> {
    let of = |op: &OpCapture| {
        let input = op.input.to_f64();
        let begin = |way: &[OpCapture]| way.first().is_none_or(|first| same_bits(&first.input.to_f64(), &input));
        op.ways().into_iter().all(begin) && ends_fit(op)
    };
    ops.iter().find_map(|op| if of(op) { op.ways().into_iter().find_map(parted) } else { Some(op.name.as_str()) })
}

/// Whether what the ways of an operation give makes up what it gives, as far as rounding lets it be seen.
fn ends_fit(op: &OpCapture) -> bool {
    let end = |way: &[OpCapture]| way.last().map_or(&op.input, |last| &last.output).to_f64().into_owned();
    let together = |one: &[f64], other: &[f64], of: fn(f64, f64) -> f64| {
        one.iter().zip(other).map(|(one, other)| of(*one, *other)).collect::<Vec<f64>>()
    };
    let given = op.output.to_f64();
    let (found, least) = match &op.kind {
        OpCaptureKind::Residual { scale, branch, shortcut, gate, concatenates: false, .. } if gate.is_empty() => {
            let branch: Vec<f64> = end(branch).iter().map(|f| scale * f).collect();
            let least = rms(&branch);
            (together(&end(shortcut), &branch, |skip, branch| skip + branch), least)
        }
        OpCaptureKind::Product { ways: [one, other], .. } => {
            let product = together(&end(one), &end(other), |one, other| one * other);
            let least = rms(&product);
            (product, least)
        }
        _ => return true,
    };
    let apart: Vec<f64> = found.iter().zip(given.iter()).map(|(found, given)| found - given).collect();
    let distance = rms(&apart);
    // What is not finite says nothing of an order.
    let is_near = distance.is_nan() || distance <= APART * least + ROUNDING * rms(&given);
    found.len() == given.len() && is_near
}

/// The first two neighbours that do not share their numbers in the same order.
fn reordered(ops: &[OpCapture]) -> Option<(&str, &str)> {
    let between = ops.windows(2).find(|pair| {
        let (gave, reads) = (pair[0].output.to_f64(), pair[1].input.to_f64());
        !same_bits(&gave, &reads)
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
        assert_eq!(turned, "what comes back through fc3 is not what its buffers say");
        let moved = changed(&|op| {
            op.input = Values::from(op.input.to_f64().iter().rev().copied().collect::<Vec<f64>>());
        });
        assert!(moved.ends_with("gives and fc3 reads are not in the same order"), "{moved}");
    }

    /// Inside of a sum each way keeps its own order, and only its two ends tell.
    #[test]
    fn a_branch_that_turns_its_numbers_round_is_seen() {
        let bench = Bench::new("[network]\nkind = \"residual\"\ndepth = 3\nwidth = 8\n");
        assert_eq!(bench.capture.astray(), None);
        for at_end in [false, true] {
            let mut ops = bench.capture.ops().to_vec();
            let turned = |values: &Values| Values::from(values.to_f64().iter().rev().copied().collect::<Vec<f64>>());
            let block = ops.iter_mut().find(|op| matches!(op.kind, OpCaptureKind::Residual { .. })).unwrap();
            let OpCaptureKind::Residual { branch, .. } = &mut block.kind else { unreachable!("a block") };
            let (first, last) = (0, branch.len() - 1);
            if at_end {
                branch[last].output = turned(&branch[last].output);
            } else {
                branch[first].input = turned(&branch[first].input);
            }
            let told = Capture::new(bench.capture.batch(), ops, 0.0).unwrap().astray().unwrap();
            assert!(told.ends_with("reads or gives and what its branches do are not in the same order"), "{told}");
        }
    }
}
