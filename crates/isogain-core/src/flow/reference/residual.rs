//! y = x + scale F(x), y = (1 - T(x)) x + T(x) F(x) and y = [x, F(x)], forward and backward.

use std::ops::Range;
use std::sync::Arc;

use super::chain::{Loss, Step, backward as chain_backward};
use super::{Parameters, ReferenceError, Shared, expect, parameter, values};
use crate::flow::capture::{OpCaptureKind, one_factor};
use crate::network::{Op, Residual};
use crate::theory::residual::gate as opened;

/// The output for an input, after the branch and the layer under the gate.
pub(super) fn forward(
    op: &Op,
    residual: &Residual,
    parameters: &Parameters,
    input: &Shared,
    inside: &[Vec<Step<'_>>; 2],
    batch: usize,
) -> Result<Vec<f64>, ReferenceError> {
    let returned = output_of(&inside[0], input);
    if residual.concatenates {
        let (x, f) = (input.chunks_exact(input.len() / batch), returned.chunks_exact(returned.len() / batch));
        return Ok(x.zip(f).flat_map(|(x, f)| x.iter().chain(f)).copied().collect());
    }
    expect(&format!("the branch of {}", op.name), returned.len(), input.len())?;
    let factors = factors(op, residual, parameters, &inside[1])?;
    let pairs = input.iter().zip(returned.iter()).zip(factors.iter().cycle());
    if residual.gate.is_empty() {
        return Ok(pairs.map(|((x, f), factor)| x + factor * f).collect());
    }
    Ok(pairs.map(|((x, f), open)| x + open * (f - x)).collect())
}

/// The operation captured, and the cotangent of its input.
pub(super) fn backward(
    step: &Step<'_>,
    residual: &Residual,
    parameters: &Parameters,
    cotangent: &Shared,
    batch: usize,
    loss: Loss<'_>,
    gradients: &mut Parameters,
) -> Result<(OpCaptureKind, Vec<f64>), ReferenceError> {
    let [branch, gate] = &step.inside;
    let factors = factors(step.op, residual, parameters, gate)?;
    let returned = output_of(branch, &step.input);
    if residual.learnable {
        let mut gradient = vec![0.0; factors.len()];
        for (index, (g, f)) in cotangent.iter().zip(returned.iter()).enumerate() {
            gradient[index % factors.len()] += g * f;
        }
        gradients.insert(format!("{}.scale", step.op.name), gradient);
    }
    let times = |factors: Vec<f64>| -> Shared {
        Arc::new(factors.iter().cycle().zip(cotangent.iter()).map(|(factor, g)| factor * g).collect())
    };
    let (scaled, handed_on) = if residual.concatenates {
        let [read, of] = [step.input.len(), step.output.len()].map(|values| values / batch);
        let part = |range: Range<usize>| -> Vec<f64> {
            cotangent.chunks_exact(of).flat_map(|row| &row[range.clone()]).copied().collect()
        };
        (Arc::new(part(read..of)), part(0..read))
    } else {
        (times(factors.clone()), cotangent.to_vec())
    };
    let captured = chain_backward(branch, parameters, scaled.clone(), batch, &mut *loss, gradients)?;
    let back = captured.first().map_or_else(|| values(&scaled), |first| first.cotangent_in.clone());
    let (mut sum, mut under) = (handed_on, Vec::new());
    if !gate.is_empty() {
        sum = times(factors.iter().map(|open| 1.0 - open).collect()).to_vec();
        let apart = returned.iter().zip(step.input.iter()).map(|(f, x)| f - x);
        let steered = times(factors.iter().zip(apart).map(|(open, apart)| open * (1.0 - open) * apart).collect());
        under = chain_backward(gate, parameters, steered, batch, &mut *loss, gradients)?;
    }
    let others = under.first().map(|first| first.cotangent_in.clone());
    for back in others.iter().chain([&back]) {
        sum.iter_mut().zip(back.to_f64().iter()).for_each(|(sum, g)| *sum += g);
    }
    let scale = one_factor(&factors);
    let kind = OpCaptureKind::Residual {
        scale,
        branch: captured,
        branch_cotangent_in: back,
        shortcut: Vec::new(),
        gate: under,
        concatenates: residual.concatenates,
    };
    Ok((kind, sum))
}

fn output_of<'a>(way: &'a [Step<'_>], input: &'a Shared) -> &'a Shared {
    way.last().map_or(input, |step| &step.output)
}

/// The factor on a branch, one for each of its channels, or what the gate lets through of each value; `[rows, channels]` cycle
/// through them.
fn factors(
    op: &Op,
    residual: &Residual,
    parameters: &Parameters,
    gate: &[Step<'_>],
) -> Result<Vec<f64>, ReferenceError> {
    if let Some(under) = gate.last() {
        return Ok(under.output.iter().map(|&z| opened(z)).collect());
    }
    if !residual.learnable {
        return Ok(vec![residual.scale]);
    }
    Ok(parameter(parameters, &op.name, "scale", residual.channels.max(1))?.to_vec())
}
