//! The watchdog of exact laws, on gradients of the reference engine: right ones keep every law, and ones that are wrong in
//! the ways that training loops get them wrong do not.

use isogain_core::conservation::{BrokenLaw, Law, Pair, Units, broken};
use isogain_core::flow::reference::{Parameters, run};
use isogain_core::network::{Attention, Linear, Loss, Network, NormKind, Op, OpKind};
use isogain_core::theory::activations::Activation;
use isogain_core::theory::initializers::Initializer;

use crate::support::{Init, Sampler, act, activation, close, linear, network, norm, parameters, residual, stack};
use crate::support::{supervised, targets, zoo};

const TOLERATED: f64 = 1e-10;

fn watched(network: &Network, parameters: &Parameters, gradients: &Parameters, tolerated: f64) -> Vec<BrokenLaw> {
    let pair = |name: &str| {
        Some(Pair {
            weight: parameters.get(name)?.clone().into(),
            gradient: gradients.get(name).cloned().unwrap_or_default().into(),
            units: Units::Columns,
        })
    };
    broken(network, pair, |_| None, tolerated)
}

fn gradients(network: &Network, parameters: &Parameters, seed: u64) -> Parameters {
    let mut sampler = Sampler::new(seed);
    let inputs = sampler.normals(20 * network.input.values(), 1.0);
    run(network, parameters, &inputs, &targets(network, 20, &mut sampler)).unwrap().gradients
}

fn chain(function: &str, normalise: Option<(NormKind, f64)>) -> (Network, Parameters) {
    let mut ops = stack(16, 6, act(function), normalise);
    ops.push(linear("head", 16, 5));
    let network = network(16, 5, Loss::CrossEntropy, ops);
    let init = Init { weight: 2.0, bias: 0.2, uniform: false };
    let parameters = parameters(&network, init, &mut Sampler::new(1));
    (network, parameters)
}

#[test]
fn right_gradients_keep_every_law_and_the_laws_are_looked_at() {
    let normed = |kind| chain("gelu", Some((kind, 0.0)));
    for (what, (network, parameters), looked_at) in [
        ("relu", chain("relu", None), 6),
        ("leaky", chain("leaky-relu", None), 6),
        // Nothing to hand on: tanh(c x) is not c tanh(x).
        ("tanh", chain("tanh", None), 0),
        ("batch norm", normed(NormKind::Batch), 6),
        ("layer norm", normed(NormKind::Layer), 6),
        ("rms norm", normed(NormKind::Rms), 6),
        ("auxiliary heads", supervised("relu"), 6),
    ] {
        let gradients = gradients(&network, &parameters, 2);
        assert_eq!(watched(&network, &parameters, &gradients, TOLERATED), [], "{what}");
        // A tolerance below zero lets every law through that was looked at.
        assert_eq!(watched(&network, &parameters, &gradients, -1.0).len(), looked_at, "{what}");
    }
    for (name, network, parameters) in zoo() {
        // Their norms have an eps of up to 1e-3.
        let gradients = gradients(&network, &parameters, 2);
        let found = watched(&network, &parameters, &gradients, 1e-2);
        assert_eq!(found, [], "{name}");
    }
}

/// Laws hold inside of branches, and none is claimed across a skip.
#[test]
fn branches_are_chains_of_their_own() {
    let branch = |index: usize| {
        let [up, down] = ["up", "down"].map(|part| linear(&format!("block{index}.{part}"), 8, 8));
        residual(
            &format!("block{index}"),
            0.5,
            false,
            vec![up, activation(&format!("block{index}.act"), act("relu")), down],
        )
    };
    let ops = vec![linear("stem", 8, 8), branch(1), branch(2), linear("head", 8, 3)];
    let network = network(8, 3, Loss::CrossEntropy, ops);
    let parameters = parameters(&network, Init::HE, &mut Sampler::new(1));
    let gradients = gradients(&network, &parameters, 3);
    assert_eq!(watched(&network, &parameters, &gradients, TOLERATED), []);
    let looked_at = watched(&network, &parameters, &gradients, -1.0);
    let layers: Vec<&[String]> = looked_at.iter().map(|law| law.layers.as_slice()).collect();
    assert_eq!(layers, [["block1.up", "block1.down"], ["block2.up", "block2.down"]]);
}

