//! The flow layer by layer.

use isogain_core::flow::attribute;
use isogain_core::flow::profile::{Profile, causes};
use isogain_core::network::{Loss, NormKind};

use crate::support::{
    Init, Sampler, act, activation, body_flow, close, linear, network, norm, parameters, random_pass, residual, stack,
};

#[test]
fn operations_group_into_layers() {
    let branch = vec![activation("block.act", act("relu")), linear("block.fc", 6, 6)];
    let ops = vec![
        norm("input-norm", NormKind::Layer, 4, 1e-5),
        linear("fc1", 4, 6),
        norm("norm1", NormKind::Batch, 6, 1e-5),
        activation("act1", act("tanh")),
        residual("block", 0.5, false, branch),
        activation("last", act("relu")),
        linear("head", 6, 2),
    ];
    let network = network(4, 2, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(1);
    let parameters = parameters(&network, Init::HE, &mut sampler);
    let flow = attribute(&random_pass(&network, &parameters, 16, &mut sampler).capture);
    let profile = Profile::of(&flow);
    let found: Vec<_> = profile.layers.iter().map(|layer| (layer.name.as_str(), layer.joints.clone())).collect();
    assert_eq!(found, [("input-norm", 0..1), ("fc1", 1..4), ("block", 4..6)]);
    assert_eq!(profile.interior(), 0..3);
    assert_eq!(profile.joints(1..3), 1..6);
    assert_eq!(profile.joints(0..1), 0..1);
    assert_eq!(profile.joints(2..2), 0..0);
    assert_eq!(profile.joints(2..9), 0..0);
    assert_eq!(profile.layers[1].cotangent_rms, flow.joints[1].cotangent_rms);
    assert_eq!(profile.layers[1].activation_rms, flow.joints[3].activation_rms);
    let total: f64 = profile.layers.iter().map(|layer| layer.log_gain.unwrap()).sum();
    close("layers add up", total, flow.total_log_gain.unwrap(), 1e-12);
    close("slope", profile.slope().unwrap(), total / 3.0, 1e-12);
}

#[test]
fn ends_are_left_out_when_enough_remains() {
    for (depth, interior) in [(0, 0..0), (1, 0..1), (7, 0..7), (8, 2..6), (30, 2..28)] {
        let profile = Profile::of(&body_flow(6, stack(6, depth, act("tanh"), None), Init::HE, 8, 0));
        assert_eq!(profile.layers.len(), depth);
        assert_eq!(profile.interior(), interior);
        assert_eq!(profile.slope().is_some(), depth > 0);
    }
}

#[test]
fn causes_of_a_range_add_up_to_its_gain() {
    let flow = body_flow(16, stack(16, 12, act("relu"), Some((NormKind::Batch, 1e-5))), Init::HE, 32, 3);
    let profile = Profile::of(&flow);
    let joints = &flow.joints[profile.joints(3..9)];
    let gain: f64 = profile.layers[3..9].iter().map(|layer| layer.log_gain.unwrap()).sum();
    let found = causes(joints);
    close("sum", found.iter().map(|cause| cause.log_gain).sum(), gain, 1e-12);
    close("shares", found.iter().map(|cause| cause.share).sum(), 1.0, 1e-12);
    assert!(found.windows(2).all(|pair| pair[0].log_gain.abs() >= pair[1].log_gain.abs()));
}
