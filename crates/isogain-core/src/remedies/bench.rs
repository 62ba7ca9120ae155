//! Cases for tests: a recipe's network on a made-up task, measured by the reference engine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::flow::attribute;
use crate::flow::capture::{OpCapture, OpCaptureKind};
use crate::flow::reference::{self, Parameters, Targets};
use crate::forecast;
use crate::network::{Network, Op, OpKind};
use crate::recipe::{Recipe, Task, expand, parse};
use crate::record::{DataSummary, JointRecord, ParameterRecord, Snapshot, UnitRecord};
use crate::rules::Case;
use crate::statistics::Moments;
use crate::statistics::kernel::moments_f64;
use crate::theory::limits::Limits;
use crate::theory::sampling::standard_normal;

const FEATURES: usize = 64;
const CLASSES: usize = 10;
const BATCH: usize = 64;

/// Everything a case refers to.
pub(super) struct Bench {
    pub(super) network: Network,
    pub(super) recipe: Recipe,
    pub(super) data: DataSummary,
    pub(super) start: Snapshot,
    pub(super) limits: Limits,
}

impl Bench {
    /// A network before training on Gaussian inputs of deviation `input_scale` with arbitrary targets.
    pub(super) fn new(recipe: &str) -> Self {
        let recipe = parse(recipe, "test.toml").unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let is_regression = recipe.data.task == Task::Regression;
        let network = expand::network(&recipe, FEATURES, if is_regression { 1 } else { CLASSES }).unwrap();
        let inputs: Vec<f64> =
            (0..BATCH * FEATURES).map(|_| recipe.data.input_scale * standard_normal(&mut rng)).collect();
        let values: Vec<f64> = inputs.chunks(FEATURES).map(|sample| sample[0] / recipe.data.input_scale).collect();
        let targets = if is_regression {
            Targets::Outputs(values.clone())
        } else {
            Targets::Classes((0..BATCH).map(|sample| sample % CLASSES).collect())
        };
        let mut parameters = Parameters::new();
        draw(&network.ops, &mut parameters, &mut rng);
        let start = snapshot(&network, &parameters, &inputs, &targets);
        let data = DataSummary {
            source: "made up".into(),
            train_samples: 1437,
            test_samples: 360,
            input: moments_f64(&inputs),
            feature_rms_ratio: 1.5,
            target: is_regression.then(|| moments_f64(&values)),
            classes: (!is_regression).then_some(CLASSES),
            baseline_loss: if is_regression { 1.0 } else { (CLASSES as f64).ln() },
        };
        let limits = forecast::limits(&network, &recipe, &start);
        Self { network, recipe, data, start, limits }
    }

    pub(super) fn case(&self) -> Case<'_> {
        Case {
            network: &self.network,
            recipe: &self.recipe,
            data: &self.data,
            start: &self.start,
            limits: &self.limits,
            history: &[],
            end: None,
            outcome: None,
        }
    }
}

fn snapshot(network: &Network, parameters: &Parameters, inputs: &[f64], targets: &Targets) -> Snapshot {
    let pass = reference::run(network, parameters, inputs, targets).unwrap();
    let (mut joints, mut units) = (Vec::new(), Vec::new());
    record(pass.capture.ops(), &mut joints, &mut units);
    let gradient = |name: &String| pass.gradients.get(name).map_or_else(Moments::default, |g| moments_f64(g));
    let parameters = parameters
        .iter()
        .map(|(name, values)| ParameterRecord {
            name: name.clone(),
            weight: moments_f64(values),
            gradient: gradient(name),
            update: Moments::default(),
        })
        .collect();
    Snapshot { step: 0, batch: BATCH, flow: attribute(&pass.capture), units, parameters, joints, sharpness: None }
}

fn record(ops: &[OpCapture], joints: &mut Vec<JointRecord>, units: &mut Vec<UnitRecord>) {
    for op in ops {
        let output = op.output.to_f64();
        joints.push(JointRecord {
            name: op.name.clone(),
            activation: moments_f64(&output),
            cotangent: moments_f64(&op.cotangent_out.to_f64()),
        });
        match &op.kind {
            OpCaptureKind::Activation(_) => units.push(unit_record(&op.name, &output)),
            OpCaptureKind::Residual { branch, .. } => record(branch, joints, units),
            _ => {}
        }
    }
}

/// Dead units, and the share of the mean square that varies between samples. Layout `[BATCH, units]`.
fn unit_record(name: &str, output: &[f64]) -> UnitRecord {
    let count = output.len() / BATCH;
    let of_unit = |unit: usize| -> Vec<f64> { output.iter().skip(unit).step_by(count).copied().collect() };
    let moments: Vec<Moments> = (0..count).map(|unit| moments_f64(&of_unit(unit))).collect();
    let total = |of: fn(&Moments) -> Option<f64>| moments.iter().filter_map(of).sum::<f64>();
    let mean_square = total(Moments::mean_square);
    UnitRecord {
        name: name.to_owned(),
        units: count,
        dead: moments.iter().filter(|m| m.abs_max == 0.0).count(),
        duplicates: 0,
        saturated_fraction: 0.0,
        signal_fraction: if mean_square > 0.0 { total(Moments::variance) / mean_square } else { 0.0 },
    }
}

pub(super) fn draw(ops: &[Op], parameters: &mut Parameters, rng: &mut ChaCha8Rng) {
    for op in ops {
        let mut put = |what: &str, values: Vec<f64>| parameters.insert(format!("{}.{what}", op.name), values);
        match &op.kind {
            OpKind::Linear(linear) => {
                let (fan_in, fan_out) = (linear.fan_in, linear.fan_out);
                put("weight", linear.init.sample_weight(fan_in, fan_out, linear.activation, rng));
                put("bias", linear.init.sample_bias(fan_in, fan_out, linear.activation, rng));
            }
            OpKind::Norm(norm) => {
                put("gamma", vec![1.0; norm.features]);
                put("beta", vec![0.0; norm.features]);
            }
            OpKind::Residual(residual) => {
                if residual.learnable {
                    put("scale", vec![residual.scale]);
                }
                draw(&residual.branch, parameters, rng);
            }
            _ => {}
        }
    }
}
