//! Batch norm over parts of a batch is, loss and gradients and every split, batch norm of each part as a batch of its own.

use isogain_core::flow::attribute;
use isogain_core::flow::reference::{Pass, Targets, run};
use isogain_core::network::{Network, OpKind};

use crate::support::{Sampler, close, zoo};

const PART: usize = 5;

fn ghosts(mut network: Network) -> Network {
    for op in &mut network.ops {
        if let OpKind::Norm(norm) = &mut op.kind {
            norm.ghost = PART;
        }
    }
    network
}

/// The whole batch in two parts, and each as a batch, whose gradients are means over half as many samples.
fn passes() -> (Pass, [Pass; 2]) {
    let (_, plain, parameters) = zoo().into_iter().find(|entry| entry.0 == "batch norm").unwrap();
    let mut sampler = Sampler::new(5);
    let inputs = sampler.normals(2 * PART * plain.input.values(), 1.0);
    let cotangents = sampler.normals(2 * PART * plain.outputs, 1.0);
    let whole = run(&ghosts(plain.clone()), &parameters, &inputs, &Targets::Cotangent(cotangents.clone())).unwrap();
    let half = |part: usize| {
        let rows = |values: &[f64]| values[part * values.len() / 2..][..values.len() / 2].to_vec();
        run(&plain, &parameters, &rows(&inputs), &Targets::Cotangent(rows(&cotangents))).unwrap()
    };
    (whole, [0, 1].map(half))
}

#[test]
fn gradients_are_those_of_both_parts() {
    let (whole, halves) = passes();
    for (name, gradient) in &whole.gradients {
        for (index, found) in gradient.iter().enumerate() {
            let expected = 0.5 * halves.iter().map(|half| half.gradients[name][index]).sum::<f64>();
            close(&format!("{name}[{index}]"), *found, expected, 1e-12 * (1.0 + expected.abs()));
        }
    }
}

/// Mean squares of the parts add up, and so do <x, dL/dx> of what the map of a norm gives back.
#[test]
fn the_flow_is_that_of_both_parts() {
    let (whole, halves) = passes();
    let (flow, [first, second]) = (attribute(&whole.capture), halves.each_ref().map(|half| attribute(&half.capture)));
    let mean_square = |rms: f64| rms * rms;
    for ((joint, one), other) in flow.joints.iter().zip(&first.joints).zip(&second.joints) {
        let split = |joint: &isogain_core::flow::Joint| -> f64 { joint.split.iter().map(|part| part.log_gain).sum() };
        close(&joint.name, split(joint), joint.log_gain.unwrap(), 1e-12);
        let half = 0.5 * (mean_square(one.cotangent_in_rms) + mean_square(other.cotangent_in_rms));
        close(&joint.name, mean_square(joint.cotangent_in_rms), half, 1e-12 * half);
        if joint.name.starts_with("norm") {
            // In front of the projection: the first part of the split.
            let rescaled = |joint: &isogain_core::flow::Joint| {
                mean_square(joint.cotangent_rms) * (2.0 * joint.split[0].log_gain).exp()
            };
            let half = 0.5 * (rescaled(one) + rescaled(other));
            close(&format!("{} rescaled", joint.name), rescaled(joint), half, 1e-12 * half);
            let radial = 0.5 * halves.iter().map(|half| half.capture.radial(&joint.name).unwrap()).sum::<f64>();
            close(&format!("{} radial", joint.name), whole.capture.radial(&joint.name).unwrap(), radial, 1e-12);
        }
    }
}

#[test]
fn parts_are_equal_and_as_many_as_are_large_enough() {
    let (_, network, _) = zoo().into_iter().find(|entry| entry.0 == "batch norm").unwrap();
    let OpKind::Norm(norm) = &ghosts(network).ops[1].kind.clone() else { panic!("a norm follows the first layer") };
    assert_eq!([1, 4, 5, 9, 10, 14, 15, 17].map(|samples| norm.parts(samples)), [1, 1, 1, 1, 2, 2, 3, 1]);
}
