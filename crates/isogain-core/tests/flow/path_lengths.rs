//! T19: energies of the paths of a residual network against the binomial law, exactly where branches are multiples of the
//! identity, and on average where they are random (Veit et al. 2016).

use isogain_core::flow::Asked;
use isogain_core::flow::capture::Capture;
use isogain_core::flow::path_lengths::{PathLengths, path_lengths};
use isogain_core::network::{Loss, Network, NormKind, Op};

use crate::support::residual;
use crate::support::{Init, Sampler, act, activation, close, linear, mean, network, norm, parameters, random_pass};

const BLOCKS: usize = 20;

fn told(capture: &Capture) -> PathLengths {
    match path_lengths(capture).unwrap() {
        Asked::Told(found) => found,
        Asked::LeftOut { left_out } => panic!("{left_out}"),
    }
}

/// `blocks` blocks x + scale W x under W = identity, and a stem.
fn identities(width: usize, blocks: usize, scale: f64) -> Capture {
    let block = |index: usize| {
        residual(&format!("block{index}"), scale, false, vec![linear(&format!("block{index}.fc"), width, width)])
    };
    let mut ops: Vec<Op> = vec![linear("stem", width, width)];
    ops.extend((1..=blocks).map(block));
    ops.push(linear("head", width, 3));
    let network = network(width, 3, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(1);
    let mut parameters = parameters(&network, Init::HE, &mut sampler);
    for (name, values) in &mut parameters {
        if name.contains("block") {
            let is_bias = name.ends_with("bias");
            let diagonal = |at: usize| f64::from(u8::from(!is_bias && at.is_multiple_of(width + 1)));
            values.iter_mut().enumerate().for_each(|(at, value)| *value = diagonal(at));
        }
    }
    random_pass(&network, &parameters, 4, &mut sampler).capture
}

/// C(n, k) c^k paths of length k are all the same vector.
#[test]
fn branches_that_are_the_identity_are_binomial() {
    for (blocks, scale) in [(6, 1.0), (6, -0.5), (3, 2.0)] {
        let found = told(&identities(5, blocks, scale));
        assert_eq!((found.layer.as_str(), found.branches, found.energy.len()), ("stem", blocks, blocks + 1));
        let mut binomial = 1.0;
        let energies: Vec<f64> = (0..=blocks)
            .map(|length| {
                let energy = f64::powi(binomial * f64::powi(scale, length as i32), 2);
                binomial *= (blocks - length) as f64 / (length + 1) as f64;
                energy
            })
            .collect();
        let total: f64 = energies.iter().sum();
        for (length, energy) in energies.iter().enumerate() {
            close(&format!("{length} of {blocks}"), found.energy[length], energy / total, 1e-12);
        }
        let expected = energies.iter().enumerate().map(|(length, energy)| length as f64 * energy / total).sum();
        close("mean", found.mean, expected, 1e-12);
    }
}

fn random(scale: f64, normalised: bool) -> Network {
    const WIDTH: usize = 128;
    let block = |index: usize| -> Op {
        let name = format!("block{index}");
        let mut branch = Vec::new();
        if normalised {
            branch.push(norm(&format!("{name}.norm"), NormKind::Rms, WIDTH, 0.0));
        }
        branch.push(activation(&format!("{name}.act"), act("relu")));
        branch.push(linear(&format!("{name}.fc"), WIDTH, WIDTH));
        residual(&name, scale, false, branch)
    };
    let mut ops: Vec<Op> = (1..=BLOCKS).map(block).collect();
    ops.push(linear("head", WIDTH, WIDTH));
    network(WIDTH, WIDTH, Loss::MeanSquaredError, ops)
}

/// A branch carries a share p of a block's energy: 1/2 unscaled, 1/(L + 1) scaled by 1/sqrt(L), 1/(l + 1) in block l where it
/// is normalised; the mean length is the sum of p over the blocks.
#[test]
fn random_branches_have_the_lengths_of_theory() {
    let normalised = (1..=BLOCKS).map(|block| 1.0 / (block + 1) as f64).sum();
    let blocks = BLOCKS as f64;
    for (what, scale, is_normalised, expected) in [
        ("unscaled", 1.0, false, blocks / 2.0),
        ("scaled", blocks.sqrt().recip(), false, blocks / (blocks + 1.0)),
        ("normalised", 1.0, true, normalised),
    ] {
        let network = random(scale, is_normalised);
        let lengths = (0..3).map(|seed| {
            let mut sampler = Sampler::new(seed);
            let parameters = parameters(&network, Init::HE, &mut sampler);
            let found = told(&random_pass(&network, &parameters, 8, &mut sampler).capture);
            assert_eq!(found.layer, "block1");
            close("energies", found.energy.iter().sum(), 1.0, 1e-12);
            found.mean
        });
        // Three networks of this width are some 3 % off.
        close(what, mean(lengths), expected, 0.06 * expected);
    }
}
