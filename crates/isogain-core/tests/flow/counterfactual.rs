//! What if one factor of the way back were ideal: against sums in closed form where factors are scales, and against the
//! product of whole Jacobian matrices for networks with norms and skips.

use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind};
use isogain_core::flow::counterfactual::{Change, Changes, Counterfactual, Factor, counterfactual};
use isogain_core::flow::reference::{Parameters, run};
use isogain_core::flow::{Cause, Flow, Values, attribute};
use isogain_core::network::{Loss, Network, NormKind, Op, OpKind, Residual};

use crate::support::{Init, Sampler, act, activation, blocks, close, linear, network, parameters, random_pass, stack};
use crate::support::{mean, residual, supervised, targets, zoo};

const BATCH: usize = 4;

fn told(capture: &Capture) -> Changes {
    match counterfactual(capture) {
        Counterfactual::Told(changes) => changes,
        Counterfactual::LeftOut { left_out } => panic!("{left_out}"),
    }
}

fn left_out(capture: &Capture) -> String {
    match counterfactual(capture) {
        Counterfactual::Told(changes) => panic!("{changes:?}"),
        Counterfactual::LeftOut { left_out } => left_out,
    }
}

fn change(changes: &Changes, factor: Factor) -> Change {
    *changes.factors.iter().find(|change| change.factor == factor).unwrap()
}

fn capture(network: &Network, init: Init, batch: usize, seed: u64) -> Capture {
    let mut sampler = Sampler::new(seed);
    let parameters = parameters(network, init, &mut sampler);
    random_pass(network, &parameters, batch, &mut sampler).capture
}

/// The part of a cause in the log-gain from the first layer's output to the head.
fn part(flow: &Flow, cause: Cause) -> f64 {
    flow.joints[1..].iter().flat_map(|joint| &joint.split).filter(|part| part.cause == cause).map(|p| p.log_gain).sum()
}

/// In a chain the scales of slopes and weights are numbers: the parts of the split with the sign turned.
#[test]
fn a_chain_changes_by_its_own_parts() {
    let mut ops = stack(24, 12, act("relu"), None);
    ops.extend([linear("fc13", 24, 40), activation("act13", act("tanh")), linear("head", 40, 10)]);
    let network = network(24, 10, Loss::CrossEntropy, ops);
    for init in [Init::HE, Init { weight: 1.0 / 3.0, bias: 0.01, uniform: true }] {
        let capture = capture(&network, init, 32, 3);
        let (changes, flow) = (told(&capture), attribute(&capture));
        assert_eq!(changes.layer, "fc1");
        close("ln rms", changes.log_rms, flow.joints[0].cotangent_rms.ln(), 1e-12);
        for (factor, cause) in [(Factor::Slopes, Cause::ActivationSlope), (Factor::Weights, Cause::WeightScale)] {
            let found = change(&changes, factor);
            close(&format!("{factor:?}"), found.alone.unwrap(), -part(&flow, cause), 1e-12);
            close("its share", found.share.unwrap(), -part(&flow, cause), 1e-12);
        }
        let head = change(&changes, Factor::Head).alone.unwrap();
        close("head", head, -flow.head.joints[0].cotangent_in_rms.ln(), 1e-12);
        close("pair", changes.interactions[0].log_gain, 0.0, 1e-12);
        assert_eq!((changes.factors.len(), changes.interactions.len()), (3, 1));
    }
}

/// A matrix `[rows, columns]` that maps a cotangent at an operation's output to its input.
struct Matrix {
    rows: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn of(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> Self {
        Self { rows, values: (0..rows * columns).map(|index| at(index / columns, index % columns)).collect() }
    }

    fn identity(size: usize) -> Self {
        Self::of(size, size, |row, column| f64::from(u8::from(row == column)))
    }

    fn columns(&self) -> usize {
        self.values.len() / self.rows
    }

    fn times(&self, other: &Self) -> Self {
        let (inner, columns) = (self.columns(), other.columns());
        Self::of(self.rows, columns, |row, column| {
            (0..inner).map(|k| self.values[row * inner + k] * other.values[k * columns + column]).sum()
        })
    }

    fn plus(&self, other: &Self, scale: f64) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a + scale * b).collect();
        Self { rows: self.rows, values }
    }
}

