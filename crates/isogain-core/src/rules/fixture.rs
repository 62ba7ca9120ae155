//! Cases for tests: a recipe's network, run on a made-up classification task by the reference engine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{Case, Finding, named};
use crate::conservation::{Pair, TOLERATED_SHARE, Units, broken};
use crate::flow::capture::Capture;
use crate::flow::reference::{self, Parameters, Pass, Targets};
use crate::flow::shattering::{POINTS, Shattering, arc};
use crate::forecast;
use crate::network::{Network, Norm, Op, OpKind, Shape};
use crate::recipe::{Recipe, Task, expand, parse};
use crate::record::{DataSummary, JointRecord, Outcome, ParameterRecord, Snapshot, StepRecord};
use crate::statistics::Moments;
use crate::statistics::kernel::moments_f64;
use crate::theory::limits::Limits;
use crate::theory::sampling::standard_normal;

/// Everything a case refers to.
pub(crate) struct Bench {
    pub(crate) network: Network,
    pub(crate) recipe: Recipe,
    pub(crate) data: DataSummary,
    /// The buffers behind `start`.
    pub(crate) capture: Capture,
    pub(crate) start: Snapshot,
    pub(crate) limits: Limits,
    pub(crate) history: Vec<StepRecord>,
    pub(crate) end: Option<Snapshot>,
    pub(crate) outcome: Option<Outcome>,
}

/// Features and classes of the made-up task, those of the 8x8 digits.
const FEATURES: usize = 64;
const CLASSES: usize = 10;
/// Samples of the batch, whatever the recipe's batch is (batch norm apart).
const BATCH: usize = 64;

impl Bench {
    /// A network before training. The task: ten random prototypes with noise, standardised; for regression, a noisy
    /// linear function of deviation 1.
    pub(crate) fn new(recipe: &str) -> Self {
        Self::seeded(recipe, 0)
    }

    pub(crate) fn seeded(recipe: &str, seed: u64) -> Self {
        Self::with_data(recipe, seed, |_, _| {})
    }

    /// The same on other data: inputs `[batch, features]` and targets are given to be changed.
    pub(crate) fn with_data(recipe: &str, seed: u64, change: impl FnOnce(&mut [f64], &mut Targets)) -> Self {
        let recipe = parse(recipe, "test.toml").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let regression = recipe.data.task == Task::Regression;
        let outputs = if regression { 1 } else { CLASSES };
        let network = expand::network(&recipe, Shape::vector(FEATURES), outputs).unwrap();
        let batch = recipe.data.batch.min(BATCH);
        let scale = recipe.data.input_scale;
        let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| standard_normal(&mut rng)).collect() };
        let prototypes = normal(CLASSES * FEATURES);
        let noise = normal(batch * FEATURES);
        let mut inputs: Vec<f64> = (0..batch * FEATURES)
            .map(|index| {
                let (sample, feature) = (index / FEATURES, index % FEATURES);
                scale * (prototypes[(sample % CLASSES) * FEATURES + feature] + noise[index]) / 2f64.sqrt()
            })
            .collect();
        let values: Vec<f64> = inputs.chunks(FEATURES).map(|x| x[0] / scale).collect();
        let mut targets = if regression {
            Targets::Outputs(values.clone())
        } else {
            Targets::Classes((0..batch).map(|sample| sample % CLASSES).collect())
        };
        change(&mut inputs, &mut targets);
        let parameters = draw(&network.ops, &mut rng);
        let pass = reference::run(&network, &parameters, &inputs, &targets).unwrap();
        let mut start = snapshot(&network, &pass, &parameters);
        start.shattering = shattering(&network, &parameters, &inputs, &targets);
        let data = DataSummary {
            source: "made up".into(),
            train_samples: 1437,
            test_samples: 360,
            input: moments_f64(&inputs),
            feature_rms_ratio: 1.5,
            target: regression.then(|| moments_f64(&values)),
            classes: (!regression).then_some(CLASSES),
            baseline_loss: if regression { 1.0 } else { (CLASSES as f64).ln() },
        };
        let limits = forecast::limits(&network, &recipe, &start);
        Self {
            network,
            recipe,
            data,
            capture: pass.capture,
            start,
            limits,
            history: Vec::new(),
            end: None,
            outcome: None,
        }
    }

    pub(crate) fn case(&self) -> Case<'_> {
        Case {
            network: &self.network,
            recipe: &self.recipe,
            data: &self.data,
            start: &self.start,
            limits: &self.limits,
            history: &self.history,
            end: self.end.as_ref(),
            outcome: self.outcome.as_ref(),
        }
    }

    /// What one rule says.
    pub(crate) fn ask(&self, rule: &str) -> Option<Finding> {
        (named(rule).unwrap().check)(&self.case())
    }

    /// What all rules say, nested.
    pub(crate) fn diagnose(&self) -> Vec<Finding> {
        super::diagnose(&self.case())
    }

    pub(crate) fn parameter(&mut self, name: &str) -> &mut ParameterRecord {
        self.start.parameters.iter_mut().find(|parameter| parameter.name == name).unwrap()
    }

    pub(crate) fn joint(&mut self, name: &str) -> &mut JointRecord {
        self.start.joints.iter_mut().find(|joint| joint.name == name).unwrap()
    }

    /// A finished training with these losses.
    pub(crate) fn finish(&mut self, losses: impl IntoIterator<Item = f64>) {
        let losses: Vec<Option<f64>> = losses.into_iter().map(|loss| loss.is_finite().then_some(loss)).collect();
        let loss = losses.last().copied().flatten();
        self.outcome = Some(Outcome {
            seed: 0,
            steps: losses.len() as u64,
            losses,
            loss,
            test_loss: loss,
            train_accuracy: Some(0.5),
            test_accuracy: Some(0.5),
            first_non_finite: None,
        });
    }
}

