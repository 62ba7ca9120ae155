//! T32: which factor of the chain rule does it, 30 layers of width 256, batch 128. Expected numbers: an independent
//! implementation of the same split in numpy, per layer, each component within 0.01.

use std::f64::consts::LN_2;

use isogain_core::flow::profile::causes;
use isogain_core::flow::{Cause, Flow, Joint};
use isogain_core::network::NormKind;

use crate::support::{Init, act, blocks, body_flow, close, mean, stack};

const WIDTH: usize = 256;
const DEPTH: usize = 30;
const BATCH: usize = 128;
const TOLERANCE: f64 = 0.01;

fn plain(function: &str, init: Init) -> Flow {
    body_flow(WIDTH, stack(WIDTH, DEPTH, act(function), None), init, BATCH, 1)
}

fn per_layer<'a>(joints: impl IntoIterator<Item = &'a Joint>, cause: Cause) -> f64 {
    let parts = joints.into_iter().flat_map(|joint| &joint.split).filter(|part| part.cause == cause);
    parts.map(|part| part.log_gain).sum::<f64>() / DEPTH as f64
}

fn check(flow: &Flow, total: f64, expected: &[(Cause, f64)]) {
    close("total", flow.total_log_gain.unwrap(), total, TOLERANCE * DEPTH as f64);
    let sum: f64 = causes(&flow.joints).iter().map(|cause| cause.log_gain).sum();
    close("closes", sum, flow.total_log_gain.unwrap(), 1e-12);
    for &(cause, log_gain) in expected {
        close(&format!("{cause:?} per layer"), per_layer(&flow.joints, cause), log_gain, TOLERANCE);
    }
}

use Cause::{ActivationSlope, Alignment, Projection, Rescale, SlopeCorrelation, WeightScale};

#[test]
fn relu_as_pytorch_starts_it() {
    let flow = plain("relu", Init::pytorch(WIDTH));
    let expected =
        [(ActivationSlope, -0.3502), (SlopeCorrelation, 0.0066), (WeightScale, -0.5491), (Alignment, -0.0006)];
    check(&flow, -26.80, &expected);
    let shares = causes(&flow.joints);
    assert_eq!((shares[0].cause, shares[1].cause), (WeightScale, ActivationSlope));
    close("weight share", shares[0].share, 0.61, 0.01);
    close("activation share", shares[1].share, 0.39, 0.01);
}

#[test]
fn relu_he_balances() {
    let expected =
        [(ActivationSlope, -0.3454), (SlopeCorrelation, -0.0011), (WeightScale, 0.3464), (Alignment, 0.0011)];
    check(&plain("relu", Init::HE), 0.03, &expected);
}

#[test]
fn sigmoid_xavier_is_all_slope() {
    let expected =
        [(ActivationSlope, -1.4479), (SlopeCorrelation, 0.0002), (WeightScale, -0.0002), (Alignment, -0.003)];
    check(&plain("sigmoid", Init::XAVIER), -43.5252, &expected);
}

#[test]
fn tanh_with_gain_five_thirds_explodes() {
    let expected =
        [(ActivationSlope, -0.4243), (SlopeCorrelation, 0.0019), (WeightScale, 0.5106), (Alignment, -0.0017)];
    check(&plain("tanh", Init::normal(25.0 / 9.0)), 2.5966, &expected);
}

#[test]
fn batch_norm_rescales() {
    let ops = stack(WIDTH, DEPTH, act("relu"), Some((NormKind::Batch, 0.0)));
    let expected = [
        (ActivationSlope, -0.3462),
        (SlopeCorrelation, -0.0003),
        (WeightScale, 0.3464),
        (Alignment, -0.0052),
        (Rescale, 0.1842),
        (Projection, -0.0046),
    ];
    check(&body_flow(WIDTH, ops, Init::HE, BATCH, 1), 5.2283, &expected);
}

/// Branch factors, and the skip's share of the gradient's energy, by block on average.
#[test]
fn a_skip_carries_most_of_the_energy() {
    for (normalise, scale, share, block) in [
        (true, 1.0, 0.8931, 0.0595),
        (false, 1.0 / (DEPTH as f64).sqrt(), 0.9608, 0.0233),
        (false, 1.0, 0.4557, 0.4589),
    ] {
        let flow = body_flow(WIDTH, blocks(WIDTH, DEPTH, act("relu"), normalise, scale), Init::HE, BATCH, 1);
        check(&flow, DEPTH as f64 * block, &[(Cause::BranchSum, block)]);
        let branches: Vec<_> = flow.joints.iter().map(|joint| joint.branch.as_ref().unwrap()).collect();
        close("skip share", mean(branches.iter().map(|branch| branch.skip_share)), share, TOLERANCE);
        let inner = || branches.iter().flat_map(|branch| &branch.joints);
        close("branch slope", per_layer(inner(), ActivationSlope), -0.5 * LN_2, TOLERANCE);
        close("branch weights", per_layer(inner(), WeightScale), 0.5 * LN_2, TOLERANCE);
        for branch in &branches {
            close("shares", branch.skip_share + branch.branch_share, 1.0, 1e-15);
            let chain: f64 = branch.joints.iter().map(|joint| joint.log_gain.unwrap()).sum();
            close("branch chain", chain + scale.ln(), branch.ratio.ln(), 1e-12);
        }
    }
}
