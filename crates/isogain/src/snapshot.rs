//! One batch with full tensors at hand: the chain rule taken apart, what single units do, and every parameter.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use isogain_core::conservation::{BrokenLaw, Pair, TOLERATED_SHARE, Units, broken, tolerated_share};
use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind, PathCapture, one_factor};
use isogain_core::flow::counterfactual::counterfactual;
use isogain_core::flow::jacobian::jacobian;
use isogain_core::flow::path_lengths::path_lengths;
use isogain_core::flow::shattering::{POINTS, Shattering, arc};
use isogain_core::flow::unrolled::{Direction, Recurrence, StateRule};
use isogain_core::flow::{Flow, Values};
use isogain_core::network::{Cell, Linear, Norm, NormKind, Op, OpKind, Recurrent};
use isogain_core::record::{HistogramRecord, JointRecord, ParameterRecord, Snapshot, TensorKind};
use isogain_core::renorm::Averages;
use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::moments_with_histogram;
use isogain_core::theory::residual::gate as opened;

use crate::Error;
use crate::data::{Samples, Targets};
use crate::model::{Model, Value, branch_joint, gate_joint, skip_joint, to_f64};
use crate::ops::PathThroughTime;
use crate::probe::{Keep, Kept, Probes, Seen, tensor_moments};

/// Gradient of each parameter, by name.
pub type Gradients = BTreeMap<String, Value>;

/// Loss on a batch, that of the last head, and the gradient of every parameter, of what is trained; training mode.
pub fn loss_and_gradients(model: &Model, batch: &Samples, probes: Option<&Probes>) -> (f64, Gradients) {
    let mut pass = model.tracked(probes);
    let outputs = model.forward(&mut pass, model.inputs(batch));
    let loss = model.loss(outputs, &batch.targets);
    let gradients = pass.gradients(&pass.objective(loss.clone(), &batch.targets));
    (scalar(loss), gradients)
}

/// The value of a tensor of one element.
pub(crate) fn scalar(tensor: burn::tensor::Tensor<1>) -> f64 {
    to_f64(tensor.inner().into_data()).first().copied().unwrap_or(f64::NAN)
}

/// Measures a model on one batch, in training mode, without changing it.
///
/// # Errors
/// When the captured buffers do not fit together.
pub fn snapshot(model: &Model, batch: &Samples, step: u64) -> Result<Snapshot, Error> {
    with_histograms(model, batch, step).map(|(snapshot, _)| snapshot)
}

/// The same, and how many values of each joint have which order of magnitude, in forward order.
///
/// # Errors
/// As [`snapshot`].
pub fn with_histograms(model: &Model, batch: &Samples, step: u64) -> Result<(Snapshot, Vec<HistogramRecord>), Error> {
    let Captured { capture, gradients, seen } = captured(model, batch)?;
    let histograms = histograms(model, &seen);
    let mut snapshot = Snapshot::of(&capture, parameter_records(model, &gradients), step);
    snapshot.broken_laws = broken_laws(model, &gradients, &capture);
    for joint in &mut snapshot.joints {
        joint.detail = seen.details.get(joint.name.as_str()).cloned().or(joint.detail.take());
    }
    Ok((snapshot, histograms))
}

/// The exact laws that weights and gradients contradict.
fn broken_laws(model: &Model, gradients: &Gradients, capture: &Capture) -> Vec<BrokenLaw> {
    let pair = |name: &str| {
        Some(Pair {
            weight: parameter(Some(model.parameters.get(name)?)),
            gradient: parameter(gradients.get(name)),
            units: Units::Columns,
        })
    };
    let tolerated = model.arithmetic.narrow.map_or(TOLERATED_SHARE, |narrow| tolerated_share(narrow.unit_roundoff()));
    broken(&model.network, pair, |norm| capture.radial(norm), tolerated)
}

fn histograms(model: &Model, seen: &Seen) -> Vec<HistogramRecord> {
    let sides = [(TensorKind::Activation, &seen.forward), (TensorKind::Cotangent, &seen.backward)];
    let of = |op: &Op, kind: TensorKind, side: &BTreeMap<Arc<str>, Kept>| {
        let histogram = match side.get(op.name.as_str())?.values()? {
            Values::F32(values) => moments_with_histogram(values).1,
            // Exponents beyond single precision are counted as zero or infinite.
            Values::F64(values) => {
                moments_with_histogram(&values.iter().map(|value| *value as f32).collect::<Vec<f32>>()).1
            }
        };
        Some(HistogramRecord { name: op.name.clone(), kind, histogram })
    };
    let ops = model.network.walk();
    ops.into_iter().flat_map(|op| sides.map(|(kind, side)| of(op, kind, side))).flatten().collect()
}