fn rms(values: &[f64]) -> f64 {
    mean(values.iter().map(|value| value * value)).sqrt()
}

/// The forward pass of a normalisation over features or samples, gamma left out, written down again.
fn normalised(kind: NormKind, eps: f64, input: &[f64], features: usize) -> Vec<f64> {
    let group = |index: usize| if kind == NormKind::Batch { index % features } else { index / features };
    (0..input.len())
        .map(|index| {
            let same: Vec<f64> = (0..input.len()).filter(|at| group(*at) == group(index)).map(|at| input[at]).collect();
            let centre = if kind == NormKind::Rms { 0.0 } else { mean(same.iter().copied()) };
            let variance = mean(same.iter().map(|x| (x - centre).powi(2)));
            (input[index] - centre) / (variance + eps).sqrt()
        })
        .collect()
}

/// J^T of one operation over the whole batch, under ideal factors.
fn transposed_jacobian(op: &OpCapture, parameters: &Parameters, ideal: &[Factor]) -> Matrix {
    let (inputs, outputs) = (op.input.len(), op.output.len());
    let is_ideal = |factor: Factor| ideal.contains(&factor);
    match &op.kind {
        OpCaptureKind::Linear { weight, .. } => {
            let weight = weight.to_f64();
            let (fan_in, fan_out) = (inputs / BATCH, outputs / BATCH);
            let energy: f64 = weight.iter().map(|w| w * w).sum();
            let scale = if is_ideal(Factor::Weights) { (energy / fan_in as f64).sqrt() } else { 1.0 };
            Matrix::of(inputs, outputs, |row, column| {
                let same = row / fan_in == column / fan_out;
                if same { weight[row % fan_in * fan_out + column % fan_out] / scale } else { 0.0 }
            })
        }
        OpCaptureKind::Activation(activation) => {
            let slopes: Vec<f64> = op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
            let scale = if is_ideal(Factor::Slopes) { rms(&slopes) } else { 1.0 };
            Matrix::of(inputs, outputs, |row, column| if row == column { slopes[row] / scale } else { 0.0 })
        }
        OpCaptureKind::Norm { norm, gamma, eps, .. } => {
            let (gamma, features) = (gamma.to_f64(), inputs / BATCH);
            if is_ideal(Factor::Norms) {
                return Matrix::of(
                    inputs,
                    outputs,
                    |row, column| {
                        if row == column { gamma[row % features] } else { 0.0 }
                    },
                );
            }
            let moved = |at: usize, step: f64| {
                let mut input = op.input.to_f64().into_owned();
                input[at] += step;
                normalised(*norm, *eps, &input, features)
            };
            let step = 1e-5;
            let differences: Vec<Vec<f64>> = (0..inputs)
                .map(|at| {
                    let pair = moved(at, step).into_iter().zip(moved(at, -step));
                    pair.map(|(ahead, behind)| (ahead - behind) / (2.0 * step)).collect()
                })
                .collect();
            Matrix::of(inputs, outputs, |row, column| gamma[column % features] * differences[row][column])
        }
        OpCaptureKind::Residual { scale, branch, .. } => {
            let inner = chain(branch, inputs, parameters, ideal);
            let skip = if is_ideal(Factor::Skips) { 0.0 } else { 1.0 };
            // One factor for all, or one for each feature.
            let factors = parameters.get(&format!("{}.scale", op.name)).cloned().unwrap_or_else(|| vec![*scale]);
            let scaled = Matrix::of(
                outputs,
                outputs,
                |row, column| {
                    if row == column { factors[row % factors.len()] } else { 0.0 }
                },
            );
            inner.times(&scaled).plus(&Matrix::identity(inputs), skip)
        }
        other => panic!("{other:?}"),
    }
}

