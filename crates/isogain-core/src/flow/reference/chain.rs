//! A chain of operations forward, remembering what the way back needs, and backward.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Parameters, ReferenceError, Shared, expect, norm, parameter, residual, softmax, values};
use crate::conservation::Units;
use crate::flow::Values;
use crate::flow::capture::{OpCapture, OpCaptureKind};
use crate::matmul::{product, transpose};
use crate::network::{Linear, Op, OpKind};

/// One operation of the way forward.
pub(super) struct Step<'a> {
    pub(super) op: &'a Op,
    pub(super) input: Shared,
    pub(super) output: Shared,
    /// The branch of a residual operation, and the layer under its gate; an auxiliary head.
    pub(super) inside: [Vec<Step<'a>>; 2],
}

/// What the loss of an auxiliary head sends back, from its outputs and the factor on that loss, which is in it.
pub(super) type Loss<'a> = &'a mut dyn FnMut(&[f64], f64) -> Result<Vec<f64>, ReferenceError>;

fn unsupported(op: &Op) -> ReferenceError {
    ReferenceError::Unsupported { op: op.name.clone() }
}

pub(super) fn forward<'a>(
    ops: &'a [Op],
    parameters: &Parameters,
    mut input: Shared,
    batch: usize,
) -> Result<Vec<Step<'a>>, ReferenceError> {
    let mut steps = Vec::with_capacity(ops.len());
    for op in ops {
        let mut inside = [Vec::new(), Vec::new()];
        let output = match &op.kind {
            OpKind::Linear(linear) => linear_forward(op, linear, parameters, &input, batch)?,
            OpKind::Activation { activation } => input.iter().map(|&z| activation.value(z)).collect(),
            OpKind::Softmax => softmax::forward(&input, batch),
            OpKind::Norm(norm) => norm::forward(op, norm, parameters, &input, batch)?,
            OpKind::Residual(residual) => {
                let way = |ops: &'a [Op]| forward(ops, parameters, input.clone(), batch);
                inside = [way(&residual.branch)?, way(&residual.gate)?];
                residual::forward(op, residual, parameters, &input, &inside, batch)?
            }
            OpKind::AuxiliaryHead(auxiliary) => {
                inside[0] = forward(&auxiliary.head, parameters, input.clone(), batch)?;
                input.to_vec()
            }
            _ => return Err(unsupported(op)),
        };
        let output = Arc::new(output);
        steps.push(Step { op, input, output: output.clone(), inside });
        input = output;
    }
    Ok(steps)
}

/// The captured operations in forward order; adds the gradients of their parameters to `gradients`. `loss` is that of
/// auxiliary heads.
pub(super) fn backward(
    steps: &[Step<'_>],
    parameters: &Parameters,
    mut cotangent: Shared,
    batch: usize,
    loss: Loss<'_>,
    gradients: &mut Parameters,
) -> Result<Vec<OpCapture>, ReferenceError> {
    let mut captured = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let (op, name) = (step.op, &step.op.name);
        let (kind, cotangent_in) = match &op.kind {
            OpKind::Linear(linear) => linear_backward(step, linear, parameters, &cotangent, batch, gradients)?,
            OpKind::Activation { activation } => {
                let back = step.input.iter().zip(cotangent.iter()).map(|(&z, g)| activation.derivative(z) * g);
                (OpCaptureKind::Activation(*activation), back.collect())
            }
            OpKind::Softmax => {
                let back = softmax::backward(&step.output, &cotangent, batch);
                (OpCaptureKind::Other { weighted: false }, back)
            }
            OpKind::Norm(norm) => norm::backward(op, norm, parameters, &step.input, &cotangent, batch, gradients)?,
            OpKind::Residual(residual) => {
                residual::backward(step, residual, parameters, &cotangent, batch, &mut *loss, gradients)?
            }
            OpKind::AuxiliaryHead(auxiliary) => {
                let [head, _] = &step.inside;
                let outputs = head.last().map_or(&step.input, |last| &last.output);
                let sent: Shared = Arc::new(loss(outputs, auxiliary.share)?);
                let head = backward(head, parameters, sent.clone(), batch, &mut *loss, gradients)?;
                let back = head.first().map_or_else(|| values(&sent), |first| first.cotangent_in.clone());
                let sum = cotangent.iter().zip(back.to_f64().iter()).map(|(g, b)| g + b).collect();
                (OpCaptureKind::AuxiliaryHead { head, head_cotangent_in: back }, sum)
            }
            _ => return Err(unsupported(op)),
        };
        let cotangent_in: Shared = Arc::new(cotangent_in);
        captured.push(OpCapture {
            rows: batch,
            name: name.clone(),
            kind,
            input: values(&step.input),
            output: values(&step.output),
            cotangent_in: values(&cotangent_in),
            cotangent_out: values(&cotangent),
        });
        cotangent = cotangent_in;
    }
    captured.reverse();
    Ok(captured)
}