/// The ways in which a training loop gets it wrong.
#[test]
fn wrong_gradients_break_a_law() {
    let (network, parameters) = chain("relu", None);
    let right = gradients(&network, &parameters, 2);
    let names = |found: &[BrokenLaw]| found.iter().map(|law| law.layers.join(" ")).collect::<Vec<_>>();

    // Left over from a step before, whose weights were others.
    let mut moved = parameters.clone();
    for (name, values) in &mut moved {
        let gradient = &right[name];
        values.iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.5 * g);
    }
    let mut stale = gradients(&network, &moved, 3);
    for (name, values) in &mut stale {
        values.iter_mut().zip(&right[name]).for_each(|(new, old)| *new += old);
    }
    let found = watched(&network, &moved, &stale, 1e-3);
    assert!(!found.is_empty() && found.iter().all(|law| law.law == Law::HandedOn), "{found:?}");

    // Two batches on the same weights are one larger batch.
    let mut accumulated = gradients(&network, &parameters, 3);
    for (name, values) in &mut accumulated {
        values.iter_mut().zip(&right[name]).for_each(|(sum, g)| *sum += g);
    }
    assert_eq!(watched(&network, &parameters, &accumulated, TOLERATED), []);

    // A hook that scales what comes out of the third layer's backward pass.
    let mut hooked = right.clone();
    for (name, values) in &mut hooked {
        if ["fc1", "fc2", "fc3"].iter().any(|layer| name.starts_with(&format!("{layer}."))) {
            values.iter_mut().for_each(|g| *g *= 0.5);
        }
    }
    let found = watched(&network, &parameters, &hooked, 1e-3);
    assert_eq!(names(&found), ["fc3 fc4"]);
    close("left", 2.0 * found[0].left, found[0].right, 1e-12);

    // A penalty on the weights of one layer in the loss.
    let mut penalised = right.clone();
    penalised.get_mut("fc2.weight").unwrap().iter_mut().zip(&parameters["fc2.weight"]).for_each(|(g, w)| *g += 0.1 * w);
    assert_eq!(names(&watched(&network, &parameters, &penalised, 1e-3)), ["fc1 fc2", "fc2 fc3"]);

    // A frozen layer says nothing, and its neighbours neither.
    let mut frozen = right.clone();
    frozen.retain(|name, _| !name.starts_with("fc2."));
    assert_eq!(watched(&network, &parameters, &frozen, -1.0).len(), 4);
}

/// An auxiliary head takes a part of what a layer hands on, with the factor on its loss.
#[test]
fn what_auxiliary_heads_take_counts() {
    let (network, parameters) = supervised("relu");
    let right = gradients(&network, &parameters, 2);
    let names = |found: &[BrokenLaw]| found.iter().map(|law| law.layers.join(" ")).collect::<Vec<_>>();
    assert_eq!(names(&watched(&network, &parameters, &right, -1.0))[1], "fc2 aux2.head fc3");
    // A head that was trained with all of its loss, and the layers in front of it with a share.
    let mut unequal = right.clone();
    unequal.get_mut("aux4.head.weight").unwrap().iter_mut().for_each(|g| *g /= 0.3);
    assert_eq!(names(&watched(&network, &parameters, &unequal, 1e-3)), ["fc4 aux4.head fc5"]);
    // One whose gradient is not known.
    let mut frozen = right;
    frozen.remove("aux4.head.weight");
    assert_eq!(watched(&network, &parameters, &frozen, -1.0).len(), 5);
}