fn chain(ops: &[OpCapture], size: usize, parameters: &Parameters, ideal: &[Factor]) -> Matrix {
    ops.iter().fold(Matrix::identity(size), |product, op| product.times(&transposed_jacobian(op, parameters, ideal)))
}

/// ln RMS of the first layer's cotangent under ideal factors, by whole matrices.
fn by_matrices(capture: &Capture, parameters: &Parameters, ideal: &[Factor]) -> f64 {
    let path = &capture.ops()[1..capture.head()];
    let first = capture.ops()[0].cotangent_out.len();
    let mut end = path.last().unwrap().cotangent_out.to_f64().into_owned();
    if ideal.contains(&Factor::Head) {
        let size = rms(&end) * BATCH as f64;
        end.iter_mut().for_each(|g| *g /= size);
    }
    let end = Matrix { rows: end.len(), values: end };
    (rms(&chain(path, first, parameters, ideal).times(&end).values) * BATCH as f64).ln()
}

/// A branch with a factor for each channel, of both signs and one of them zero.
fn channels() -> (&'static str, Network, Parameters) {
    let branch = vec![linear("block1.fc", 5, 5), activation("block1.act", act("tanh"))];
    let factors = vec![0.8, -1.5, 0.0, 0.3, 2.0];
    let block = OpKind::Residual(Residual { channels: factors.len(), ..Residual::new(branch, 0.5, true) });
    let ops = vec![linear("stem", 6, 5), Op { name: "block1".into(), kind: block }, linear("head", 5, 3)];
    let network = network(6, 3, Loss::CrossEntropy, ops);
    let init = Init { weight: 1.5, bias: 0.2, uniform: false };
    let mut parameters = parameters(&network, init, &mut Sampler::new(3));
    parameters.insert("block1.scale".into(), factors);
    ("a factor for each channel", network, parameters)
}

/// Every number of the report for networks that hold norms of each kind, nested skips, negative and learnable scales, and
/// empty branches.
#[test]
fn networks_with_norms_and_skips_agree_with_whole_matrices() {
    // Finite differences of the normalisations are right to some 1e-9.
    const CLOSE: f64 = 1e-6;
    for (name, network, parameters) in zoo().into_iter().chain([channels()]) {
        let capture = random_pass(&network, &parameters, BATCH, &mut Sampler::new(5)).capture;
        let changes = told(&capture);
        let value = |ideal: &[Factor]| by_matrices(&capture, &parameters, ideal);
        let nothing = value(&[]);
        close(&format!("{name}: measured"), changes.log_rms, nothing, CLOSE);
        for change in &changes.factors {
            let what = format!("{name}: {:?}", change.factor);
            close(&what, change.alone.unwrap(), value(&[change.factor]) - nothing, CLOSE);
        }
        let all: Vec<Factor> = changes.factors.iter().map(|change| change.factor).collect();
        close(&format!("{name}: together"), changes.together, value(&all) - nothing, CLOSE);
        let sum: f64 = changes.factors.iter().filter_map(|change| change.share).sum();
        close(&format!("{name}: sum of the shares"), sum, changes.together, 1e-12);
        for pair in &changes.interactions {
            let [i, j] = pair.factors;
            let beyond = value(&[i, j]) - value(&[i]) - value(&[j]) + nothing;
            close(&format!("{name}: {i:?} with {j:?}"), pair.log_gain, beyond, CLOSE);
        }
        let others = all.len() - 1;
        assert_eq!(changes.interactions.len(), others * (others - 1) / 2, "{name}");
    }
    let residual = zoo().into_iter().find(|(name, ..)| *name == "residual").unwrap();
    let changes = told(&random_pass(&residual.1, &residual.2, BATCH, &mut Sampler::new(5)).capture);
    assert_eq!(changes.factors.len(), 5);
    assert!(changes.interactions.iter().any(|pair| pair.log_gain.abs() > 0.1), "{changes:?}");
}

