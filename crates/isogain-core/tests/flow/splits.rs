//! Each part of each split against its own formula, and the sums that must close.

use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind};
use isogain_core::flow::{Cause, Flow, Joint, Values, attribute};
use isogain_core::network::{Network, NormKind};

use crate::support::{Sampler, close, dot, every_joint, random_pass, supervised, targets, zoo};
use isogain_core::flow::reference::{Parameters, Targets, run};

const BATCH: usize = 8;

fn half_log(value: f64) -> f64 {
    0.5 * value.ln()
}

fn mean_square(values: &[f64]) -> f64 {
    dot(values, values) / values.len() as f64
}

/// The parts of an operation's split, each by the formula of its own.
fn expected(op: &OpCapture) -> Vec<(Cause, f64)> {
    let (x, g) = (op.input.to_f64(), op.cotangent_out.to_f64());
    match &op.kind {
        OpCaptureKind::Activation(activation) => {
            let slopes: Vec<f64> = x.iter().map(|&z| activation.derivative(z).powi(2)).collect();
            let mean_slope = slopes.iter().sum::<f64>() / slopes.len() as f64;
            let joint = slopes.iter().zip(g.iter()).map(|(s, g)| s * g * g).sum::<f64>() / slopes.len() as f64;
            vec![
                (Cause::ActivationSlope, half_log(mean_slope)),
                (Cause::SlopeCorrelation, half_log(joint / (mean_square(&g) * mean_slope))),
            ]
        }
        OpCaptureKind::Linear { weight, .. } => {
            let weight = weight.to_f64();
            let (fan_in, fan_out) = (x.len() / BATCH, g.len() / BATCH);
            let squares = dot(&weight, &weight);
            let mut back = 0.0;
            for sample in g.chunks_exact(fan_out) {
                for row in weight.chunks_exact(fan_out) {
                    back += dot(sample, row).powi(2);
                }
            }
            vec![
                (Cause::WeightScale, half_log(squares / fan_in as f64)),
                (Cause::Alignment, half_log(fan_out as f64 * back / (dot(&g, &g) * squares))),
            ]
        }
        // Softmax: its Jacobian is diag y - y y^T.
        OpCaptureKind::Other { .. } => {
            let y = op.output.to_f64();
            let features = y.len() / BATCH;
            let rows = y.chunks_exact(features).zip(g.chunks_exact(features));
            let back: f64 = rows
                .map(|(y, g)| {
                    let through =
                        |i: usize| (0..features).map(|j| (f64::from(u8::from(i == j)) - y[j]) * g[j]).sum::<f64>();
                    (0..features).map(|i| (y[i] * through(i)).powi(2)).sum::<f64>()
                })
                .sum();
            vec![(Cause::Whole, half_log(back / dot(&g, &g)))]
        }
        OpCaptureKind::Convolution { .. }
        | OpCaptureKind::Mask
        | OpCaptureKind::Pool(_)
        | OpCaptureKind::Product { .. }
        | OpCaptureKind::Recurrent { .. }
        | OpCaptureKind::QkNorm { .. }
        | OpCaptureKind::Attention { .. } => {
            unreachable!("the reference engine runs none")
        }
        OpCaptureKind::Norm { norm, gamma, eps, .. } => {
            let (rescaled, projected) = normalised_back(*norm, &gamma.to_f64(), *eps, &x, &g);
            vec![
                (Cause::Rescale, half_log(mean_square(&rescaled) / mean_square(&g))),
                (Cause::Projection, half_log(mean_square(&projected) / mean_square(&rescaled))),
            ]
        }
        OpCaptureKind::Residual { branch_cotangent_in, .. } => {
            let b = branch_cotangent_in.to_f64();
            let (gg, gb, bb) = (dot(&g, &g), dot(&g, &b), dot(&b, &b));
            let (ratio, cosine) = ((bb / gg).sqrt(), gb / (gg * bb).sqrt());
            vec![(Cause::BranchSum, half_log(1.0 + ratio * ratio + 2.0 * ratio * cosine))]
        }
        OpCaptureKind::AuxiliaryHead { head_cotangent_in, .. } => {
            let sum: Vec<f64> = g.iter().zip(head_cotangent_in.to_f64().iter()).map(|(g, b)| g + b).collect();
            vec![(Cause::AuxiliaryHead, half_log(mean_square(&sum) / mean_square(&g)))]
        }
    }
}

