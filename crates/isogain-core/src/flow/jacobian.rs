//! How a gradient of any direction fares between the first layer and the head: how much larger or smaller it gets, and how
//! unlike the directions are in that.
//!
//! With J the Jacobian from the first layer's output to the head's input, on one batch and with the forward pass frozen,
//! and N the values at its end: m1 = tr(J J^T) / N, m2 = tr((J J^T)^2) / N. m1 is the mean square of the gain, the
//! *scale*. m2 / m1^2, the *spread*, is 1 where all directions get the same gain, and N where all but one are lost; a
//! factor on every weight changes m1 alone. Where layers lie to one another as by chance, what each adds to the spread
//! adds up (Pennington, Schoenholz and Ganguli 2017: 1 + L (mu2 / mu1^2 - 1 - s1) for L equal layers).
//!
//! Both are measured with random probes v: the mean over directions of |J^T v|^2 / |v|^2 is m1, that of |J J^T v|^2 / |v|^2
//! is m2. A probe costs one way back and one forth, whatever the width, and takes all samples at once, so that batch norm,
//! which couples them, needs no other treatment; the matrix itself would be as large as the batch times the width.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::asked::{Asked, ENOUGH_PRODUCTS, products};
use super::capture::{Capture, OpCapture, OpCaptureKind};
use super::frozen::Frozen;
use super::samples::affordable;
use super::values::rms;
use crate::network::PoolKind;
use crate::theory::sampling::standard_normal;

/// Relative standard error of m1 at which there are enough probes.
const ENOUGH: f64 = 0.05;
/// Fewest probes, so that their scatter says something.
const FEWEST: usize = 4;
/// Most probes of one map.
const MOST: usize = 256;
/// The probes are drawn from this seed, so that the same batch gives the same answer.
const SEED: u64 = 0x1AC0_B1A5;

/// Scale and spread of the way between the first layer and the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Jacobian {
    /// Where the way begins: the output of the first layer, or the input of a first residual block.
    pub layer: String,
    /// ln of the RMS that comes back of a random cotangent of RMS 1 at the head: 1/2 ln m1 where widths are equal, nepers.
    pub log_gain: f64,
    /// Standard error of `log_gain` from the number of probes, nepers.
    pub log_gain_error: f64,
    /// What of `log_gain` is only that strides and pooling leave fewer positions, nepers: no loss to the gradient of a weight, which is
    /// a sum over positions.
    pub from_positions: f64,
    /// m2 / m1^2, at least 1.
    pub spread: f64,
    /// Standard error of `spread`, from the scatter of the probes (jackknife).
    pub spread_error: f64,
    /// N / spread for each sample: how many directions would come back, if those that do all came back with the same gain.
    pub directions: f64,
    /// What `spread` would be if each layer lay to the others as by chance: 1 + what the layers add.
    pub independent_spread: f64,
    /// Samples that were probed: all of the batch, or as many as are affordable where nothing couples them.
    pub samples: usize,
    /// Probes of the whole way.
    pub probes: usize,
    /// The same of each layer alone, in forward order; of the first its activation, where its weights are outside.
    pub layers: Vec<LayerJacobian>,
}

/// One layer: what follows a linear operation up to the next one, or one residual block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerJacobian {
    /// Its first operation.
    pub name: String,
    /// As [`Jacobian::log_gain`].
    pub log_gain: f64,
    /// As [`Jacobian::spread`].
    pub spread: f64,
}

/// Scale and spread, from the buffers of one batch; left out where an operation cannot be followed for any direction, or
/// where it would take too long.
pub fn jacobian(capture: &Capture) -> Asked<Jacobian> {
    measured(capture).into()
}