/// With eps the radial part of a batch norm's gradient is that of its size.
#[test]
fn eps_is_told_by_its_size() {
    let share = |eps: f64| {
        let (network, parameters) = chain("relu", Some((NormKind::Batch, eps)));
        let gradients = gradients(&network, &parameters, 2);
        let found = watched(&network, &parameters, &gradients, -1.0);
        assert!(found.iter().all(|law| law.law == Law::ScaleInvariance));
        found.iter().map(|law| law.share).fold(0.0, f64::max)
    };
    assert!(share(1e-5) < 1e-4 && share(1e-2) > 1e-4 && share(1.0) > 1e-2, "{} {}", share(1e-5), share(1.0));
    close("eps is first order", share(2e-4) / share(1e-4), 2.0, 0.02);
}

/// The norm's own values say exactly how much its eps leaves, whichever the statistics are over: what breaks the law besides
/// shows.
#[test]
fn what_eps_leaves_is_measured() {
    for kind in [NormKind::Batch, NormKind::Layer, NormKind::Rms] {
        let (network, parameters) = chain("relu", Some((kind, 0.1)));
        let inputs = Sampler::new(2).normals(20 * network.input.values(), 1.0);
        let pass = run(&network, &parameters, &inputs, &targets(&network, 20, &mut Sampler::new(3))).unwrap();
        let watched = |gradients: &Parameters| {
            let pair = |name: &str| {
                Some(Pair {
                    weight: parameters.get(name)?.clone().into(),
                    gradient: gradients.get(name)?.clone().into(),
                    units: Units::Columns,
                })
            };
            broken(&network, pair, |norm| pass.capture.radial(norm), 1e-5)
        };
        let found = watched(&pass.gradients);
        assert!(found.len() >= 4, "{kind:?}: {found:?}");
        for law in &found {
            close(&law.layers[0], law.left_by_eps.unwrap(), law.left, 1e-9);
            assert_eq!(law.is_by_eps(), Some(true));
        }
        let mut hooked = pass.gradients.clone();
        let layer = &found[0].layers[0];
        let weights = &parameters[&format!("{layer}.weight")];
        let gradient = hooked.get_mut(&format!("{layer}.weight")).unwrap();
        gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 0.1 * w);
        assert_eq!(watched(&hooked)[0].is_by_eps(), Some(false), "{kind:?}");
    }
}