/// gamma g / sigma, and the same with its mean and its component along x' taken out group by group.
fn normalised_back(norm: NormKind, gamma: &[f64], eps: f64, x: &[f64], g: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let features = gamma.len();
    let group_of = |index: usize| {
        if norm == NormKind::Batch { index % features } else { index / features }
    };
    let groups = x.len() / if norm == NormKind::Batch { BATCH } else { features };
    let (mut rescaled, mut projected) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    for group in 0..groups {
        let members: Vec<usize> = (0..x.len()).filter(|&index| group_of(index) == group).collect();
        let average = |f: &dyn Fn(usize) -> f64| members.iter().map(|&i| f(i)).sum::<f64>() / members.len() as f64;
        let mean = if norm == NormKind::Rms { 0.0 } else { average(&|i| x[i]) };
        let sigma = (average(&|i| (x[i] - mean).powi(2)) + eps).sqrt();
        for &i in &members {
            rescaled[i] = gamma[i % features] * g[i] / sigma;
        }
        let centre = if norm == NormKind::Rms { 0.0 } else { average(&|i| rescaled[i]) };
        let along = average(&|i| rescaled[i] * (x[i] - mean) / sigma);
        for &i in &members {
            projected[i] = rescaled[i] - centre - along * (x[i] - mean) / sigma;
        }
    }
    (rescaled, projected)
}

fn compare(joints: &[Joint], ops: &[OpCapture], tolerance: f64) {
    assert_eq!(joints.len(), ops.len());
    for (joint, op) in joints.iter().zip(ops) {
        assert_eq!(joint.name, op.name);
        let gain = joint.log_gain.unwrap();
        let sum: f64 = joint.split.iter().map(|part| part.log_gain).sum();
        close(&format!("{} sum", op.name), sum, gain, 1e-14 * (1.0 + gain.abs()));
        let expected = expected(op);
        assert_eq!(joint.split.len(), expected.len());
        for (part, (cause, log_gain)) in joint.split.iter().zip(expected) {
            assert_eq!(part.cause, cause);
            close(&format!("{} {cause:?}", op.name), part.log_gain, log_gain, tolerance);
        }
        if let OpCaptureKind::Residual { scale, branch, branch_cotangent_in, .. } = &op.kind {
            let found = joint.branch.as_ref().unwrap();
            let (g, g_in) = (op.cotangent_out.to_f64(), op.cotangent_in.to_f64());
            let b = branch_cotangent_in.to_f64();
            let energy = dot(&g_in, &g_in);
            close("skip share", found.skip_share, dot(&g, &g_in) / energy, tolerance);
            close("branch share", found.branch_share, dot(&b, &g_in) / energy, tolerance);
            let (gg, bb) = (dot(&g, &g), dot(&b, &b));
            close("shares by energy", found.branch_share, (bb + dot(&g, &b)) / energy, tolerance);
            close("ratio", found.ratio, (bb / gg).sqrt(), tolerance);
            close("cosine", found.cosine, dot(&g, &b) / (gg * bb).sqrt(), tolerance);
            let inner: f64 = found.joints.iter().map(|joint| joint.log_gain.unwrap()).sum();
            close("branch chain", inner + scale.abs().ln(), found.ratio.ln(), tolerance);
            compare(&found.joints, branch, tolerance);
        }
        if let OpCaptureKind::AuxiliaryHead { head, head_cotangent_in } = &op.kind {
            let found = joint.branch.as_ref().unwrap();
            let (g, b, g_in) = (op.cotangent_out.to_f64(), head_cotangent_in.to_f64(), op.cotangent_in.to_f64());
            close("share of what follows", found.skip_share, dot(&g, &g_in) / dot(&g_in, &g_in), tolerance);
            close("share of the head", found.branch_share, dot(&b, &g_in) / dot(&g_in, &g_in), tolerance);
            close("ratio", found.ratio, (dot(&b, &b) / dot(&g, &g)).sqrt(), tolerance);
            let inner: f64 = found.joints.iter().map(|joint| joint.log_gain.unwrap()).sum();
            let sent = head.last().unwrap().cotangent_out.rms();
            close("chain of the head", inner, (head_cotangent_in.rms() / sent).ln(), tolerance);
            compare(&found.joints, head, tolerance);
        }
    }
}

fn check(capture: &Capture, tolerance: f64) -> Flow {
    let flow = attribute(capture);
    let (body, head) = capture.ops().split_at(capture.head());
    compare(&flow.joints, body, tolerance);
    compare(&flow.head.joints, head, tolerance);
    flow
}

