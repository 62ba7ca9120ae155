//! Auxiliary heads: the gradient that is measured against the sum that theory expects.

use isogain_core::flow::capture::OpCaptureKind;
use isogain_core::flow::reference::run;
use isogain_core::network::{AuxiliaryHead, Loss, Network, Op, OpKind};
use isogain_core::theory::supervision::Supervision;

use crate::support::{Init, Sampler, act, dot, linear, network, parameters, stack, targets};

const WIDTH: usize = 64;
const DEPTH: usize = 16;
const EVERY: usize = 5;
const CLASSES: usize = 10;
const NETS: u64 = 40;

fn supervised(share: f64) -> Network {
    let mut ops = Vec::new();
    for (layer, pair) in stack(WIDTH, DEPTH, act("relu"), None).chunks(2).enumerate() {
        ops.extend_from_slice(pair);
        if layer + 1 < DEPTH && (layer + 1).is_multiple_of(EVERY) {
            let name = format!("aux{}", layer + 1);
            let head = vec![linear(&format!("{name}.head"), WIDTH, CLASSES)];
            ops.push(Op { name, kind: OpKind::AuxiliaryHead(AuxiliaryHead { head, share }) });
        }
    }
    ops.push(linear("head", WIDTH, CLASSES));
    network(WIDTH, CLASSES, Loss::CrossEntropy, ops)
}

/// Mean squares over networks, of cotangents whose logits are small, so that every loss sends about the same.
#[test]
fn the_gradient_is_the_sum_of_what_heads_send() {
    for (weight, share) in [(1.0, 1.0), (1.0, 0.3), (2.0, 1.0)] {
        let network = supervised(share);
        let mut sums = [0.0; DEPTH];
        for seed in 0..NETS {
            let mut sampler = Sampler::new(seed);
            let mut parameters = parameters(&network, Init::normal(weight), &mut sampler);
            for head in network.heads() {
                let smaller = parameters.get_mut(&format!("{}.weight", head.name)).unwrap();
                smaller.iter_mut().for_each(|w| *w *= 0.1);
            }
            let inputs = sampler.normals(16 * WIDTH, 1.0);
            let pass = run(&network, &parameters, &inputs, &targets(&network, 16, &mut sampler)).unwrap();
            let ops = pass.capture.ops();
            let layers = ops.iter().filter(|op| matches!(op.kind, OpCaptureKind::Linear { .. })).take(DEPTH);
            for (sum, layer) in sums.iter_mut().zip(layers) {
                let g = layer.cotangent_out.to_f64();
                *sum += dot(&g, &g);
            }
        }
        let theory = Supervision { every: EVERY, strength: share * share };
        let expected = theory.gradients(weight / 2.0, DEPTH);
        for (layer, (sum, expected)) in sums.iter().zip(&expected).enumerate() {
            let found = sum / sums[DEPTH - 1];
            println!("{weight} {share} fc{}: {found:.4} {expected:.4}", layer + 1);
            assert!((found / expected - 1.0).abs() < 0.35, "{weight} {share} fc{}: {found} {expected}", layer + 1);
        }
        // Without the sum the first layer would have this.
        let alone = f64::powi(weight / 2.0, DEPTH as i32 - 1);
        assert!(sums[0] / sums[DEPTH - 1] > 2.0 * alone);
    }
}