fn measured(capture: &Capture) -> Result<Jacobian, String> {
    let body = &capture.ops()[..capture.head()];
    let first = body.iter().position(OpCapture::begins_layer).ok_or("no layer precedes the head")?;
    let is_block = matches!(body[first].kind, OpCaptureKind::Residual { .. });
    let path = &body[if is_block { first } else { first + 1 }..];
    if path.is_empty() {
        return Err("nothing lies between the first layer and the head".into());
    }
    // The whole way and each layer alone, back and forth.
    let (path, samples) = affordable(path, 4 * FEWEST, capture.batch())?;
    let path = &*path;
    let most = ((ENOUGH_PRODUCTS / (4.0 * products(path).max(1.0))) as usize).clamp(FEWEST, MOST);
    let mut blocks = Vec::new();
    for ops in layers(path) {
        let name = if ops[0].begins_layer() { &ops[0].name } else { &body[first].name };
        let map = Frozen::of(ops)?;
        blocks.push(Block { name, map, values: [ops[0].input.len(), ops[ops.len() - 1].output.len()] });
    }

    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let whole = probed(&blocks, most, &mut rng);
    let whole = whole.ok_or_else(|| format!("nothing finite comes back to {}", body[first].name))?;
    let alone = |block: &Block<'_>| probed(std::slice::from_ref(block), most, &mut rng);
    let alone: Vec<Probed> = blocks
        .iter()
        .map(alone)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("a layer after {} lets nothing through", body[first].name))?;

    let at_end = blocks.last().map_or(1, |block| block.values[1]) as f64;
    let added: f64 =
        blocks.iter().zip(&alone).map(|(block, one)| at_end / block.values[1] as f64 * (one.spread - 1.0)).sum();
    let layer = |(block, one): (&Block<'_>, &Probed)| LayerJacobian {
        name: block.name.to_owned(),
        log_gain: one.log_gain,
        spread: one.spread,
    };
    Ok(Jacobian {
        layer: body[first].name.clone(),
        log_gain: whole.log_gain,
        log_gain_error: whole.log_gain_error,
        from_positions: from_positions(path),
        spread: whole.spread,
        spread_error: whole.spread_error,
        directions: at_end / (samples as f64 * whole.spread),
        independent_spread: 1.0 + added,
        samples,
        probes: whole.probes,
        layers: blocks.iter().zip(&alone).map(layer).collect(),
    })
}

/// ln of the RMS that is left where what comes back is shared among more positions: of one that k positions make by a stride, by
/// their maximum or by the last of them, a k-th of the square; of their mean, which sends the same to all, a k-th of the size. A
/// weight's gradient is a sum over positions, and loses nothing by it.
fn from_positions(path: &[OpCapture]) -> f64 {
    let of = |op: &OpCapture| match &op.kind {
        OpCaptureKind::Convolution { window: Some(window), .. } => -0.5 * fewer(window.grid, window.output()),
        OpCaptureKind::Pool(pool) => {
            let output = pool.window.map_or([1, 1], |window| window.output());
            let each = if pool.pool == PoolKind::Average { -1.0 } else { -0.5 };
            each * fewer([pool.positions, 1], output)
        }
        OpCaptureKind::Residual { branch: way, .. } | OpCaptureKind::Product { ways: [way, _], .. } => {
            from_positions(way)
        }
        _ => 0.0,
    };
    // No negative zero.
    path.iter().map(of).sum::<f64>() + 0.0
}

/// ln of how many positions become one.
fn fewer(before: [usize; 2], after: [usize; 2]) -> f64 {
    let [before, after] = [before, after].map(|grid| grid.iter().product::<usize>() as f64);
    (before / after).ln()
}

/// The operations layer by layer; those before the first layer come as one.
fn layers(ops: &[OpCapture]) -> Vec<&[OpCapture]> {
    let mut starts: Vec<usize> = (1..ops.len()).filter(|&at| ops[at].begins_layer()).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([ops.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &ops[start..end]).collect()
}

struct Block<'a> {
    name: &'a str,
    map: Frozen<'a>,
    /// At its input and at its output.
    values: [usize; 2],
}

/// What probes found out of a map.
struct Probed {
    log_gain: f64,
    log_gain_error: f64,
    spread: f64,
    spread_error: f64,
    probes: usize,
}