/// How alike the gradients of neighbouring inputs are: on the arc between the batch's first two samples, with the target of
/// the first. `None` where inputs are tokens, between which nothing lies.
pub(crate) fn shattering(model: &Model, batch: &Samples) -> Result<Option<Shattering>, Error> {
    let takes_tokens = matches!(model.network.ops.first().map(|op| &op.kind), Some(OpKind::Embedding(_)));
    if takes_tokens || batch.len() < 2 {
        return Ok(None);
    }
    let ends = batch.inputs.chunks_exact(batch.shape.values()).collect::<Vec<&[f64]>>();
    let targets = match &batch.targets {
        Targets::Classes { labels, classes } => {
            let each = labels.len() / batch.len();
            Targets::Classes { labels: labels[..each].repeat(POINTS), classes: *classes }
        }
        Targets::Values { values, outputs } => {
            let each = values.len() / batch.len();
            Targets::Values { values: values[..each].repeat(POINTS), outputs: *outputs }
        }
    };
    let points = Samples { shape: batch.shape.clone(), inputs: arc(ends[0], ends[1], POINTS), targets };
    Ok(Shattering::of(&captured(model, &points)?.capture))
}

/// What single factors of the gradient's way back would change on this batch, through how many branches it comes, and how
/// gradients of other directions fare.
pub(crate) fn ask(model: &Model, batch: &Samples, flow: &mut Flow) -> Result<(), Error> {
    let Captured { capture, .. } = captured(model, batch)?;
    flow.counterfactual = Some(counterfactual(&capture));
    flow.path_lengths = path_lengths(&capture);
    flow.jacobian = Some(jacobian(&capture));
    Ok(())
}

/// One batch forward and back, with full tensors at hand.
struct Captured {
    capture: Capture,
    gradients: Gradients,
    seen: Seen,
}

fn captured(model: &Model, batch: &Samples) -> Result<Captured, Error> {
    let probes = Probes::new(Keep::Values);
    // Whatever device trains it: what operations show beside their outputs, those of the processor show.
    let model = &model.clone().passing_on(Device::flex());
    let (loss, gradients) = loss_and_gradients(model, batch, Some(&probes));
    let seen = probes.take();
    let captures = Captures { model, gradients: &gradients, seen: &seen, samples: batch.len() };
    // Tokens have no cotangent: the chain starts at their embedding's output.
    let ops = match model.network.ops.split_first() {
        Some((embedding, rest)) if matches!(embedding.kind, OpKind::Embedding(_)) => {
            captures.of(rest, &Start { joint: &embedding.name, features: embedding.kind.features(1) })
        }
        _ => captures.of(&model.network.ops, &Start { joint: "input", features: model.network.input.features }),
    };
    let capture = Capture::new(batch.len(), ops, loss).map_err(|error| Error::Mismatch(error.to_string()))?;
    Ok(Captured { capture, gradients, seen })
}

/// Statistics at every joint, in forward order.
pub(crate) fn joint_records(model: &Model, seen: &Seen) -> Vec<JointRecord> {
    let empty = Moments::default;
    let record = |op: &Op| JointRecord {
        name: op.name.clone(),
        activation: seen.forward.get(op.name.as_str()).map_or_else(empty, Kept::moments),
        cotangent: seen.backward.get(op.name.as_str()).map_or_else(empty, Kept::moments),
        detail: seen.details.get(op.name.as_str()).cloned(),
    };
    model.network.walk().into_iter().map(record).collect()
}

fn parameter_records(model: &Model, gradients: &Gradients) -> Vec<ParameterRecord> {
    let record = |(name, value): (&String, &Value)| ParameterRecord {
        name: name.clone(),
        weight: value_moments(value),
        gradient: gradients.get(name).map_or_else(Moments::default, value_moments),
        update: Moments::default(),
    };
    model.parameters.iter().map(record).collect()
}

/// Moments of a parameter-shaped tensor.
pub(crate) fn value_moments(value: &Value) -> Moments {
    match value {
        Value::Matrix(tensor) => tensor_moments(tensor.clone()),
        Value::Vector(tensor) => tensor_moments(tensor.clone()),
    }
}