/// What the layer multiplies by, `[fan_in, fan_out]`.
fn weight<'p>(op: &Op, linear: &Linear, parameters: &'p Parameters) -> Result<Cow<'p, [f64]>, ReferenceError> {
    let weight = parameter(parameters, &op.name, "weight", linear.fan_in * linear.fan_out)?;
    Ok(match linear.weight_norm {
        Some(norm) => {
            let gains = parameter(parameters, &op.name, "gain", norm.gains(linear.fan_out))?;
            Cow::Owned(norm.weight(weight, gains, linear.fan_out))
        }
        None => Cow::Borrowed(weight),
    })
}

fn linear_forward(
    op: &Op,
    linear: &Linear,
    parameters: &Parameters,
    input: &[f64],
    batch: usize,
) -> Result<Vec<f64>, ReferenceError> {
    expect(&format!("the input of {}", op.name), input.len(), batch * linear.fan_in)?;
    let weight = weight(op, linear, parameters)?;
    let bias = parameter(parameters, &op.name, "bias", linear.fan_out)?;
    let mut output = product(input, &weight, [batch, linear.fan_in, linear.fan_out]);
    for row in output.chunks_exact_mut(linear.fan_out) {
        for (y, b) in row.iter_mut().zip(bias) {
            *y += b;
        }
    }
    Ok(output)
}

fn linear_backward(
    step: &Step<'_>,
    linear: &Linear,
    parameters: &Parameters,
    cotangent: &[f64],
    batch: usize,
    gradients: &mut Parameters,
) -> Result<(OpCaptureKind, Vec<f64>), ReferenceError> {
    let (name, fan_in, fan_out) = (&step.op.name, linear.fan_in, linear.fan_out);
    let weight = weight(step.op, linear, parameters)?;
    let mut bias_gradient = vec![0.0; fan_out];
    for row in cotangent.chunks_exact(fan_out) {
        for (sum, g) in bias_gradient.iter_mut().zip(row) {
            *sum += g;
        }
    }
    let weight_gradient = product(&transpose(&step.input, batch, fan_in), cotangent, [fan_in, batch, fan_out]);
    let back = product(cotangent, &transpose(&weight, fan_in, fan_out), [batch, fan_out, fan_in]);
    gradients.insert(format!("{name}.bias"), bias_gradient);
    if let Some(norm) = linear.weight_norm {
        let trained = parameter(parameters, name, "weight", fan_in * fan_out)?;
        let gains = parameter(parameters, name, "gain", norm.gains(fan_out))?;
        let (of_weight, of_gains) = norm.pull(trained, gains, &weight_gradient, fan_out);
        gradients.insert(format!("{name}.weight"), of_weight);
        gradients.insert(format!("{name}.gain"), of_gains);
    } else {
        gradients.insert(format!("{name}.weight"), weight_gradient.clone());
    }
    let kind = OpCaptureKind::Linear {
        weight: Values::from(weight.to_vec()),
        weight_gradient: Values::from(weight_gradient),
        units: Units::Columns,
    };
    Ok((kind, back))
}
