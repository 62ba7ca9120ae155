//! Batch renormalisation is, as long as its r and d are constants, a batch norm with other gammas and betas; and its growth
//! of the gradient is another one.

use isogain_core::flow::attribute;
use isogain_core::flow::capture::OpCaptureKind;
use isogain_core::flow::jacobian::jacobian;
use isogain_core::flow::profile::Profile;
use isogain_core::flow::reference::{Parameters, Pass, Targets, run};
use isogain_core::network::{Loss, Network, Norm, NormKind, OpKind};
use isogain_core::renorm::{Averages, Bounds, Correction};

use crate::support::{Init, Sampler, act, close, linear, mean, network, parameters, stack, targets, zoo};

const BATCH: usize = 6;
const RAMP: usize = 10;
/// Bounds of 1.8 and 2.
const BATCHES: f64 = 4.0;

/// The network with batch renormalisation in the place of batch norm.
fn renormed(mut network: Network, ramp: usize) -> Network {
    for op in &mut network.ops {
        if let OpKind::Norm(norm) = &mut op.kind {
            *norm = Norm { ramp, ..Norm::new(NormKind::BatchRenorm, norm.features, norm.eps) };
        }
    }
    network
}

/// One of the zoo with running averages of its own, of which some features' meet the bounds, and a batch.
fn example() -> (Network, Network, Parameters, Vec<f64>, Targets) {
    let (_, plain, mut parameters) = zoo().into_iter().find(|entry| entry.0 == "batch norm").unwrap();
    let mut sampler = Sampler::new(3);
    for op in plain.walk() {
        if let OpKind::Norm(norm) = &op.kind {
            parameters.insert(format!("{}.running_mean", op.name), sampler.normals(norm.features, 0.8));
            let variance = sampler.normals(norm.features, 1.0).iter().map(|x| (x * 1.2).exp()).collect();
            parameters.insert(format!("{}.running_variance", op.name), variance);
            parameters.insert(format!("{}.running_batches", op.name), vec![BATCHES]);
        }
    }
    let inputs = sampler.normals(BATCH * plain.input.values(), 1.0);
    let targets = targets(&plain, BATCH, &mut sampler);
    (renormed(plain.clone(), RAMP), plain, parameters, inputs, targets)
}

/// Name, r and d of each norm, from what went into it and from the formula.
fn corrections(network: &Network, parameters: &Parameters, pass: &Pass) -> Vec<(String, Correction)> {
    let bounds = Bounds::after(BATCHES as usize, RAMP);
    let of = |op: &isogain_core::network::Op| {
        let OpKind::Norm(norm) = &op.kind else { return None };
        let input = pass.capture.ops().iter().find(|capture| capture.name == op.name)?.input.to_f64().into_owned();
        let named = |what: &str| &parameters[&format!("{}.{what}", op.name)];
        let running = Averages::of(named("running_mean"), named("running_variance"));
        let batch = Averages::of_batch(&input, norm.features);
        Some((op.name.clone(), Correction::new(&batch, &running, norm.eps, bounds)))
    };
    network.ops.iter().filter_map(of).collect()
}

/// Gammas times r, and betas plus gamma d: those of the batch norm that does the same here.
fn twin(parameters: &Parameters, corrections: &[(String, Correction)]) -> Parameters {
    let mut twin = parameters.clone();
    for (name, Correction { ratio, shift }) in corrections {
        let gamma = parameters[&format!("{name}.gamma")].clone();
        let beta = twin.get_mut(&format!("{name}.beta")).unwrap();
        beta.iter_mut().zip(gamma.iter().zip(shift)).for_each(|(beta, (gamma, d))| *beta += gamma * d);
        let scaled = twin.get_mut(&format!("{name}.gamma")).unwrap();
        scaled.iter_mut().zip(ratio).for_each(|(gamma, r)| *gamma *= r);
    }
    twin
}

#[test]
fn gradients_are_slopes_where_r_and_d_stay() {
    let (network, plain, parameters, inputs, targets) = example();
    let found = run(&network, &parameters, &inputs, &targets).unwrap();
    let corrections = corrections(&network, &parameters, &found);
    let twin = twin(&parameters, &corrections);
    let loss = |parameters: &Parameters| run(&plain, parameters, &inputs, &targets).unwrap().capture.loss();
    close("loss", found.capture.loss(), loss(&twin), 1e-14);
    let met = |(_, all): &(String, Correction)| all.ratio.iter().any(|r| (r - 1.8).abs() < 1e-12);
    let inside = |(_, all): &(String, Correction)| all.ratio.iter().any(|r| *r > 0.6 && *r < 1.7);
    assert!(corrections.iter().any(met) && corrections.iter().all(inside), "{corrections:?}");
    let step = 1e-5;
    for (name, gradient) in &found.gradients {
        let norm = corrections.iter().find(|(op, _)| name.starts_with(op.as_str()));
        for (index, gradient) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut moved = twin.clone();
                // Gamma of this norm moves the twin's gamma by r and its beta by d.
                let (r, d) = match norm {
                    Some((_, all)) if name.ends_with(".gamma") => (all.ratio[index], all.shift[index]),
                    _ => (1.0, 0.0),
                };
                moved.get_mut(name).unwrap()[index] += r * by;
                if let Some((op, _)) = norm {
                    moved.get_mut(&format!("{op}.beta")).unwrap()[index] += d * by;
                }
                loss(&moved)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            close(&format!("{name}[{index}]"), *gradient, slope, 1e-8);
        }
    }
}

