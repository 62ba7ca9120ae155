//! T31: a saturated output blocks the squared error's gradient and not the cross-entropy's.

use isogain_core::flow::reference::{Parameters, Targets, run};
use isogain_core::flow::{Cause, attribute};
use isogain_core::network::{Loss, Op};

use crate::support::{act, activation, close, linear, network};

/// dL/dz for a head of one input and weights 0, so that z is the bias.
fn cotangent(bias: Vec<f64>, after: Vec<Op>, loss: Loss, target: Targets) -> Vec<f64> {
    let outputs = bias.len();
    let mut ops = vec![linear("head", 1, outputs)];
    ops.extend(after);
    let network = network(1, outputs, loss, ops);
    let weight = ("head.weight".to_string(), vec![0.0; outputs]);
    let parameters: Parameters = [weight, ("head.bias".into(), bias)].into();
    let pass = run(&network, &parameters, &[1.0], &target).unwrap();
    let head = attribute(&pass.capture).head;
    if let Some(slope) = head.joints.get(1) {
        // phi'(-10) is all there is to it: one sample, one unit.
        let expected = act("sigmoid").derivative(-10.0).ln();
        close("slope", slope.split[0].log_gain, expected, 1e-12);
        assert_eq!(slope.split[0].cause, Cause::ActivationSlope);
    }
    pass.capture.ops()[0].cotangent_out.to_f64().into_owned()
}

#[test]
fn squared_error_behind_a_sigmoid_stops() {
    let after = vec![activation("out", act("sigmoid"))];
    let found = cotangent(vec![-10.0], after, Loss::MeanSquaredError, Targets::Outputs(vec![1.0]));
    // (p - y) p (1 - p) = -4.54e-5; the squared error is without the half.
    let p = 1.0 / (1.0 + 10.0_f64.exp());
    close("squared error", found[0] / 2.0, (p - 1.0) * p * (1.0 - p), 1e-12);
    close("squared error", found[0] / 2.0, -4.54e-5, 1e-6);
}

#[test]
fn cross_entropy_does_not() {
    let found = cotangent(vec![0.0, -10.0], vec![], Loss::CrossEntropy, Targets::Classes(vec![1]));
    let p = 1.0 / (1.0 + 10.0_f64.exp());
    close("cross-entropy", found[1], p - 1.0, 1e-12);
    close("cross-entropy", found[1], -0.99995, 5e-6);
}