/// Shares of two factors that interact: each gets half of what they do together.
#[test]
fn an_interaction_is_shared() {
    let mut ops = vec![linear("stem", 8, 8), residual("block", 0.7, false, vec![linear("block.fc", 8, 8)])];
    ops.push(linear("head", 8, 3));
    let network = network(8, 3, Loss::CrossEntropy, ops);
    let changes = told(&capture(&network, Init { weight: 5.0, bias: 0.0, uniform: false }, BATCH, 2));
    let pair = changes.interactions[0];
    assert_eq!(pair.factors, [Factor::Weights, Factor::Skips]);
    assert!(pair.log_gain.abs() > 0.01, "{pair:?}");
    for factor in pair.factors {
        let found = change(&changes, factor);
        close(&format!("{factor:?}"), found.share.unwrap(), found.alone.unwrap() + 0.5 * pair.log_gain, 1e-12);
    }
}

/// A branch that starts at zero gives everything to the skip: without it nothing comes back, and nothing else matters.
#[test]
fn without_its_skips_a_zero_branch_sends_nothing_back() {
    let mut ops = vec![linear("stem", 8, 8)];
    ops.extend(blocks(8, 3, act("relu"), false, 0.0));
    ops.push(linear("head", 8, 3));
    let network = network(8, 3, Loss::CrossEntropy, ops);
    let changes = told(&capture(&network, Init::HE, BATCH, 2));
    let skips = change(&changes, Factor::Skips);
    assert_eq!((skips.alone, skips.share), (None, None));
    let head = change(&changes, Factor::Head).alone.unwrap();
    close("together", changes.together, head, 1e-12);
    for factor in [Factor::Slopes, Factor::Weights] {
        close(&format!("{factor:?}"), change(&changes, factor).alone.unwrap(), 0.0, 1e-12);
    }
}

/// A cotangent of another size than f32, or even f64, can square.
#[test]
fn nothing_leaves_the_range_of_numbers() {
    let mut ops = vec![linear("stem", 16, 16)];
    ops.extend(blocks(16, 40, act("relu"), true, 1.0));
    ops.push(linear("head", 16, 3));
    let network = network(16, 3, Loss::CrossEntropy, ops);
    let mut sampler = Sampler::new(1);
    let mut parameters = parameters(&network, Init::HE, &mut sampler);
    for (name, values) in &mut parameters {
        if name.ends_with(".gamma") {
            values.iter_mut().for_each(|gamma| *gamma *= 1e-12);
        }
    }
    let changes = told(&random_pass(&network, &parameters, 16, &mut sampler).capture);
    // Forty branches of about 1e-12 each.
    let skips = change(&changes, Factor::Skips).alone.unwrap();
    assert!((-1300.0..-900.0).contains(&skips), "{skips}");
    let sum: f64 = changes.factors.iter().filter_map(|change| change.share).sum();
    close("sum of the shares", sum, changes.together, 1e-9);
}

