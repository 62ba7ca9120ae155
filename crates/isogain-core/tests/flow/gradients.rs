//! The reference engine against finite differences.

use isogain_core::flow::reference::{ReferenceError, Targets, run};
use isogain_core::network::{Loss, Network};
use isogain_core::theory::activations::Activation;

use crate::support::{Init, Sampler, act, activation, linear, network, parameters, supervised, targets, zoo};
use isogain_core::flow::reference::Parameters;

const STEP: f64 = 1e-5;

/// Every parameter and every input of a network, by central differences.
fn check(name: &str, network: &Network, parameters: &Parameters) {
    let mut sampler = Sampler::new(3);
    let batch = 4;
    let inputs = sampler.normals(batch * network.input.values(), 1.0);
    let targets = targets(network, batch, &mut sampler);
    let pass = run(network, parameters, &inputs, &targets).unwrap();
    let loss = |parameters: &Parameters, inputs: &[f64]| run(network, parameters, inputs, &targets).unwrap().objective;
    let compare = |what: String, found: f64, up: f64, down: f64| {
        let expected = (up - down) / (2.0 * STEP);
        let error = (found - expected).abs();
        assert!(error < 1e-8 + 1e-6 * expected.abs(), "{name}, {what}: {found}, differences say {expected}");
    };
    assert_eq!(pass.gradients.keys().collect::<Vec<_>>(), parameters.keys().collect::<Vec<_>>(), "{name}");
    for (key, values) in parameters {
        for index in 0..values.len() {
            let moved = |by: f64| {
                let mut changed = parameters.clone();
                changed.get_mut(key).unwrap()[index] += by;
                loss(&changed, &inputs)
            };
            compare(format!("{key}[{index}]"), pass.gradients[key][index], moved(STEP), moved(-STEP));
        }
    }
    let at_input = pass.capture.ops()[0].cotangent_in.to_f64().into_owned();
    for index in 0..inputs.len() {
        let moved = |by: f64| {
            let mut changed = inputs.clone();
            changed[index] += by;
            loss(parameters, &changed)
        };
        compare(format!("input[{index}]"), at_input[index], moved(STEP), moved(-STEP));
    }
}

#[test]
fn every_kind_of_operation_agrees_with_finite_differences() {
    for (name, network, parameters) in zoo() {
        check(name, &network, &parameters);
    }
    let (network, parameters) = supervised("tanh");
    check("auxiliary heads", &network, &parameters);
}

#[test]
fn every_activation_agrees_with_finite_differences() {
    for function in Activation::all() {
        let ops = vec![linear("fc", 3, 8), activation("act", function), linear("head", 8, 2)];
        let network = network(3, 2, Loss::MeanSquaredError, ops);
        let init = Init { weight: 2.0, bias: 0.1, uniform: false };
        check(function.name(), &network, &parameters(&network, init, &mut Sampler::new(11)));
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let network = network(3, 2, Loss::CrossEntropy, vec![linear("fc", 3, 2), activation("act", act("relu"))]);
    let fitting = parameters(&network, Init::HE, &mut Sampler::new(1));
    let error = |parameters: &Parameters, inputs: &[f64], targets: &Targets| -> String {
        let error: ReferenceError = run(&network, parameters, inputs, targets).unwrap_err();
        error.to_string()
    };
    let classes = Targets::Classes(vec![1]);
    let mut without = fitting.clone();
    without.remove("fc.bias");
    assert_eq!(error(&without, &[1.0; 3], &classes), "the parameter fc.bias is missing");
    let mut short = fitting.clone();
    short.get_mut("fc.weight").unwrap().pop();
    assert_eq!(error(&short, &[1.0; 3], &classes), "fc.weight holds 5 values, not 6");
    assert_eq!(error(&fitting, &[1.0; 4], &classes), "the input holds 4 values, not 3");
    assert_eq!(error(&fitting, &[], &classes), "the input holds 0 values, not 3");
    assert_eq!(
        error(&fitting, &[1.0; 3], &Targets::Classes(vec![2])),
        "the target of sample 0 is class 2, but the network has 2 outputs"
    );
    assert_eq!(
        error(&fitting, &[1.0; 3], &Targets::Outputs(vec![0.0; 2])),
        "the network's loss is cross-entropy, which these targets do not fit"
    );
}