#[test]
fn every_part_agrees_with_its_own_formula() {
    for (name, network, parameters) in zoo() {
        println!("-- {name}");
        let mut sampler = Sampler::new(5);
        check(&random_pass(&network, &parameters, BATCH, &mut sampler).capture, 1e-12);
    }
    let (network, parameters) = supervised("tanh");
    let mut sampler = Sampler::new(5);
    let inputs = sampler.normals(BATCH * network.input.values(), 1.0);
    check(&run(&network, &parameters, &inputs, &targets(&network, BATCH, &mut sampler)).unwrap().capture, 1e-12);
}

/// The same buffers in single precision.
fn rounded(ops: &[OpCapture]) -> Vec<OpCapture> {
    let round = |values: &Values| Values::from(values.to_f64().iter().map(|&v| v as f32).collect::<Vec<f32>>());
    ops.iter()
        .map(|op| OpCapture {
            name: op.name.clone(),
            rows: op.rows,
            kind: match &op.kind {
                OpCaptureKind::Linear { weight, weight_gradient, units } => OpCaptureKind::Linear {
                    weight: round(weight),
                    weight_gradient: round(weight_gradient),
                    units: *units,
                },
                OpCaptureKind::Activation(activation) => OpCaptureKind::Activation(*activation),
                OpCaptureKind::Norm { norm, gamma, eps, groups, samples, ratio } => OpCaptureKind::Norm {
                    norm: *norm,
                    gamma: round(gamma),
                    eps: *eps,
                    groups: *groups,
                    samples: *samples,
                    ratio: ratio.as_ref().map(round),
                },
                OpCaptureKind::Residual { scale, branch, branch_cotangent_in, .. } => OpCaptureKind::Residual {
                    shortcut: Vec::new(),
                    gate: Vec::new(),
                    concatenates: false,
                    scale: *scale,
                    branch: rounded(branch),
                    branch_cotangent_in: round(branch_cotangent_in),
                },
                OpCaptureKind::AuxiliaryHead { head, head_cotangent_in } => {
                    OpCaptureKind::AuxiliaryHead { head: rounded(head), head_cotangent_in: round(head_cotangent_in) }
                }
                OpCaptureKind::Other { weighted } => OpCaptureKind::Other { weighted: *weighted },
                OpCaptureKind::Convolution { .. }
                | OpCaptureKind::Mask
                | OpCaptureKind::Pool(_)
                | OpCaptureKind::Product { .. }
                | OpCaptureKind::Recurrent { .. }
                | OpCaptureKind::QkNorm { .. }
                | OpCaptureKind::Attention { .. } => {
                    unreachable!("the reference engine runs none")
                }
            },
            input: round(&op.input),
            output: round(&op.output),
            cotangent_in: round(&op.cotangent_in),
            cotangent_out: round(&op.cotangent_out),
        })
        .collect()
}

#[test]
fn single_precision_closes_and_agrees() {
    for (name, network, parameters) in zoo() {
        println!("-- {name}");
        let capture = random_pass(&network, &parameters, BATCH, &mut Sampler::new(5)).capture;
        let single = Capture::new(BATCH, rounded(capture.ops()), capture.loss()).unwrap();
        let (single, double) = (check(&single, 1e-5), attribute(&capture));
        for (s, d) in every_joint(&single).into_iter().zip(every_joint(&double)) {
            close(&s.name, s.log_gain.unwrap(), d.log_gain.unwrap(), 1e-6);
        }
        close("total", single.total_log_gain.unwrap(), double.total_log_gain.unwrap(), 1e-6);
    }
}

/// T1(e): the sum over the chain is the total, and both are the ratio of the ends.
#[test]
fn log_gains_telescope() {
    for (name, network, parameters) in zoo() {
        let capture = random_pass(&network, &parameters, BATCH, &mut Sampler::new(5)).capture;
        let flow = attribute(&capture);
        let sum: f64 = flow.joints.iter().map(|joint| joint.log_gain.unwrap()).sum();
        let ops = capture.ops();
        let (first, last) = (&ops[0].cotangent_in, &ops[capture.head()].cotangent_in);
        let ends = half_log(mean_square(&first.to_f64()) / mean_square(&last.to_f64()));
        close(name, sum, flow.total_log_gain.unwrap(), 1e-12);
        close(name, ends, flow.total_log_gain.unwrap(), 1e-12);
    }
}

