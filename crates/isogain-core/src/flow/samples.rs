//! A capture of fewer samples, for what would cost too much on all of them.

use std::borrow::Cow;

use super::Values;
use super::asked::{ENOUGH_PRODUCTS, check_cost, prepared, products};
use super::capture::{OpCapture, OpCaptureKind};
use super::unrolled::{Direction, Recurrence};
use crate::network::NormKind;

/// Whether one sample's values depend on the others: batch norm and batch renormalisation.
fn couples(ops: &[OpCapture]) -> bool {
    ops.iter().any(|op| match &op.kind {
        OpCaptureKind::Norm { norm, .. } => norm.is_over_batch(),
        _ => op.ways().into_iter().any(couples),
    })
}

/// These operations on as many samples of a batch as so many ways back can be afforded for: all of them where they are coupled.
/// Where one sample of the loss is a pixel or a token, on whole images and sequences.
///
/// # Errors
/// Too many products even so, as a sentence.
pub(super) fn affordable(
    ops: &[OpCapture],
    ways: usize,
    batch: usize,
) -> Result<(Cow<'_, [OpCapture]>, usize), String> {
    let parts = parts(ops, batch);
    let left = ENOUGH_PRODUCTS - prepared(ops);
    let most = parts as f64 * left / (ways as f64 * products(ops)).max(1.0);
    let kept = if couples(ops) { parts } else { parts.min(most as usize).max(1) };
    let few = (kept < parts).then(|| some_parts(ops, kept, parts));
    let ops = few.map_or(Cow::Borrowed(ops), Cow::Owned);
    check_cost(&ops, ways)?;
    Ok((ops, batch / parts * kept))
}

/// Parts of a batch of which none has to do with another: samples, or whole images and sequences of them.
fn parts(ops: &[OpCapture], batch: usize) -> usize {
    let common = |common: usize, op: &OpCapture| {
        let whole = match &op.kind {
            OpCaptureKind::Convolution { window: Some(window), .. } => {
                op.rows / window.output().iter().product::<usize>()
            }
            OpCaptureKind::Pool(pool) => op.rows / pool.groups().len(),
            OpCaptureKind::Attention { attention: Some(attention), .. } => op.rows / attention.steps,
            OpCaptureKind::Recurrent { recurrence: Some(recurrence), .. } => op.rows / recurrence.steps.max(1),
            OpCaptureKind::Norm { norm: NormKind::Group, samples, .. } => *samples,
            _ => op.rows,
        };
        let shared = [whole, op.input.len()].into_iter().fold(common, gcd);
        op.ways().into_iter().fold(shared, |shared, way| parts(way, shared))
    };
    ops.iter().fold(batch, common)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Which of so many parts of a batch stand for all of them: from all over it, since a batch may be sorted.
fn spread_over(parts: usize, kept: usize) -> impl Iterator<Item = usize> + Clone {
    (0..kept).map(move |part| part * parts / kept)
}

/// Some parts of a batch, of every buffer their rows. Gradients of weights stay those of the whole batch.
fn some_parts(ops: &[OpCapture], kept: usize, parts: usize) -> Vec<OpCapture> {
    fn rows<T: Copy>(values: &[T], parts: usize, kept: usize) -> Vec<T> {
        let each = values.len() / parts;
        spread_over(parts, kept).flat_map(|part| &values[part * each..][..each]).copied().collect()
    }
    let few = |values: &Values| match values {
        Values::F32(values) => Values::from(rows(values, parts, kept)),
        Values::F64(values) => Values::from(rows(values, parts, kept)),
    };
    let kind = |kind: &OpCaptureKind| match kind {
        OpCaptureKind::Norm { norm, gamma, eps, groups, ratio, samples } => {
            let samples = if *norm == NormKind::Group { samples / parts * kept } else { *samples };
            let (gamma, ratio) = (gamma.clone(), ratio.clone());
            OpCaptureKind::Norm { norm: *norm, gamma, eps: *eps, groups: *groups, samples, ratio }
        }
        OpCaptureKind::Residual { scale, branch, branch_cotangent_in, shortcut, gate, concatenates } => {
            OpCaptureKind::Residual {
                scale: *scale,
                branch: some_parts(branch, kept, parts),
                branch_cotangent_in: few(branch_cotangent_in),
                shortcut: some_parts(shortcut, kept, parts),
                gate: some_parts(gate, kept, parts),
                concatenates: *concatenates,
            }
        }
        OpCaptureKind::Product { ways, weighted } => OpCaptureKind::Product {
            ways: ways.each_ref().map(|way| some_parts(way, kept, parts)),
            weighted: *weighted,
        },
        OpCaptureKind::AuxiliaryHead { head, head_cotangent_in } => OpCaptureKind::AuxiliaryHead {
            head: some_parts(head, kept, parts),
            head_cotangent_in: few(head_cotangent_in),
        },
        OpCaptureKind::Attention { features, attention, dropped } => {
            OpCaptureKind::Attention { features: *features, attention: *attention, dropped: dropped.as_ref().map(few) }
        }
        OpCaptureKind::Recurrent { states, paths, recurrence: Some(Recurrence { rule, steps, directions }) } => {
            let of_direction = |direction: &Direction| Direction { start: few(&direction.start), ..direction.clone() };
            let directions = directions.iter().map(of_direction).collect();
            let recurrence = Some(Recurrence { rule: rule.clone(), steps: *steps, directions });
            OpCaptureKind::Recurrent { states: states.clone(), paths: paths.clone(), recurrence }
        }
        other => other.clone(),
    };
    let one = |op: &OpCapture| OpCapture {
        name: op.name.clone(),
        kind: kind(&op.kind),
        rows: op.rows / parts * kept,
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

    /// Where nothing couples samples, what comes back to some of them is what was measured with all.
    #[test]
    fn some_samples_are_what_they_were() {
        for more in ["", "norm = \"layer\"\nactivation = \"gelu\"", "kind = \"residual\"\nnorm = \"rms\""] {
            let bench = Bench::new(&format!("[network]\ndepth = 5\nwidth = 24\n{more}\n"));
            let body = &bench.capture.ops()[..bench.capture.head()];
            assert!(!couples(body));
            let few = some_parts(body, 3, bench.capture.batch());
            let back = Frozen::of(&few).unwrap().back(&few.last().unwrap().cotangent_out.to_f64());
            let (batch, whole) = (bench.capture.batch(), body[0].cotangent_in.to_f64());
            let each = whole.len() / batch;
            let of_sample = |at: usize| &whole[at * each..][..each];
            let measured = [0, batch / 3, 2 * batch / 3].map(of_sample).concat();
            assert_eq!(back.len(), measured.len());
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