/// Probes through these blocks until m1 is known well enough, at most so many; `None` where nothing, or nothing finite,
/// comes back.
fn probed(blocks: &[Block<'_>], most: usize, rng: &mut ChaCha8Rng) -> Option<Probed> {
    let [before, after] = [blocks.first()?.values[0], blocks.last()?.values[1]].map(|values| values as f64);
    // ln |J^T v|^2 / |v|^2 and ln |J J^T v|^2 / |v|^2 of each probe.
    let mut found: Vec<[f64; 2]> = Vec::new();
    loop {
        let v: Vec<f64> = (0..after as usize).map(|_| standard_normal(rng)).collect();
        let (v, _) = unit(v)?;
        let (returned, log_back) = blocks
            .iter()
            .rev()
            .try_fold((v, 0.0), |(g, log), block| unit(block.map.back(&g)).map(|(g, size)| (g, log + size)))?;
        let (_, log_forth) = blocks
            .iter()
            .try_fold((returned, 0.0), |(u, log), block| unit(block.map.forth(&u)).map(|(u, size)| (u, log + size)))?;
        // Sizes are RMS: back and forth the numbers of values cancel.
        found.push([2.0 * log_back + (before / after).ln(), 2.0 * (log_back + log_forth)]);
        let spread = spread(&found, None).max(1.0);
        // The variance of <v, A v> over the unit sphere in N dimensions: 2 (tr A^2 / N - (tr A / N)^2) / (N + 2).
        let error = (2.0 * (spread - 1.0) / ((after + 2.0) * found.len() as f64)).sqrt();
        let probes = found.len();
        if probes >= FEWEST && (error < ENOUGH || probes >= most) {
            return Some(Probed {
                log_gain: 0.5 * (log_mean(&found, 0, None) - (before / after).ln()),
                log_gain_error: 0.5 * error,
                spread,
                spread_error: jackknife(&found),
                probes,
            });
        }
    }
}

/// Values divided by their RMS, and its logarithm: nothing leaves the range of f64 on a long way.
fn unit(mut values: Vec<f64>) -> Option<(Vec<f64>, f64)> {
    let size = rms(&values);
    values.iter_mut().for_each(|value| *value /= size);
    (size > 0.0 && size.is_finite()).then(|| (values, size.ln()))
}

/// ln of the mean over the probes, one of them left out where asked.
fn log_mean(found: &[[f64; 2]], moment: usize, without: Option<usize>) -> f64 {
    let logs = || found.iter().enumerate().filter(|(at, _)| Some(*at) != without).map(|(_, logs)| logs[moment]);
    let largest = logs().fold(f64::NEG_INFINITY, f64::max);
    largest + (logs().map(|log| (log - largest).exp()).sum::<f64>() / logs().count() as f64).ln()
}

fn spread(found: &[[f64; 2]], without: Option<usize>) -> f64 {
    (log_mean(found, 1, without) - 2.0 * log_mean(found, 0, without)).exp()
}

/// Standard error of the spread: (n - 1) / n times the sum of squared deviations of the values with one probe left out.
fn jackknife(found: &[[f64; 2]]) -> f64 {
    let count = found.len() as f64;
    let left: Vec<f64> = (0..found.len()).map(|without| spread(found, Some(without))).collect();
    let mean = left.iter().sum::<f64>() / count;
    (left.iter().map(|value| (value - mean).powi(2)).sum::<f64>() * (count - 1.0) / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::values::dot;
    use crate::rules::fixture::Bench;

    /// Moments of the whole matrix, row by row: what comes back of each unit vector, and what goes forth of that.
    fn explicit(path: &[OpCapture]) -> [f64; 2] {
        let map = Frozen::of(path).unwrap();
        let values = path.last().unwrap().output.len();
        let mut sums = [0.0; 2];
        for at in 0..values {
            let mut one = vec![0.0; values];
            one[at] = 1.0;
            let back = map.back(&one);
            let forth = map.forth(&back);
            sums = [sums[0] + dot(&back, &back), sums[1] + dot(&forth, &forth)];
        }
        sums.map(|sum| sum / values as f64)
    }

    #[test]
    fn probes_measure_the_moments_of_the_matrix() {
        for more in [
            "init = \"he-normal\"",
            "norm = \"batch\"",
            "norm = \"layer\"\nactivation = \"tanh\"",
            "kind = \"residual\"\nnorm = \"batch\"",
            "kind = \"residual\"\nbranch_scale = \"depth\"",
        ] {
            let recipe = format!("[data]\nbatch = 8\n[network]\ndepth = 5\nwidth = 16\n{more}\n");
            let capture = Bench::new(&recipe).capture;
            let found = measured(&capture).unwrap();
            let [m1, m2] = explicit(&capture.ops()[1..capture.head()]);
            // Five standard errors, as they are reported.
            let apart = (found.log_gain - 0.5 * m1.ln()) / found.log_gain_error;
            assert!(apart.abs() < 5.0 && found.log_gain_error <= 0.5 * ENOUGH, "{more}: {apart} errors, {found:?}");
            let apart = (found.spread - m2 / (m1 * m1)) / found.spread_error;
            assert!(apart.abs() < 5.0, "{more}: {apart} errors, {found:?}");
            assert_eq!(measured(&capture).unwrap(), found, "the same batch gives the same answer");
        }
    }

    #[test]
    fn what_is_asked_in_vain_is_told() {
        let asked = |recipe: &str| measured(&Bench::new(recipe).capture).unwrap_err();
        assert_eq!(
            asked("[network]\nkind = \"mlp\"\ndepth = 5\nwidth = 8\ninit = \"zeros\"\n"),
            "nothing finite comes back to fc1"
        );
        let dear = asked("[data]\nbatch = 64\n[network]\ndepth = 8\nwidth = 1200\nnorm = \"batch\"\n");
        assert!(dear.starts_with("16 more ways back would take 1.064e10 products"), "{dear}");
    }

    #[test]
    fn where_samples_are_alone_fewer_do() {
        let recipe = "[data]\nbatch = 64\n[network]\ndepth = 8\nwidth = 400\ninit = \"he-normal\"\n";
        let found = measured(&Bench::new(recipe).capture).unwrap();
        // 16 ways through 7 matrices of 400 x 400, and 32 products for each of their weights.
        assert_eq!(found.samples, 53, "{found:?}");
        assert!((found.directions - 400.0 / found.spread).abs() < 1e-9, "{found:?}");
    }
}