/// |dW|^2 = mean over pairs of samples of <d_i, d_j> <x_i, x_j>, so the coherence follows without dW.
fn gram(x: &[f64], d: &[f64]) -> f64 {
    let (fan_in, fan_out) = (x.len() / BATCH, d.len() / BATCH);
    let mut sum = 0.0;
    for (xi, di) in x.chunks_exact(fan_in).zip(d.chunks_exact(fan_out)) {
        for (xj, dj) in x.chunks_exact(fan_in).zip(d.chunks_exact(fan_out)) {
            sum += dot(xi, xj) * dot(di, dj);
        }
    }
    let own = |v: &[f64]| dot(v, v) / BATCH as f64;
    sum / (BATCH * BATCH) as f64 / (own(x) * own(d))
}

fn check_weights(network: &Network, parameters: &Parameters) {
    let mut sampler = Sampler::new(9);
    let inputs = sampler.normals(BATCH * network.input.values(), 1.0);
    let pass = run(network, parameters, &inputs, &targets(network, BATCH, &mut sampler)).unwrap();
    let flow = attribute(&pass.capture);
    let names: Vec<&str> = network.linears().map(|(op, _)| op.name.as_str()).collect();
    assert_eq!(flow.weights.iter().map(|weight| weight.name.as_str()).collect::<Vec<_>>(), names);
    let mut ops: Vec<&OpCapture> = Vec::new();
    collect(pass.capture.ops(), &mut ops);
    for (weight, op) in flow.weights.iter().zip(ops) {
        let gradient = &pass.gradients[&format!("{}.weight", op.name)];
        let (backward, input, coherence) =
            (weight.backward_signal.unwrap(), weight.input_size.unwrap(), weight.coherence.unwrap());
        close(&op.name, weight.log_norm.unwrap(), half_log(dot(gradient, gradient)), 1e-12);
        close("sum", backward + input + coherence, weight.log_norm.unwrap(), 1e-12);
        let (x, d) = (op.input.to_f64(), op.cotangent_out.to_f64());
        close("coherence", coherence, half_log(gram(&x, &d)), 1e-10);
        close("input size", input, half_log(dot(&x, &x) / BATCH as f64), 1e-12);
        close("backward signal", backward, half_log(dot(&d, &d) * BATCH as f64), 1e-12);
    }
}

fn collect<'a>(ops: &'a [OpCapture], found: &mut Vec<&'a OpCapture>) {
    for op in ops {
        match &op.kind {
            OpCaptureKind::Linear { .. } => found.push(op),
            OpCaptureKind::Residual { branch, .. } => collect(branch, found),
            _ => {}
        }
    }
}

#[test]
fn weight_gradients_are_signal_times_input_times_coherence() {
    for (name, network, parameters) in zoo() {
        println!("-- {name}");
        check_weights(&network, &parameters);
    }
}

#[test]
fn the_mean_over_the_batch_is_divided_out() {
    // Batch norm mixes samples; a network without it must not notice that its batch holds every sample twice.
    let (_, network, parameters) = zoo().into_iter().find(|entry| entry.0 == "residual").unwrap();
    let sampler = &mut Sampler::new(2);
    let (inputs, targets) = (sampler.normals(network.input.values(), 1.0), targets(&network, 1, sampler));
    let one = attribute(&run(&network, &parameters, &inputs, &targets).unwrap().capture);
    let doubled = |values: &[f64]| [values, values].concat();
    let twice = match &targets {
        Targets::Classes(classes) => Targets::Classes([classes.as_slice(), classes].concat()),
        other => panic!("classes, not {other:?}"),
    };
    let two = attribute(&run(&network, &parameters, &doubled(&inputs), &twice).unwrap().capture);
    for (one, two) in every_joint(&one).into_iter().zip(every_joint(&two)) {
        close(&one.name, two.cotangent_rms, one.cotangent_rms, 1e-15);
        close(&one.name, two.cotangent_in_rms, one.cotangent_in_rms, 1e-15);
    }
    close("head", two.head.cotangent_rms, one.head.cotangent_rms, 1e-15);
    for (one, two) in one.weights.iter().zip(&two.weights) {
        close(&one.name, two.log_norm.unwrap(), one.log_norm.unwrap(), 1e-12);
        close(&one.name, two.backward_signal.unwrap(), one.backward_signal.unwrap(), 1e-12);
    }
}