/// r counts to the rescaling: part by part the flow is that of the batch norm with gamma times r.
#[test]
fn the_flow_is_that_of_a_batch_norm_with_the_factor_in_its_gamma() {
    let (network, plain, parameters, inputs, targets) = example();
    let found = run(&network, &parameters, &inputs, &targets).unwrap();
    let twin = twin(&parameters, &corrections(&network, &parameters, &found));
    let expected = run(&plain, &twin, &inputs, &targets).unwrap();
    let (flow, of_twin) = (attribute(&found.capture), attribute(&expected.capture));
    close("total", flow.total_log_gain.unwrap(), of_twin.total_log_gain.unwrap(), 1e-12);
    for (joint, of_twin) in flow.joints.iter().zip(&of_twin.joints) {
        assert_eq!(joint.split.len(), of_twin.split.len());
        for (part, of_twin) in joint.split.iter().zip(&of_twin.split) {
            assert_eq!(part.cause, of_twin.cause);
            close(&format!("{} {:?}", joint.name, part.cause), part.log_gain, of_twin.log_gain, 1e-12);
        }
    }
    let [spread, of_twin] = [&found, &expected].map(|pass| format!("{:.9?}", jacobian(&pass.capture)));
    assert_eq!(spread, of_twin);
}

#[test]
fn without_running_averages_it_is_batch_norm() {
    let (network, plain, mut parameters, inputs, targets) = example();
    parameters.retain(|name, _| !name.contains("running"));
    let [found, expected] = [&network, &plain].map(|net| run(net, &parameters, &inputs, &targets).unwrap());
    assert_eq!(found.gradients, expected.gradients);
    assert_eq!(found.capture.loss(), expected.capture.loss());
}

const WIDTH: usize = 300;
const DEPTH: usize = 24;

/// The factor of the summed squared cotangent per layer of ReLU, geometric mean over interior layers and 4 batches, where the
/// bounds are open and the running averages those of 512 samples.
fn factor(batch: usize) -> f64 {
    let mut ops = stack(WIDTH, DEPTH, act("relu"), Some((NormKind::Batch, 0.0)));
    ops.push(linear("head", WIDTH, WIDTH));
    let plain = network(WIDTH, WIDTH, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(11);
    let mut parameters = parameters(&plain, Init::XAVIER, &mut sampler);
    let many = sampler.normals(512 * WIDTH, 1.0);
    let nothing = Targets::Cotangent(vec![0.0; 512 * WIDTH]);
    let seen = run(&plain, &parameters, &many, &nothing).unwrap();
    for op in seen.capture.ops() {
        if let OpCaptureKind::Norm { .. } = &op.kind {
            let averages = Averages::of_batch(&op.input.to_f64(), WIDTH);
            parameters.insert(format!("{}.running_mean", op.name), averages.mean.into_owned());
            parameters.insert(format!("{}.running_variance", op.name), averages.variance.into_owned());
        }
    }
    let open = renormed(plain, 0);
    mean((0..4).map(|_| {
        let inputs = sampler.normals(batch * WIDTH, 1.0);
        let cotangent = Targets::Cotangent(sampler.normals(batch * WIDTH, 1.0));
        let pass = run(&open, &parameters, &inputs, &cotangent).unwrap();
        let profile = Profile::of(&attribute(&pass.capture));
        mean(profile.layers[3..DEPTH - 3].iter().map(|layer| 2.0 * layer.log_gain.unwrap()))
    }))
    .exp()
}

/// The factors of docs/theory.md, by 400 000 draws in an independent program; at 4 samples it would be 0.93 if r had no lower
/// bound. Batch norm itself has 3.08 at 4 and 1.79 at 8 samples.
#[test]
fn small_batches_keep_the_gradient() {
    for (batch, expected) in [(4, 1.072), (8, 1.229), (64, 1.439)] {
        close(&format!("batch {batch}"), factor(batch), expected, 0.04 * expected);
    }
}