/// What auxiliary heads send is as it was, whichever factors of the way between them are ideal.
#[test]
fn auxiliary_heads_send_what_they_sent() {
    let (network, parameters) = supervised("tanh");
    let mut sampler = Sampler::new(5);
    let inputs = sampler.normals(BATCH * network.input.values(), 1.0);
    let capture = run(&network, &parameters, &inputs, &targets(&network, BATCH, &mut sampler)).unwrap().capture;
    let changes = told(&capture);
    let path = &capture.ops()[1..capture.head()];
    let value = |ideal: &[Factor]| {
        let mut g = path.last().unwrap().cotangent_out.to_f64().into_owned();
        for op in path.iter().rev() {
            let factor = |factor: Factor, size: f64| if ideal.contains(&factor) { size.recip() } else { 1.0 };
            g = match &op.kind {
                OpCaptureKind::Linear { weight, .. } => {
                    let weight = weight.to_f64();
                    let scale = factor(Factor::Weights, (weight.iter().map(|w| w * w).sum::<f64>() / 8.0).sqrt());
                    let row = |g: &[f64], row: &[f64]| scale * g.iter().zip(row).map(|(g, w)| g * w).sum::<f64>();
                    g.chunks_exact(8)
                        .flat_map(|g| weight.chunks_exact(8).map(|w| row(g, w)).collect::<Vec<_>>())
                        .collect()
                }
                OpCaptureKind::Activation(activation) => {
                    let slopes: Vec<f64> = op.input.to_f64().iter().map(|z| activation.derivative(*z)).collect();
                    let scale = factor(Factor::Slopes, rms(&slopes));
                    g.iter().zip(&slopes).map(|(g, slope)| scale * g * slope).collect()
                }
                OpCaptureKind::AuxiliaryHead { head_cotangent_in, .. } => {
                    g.iter().zip(head_cotangent_in.to_f64().iter()).map(|(g, added)| g + added).collect()
                }
                _ => unreachable!("{}", op.name),
            };
        }
        rms(&g).ln()
    };
    close("measured", changes.log_rms, value(&[]) + (BATCH as f64).ln(), 1e-12);
    for factor in [Factor::Weights, Factor::Slopes] {
        let alone = change(&changes, factor).alone.unwrap();
        close(&format!("{factor:?}"), alone, value(&[factor]) - value(&[]), 1e-12);
        assert!(alone.abs() > 0.1);
    }
    let head = change(&changes, Factor::Head).alone.unwrap();
    close("together", changes.together, head + value(&[Factor::Weights, Factor::Slopes]) - value(&[]), 1e-12);
}

fn convolution(name: &str, values: usize) -> OpCapture {
    let numbers = |count: usize| Values::from((0..count).map(|index| 0.1 + (index % 3) as f64).collect::<Vec<f64>>());
    OpCapture {
        name: name.into(),
        rows: values,
        kind: OpCaptureKind::Convolution { weight: numbers(3), weight_gradient: numbers(3), window: None },
        input: numbers(values),
        output: numbers(values),
        cotangent_in: numbers(values),
        cotangent_out: numbers(values),
    }
}

#[test]
fn what_cannot_be_told_says_why() {
    let values = Values::from(vec![1.0; 8]);
    let chain = ["stem", "conv1", "head"].map(|name| convolution(name, 8)).to_vec();
    // Only scales change: no convolution has to be run again.
    let changes = told(&Capture::new(2, chain, 0.0).unwrap());
    let energy: f64 = 3.0 * mean([0.1, 1.1, 2.1].map(|w: f64| w * w));
    close("weights", change(&changes, Factor::Weights).alone.unwrap(), -0.5 * energy.ln(), 1e-12);

    let block = OpCapture {
        kind: OpCaptureKind::Residual {
            scale: 1.0,
            branch: vec![convolution("block.conv", 8)],
            branch_cotangent_in: values.clone(),
            shortcut: Vec::new(),
            gate: Vec::new(),
            concatenates: false,
        },
        ..convolution("block", 8)
    };
    let ops = vec![convolution("stem", 8), block.clone(), block, convolution("head", 8)];
    let said = left_out(&Capture::new(2, ops, 0.0).unwrap());
    assert!(said.starts_with("block.conv (convolution) can be followed backward"), "{said}");

    let head_alone = network(8, 3, Loss::CrossEntropy, vec![linear("head", 8, 3)]);
    assert_eq!(left_out(&capture(&head_alone, Init::HE, 2, 1)), "no layer precedes the head");

    let mut ops = stack(8, 3, act("relu"), None);
    ops.push(linear("head", 8, 3));
    let dead = network(8, 3, Loss::CrossEntropy, ops);
    let zero = Init { weight: 0.0, bias: 0.0, uniform: false };
    assert_eq!(left_out(&capture(&dead, zero, 2, 1)), "the gradient of fc1 is zero or not finite");

    let mut ops = vec![linear("stem", 500, 500)];
    ops.extend(blocks(500, 2, act("relu"), true, 1.0));
    ops.push(linear("head", 500, 3));
    let large = network(500, 3, Loss::CrossEntropy, ops);
    let said = left_out(&capture(&large, Init::HE, 1300, 1));
    assert_eq!(said, "16 more ways back would take 1.042e10 products, and 1e10 are the most");
}
