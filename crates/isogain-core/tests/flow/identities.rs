//! T1 and T23: exact laws that every right gradient obeys, without any other implementation to compare with.

use isogain_core::flow::reference::{Parameters, Pass, run};
use isogain_core::network::{Loss, Network, NormKind};

use crate::support::{Init, Sampler, act, close, dot, linear, network, norm, parameters, stack, targets};

const WIDTH: usize = 32;
const BATCH: usize = 100;

fn train_pass(network: &Network, parameters: &Parameters) -> Pass {
    let mut sampler = Sampler::new(4);
    let inputs = sampler.normals(BATCH * network.input.values(), 1.0);
    run(network, parameters, &inputs, &targets(network, BATCH, &mut sampler)).unwrap()
}

fn classifier(function: &str, normalise: Option<(NormKind, f64)>) -> Network {
    let mut ops = stack(WIDTH, 8, act(function), normalise);
    ops.push(linear("head", WIDTH, 10));
    network(WIDTH, 10, Loss::CrossEntropy, ops)
}

/// <parameter, its gradient>.
fn signal(parameters: &Parameters, pass: &Pass, name: &str) -> f64 {
    dot(&parameters[name], &pass.gradients[name])
}

/// T1(a), Du et al. 2018: without biases, a homogeneous network has the same <W, dW> in every layer.
#[test]
fn signal_is_the_same_in_every_layer() {
    for function in ["relu", "leaky-relu", "linear"] {
        let network = classifier(function, None);
        let parameters = parameters(&network, Init::HE, &mut Sampler::new(1));
        let pass = train_pass(&network, &parameters);
        let first = signal(&parameters, &pass, "fc1.weight");
        for (op, _) in network.linears() {
            let found = signal(&parameters, &pass, &format!("{}.weight", op.name));
            close(&format!("{function} {}", op.name), found, first, 1e-12 * first.abs());
        }
    }
}

/// T1(b): with biases, each layer hands its own to the next.
#[test]
fn biases_add_to_the_signal_of_the_next_layer() {
    let network = classifier("relu", None);
    let init = Init { weight: 2.0, bias: 0.3, uniform: false };
    let parameters = parameters(&network, init, &mut Sampler::new(1));
    let pass = train_pass(&network, &parameters);
    let names: Vec<&str> = network.linears().map(|(op, _)| op.name.as_str()).collect();
    for pair in names.windows(2) {
        let of = |name: &str, kind: &str| signal(&parameters, &pass, &format!("{name}.{kind}"));
        let expected = of(pair[0], "weight") + of(pair[0], "bias");
        close(pair[1], of(pair[1], "weight"), expected, 1e-12 * expected.abs());
    }
}

/// T1(c): a weight in front of a norm has no radial gradient, and its gradient falls as it grows.
#[test]
fn weights_before_a_norm_have_no_scale() {
    for kind in [NormKind::Batch, NormKind::Layer, NormKind::Rms] {
        let network = classifier("relu", Some((kind, 0.0)));
        let mut parameters = parameters(&network, Init::HE, &mut Sampler::new(1));
        let pass = train_pass(&network, &parameters);
        let norm = |values: &[f64]| dot(values, values).sqrt();
        for layer in 1..=8 {
            let name = format!("fc{layer}.weight");
            let cosine = signal(&parameters, &pass, &name) / norm(&parameters[&name]) / norm(&pass.gradients[&name]);
            close(&format!("{kind:?} {name}"), cosine, 0.0, 1e-14);
        }
        parameters.get_mut("fc4.weight").unwrap().iter_mut().for_each(|w| *w *= 4.0);
        let scaled = train_pass(&network, &parameters);
        close("loss", scaled.capture.loss(), pass.capture.loss(), 1e-12);
        let (before, after) = (&pass.gradients["fc4.weight"], &scaled.gradients["fc4.weight"]);
        let scale = norm(before);
        for (before, after) in before.iter().zip(after) {
            assert!((after * 4.0 - before).abs() < 1e-12 * scale, "{kind:?}: {after} is not a quarter of {before}");
        }
    }
}

