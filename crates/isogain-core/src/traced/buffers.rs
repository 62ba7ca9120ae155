//! The buffers of a trace, put where its description says.

use crate::flow::Values;
use crate::flow::capture::{OpCapture, OpCaptureKind, PathCapture};
use crate::flow::shattering::Shattering;
use crate::flow::unrolled::{Direction, Recurrence, StateRule};
use crate::matmul::transpose;
use crate::network::Cell;
use crate::record::{DataSummary, ParameterRecord};
use crate::statistics::Moments;

use super::TraceError;
use super::description::{
    BufferId, States, Traced, TracedArc, TracedDirection, TracedKind, TracedOp, TracedParameter, TracedPath,
};

/// The buffers of a trace, with a clear error for a number that is none of them.
#[derive(Clone, Copy)]
pub(super) struct Buffers<'a>(pub(super) &'a [Values]);

impl Buffers<'_> {
    pub(super) fn get(self, op: &str, buffer: BufferId) -> Result<Values, TraceError> {
        let missing = || TraceError::Buffer { op: op.to_owned(), buffer, count: self.0.len() };
        self.0.get(buffer).cloned().ok_or_else(missing)
    }

    pub(super) fn captures(self, ops: &[TracedOp]) -> Result<Vec<OpCapture>, TraceError> {
        ops.iter().map(|op| self.capture(op)).collect()
    }

    fn capture(self, op: &TracedOp) -> Result<OpCapture, TraceError> {
        let get = |buffer: BufferId| self.get(&op.name, buffer);
        // A frozen weight has no gradient: exactly zero is what the optimizer sees.
        let gradient = |weight: &Values, gradient: Option<BufferId>| match gradient {
            Some(buffer) => get(buffer),
            None => Ok(Values::from(vec![0.0_f64; weight.len()])),
        };
        let kind = match &op.kind {
            TracedKind::Linear { weight, weight_gradient, units, .. } => {
                let weight = get(*weight)?;
                OpCaptureKind::Linear { weight_gradient: gradient(&weight, *weight_gradient)?, weight, units: *units }
            }
            TracedKind::Convolution { weight, weight_gradient, window, .. } => {
                let weight = get(*weight)?;
                let weight_gradient = gradient(&weight, *weight_gradient)?;
                let channels_out = get(op.output)?.len() / op.rows.max(1);
                let [weight, weight_gradient] = match window {
                    Some(window) => [&weight, &weight_gradient].map(|w| taps_first(w, channels_out, window.taps())),
                    None => [weight, weight_gradient],
                };
                OpCaptureKind::Convolution { weight, weight_gradient, window: *window }
            }
            TracedKind::Activation { activation } => OpCaptureKind::Activation(*activation),
            TracedKind::Norm { norm, gamma, eps, groups, samples } => {
                // Batch renormalisation's own factor is a part of the gamma that a framework multiplies with.
                let (gamma, ratio) = (get(*gamma)?, None);
                OpCaptureKind::Norm { norm: *norm, gamma, eps: *eps, groups: *groups, samples: *samples, ratio }
            }
            TracedKind::Residual { branch, branch_cotangent_in, shortcut } => OpCaptureKind::Residual {
                scale: 1.0,
                branch: self.captures(branch)?,
                branch_cotangent_in: get(*branch_cotangent_in)?,
                shortcut: self.captures(shortcut)?,
                gate: Vec::new(),
                concatenates: false,
            },
            TracedKind::Attention { features, plain, dropped, .. } => OpCaptureKind::Attention {
                features: *features,
                attention: *plain,
                dropped: dropped.map(get).transpose()?,
            },
            TracedKind::Recurrent { states, paths, .. } => {
                let path = |path: &TracedPath| {
                    let cotangents = self.states(&op.name, path.states)?;
                    Ok(PathCapture { name: path.name.clone(), cotangents })
                };
                OpCaptureKind::Recurrent {
                    states: self.states(&op.name, *states)?,
                    paths: paths.iter().map(path).collect::<Result<_, TraceError>>()?,
                    recurrence: self.recurrence(op)?,
                }
            }
            TracedKind::Other { pool: Some(pool), .. } => OpCaptureKind::Pool(pool.clone()),
            TracedKind::Other { masks: true, .. } => OpCaptureKind::Mask,
            TracedKind::Other { product: Some([one, other]), weighted, .. } => {
                OpCaptureKind::Product { ways: [self.captures(one)?, self.captures(other)?], weighted: *weighted }
            }
            TracedKind::Other { weighted, .. } => OpCaptureKind::Other { weighted: *weighted },
        };
        Ok(OpCapture {
            name: op.name.clone(),
            rows: op.rows,
            kind,
            input: get(op.input)?,
            output: get(op.output)?,
            cotangent_in: get(op.cotangent_in)?,
            cotangent_out: get(op.cotangent_out)?,
        })
    }

    /// What a recurrent layer computes with, where its weights are there.
    fn recurrence(self, op: &TracedOp) -> Result<Option<Recurrence>, TraceError> {
        let TracedKind::Recurrent { cell, activation, inputs, units, states, directions, .. } = &op.kind else {
            return Ok(None);
        };
        if directions.is_empty() {
            return Ok(None);
        }
        let rule = match cell {
            Cell::Rnn => StateRule::Plain(*activation),
            Cell::Lstm => StateRule::Lstm,
            Cell::Gru => StateRule::Gru,
        };
        let none = || Values::from(Vec::<f64>::new());
        // One of another length stays as it is, and is found when the buffers are held together.
        let turned = |buffer: BufferId, columns: usize| -> Result<Values, TraceError> {
            let weight = self.get(&op.name, buffer)?.to_f64().into_owned();
            let is_whole = weight.len().is_multiple_of(columns);
            Ok(Values::from(if is_whole { transpose(&weight, weight.len() / columns, columns) } else { weight }))
        };
        let direction = |(at, direction): (usize, &TracedDirection)| {
            let get = |buffer: Option<BufferId>| buffer.map_or_else(|| Ok(none()), |buffer| self.get(&op.name, buffer));
            let [bias, hidden_bias] = direction.biases.map_or([None; 2], |biases| biases.map(Some));
            Ok(Direction {
                weight: turned(direction.weight, *inputs)?,
                hidden_weight: turned(direction.hidden_weight, *units)?,
                biases: [get(bias)?, get(hidden_bias)?],
                start: get(direction.start)?,
                is_backward: at > 0,
            })
        };
        let directions = directions.iter().enumerate().map(direction).collect::<Result<_, TraceError>>()?;
        Ok(Some(Recurrence { rule, steps: states.steps, directions }))
    }

    /// One buffer for each step.
    fn states(self, op: &str, states: States) -> Result<Vec<Values>, TraceError> {
        let whole = self.get(op, states.buffer)?.to_f64().into_owned();
        let each = (whole.len() / states.steps.max(1)).max(1);
        Ok(whole.chunks_exact(each).map(|step| Values::from(step.to_vec())).collect())
    }

    pub(super) fn parameters(self, parameters: &[TracedParameter]) -> Result<Vec<ParameterRecord>, TraceError> {
        let record = |parameter: &TracedParameter| {
            let moments = |buffer| self.get(&parameter.name, buffer).map(|values| values.moments());
            Ok(ParameterRecord {
                name: parameter.name.clone(),
                weight: moments(parameter.weight)?,
                gradient: parameter.gradient.map_or(Ok(Moments::default()), moments)?,
                update: Moments::default(),
            })
        };
        parameters.iter().map(record).collect()
    }

    pub(super) fn shattering(self, arc: TracedArc) -> Result<Option<Shattering>, TraceError> {
        let [gradient, activation] = [self.get("arc", arc.gradient)?, self.get("arc", arc.activation)?];
        Ok(Shattering::between(&gradient.to_f64(), &activation.to_f64(), arc.points))
    }

    pub(super) fn data(self, traced: &Traced) -> Result<DataSummary, TraceError> {
        let moments = |buffer| self.get("data", buffer).map(|values| values.moments());
        let target = traced.data.target.map(moments).transpose()?;
        Ok(DataSummary {
            source: "one batch".into(),
            train_samples: traced.batch,
            test_samples: 0,
            input: traced.data.input.map_or(Ok(Moments::default()), moments)?,
            feature_rms_ratio: traced.data.feature_rms_ratio.unwrap_or(1.0),
            target,
            classes: traced.data.classes,
            // The loss before training is what knowing nothing costs, or more.
            baseline_loss: traced.data.baseline_loss.or(traced.loss).unwrap_or(f64::NAN),
        })
    }
}

/// `[channels out, channels in, taps]` to `[taps x channels in, channels out]`.
fn taps_first(weight: &Values, channels_out: usize, taps: usize) -> Values {
    let channels = weight.len() / (channels_out * taps).max(1);
    let weight = weight.to_f64();
    let at = |index: usize| {
        let (row, out) = (index / channels_out, index % channels_out);
        weight[(out * channels + row % channels) * taps + row / channels]
    };
    Values::from((0..channels_out * channels * taps).map(at).collect::<Vec<f64>>())
}