/// Queries and keys of one matrix, against an attention written down in plain loops, whose gradient is a difference.
#[test]
fn queries_and_keys_agree_and_values_are_handed_on() {
    const FEATURES: usize = 3;
    const STEPS: usize = 4;
    let plain = |name: &str, fan_in: usize, fan_out: usize| Op {
        name: name.into(),
        kind: OpKind::Linear(Linear::new(fan_in, fan_out, Initializer::PYTORCH_DEFAULT, Activation::linear())),
    };
    let attention =
        Attention { features: FEATURES, heads: 1, steps: STEPS, causal: false, rotary: false, logit_cap: None };
    let ops = vec![
        plain("qkv", FEATURES, 3 * FEATURES),
        Op { name: "attention".into(), kind: OpKind::Attention(attention) },
        plain("out", FEATURES, FEATURES),
        norm("norm", NormKind::Layer, FEATURES, 0.0),
    ];
    let network = network(FEATURES, FEATURES, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(9);
    let inputs = sampler.normals(STEPS * FEATURES, 1.0);
    let cotangent = sampler.normals(STEPS * FEATURES, 1.0);
    let mut parameters = Parameters::new();
    for (name, count) in [("qkv.weight", 27), ("qkv.bias", 9), ("out.weight", 9), ("out.bias", 3)] {
        parameters.insert(name.into(), sampler.normals(count, 0.7));
    }
    let matrix = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
        let units = bias.len();
        let row = |x: &[f64]| -> Vec<f64> {
            (0..units)
                .map(|unit| bias[unit] + (0..FEATURES).map(|k| x[k] * weight[k * units + unit]).sum::<f64>())
                .collect()
        };
        x.chunks_exact(FEATURES).flat_map(row).collect()
    };
    let loss = |parameters: &Parameters| -> f64 {
        let qkv = matrix(&inputs, &parameters["qkv.weight"], &parameters["qkv.bias"]);
        let part = |step: usize, third: usize| &qkv[(step * 3 + third) * FEATURES..][..FEATURES];
        let attended: Vec<f64> = (0..STEPS)
            .flat_map(|query| {
                let logit = |key: usize| part(query, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum::<f64>();
                let weights: Vec<f64> = (0..STEPS).map(|key| logit(key).exp()).collect();
                let total: f64 = weights.iter().sum();
                let value = move |feature: usize, weights: &[f64]| {
                    (0..STEPS).map(|key| weights[key] / total * part(key, 2)[feature]).sum::<f64>()
                };
                (0..FEATURES).map(|feature| value(feature, &weights)).collect::<Vec<f64>>()
            })
            .collect();
        let out = matrix(&attended, &parameters["out.weight"], &parameters["out.bias"]);
        let normed = out.chunks_exact(FEATURES).flat_map(|row| {
            let mean = row.iter().sum::<f64>() / FEATURES as f64;
            let deviation = (row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / FEATURES as f64).sqrt();
            row.iter().map(|x| (x - mean) / deviation).collect::<Vec<f64>>()
        });
        normed.zip(&cotangent).map(|(y, c)| y * c).sum()
    };
    let step = 1e-5;
    let moved = |name: &str, at: usize, by: f64| {
        let mut parameters = parameters.clone();
        parameters.get_mut(name).unwrap()[at] += by;
        loss(&parameters)
    };
    let mut gradients = Parameters::new();
    for (name, values) in &parameters {
        let one = |at: usize| (moved(name, at, step) - moved(name, at, -step)) / (2.0 * step);
        gradients.insert(name.clone(), (0..values.len()).map(one).collect());
    }
    // Finite differences are right to some 1e-9.
    assert_eq!(watched(&network, &parameters, &gradients, 1e-7), []);
    let laws: Vec<Law> = watched(&network, &parameters, &gradients, -1.0).iter().map(|law| law.law).collect();
    assert_eq!(laws, [Law::QueriesAndKeys, Law::HandedOn, Law::ScaleInvariance]);
    // The same where units are rows, as PyTorch has them; where nobody says where they are, neither of the two is looked at.
    let turned = |parameters: &Parameters| {
        let mut turned = parameters.clone();
        let weight = &parameters["qkv.weight"];
        turned.insert("qkv.weight".into(), (0..27).map(|at| weight[at % FEATURES * 9 + at / FEATURES]).collect());
        turned
    };
    let (of_rows, back) = (turned(&parameters), turned(&gradients));
    let laws = |units: Units, tolerated: f64| {
        let pair = |name: &str| {
            let (weight, gradient) = (of_rows.get(name)?.clone().into(), back[name].clone().into());
            Some(Pair { weight, gradient, units })
        };
        broken(&network, pair, |_| None, tolerated).len()
    };
    assert_eq!((laws(Units::Rows, 1e-7), laws(Units::Rows, -1.0)), (0, 3));
    assert_eq!((laws(Units::Columns, 1e-7), laws(Units::Unknown, -1.0)), (2, 1));
    // Keys that get half of their gradient.
    let mut halved = gradients.clone();
    for unit in 0..FEATURES {
        for row in 0..FEATURES {
            halved.get_mut("qkv.weight").unwrap()[row * 9 + FEATURES + unit] *= 0.5;
        }
    }
    let found = watched(&network, &parameters, &halved, 1e-3);
    assert_eq!((found.len(), found[0].law), (1, Law::QueriesAndKeys), "{found:?}");
}
