//! T13: how the variance of a residual stream grows with its blocks (De & Smith 2020; Radford et al. 2019).

use isogain_core::flow::attribute;
use isogain_core::network::{Loss, NormKind, Op};

use crate::support::{Init, Sampler, act, activation, close, every_joint, linear, mean, network, norm};
use crate::support::{parameters, random_pass, residual};

const WIDTH: usize = 512;
const BLOCKS: usize = 10;
const SEEDS: u64 = 6;

/// Mean square of the stream after each block x + scale W relu(norm(x)), over several networks: at this width a single
/// one is 5 % off after ten blocks.
fn stream(normalise: bool, scale: f64) -> Vec<f64> {
    let block = |index: usize| -> Op {
        let mut branch = Vec::new();
        if normalise {
            branch.push(norm(&format!("block{index}.norm"), NormKind::Batch, WIDTH, 0.0));
        }
        branch.push(activation(&format!("block{index}.act"), act("relu")));
        branch.push(linear(&format!("block{index}.fc"), WIDTH, WIDTH));
        residual(&format!("block{index}"), scale, false, branch)
    };
    let network = network(WIDTH, WIDTH, Loss::MeanSquaredError, (1..=BLOCKS).map(block).collect());
    let streams: Vec<Vec<f64>> = (0..SEEDS)
        .map(|seed| {
            let mut sampler = Sampler::new(seed);
            let parameters = parameters(&network, Init::HE, &mut sampler);
            let flow = attribute(&random_pass(&network, &parameters, 32, &mut sampler).capture);
            every_joint(&flow).iter().map(|joint| joint.activation_rms.powi(2)).collect()
        })
        .collect();
    (0..BLOCKS).map(|block| mean(streams.iter().map(|stream| stream[block]))).collect()
}

fn check(normalise: bool, scale: f64, law: impl Fn(usize) -> f64) {
    for (index, found) in stream(normalise, scale).into_iter().enumerate() {
        let expected = law(index + 1);
        close(&format!("block {}", index + 1), found, expected, 0.08 * expected);
    }
}

#[test]
fn plain_branches_double_the_variance() {
    check(false, 1.0, |blocks| 2.0_f64.powi(blocks as i32));
}

#[test]
fn normalised_branches_add_one_each() {
    check(true, 1.0, |blocks| blocks as f64 + 1.0);
}

#[test]
fn scaling_by_the_root_of_the_depth_keeps_it_below_e() {
    let scale = 1.0 / (BLOCKS as f64).sqrt();
    check(false, scale, |blocks| (1.0 + 1.0 / BLOCKS as f64).powi(blocks as i32));
}

/// GPT-2: 1/sqrt(2 N) for 2 N residual additions.
#[test]
fn scaled_normalised_branches_double_it_once() {
    let scale = 1.0 / (BLOCKS as f64).sqrt();
    check(true, scale, |blocks| 1.0 + blocks as f64 / BLOCKS as f64);
}
