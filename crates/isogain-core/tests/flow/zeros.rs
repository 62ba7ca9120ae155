//! Cotangents that are exactly zero, or not finite, and what is still said then.

use isogain_core::flow::capture::{Capture, OpCapture, OpCaptureKind};
use isogain_core::flow::reference::{Targets, run};
use isogain_core::flow::{Flow, Values, attribute};
use isogain_core::network::{Loss, NormKind};

use crate::support::{
    Init, Sampler, act, activation, close, every_joint, linear, network, norm, parameters, random_pass, residual, zoo,
};

/// A flow survives the way through JSON, what is not finite as null.
fn round_trip(flow: &Flow) -> String {
    let text = serde_json::to_string(flow).unwrap();
    let back: Flow = serde_json::from_str(&text).unwrap();
    assert_eq!(nulls(&serde_json::to_string(&back).unwrap()), nulls(&text));
    text
}

/// The names whose value is null somewhere in a JSON text, each once.
fn nulls(text: &str) -> Vec<String> {
    let mut found: Vec<String> =
        text.match_indices(":null").filter_map(|(at, _)| text[..at].rsplit('"').nth(1)).map(String::from).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn a_zero_loss_gradient_gives_no_gains() {
    for (name, network, parameters) in zoo() {
        let inputs = Sampler::new(1).normals(4 * network.input.values(), 1.0);
        let zero = Targets::Cotangent(vec![0.0; 4 * network.outputs]);
        let flow = attribute(&run(&network, &parameters, &inputs, &zero).unwrap().capture);
        assert_eq!(flow.total_log_gain, None, "{name}");
        for joint in every_joint(&flow) {
            assert_eq!((joint.log_gain, joint.split.len(), joint.cotangent_in_rms), (None, 0, 0.0), "{name}");
        }
        for weight in &flow.weights {
            assert_eq!((weight.log_norm, weight.backward_signal, weight.coherence), (None, None, None), "{name}");
            assert!(weight.input_size.is_some_and(f64::is_finite), "{name}");
        }
        let expected = ["backward_signal", "coherence", "log_gain", "log_norm", "total_log_gain"];
        assert_eq!(nulls(&round_trip(&flow)), expected, "{name}");
    }
}

/// SkipInit: nothing comes back through a branch whose factor is 0, and the stream is untouched.
#[test]
fn a_zero_scale_is_healthy() {
    let branch = || vec![norm("block.norm", NormKind::Layer, 6, 1e-5), linear("block.fc", 6, 6)];
    for learnable in [false, true] {
        let ops = vec![linear("stem", 4, 6), residual("block", 0.0, learnable, branch()), linear("head", 6, 2)];
        let network = network(4, 2, Loss::CrossEntropy, ops);
        let mut sampler = Sampler::new(2);
        let parameters = parameters(&network, Init::HE, &mut sampler);
        let inputs = sampler.normals(8 * 4, 1.0);
        let pass = run(&network, &parameters, &inputs, &Targets::Classes(vec![0, 1, 1, 0, 1, 0, 0, 1])).unwrap();
        let flow = attribute(&pass.capture);
        let block = &flow.joints[1];
        assert_eq!(block.log_gain, Some(0.0));
        let branch = block.branch.as_ref().unwrap();
        close("skip share", branch.skip_share, 1.0, 1e-15);
        close("branch share", branch.branch_share, 0.0, 1e-15);
        assert_eq!((branch.ratio, branch.cosine), (0.0, 0.0));
        assert!(branch.joints.iter().all(|joint| joint.log_gain.is_none() && joint.cotangent_rms == 0.0));
        assert!(flow.total_log_gain.is_some());
        let of = |name: &str| flow.weights.iter().find(|weight| weight.name == name).unwrap();
        assert_eq!(of("block.fc").log_norm, None);
        assert!(of("stem").log_norm.is_some());
        if learnable {
            assert!(pass.gradients["block.scale"][0] != 0.0, "the factor itself must be able to grow");
        }
        round_trip(&flow);
    }
}

/// One layer of dead units: the joints before it have no gain, those after it do, and so has no total.
#[test]
fn a_dead_layer_stops_the_chain_where_it_is() {
    let ops = vec![
        linear("fc1", 4, 6),
        activation("act1", act("relu")),
        linear("fc2", 6, 6),
        activation("act2", act("relu")),
        linear("fc3", 6, 6),
        activation("act3", act("tanh")),
        linear("head", 6, 2),
    ];
    let network = network(4, 2, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(2);
    let mut parameters = parameters(&network, Init::HE, &mut sampler);
    parameters.insert("fc2.bias".into(), vec![-1e3; 6]);
    parameters.insert("fc3.bias".into(), vec![0.5; 6]);
    let flow = attribute(&random_pass(&network, &parameters, 8, &mut sampler).capture);
    let gains: Vec<bool> = flow.joints.iter().map(|joint| joint.log_gain.is_some()).collect();
    assert_eq!(gains, [false, false, false, false, true, true]);
    assert_eq!(flow.total_log_gain, None);
    assert!(flow.head.joints[0].log_gain.is_some());
    let of = |name: &str| flow.weights.iter().find(|weight| weight.name == name).unwrap();
    // A signal that meets no input: fc3 is fed by dead units.
    assert!(of("fc3").backward_signal.is_some());
    assert_eq!((of("fc3").input_size, of("fc3").log_norm), (None, None));
    assert_eq!((of("fc2").backward_signal, of("fc2").input_size.is_some()), (None, true));
    round_trip(&flow);
}

#[test]
fn a_cotangent_that_is_not_finite_is_no_number_but_no_failure() {
    let values = |v: [f64; 2]| Values::from(v.to_vec());
    let op = |cotangent_in: [f64; 2], cotangent_out: [f64; 2]| OpCapture {
        name: "act".into(),
        rows: 2,
        kind: OpCaptureKind::Activation(act("tanh")),
        input: values([0.5, -0.5]),
        output: values([0.46, -0.46]),
        cotangent_in: values(cotangent_in),
        cotangent_out: values(cotangent_out),
    };
    for broken in [[f64::NAN, 1.0], [f64::INFINITY, 1.0]] {
        let flow = attribute(&Capture::new(2, vec![op(broken, [1.0, 1.0])], f64::NAN).unwrap());
        assert_eq!((flow.total_log_gain, flow.joints[0].log_gain), (None, None));
        assert!(flow.joints[0].cotangent_in_rms.is_nan());
        assert_eq!(nulls(&round_trip(&flow)), ["cotangent_in_rms", "log_gain", "loss", "total_log_gain"]);
    }
    // Within the range of f64 but with squares outside of it.
    for tiny in [1e-200, 1e200] {
        let flow = attribute(&Capture::new(2, vec![op([0.5 * tiny; 2], [tiny; 2])], 0.0).unwrap());
        close("gain", flow.joints[0].log_gain.unwrap(), 0.5_f64.ln(), 1e-13);
    }
}

#[test]
fn a_network_without_a_body_gains_nothing() {
    let network = network(3, 2, Loss::MeanSquaredError, vec![linear("head", 3, 2)]);
    let mut sampler = Sampler::new(2);
    let parameters = parameters(&network, Init::HE, &mut sampler);
    let flow = attribute(&random_pass(&network, &parameters, 4, &mut sampler).capture);
    assert_eq!((flow.total_log_gain, flow.joints.len(), flow.head.joints.len()), (Some(0.0), 0, 1));
}
