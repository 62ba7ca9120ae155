//! Through how many branches the gradient of a residual network comes (Veit, Wilber and Belongie 2016).
//!
//! With a formal z in front of every branch, on the way back alone, the cotangent of x + z F(x) becomes a polynomial in z;
//! its coefficient of z^k is what came through k branches; what came through a gate did not. The coefficients add up to the gradient exactly. Their energies
//! do not add up to that of the gradient where branches are correlated, so shares are of the sum of the energies.

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::capture::{Capture, OpCapture, OpCaptureKind};
use super::map::map;
use super::samples::affordable;
use super::values::rms;
use super::ways::{Way, Ways, ways};

/// The energy of the gradient by the number of branches it went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathLengths {
    /// The operation whose cotangent is taken apart: the first layer's output, or the input of a first residual one.
    pub layer: String,
    /// Branches on the longest path.
    pub branches: usize,
    /// Mean number of branches, weighed by energy.
    pub mean: f64,
    /// Share of the energy that went through 0, 1, 2 ... branches; adds up to 1.
    pub energy: Vec<f64>,
    /// Samples whose gradient was taken apart: all of the batch, or as many as are affordable where nothing couples them.
    pub samples: usize,
}

/// Takes the gradient apart by path length. `None` for a network without residual operations; what auxiliary heads add is
/// no part of it.
///
/// It costs as many ways back as there are branches, and is left out where that is too much for a single sample, or where an operation cannot
/// be followed for any direction.
pub fn path_lengths(capture: &Capture) -> Option<Asked<PathLengths>> {
    let body = &capture.ops()[..capture.head()];
    let first = body.iter().position(OpCapture::begins_layer)?;
    // The cotangent of a first layer is that of its output, and a block has its paths inside.
    let is_block = matches!(body[first].kind, OpCaptureKind::Residual { .. });
    let path = &body[if is_block { first } else { first + 1 }..];
    let branches = branches(path);
    (branches > 0).then(|| told(&body[first], path, branches, capture.batch()).into())
}

fn told(first: &OpCapture, path: &[OpCapture], branches: usize, batch: usize) -> Result<PathLengths, String> {
    let (path, samples) = affordable(path, branches + 1, batch)?;
    let mut start = path.last().map_or_else(Vec::new, |last| last.cotangent_out.to_f64().into_owned());
    let size = rms(&start);
    if !(size > 0.0 && size.is_finite()) {
        return Err("the gradient at the end of the last block is zero or not finite".into());
    }
    // Only shares are told: of RMS 1, squares stay in range.
    start.iter_mut().for_each(|g| *g /= size);
    let terms = through(&path, vec![start])?;
    let energies: Vec<f64> = terms.iter().map(|term| term.iter().map(|g| g * g).sum()).collect();
    let total: f64 = energies.iter().sum();
    if !(total > 0.0 && total.is_finite()) {
        return Err(format!("the gradient of {} is zero or not finite", first.name));
    }
    let energy: Vec<f64> = energies.into_iter().map(|energy| energy / total).collect();
    let mean = energy.iter().enumerate().map(|(length, share)| length as f64 * share).sum();
    Ok(PathLengths { layer: first.name.clone(), branches, mean, energy, samples })
}

/// Branches on the longest path.
fn branches(ops: &[OpCapture]) -> usize {
    let of = |op: &OpCapture| match &op.kind {
        OpCaptureKind::Residual { branch, shortcut, .. } => (1 + branches(branch)).max(branches(shortcut)),
        _ => 0,
    };
    ops.iter().map(of).sum()
}

/// The coefficients of z^0, z^1 ... before the first of these operations, from those after the last.
fn through(ops: &[OpCapture], mut terms: Vec<Vec<f64>>) -> Result<Vec<Vec<f64>>, String> {
    for op in ops.iter().rev() {
        terms = match ways(op) {
            Some(Ways { branch, past }) => {
                let along = |way: Way<'_>| through(way.ops, terms.iter().map(|term| way.end.take(term)).collect());
                let mut sums: Vec<Vec<f64>> = Vec::new();
                let mut add = |longer: usize, found: Vec<Vec<f64>>| {
                    sums.resize(sums.len().max(found.len() + longer), vec![0.0; op.input.len()]);
                    for (sum, term) in sums.iter_mut().skip(longer).zip(&found) {
                        sum.iter_mut().zip(term).for_each(|(sum, g)| *sum += g);
                    }
                };
                for way in past {
                    add(0, along(way)?);
                }
                add(1, along(branch)?);
                sums
            }
            None => {
                let Some(map) = map(op) else {
                    return Err(format!(
                        "{} ({}) cannot be followed backward for single paths",
                        op.name,
                        op.kind_name()
                    ));
                };
                terms.iter().map(|term| map.back(term)).collect()
            }
        };
    }
    Ok(terms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    /// The terms add up to the cotangent that was measured, whatever the branches are.
    #[test]
    fn the_parts_are_the_whole() {
        for more in [
            "",
            "norm = \"batch\"\n",
            "norm = \"layer\"\nactivation = \"gelu\"\n",
            "branch_scale = \"depth\"\n",
            "gate_bias = -1.0\n",
            "growth = 5\n",
        ] {
            let bench = Bench::new(&format!("[network]\nkind = \"residual\"\ndepth = 8\nwidth = 24\n{more}"));
            let body = &bench.capture.ops()[..bench.capture.head()];
            let start = body.last().unwrap().cotangent_out.to_f64().into_owned();
            let terms = through(body, vec![start]).unwrap();
            let found = body[0].cotangent_in.to_f64();
            let sum: Vec<f64> = (0..found.len()).map(|at| terms.iter().map(|term| term[at]).sum()).collect();
            let apart: Vec<f64> = sum.iter().zip(found.iter()).map(|(sum, found)| sum - found).collect();
            assert!(rms(&apart) < 1e-12 * rms(&found), "{more}");
            assert_eq!(terms.len(), 1 + branches(body), "{more}");
        }
    }

    /// Too much for a whole batch is told of fewer samples, unless a norm couples them.
    #[test]
    fn large_networks_are_told_by_some_samples() {
        let told = |norm: &str, width: usize| {
            let recipe = format!(
                "[network]\nkind = \"residual\"\ndepth = 22\nwidth = {width}\ninit = \"he-normal\"\nnorm = \"{norm}\"\n"
            );
            path_lengths(&Bench::new(&recipe).capture).unwrap()
        };
        let Asked::Told(paths) = told("layer", 400) else { unreachable!("some samples are affordable") };
        assert!(paths.samples > 1 && paths.samples < 64, "{}", paths.samples);
        // Branches that are normalised add a mean square of 1 each to the 2 that He's weights make of the inputs.
        let mean: f64 = (1..=21).map(|block| 1.0 / (f64::from(block) + 2.0)).sum();
        assert!((paths.mean - mean).abs() < 0.05 * mean, "{} for {mean}", paths.mean);
        let Asked::LeftOut { left_out } = told("batch", 700) else { unreachable!("samples are coupled") };
        assert!(left_out.contains("more ways back would take"), "{left_out}");
    }

    #[test]
    fn plain_networks_have_one_path() {
        assert_eq!(path_lengths(&Bench::new("[network]\ndepth = 4\nwidth = 8\n").capture), None);
    }
}