fn kept(side: &BTreeMap<Arc<str>, Kept>, joint: &str) -> Values {
    side.get(joint).and_then(Kept::values).cloned().unwrap_or_else(|| Values::from(Vec::<f64>::new()))
}

fn parameter(values: Option<&Value>) -> Values {
    Values::from(values.map(Value::to_f64).unwrap_or_default())
}

/// Gathers the buffers of a pass, operation by operation.
struct Captures<'a> {
    model: &'a Model,
    gradients: &'a Gradients,
    seen: &'a Seen,
    /// Samples in the batch.
    samples: usize,
}

/// Where a list of operations starts: the joint that feeds the first one, and the features of a row there.
struct Start<'a> {
    joint: &'a str,
    features: usize,
}

impl Captures<'_> {
    /// The operations with their buffers.
    fn of(&self, ops: &[Op], start: &Start<'_>) -> Vec<OpCapture> {
        let (mut before, mut features) = (start.joint.to_owned(), start.features);
        let mut captured = Vec::with_capacity(ops.len());
        for op in ops {
            let output = kept(&self.seen.forward, &op.name);
            let inputs = features;
            features = op.kind.features(features);
            captured.push(OpCapture {
                name: op.name.clone(),
                rows: output.len() / features,
                kind: self.kind(op, &Start { joint: &before, features: inputs }),
                input: kept(&self.seen.forward, &before),
                output,
                cotangent_in: kept(&self.seen.backward, &before),
                cotangent_out: kept(&self.seen.backward, &op.name),
            });
            before.clone_from(&op.name);
        }
        captured
    }

    fn kind(&self, op: &Op, start: &Start<'_>) -> OpCaptureKind {
        let named = |name: &str| format!("{}.{name}", op.name);
        let value = |name: &str| parameter(self.model.parameters.get(&named(name)));
        match &op.kind {
            OpKind::Linear(Linear { tied: Some(embedding), fan_in, fan_out, .. }) => {
                let table = self.model.parameters.get(&format!("{embedding}.weight")).map(Value::to_f64);
                let weight = transposed(&table.unwrap_or_default(), *fan_out, *fan_in);
                OpCaptureKind::Linear {
                    weight: Values::from(weight),
                    weight_gradient: self.own_gradient(op, start),
                    units: Units::Columns,
                }
            }
            OpKind::Linear(linear) => {
                let [weight, weight_gradient] = self.multiplier(op, linear);
                OpCaptureKind::Linear { weight, weight_gradient, units: Units::Columns }
            }
            OpKind::Convolution(convolution) => {
                let [weight, weight_gradient] = self.multiplier(op, &convolution.linear);
                OpCaptureKind::Convolution { weight, weight_gradient, window: convolution.window }
            }
            OpKind::Activation { activation } => OpCaptureKind::Activation(*activation),
            OpKind::Norm(norm) => OpCaptureKind::Norm {
                norm: norm.norm,
                gamma: value("gamma"),
                eps: norm.eps,
                groups: norm.groups_of(self.samples),
                samples: self.samples,
                ratio: self.ratio(op, norm, start),
            },
            OpKind::Residual(residual) => {
                let (branch, skip) = (branch_joint(&op.name), skip_joint(&op.name));
                let inside = |joint: &str, ops: &[Op]| self.of(ops, &Start { joint, features: start.features });
                let gate = inside(&gate_joint(&op.name), &residual.gate);
                let open = gate.last().map(|under| under.output.to_f64().iter().map(|&z| opened(z)).collect());
                let scale = || self.model.parameters.get(&named("scale")).map(Value::to_f64);
                OpCaptureKind::Residual {
                    scale: open.or_else(scale).map_or(residual.scale, |factors: Vec<f64>| one_factor(&factors)),
                    branch: inside(&branch, &residual.branch),
                    branch_cotangent_in: kept(&self.seen.backward, &branch),
                    shortcut: inside(&skip, &residual.shortcut),
                    gate,
                    concatenates: residual.concatenates,
                }
            }
            OpKind::AuxiliaryHead(auxiliary) => {
                let joint = branch_joint(&op.name);
                OpCaptureKind::AuxiliaryHead {
                    head: self.of(&auxiliary.head, &Start { joint: &joint, features: start.features }),
                    head_cotangent_in: kept(&self.seen.backward, &joint),
                }
            }
            OpKind::Recurrent(recurrent) => {
                let through_time = self.seen.through_time.get(op.name.as_str()).cloned().unwrap_or_default();
                let values = |steps: Vec<Vec<f64>>| steps.into_iter().map(Values::from).collect();
                let path = |path: PathThroughTime| PathCapture { name: path.name, cotangents: values(path.cotangents) };
                OpCaptureKind::Recurrent {
                    states: values(through_time.states),
                    paths: through_time.paths.into_iter().map(path).collect(),
                    recurrence: Some(self.recurrence(&op.name, recurrent)),
                }
            }
            OpKind::QkNorm(norm) => {
                OpCaptureKind::QkNorm { gammas: ["query_gamma", "key_gamma"].map(value), eps: norm.eps }
            }
            OpKind::Attention(attention) => OpCaptureKind::Attention {
                features: [attention.features; 3],
                attention: Some(*attention),
                dropped: None,
            },
            OpKind::Pool(pool) => OpCaptureKind::Pool(pool.clone()),
            OpKind::Embedding(_) => OpCaptureKind::Other { weighted: true },
            OpKind::Softmax | OpKind::Flatten(_) | OpKind::Other(_) => OpCaptureKind::Other { weighted: false },
            OpKind::Dropout(_) | OpKind::StochasticDepth(_) => OpCaptureKind::Mask,
        }
    }

    /// r of a batch renormalisation.
    fn ratio(&self, op: &Op, norm: &Norm, start: &Start<'_>) -> Option<Values> {
        let running = self.model.running.get(&op.name).filter(|_| norm.norm == NormKind::BatchRenorm)?;
        let input = kept(&self.seen.forward, start.joint);
        let batch = Averages::of_batch(&input.to_f64(), norm.features);
        Some(Values::from(running.correction(&batch, norm.eps, norm.ramp).ratio))
    }

    /// What a recurrent layer computes with.
    fn recurrence(&self, op: &str, layer: &Recurrent) -> Recurrence {
        let value = |name: &str| parameter(self.model.parameters.get(&format!("{op}.{name}")));
        let activation = layer.activation;
        let rule = match (layer.cell, layer.antisymmetric_step, layer.oscillator) {
            (Cell::Lstm, ..) => StateRule::Lstm,
            (Cell::Gru, ..) => StateRule::Gru,
            (Cell::Rnn, ..) if layer.diagonal => StateRule::Diagonal { activation, log_decay: value("log_decay") },
            (Cell::Rnn, _, Some(oscillator)) => StateRule::Oscillating { activation, oscillator },
            (Cell::Rnn, Some(step), None) => StateRule::Euler { activation, step },
            (Cell::Rnn, None, None) => StateRule::Plain(activation),
        };
        let trained = value("hidden_weight");
        let hidden_weight =
            if layer.computes_hidden_weight() { Values::from(layer.hidden_weight(&trained.to_f64())) } else { trained };
        let direction = Direction {
            weight: value("weight"),
            hidden_weight,
            biases: ["bias", "hidden_bias"].map(value),
            start: Values::from(Vec::<f64>::new()),
            is_backward: false,
        };
        Recurrence { rule, steps: layer.steps, directions: vec![direction] }
    }

    /// What a layer multiplies by, and its gradient.
    fn multiplier(&self, op: &Op, linear: &Linear) -> [Values; 2] {
        match linear.weight_norm {
            Some(norm) => [
                Values::from(self.model.computed_weight(&op.name, linear.fan_out, norm)),
                self.seen.weight_gradients.get(&op.name).cloned().unwrap_or_else(|| parameter(None)),
            ],
            None => {
                let name = format!("{}.weight", op.name);
                [parameter(self.model.parameters.get(&name)), parameter(self.gradients.get(&name))]
            }
        }
    }

    /// What a tied layer alone adds to the gradient of the table that it shares: x^T g.
    fn own_gradient(&self, op: &Op, start: &Start<'_>) -> Values {
        let (x, g) = (kept(&self.seen.forward, start.joint), kept(&self.seen.backward, &op.name));
        let (x, g) = (x.to_f64(), g.to_f64());
        let (inputs, outputs) = (start.features, op.kind.features(start.features));
        let mut sum = vec![0.0; inputs * outputs];
        for (x, g) in x.chunks_exact(inputs).zip(g.chunks_exact(outputs)) {
            for (x, sum) in x.iter().zip(sum.chunks_exact_mut(outputs)) {
                sum.iter_mut().zip(g).for_each(|(sum, g)| *sum += x * g);
            }
        }
        Values::from(sum)
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]
    use std::path::Path;
    use std::sync::Arc;

    use isogain_core::flow::Asked;
    use isogain_core::recipe::parse;

    use super::*;
    use crate::check::Subject;
    use crate::data::Dataset;
    use crate::train::first_batch;

    /// Every buffer is what its operation says: each sends the measured cotangent back to what was measured.
    #[test]
    fn what_is_captured_can_be_followed() {
        let images = "[data]\nbatch = 4\n[run]\nprecision = \"f64\"\n";
        let tokens =
            "[data]\nsource = \"temporal-order\"\nlength = 10\nsamples = 100\nbatch = 4\n[run]\nprecision = \"f64\"\n";
        for (data, network) in [
            (images, "kind = \"convnet\"\ndepth = 4\nwidth = 6\nnorm = \"batch\""),
            (images, "kind = \"convnet\"\ndepth = 4\nwidth = 6\nactivation = \"tanh\""),
            (images, "kind = \"resnet\"\ndepth = 8\nwidth = 4"),
            (images, "kind = \"residual\"\ndepth = 5\nwidth = 8\ndropout = 0.4\nstochastic_depth = 0.2"),
            (images, "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\nqk_norm = true\nhead = \"mean\""),
            (tokens, "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\nhead = \"mean\""),
            (
                tokens,
                "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\nhead = \"mean\"\nlogit_cap = 2.0\npositions = \"rotary\"",
            ),
            (tokens, "kind = \"lstm\"\nwidth = 8\ndepth = 2"),
            (tokens, "kind = \"gru\"\nwidth = 8\ndepth = 2\nhead = \"mean\"\ndropout = 0.2"),
            (images, "kind = \"rnn\"\nwidth = 8\ndepth = 2\nactivation = \"relu\""),
            (images, "kind = \"rnn\"\nwidth = 8\nhidden_init = \"orthogonal\"\nweight_norm = \"orthogonal\""),
            (images, "kind = \"rnn\"\nwidth = 8\nantisymmetric_step = 0.1"),
            (images, "kind = \"rnn\"\nwidth = 8\ndiagonal = true"),
            (images, "kind = \"rnn\"\nwidth = 8\noscillator = { step = 0.3, damping = 0.5 }"),
        ] {
            let recipe = parse(&format!("{data}[network]\n{network}\n"), "test.toml").unwrap();
            let data = Arc::new(Dataset::load(&recipe.data, Path::new(".")).unwrap());
            let (_, trainer) = Subject::with_trainer(&recipe, data.clone()).unwrap();
            let Captured { capture, .. } = captured(&trainer.model, &first_batch(&recipe, &data, 0)).unwrap();
            let retraced = capture.retraced();
            for (name, distance) in &retraced {
                assert!(*distance < 1e-9, "{network}: {name}: {distance:e}");
            }
            let known = |name: &str| retraced.iter().any(|(known, _)| *known == name);
            let is_unknown = |op: &&OpCapture| !known(&op.name) && !matches!(op.kind, OpCaptureKind::Residual { .. });
            let left: Vec<&str> = capture.walk().into_iter().filter(is_unknown).map(|op| op.name.as_str()).collect();
            assert!(left.is_empty(), "{network}: {left:?}");
        }
    }

    /// Pooling shares a gradient among more positions, which is no loss: a network of a right scale has one.
    #[test]
    fn fewer_positions_are_no_loss_of_scale() {
        let sequences = "[data]\nsource = \"adding\"\nlength = 80\nsamples = 100\ntask = \"regression\"\n";
        for (recipe, most) in [
            (format!("{sequences}[network]\nkind = \"rnn\"\nwidth = 8\n"), 1e-6),
            ("[network]\nkind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 24\ninit = \"he-normal\"\n".into(), 1.0),
        ] {
            let recipe = parse(&recipe, "test.toml").unwrap();
            let data = Arc::new(Dataset::load(&recipe.data, Path::new(".")).unwrap());
            let (mut subject, trainer) = Subject::with_trainer(&recipe, data.clone()).unwrap();
            ask(&trainer.model, &first_batch(&recipe, &data, 0), &mut subject.start.flow).unwrap();
            let Some(Asked::Told(jacobian)) = subject.start.flow.jacobian else { unreachable!("it can be followed") };
            assert!(jacobian.from_positions < -2.0, "{jacobian:?}");
            assert!((jacobian.log_gain - jacobian.from_positions).abs() < most, "{jacobian:?}");
        }
    }
}