/// Along the arc between the first two samples.
fn shattering(network: &Network, parameters: &Parameters, inputs: &[f64], targets: &Targets) -> Option<Shattering> {
    let mut samples = inputs.chunks_exact(network.input.values());
    let points = arc(samples.next()?, samples.next()?, POINTS);
    let targets = match targets {
        Targets::Classes(classes) => Targets::Classes(vec![classes[0]; POINTS]),
        Targets::Outputs(values) | Targets::Cotangent(values) => {
            Targets::Outputs(values[..network.outputs].repeat(POINTS))
        }
    };
    Shattering::of(&reference::run(network, parameters, &points, &targets).ok()?.capture)
}

/// A snapshot as an engine in single precision takes it.
fn snapshot(network: &Network, pass: &Pass, drawn: &Parameters) -> Snapshot {
    let parameters = drawn
        .iter()
        .map(|(name, values)| ParameterRecord {
            name: name.clone(),
            weight: moments_f64(values),
            gradient: pass.gradients.get(name).map_or_else(Moments::default, |values| rounded(values)),
            update: Moments::default(),
        })
        .collect();
    let pair = |name: &str| {
        Some(Pair {
            weight: drawn.get(name)?.clone().into(),
            gradient: pass.gradients.get(name).cloned().unwrap_or_default().into(),
            units: Units::Columns,
        })
    };
    let mut snapshot = Snapshot::of(&pass.capture, parameters, 0);
    snapshot.broken_laws = broken(network, pair, |norm| pass.capture.radial(norm), TOLERATED_SHARE);
    for (joint, op) in snapshot.joints.iter_mut().zip(pass.capture.walk()) {
        joint.activation = rounded(&op.output.to_f64());
        joint.cotangent = rounded(&op.cotangent_out.to_f64());
    }
    snapshot
}

/// Moments of values as single precision would hold them.
fn rounded(values: &[f64]) -> Moments {
    moments_f64(&values.iter().map(|&value| f64::from(value as f32)).collect::<Vec<f64>>())
}

fn draw(ops: &[Op], rng: &mut ChaCha8Rng) -> Parameters {
    let mut parameters = Parameters::new();
    for op in ops {
        let mut put = |what: &str, values: Vec<f64>| {
            parameters.insert(format!("{}.{what}", op.name), values);
        };
        match &op.kind {
            OpKind::Linear(linear) => {
                let (weight, bias) = linear.sample(1, rng);
                if let Some(norm) = linear.weight_norm {
                    put("gain", norm.start(&weight, linear.fan_out, linear.activation));
                }
                let weight = match linear.weight_norm {
                    Some(norm) => norm.trained(weight, linear.fan_out),
                    None => weight,
                };
                put("weight", weight);
                put("bias", bias);
            }
            OpKind::Norm(Norm { features, .. }) => {
                put("gamma", vec![1.0; *features]);
                put("beta", vec![0.0; *features]);
            }
            OpKind::Residual(residual) => {
                if residual.learnable {
                    put("scale", vec![residual.scale; residual.channels.max(1)]);
                }
                residual.ways().into_iter().for_each(|way| parameters.extend(draw(way, rng)));
            }
            OpKind::AuxiliaryHead(auxiliary) => parameters.extend(draw(&auxiliary.head, rng)),
            _ => {}
        }
    }
    parameters
}
