//! Scale and spread of the way back: exactly for orthogonal chains, and against the moments of random matrices.

use isogain_core::flow::Asked;
use isogain_core::flow::capture::Capture;
use isogain_core::flow::jacobian::{Jacobian, jacobian};
use isogain_core::flow::reference::Parameters;
use isogain_core::network::{Loss, Op};

use crate::support::{Init, Sampler, act, activation, close, dot, linear, mean, network, parameters, random_pass};

fn told(capture: &Capture) -> Jacobian {
    match jacobian(capture) {
        Asked::Told(found) => found,
        Asked::LeftOut { left_out } => panic!("{left_out}"),
    }
}

/// Rows made orthonormal one after the other, times a gain (Gram and Schmidt, twice for rounding).
fn orthogonal(width: usize, gain: f64, sampler: &mut Sampler) -> Vec<f64> {
    let mut rows: Vec<Vec<f64>> = Vec::new();
    while rows.len() < width {
        let mut row = sampler.normals(width, 1.0);
        for _ in 0..2 {
            for other in &rows {
                let along = dot(&row, other);
                row.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
            }
        }
        let size = dot(&row, &row).sqrt();
        rows.push(row.into_iter().map(|value| value / size).collect());
    }
    rows.concat().into_iter().map(|value| gain * value).collect()
}

/// A chain of `depth` linear operations of this width in front of the head, with an activation after each where given; only
/// the first lies outside of the Jacobian.
fn chain(width: usize, depth: usize, function: Option<&str>, orthogonally: Option<f64>, seed: u64) -> Capture {
    let layer = |index: usize| {
        let function = function.map(|function| activation(&format!("act{index}"), act(function)));
        [linear(&format!("fc{index}"), width, width)].into_iter().chain(function)
    };
    let mut ops: Vec<Op> = (1..=depth).flat_map(layer).collect();
    ops.push(linear("head", width, 3));
    let network = network(width, 3, Loss::MeanSquaredError, ops);
    let mut sampler = Sampler::new(seed);
    let init = if function.is_some() { Init::HE } else { Init::XAVIER };
    let mut parameters: Parameters = parameters(&network, init, &mut sampler);
    if let Some(gain) = orthogonally {
        for index in 1..=depth {
            parameters.insert(format!("fc{index}.weight"), orthogonal(width, gain, &mut sampler));
        }
    }
    // One sample: what is random is the network.
    random_pass(&network, &parameters, 1, &mut sampler).capture
}

#[test]
fn an_orthogonal_chain_has_one_gain_for_all_directions() {
    for gain in [1.0, 0.5, 3.0] {
        let found = told(&chain(48, 21, None, Some(gain), 1));
        close("spread", found.spread, 1.0, 1e-12);
        close("log gain", found.log_gain, 20.0 * f64::ln(gain), 1e-12);
        close("what the layers add", found.independent_spread, 1.0, 1e-12);
        close("its error", found.spread_error, 0.0, 1e-12);
        close("error of the log gain", found.log_gain_error, 0.0, 1e-6);
    }
}

/// A factor on every weight changes the scale by its logarithm, and the spread not at all.
#[test]
fn no_number_mends_the_spread() {
    let scaled = |factor: f64| {
        let mut ops: Vec<Op> = (1..=12).map(|index| linear(&format!("fc{index}"), 32, 32)).collect();
        ops.push(linear("head", 32, 3));
        let network = network(32, 3, Loss::MeanSquaredError, ops);
        let mut sampler = Sampler::new(5);
        let mut parameters = parameters(&network, Init::XAVIER, &mut sampler);
        parameters.values_mut().flatten().for_each(|value| *value *= factor);
        told(&random_pass(&network, &parameters, 8, &mut sampler).capture)
    };
    let (as_it_is, small) = (scaled(1.0), scaled(1e-20));
    close("spread", small.spread / as_it_is.spread, 1.0, 1e-9);
    close("log gain", small.log_gain - as_it_is.log_gain, 11.0 * 1e-20_f64.ln(), 1e-9);
}

