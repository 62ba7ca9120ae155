//! Batch norm over parts of a batch is, gradients and every split, batch norm of each part as a batch of its own.

use isogain_core::flow::reference::{Pass, Targets, run};
use isogain_core::flow::{Joint, attribute};
use isogain_core::network::{Network, OpKind};

use crate::support::{Sampler, close, zoo};

/// Samples of the two parts of 11 of which at least five share a mean.
const PARTS: [usize; 2] = [6, 5];
const ALL: f64 = 11.0;

fn ghosts(mut network: Network) -> Network {
    for op in &mut network.ops {
        if let OpKind::Norm(norm) = &mut op.kind {
            norm.ghost = PARTS[1];
        }
    }
    network
}

/// The whole batch in two parts, and each as a batch.
fn passes() -> (Pass, [Pass; 2]) {
    let (_, plain, parameters) = zoo().into_iter().find(|entry| entry.0 == "batch norm").unwrap();
    let mut sampler = Sampler::new(5);
    let [inputs, outputs] = [plain.input.values(), plain.outputs];
    let values = sampler.normals(11 * inputs, 1.0);
    let cotangents = sampler.normals(11 * outputs, 1.0);
    let whole = run(&ghosts(plain.clone()), &parameters, &values, &Targets::Cotangent(cotangents.clone())).unwrap();
    let part = |from: usize, samples: usize| {
        let rows = |values: &[f64], width: usize| values[from * width..(from + samples) * width].to_vec();
        run(&plain, &parameters, &rows(&values, inputs), &Targets::Cotangent(rows(&cotangents, outputs))).unwrap()
    };
    (whole, [part(0, PARTS[0]), part(PARTS[0], PARTS[1])])
}

/// Mean over samples of what each part has.
fn mean<T>(parts: &[T; 2], of: impl Fn(&T) -> f64) -> f64 {
    parts.iter().zip(PARTS).map(|(part, samples)| of(part) * samples as f64 / ALL).sum()
}

#[test]
fn gradients_are_those_of_both_parts() {
    let (whole, parts) = passes();
    for (name, gradient) in &whole.gradients {
        for (index, found) in gradient.iter().enumerate() {
            let expected = mean(&parts, |part| part.gradients[name][index]);
            close(&format!("{name}[{index}]"), *found, expected, 1e-12 * (1.0 + expected.abs()));
        }
    }
}

/// Mean squares of the parts add up, and so do <x, dL/dx> of what the map of a norm gives back.
#[test]
fn the_flow_is_that_of_both_parts() {
    let (whole, parts) = passes();
    let (flow, flows) = (attribute(&whole.capture), parts.each_ref().map(|part| attribute(&part.capture)));
    for (at, joint) in flow.joints.iter().enumerate() {
        let split: f64 = joint.split.iter().map(|part| part.log_gain).sum();
        close(&joint.name, split, joint.log_gain.unwrap(), 1e-12);
        let same = |what: &str, of: &dyn Fn(&Joint) -> f64| {
            let expected = mean(&flows, |flow| of(&flow.joints[at]));
            close(&format!("{} {what}", joint.name), of(joint), expected, 1e-12 * expected);
        };
        same("input", &|joint| joint.cotangent_in_rms.powi(2));
        if joint.name.starts_with("norm") {
            // In front of the projection: the first part of the split.
            same("rescaled", &|joint| joint.cotangent_rms.powi(2) * (2.0 * joint.split[0].log_gain).exp());
            let radial = mean(&parts, |part| part.capture.radial(&joint.name).unwrap());
            close(&format!("{} radial", joint.name), whole.capture.radial(&joint.name).unwrap(), radial, 1e-12);
        }
    }
}