/// The law is of r and d that stay: what is divided by does not grow with the weight, but the gradient has no radial part.
#[test]
fn batch_renormalisation_has_no_radial_gradient_either() {
    let network = classifier("relu", Some((NormKind::BatchRenorm, 0.0)));
    let mut parameters = parameters(&network, Init::HE, &mut Sampler::new(1));
    for layer in 1..=8 {
        parameters.insert(format!("norm{layer}.running_batches"), vec![1.0]);
        parameters.insert(format!("norm{layer}.running_mean"), vec![0.5; WIDTH]);
    }
    let pass = train_pass(&network, &parameters);
    for layer in 1..=8 {
        let name = format!("fc{layer}.weight");
        let (w, dw) = (&parameters[&name], &pass.gradients[&name]);
        close(&name, dot(w, dw) / (dot(w, w) * dot(dw, dw)).sqrt(), 0.0, 1e-14);
    }
}

/// T1(c), the other side: eps breaks the law by its own size.
#[test]
fn eps_shows_as_a_radial_gradient() {
    let network = classifier("relu", Some((NormKind::Batch, 1e-2)));
    let parameters = parameters(&network, Init::HE, &mut Sampler::new(1));
    let pass = train_pass(&network, &parameters);
    let largest = (1..=8)
        .map(|layer| {
            let name = format!("fc{layer}.weight");
            let (w, dw) = (&parameters[&name], &pass.gradients[&name]);
            (dot(w, dw) / (dot(w, w) * dot(dw, dw)).sqrt()).abs()
        })
        .fold(0.0, f64::max);
    assert!((1e-4..1e-2).contains(&largest), "{largest}");
}

/// Batch norm over two samples leaves only their signs: nothing comes back.
#[test]
fn batch_norm_over_two_samples_has_no_gradient() {
    let network = classifier("tanh", Some((NormKind::Batch, 0.0)));
    let mut sampler = Sampler::new(1);
    let parameters = parameters(&network, Init::HE, &mut sampler);
    let inputs = sampler.normals(2 * WIDTH, 1.0);
    let pass = run(&network, &parameters, &inputs, &targets(&network, 2, &mut sampler)).unwrap();
    let largest = |name: &str| pass.gradients[name].iter().fold(0.0_f64, |most, g| most.max(g.abs()));
    assert!(largest("head.weight") > 1e-3);
    for layer in 1..=8 {
        close("largest |dW|", largest(&format!("fc{layer}.weight")), 0.0, 1e-12);
    }
}

/// T23: the cotangent behind a norm is perpendicular to its input and falls as 1 over the input's size.
#[test]
fn layer_norm_cotangents_fall_with_the_input() {
    for kind in [NormKind::Layer, NormKind::Rms] {
        let network = network(WIDTH, WIDTH, Loss::MeanSquaredError, vec![norm("norm", kind, WIDTH, 0.0)]);
        let mut sampler = Sampler::new(8);
        let parameters = parameters(&network, Init::HE, &mut sampler);
        let inputs = sampler.normals(5 * WIDTH, 1.0);
        let cotangent = targets(&network, 5, &mut sampler);
        let at_input = |scale: f64| -> Vec<f64> {
            let inputs: Vec<f64> = inputs.iter().map(|x| scale * x).collect();
            let pass = run(&network, &parameters, &inputs, &cotangent).unwrap();
            pass.capture.ops()[0].cotangent_in.to_f64().into_owned()
        };
        let unit = at_input(1.0);
        for (x, g) in inputs.chunks_exact(WIDTH).zip(unit.chunks_exact(WIDTH)) {
            close("<x, dL/dx>", dot(x, g), 0.0, 1e-12);
            if kind == NormKind::Layer {
                close("sum of dL/dx", g.iter().sum(), 0.0, 1e-12);
            }
        }
        for scale in [1e-6, 0.3, 100.0] {
            for (scaled, unit) in at_input(scale).iter().zip(&unit) {
                assert!((scaled * scale - unit).abs() < 1e-12, "{kind:?}, inputs times {scale}: {scaled}");
            }
        }
    }
}
