//! A capture of fewer samples, for what would cost too much on all of them.

use std::borrow::Cow;

use super::Values;
use super::asked::{MOST_PRODUCTS, check_cost, products};
use super::capture::{OpCapture, OpCaptureKind};

/// Whether one sample's values depend on the others: batch norm and batch renormalisation.
fn couples(ops: &[OpCapture]) -> bool {
    ops.iter().any(|op| match &op.kind {
        OpCaptureKind::Norm { norm, .. } => norm.is_over_batch(),
        _ => op.ways().into_iter().any(couples),
    })
}

/// These operations on as many samples of a batch as so many ways back can be afforded for: all of them where they are coupled.
///
/// # Errors
/// Too many products even so, as a sentence.
pub(super) fn affordable(
    ops: &[OpCapture],
    ways: usize,
    batch: usize,
) -> Result<(Cow<'_, [OpCapture]>, usize), String> {
    let most = batch as f64 * MOST_PRODUCTS / (ways as f64 * products(ops)).max(1.0);
    let samples = if couples(ops) { batch } else { batch.min(most as usize).max(1) };
    let few = (samples < batch).then(|| first_samples(ops, samples, batch));
    let ops = few.map_or(Cow::Borrowed(ops), Cow::Owned);
    check_cost(&ops, ways)?;
    Ok((ops, samples))
}

/// The first `samples` of a batch: of every buffer the first rows. Gradients of weights stay those of the whole batch.
fn first_samples(ops: &[OpCapture], samples: usize, batch: usize) -> Vec<OpCapture> {
    let few = |values: &Values| {
        let count = values.len() / batch * samples;
        match values {
            Values::F32(values) => Values::from(values[..count].to_vec()),
            Values::F64(values) => Values::from(values[..count].to_vec()),
        }
    };
    let kind = |kind: &OpCaptureKind| match kind {
        OpCaptureKind::Norm { norm, gamma, eps, groups, ratio, .. } => {
            let (gamma, ratio) = (gamma.clone(), ratio.clone());
            OpCaptureKind::Norm { norm: *norm, gamma, eps: *eps, groups: *groups, samples, ratio }
        }
        OpCaptureKind::Residual { scale, branch, branch_cotangent_in, shortcut, gate, concatenates } => {
            OpCaptureKind::Residual {
                scale: *scale,
                branch: first_samples(branch, samples, batch),
                branch_cotangent_in: few(branch_cotangent_in),
                shortcut: first_samples(shortcut, samples, batch),
                gate: first_samples(gate, samples, batch),
                concatenates: *concatenates,
            }
        }
        OpCaptureKind::AuxiliaryHead { head, head_cotangent_in } => OpCaptureKind::AuxiliaryHead {
            head: first_samples(head, samples, batch),
            head_cotangent_in: few(head_cotangent_in),
        },
        other => other.clone(),
    };
    let one = |op: &OpCapture| OpCapture {
        name: op.name.clone(),
        kind: kind(&op.kind),
        rows: op.rows / batch * samples,
        input: few(&op.input),
        output: few(&op.output),
        cotangent_in: few(&op.cotangent_in),
        cotangent_out: few(&op.cotangent_out),
    };
    ops.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::frozen::Frozen;
    use crate::rules::fixture::Bench;

    /// Where nothing couples samples, what comes back to the first of them is what was measured with all.
    #[test]
    fn the_first_samples_are_what_they_were() {
        for more in ["", "norm = \"layer\"\nactivation = \"gelu\"", "kind = \"residual\"\nnorm = \"rms\""] {
            let bench = Bench::new(&format!("[network]\ndepth = 5\nwidth = 24\n{more}\n"));
            let body = &bench.capture.ops()[..bench.capture.head()];
            assert!(!couples(body));
            let few = first_samples(body, 3, bench.capture.batch());
            let back = Frozen::of(&few).unwrap().back(&few.last().unwrap().cotangent_out.to_f64());
            let measured = body[0].cotangent_in.to_f64();
            assert_eq!(back.len() * bench.capture.batch(), measured.len() * 3);
            let largest = back.iter().fold(0.0_f64, |largest, g| largest.max(g.abs()));
            assert!(largest > 0.0);
            assert!(back.iter().zip(measured.iter()).all(|(a, b)| (a - b).abs() < 1e-12 * largest), "{more}");
        }
        for kind in ["mlp", "residual"] {
            let recipe = format!("[network]\nkind = \"{kind}\"\ndepth = 3\nwidth = 8\nnorm = \"batch\"\n");
            assert!(couples(Bench::new(&recipe).capture.ops()));
        }
    }
}