/// Means over networks of m1^2 and m2 against what random matrices of this width give: m2 - R m1^2 has the mean 0.
fn holds_on_average(what: &str, expected: f64, found: &[Jacobian]) {
    let rest: Vec<f64> =
        found.iter().map(|one| (4.0 * one.log_gain).exp() * (one.spread - expected) / expected).collect();
    let average = mean(rest.iter().copied());
    let deviation = mean(rest.iter().map(|value| (value - average).powi(2))).sqrt();
    let spread = mean(found.iter().map(|one| one.spread));
    println!("{what}: mean spread {spread:.2}, expected {expected:.2}");
    close(what, average, 0.0, 5.0 * deviation / (found.len() as f64).sqrt());
    // And the test says something: a spread of a sixth more would not have passed.
    let power = 0.15 * mean(found.iter().map(|one| (4.0 * one.log_gain).exp()));
    assert!(5.0 * deviation / (found.len() as f64).sqrt() < power, "{what}: {deviation}");
}

const WIDTH: usize = 96;
const SEEDS: u64 = 60;

/// L Gaussian matrices of width n. With p = E tr A^2 / n and q = E (tr A / n)^2 of A = J J^T, one matrix more gives
/// p (1 + 1/n) + q and q + 2 p / n^2 (fourth moments of a Wishart matrix); for n to infinity the spread is 1 + L.
#[test]
fn gaussian_chains_spread_by_one_for_each_layer() {
    let n = WIDTH as f64;
    let (mut p, mut q) = (1.0, 1.0);
    for depth in 1..=12 {
        (p, q) = (p * (1.0 + 1.0 / n) + q, q + 2.0 * p / (n * n));
        if [1, 4, 12].contains(&depth) {
            let found: Vec<Jacobian> =
                (0..SEEDS).map(|seed| told(&chain(WIDTH, depth + 1, None, None, 100 + seed))).collect();
            holds_on_average(&format!("{depth} Gaussian matrices"), p / q, &found);
            assert!((p / q / (1.0 + depth as f64) - 1.0).abs() < 0.02 * depth as f64, "{}", p / q);
        }
    }
}

/// Under He's variance half of the units let nothing through, as by chance: E D B D B halves the diagonal of B = W A W^T and
/// quarters the rest. For n to infinity each activation adds 1 to the spread, and each matrix 1.
#[test]
fn relu_chains_spread_by_two_for_each_layer() {
    let n = WIDTH as f64;
    // The first activation alone.
    let (mut p, mut q) = (0.5, 0.25 * (1.0 - 1.0 / n) + 0.5 / n);
    for depth in 2..=12 {
        let diagonal = q + 2.0 * p / n;
        (p, q) = ((1.0 - 1.0 / n) * p + 2.0 * diagonal, (1.0 - 1.0 / n) * q + 2.0 / n * diagonal);
        if [2, 6, 12].contains(&depth) {
            let found: Vec<Jacobian> =
                (0..SEEDS).map(|seed| told(&chain(WIDTH, depth, Some("relu"), None, 300 + seed))).collect();
            holds_on_average(&format!("{depth} ReLU layers"), p / q, &found);
            println!("  width to infinity: {}", 2 * depth);
        }
    }
}

/// Orthogonal matrices add nothing, and each ReLU adds mu2 / mu1^2 - 1 = 1.
#[test]
fn orthogonal_relu_chains_spread_half_as_fast() {
    for depth in [2, 5, 8] {
        let found: Vec<Jacobian> =
            (0..SEEDS).map(|seed| told(&chain(WIDTH, depth, Some("relu"), Some(2.0_f64.sqrt()), 700 + seed))).collect();
        holds_on_average(&format!("{depth} orthogonal ReLU layers"), 1.0 + depth as f64, &found);
        let independent = mean(found.iter().map(|one| one.independent_spread));
        // A share f of units that let something through adds 1/f - 1, on average 1 + 2/n.
        close("what the layers add", independent, 1.0 + depth as f64 * (1.0 + 2.0 / WIDTH as f64), 0.3);
    }
}
