//! Operations on one batch as a linear map that can be applied both ways: the forward pass is what it was, small changes of
//! the input go forth through it, cotangents come back through its transpose.

use super::back::{Through, back};
use super::capture::{OpCapture, OpCaptureKind};
use super::convolution::Patches;
use super::ways::{End, Way, scaled, ways};
use super::{Values, attention, linear, norm, pool, qk_norm};

/// The Jacobian of some operations that follow one another, and its transpose. Buffers are `[rows, features]` of all
/// samples: batch norm couples them.
pub(super) struct Frozen<'a> {
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Chain { forth: Through<'a>, back: Through<'a> },
    Sum(Vec<(End, Frozen<'a>)>),
}

impl<'a> Frozen<'a> {
    /// For these operations in forward order.
    ///
    /// # Errors
    /// The operation that buffers alone do not tell, as a sentence.
    pub(super) fn of(ops: &'a [OpCapture]) -> Result<Self, String> {
        Ok(Self { steps: ops.iter().map(Step::of).collect::<Result<_, _>>()? })
    }

    /// J^T g.
    pub(super) fn back(&self, g: &[f64]) -> Vec<f64> {
        self.steps.iter().rev().fold(g.to_vec(), |g, step| match step {
            Step::Chain { back, .. } => back(&g),
            Step::Sum(ways) => sum(ways.iter().map(|(end, way)| way.back(&end.take(&g)))),
        })
    }

    /// J u.
    pub(super) fn forth(&self, u: &[f64]) -> Vec<f64> {
        self.steps.iter().fold(u.to_vec(), |u, step| match step {
            Step::Chain { forth, .. } => forth(&u),
            Step::Sum(ways) => sum(ways.iter().map(|(end, way)| end.give(&way.forth(&u)))),
        })
    }
}

impl<'a> Step<'a> {
    fn of(op: &'a OpCapture) -> Result<Self, String> {
        if let Some(ways) = ways(op) {
            let frozen = |way: Way<'a>| Ok((way.end, Frozen::of(way.ops)?));
            let all = std::iter::once(ways.branch).chain(ways.past);
            return Ok(Self::Sum(all.map(frozen).collect::<Result<_, String>>()?));
        }
        let both = forth(op).zip(back(op));
        let (forth, back) =
            both.ok_or_else(|| format!("{} ({}) cannot be followed for any direction", op.name, op.kind_name()))?;
        Ok(Self::Chain { forth, back })
    }
}

/// u to J u; `None` where [`back`] has no answer either, and for residual operations.
fn forth(op: &OpCapture) -> Option<Through<'_>> {
    match &op.kind {
        OpCaptureKind::Linear { weight, units, .. } => linear::forth(weight, *units, op),
        OpCaptureKind::Norm { norm, gamma, eps, groups, samples, ratio } => {
            // Without gamma the map is symmetric: what is taken out is a projection, and sigma is one number for each group.
            let statistics = norm::Statistics::new(*norm, *eps, *groups, *samples, ratio.as_ref());
            let ones = Values::from(vec![1.0; gamma.len()]);
            Some(Box::new(move |u| scaled(&norm::back(&statistics, &ones, op, u), &gamma.to_f64())))
        }
        // Products with numbers are their own transposes.
        OpCaptureKind::Activation(_) | OpCaptureKind::AuxiliaryHead { .. } | OpCaptureKind::Other { .. } => back(op),
        OpCaptureKind::Convolution { weight, window, .. } => {
            let patches = Patches::of(weight, (*window)?, op);
            Some(Box::new(move |u| patches.forth(u)))
        }
        OpCaptureKind::Pool(pool) => {
            let links = pool::links(pool, op);
            Some(Box::new(move |u| pool::forth(&links, op, u)))
        }
        OpCaptureKind::QkNorm { gammas, eps } => Some(Box::new(move |u| qk_norm::forth(gammas, *eps, op, u))),
        OpCaptureKind::Attention { attention, .. } => {
            let heads = attention::Heads::of(attention.as_ref()?, op);
            Some(Box::new(move |u| heads.forth(u)))
        }
        OpCaptureKind::Residual { .. } | OpCaptureKind::Recurrent { .. } => None,
    }
}

fn sum(terms: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let added = |mut sum: Vec<f64>, term: Vec<f64>| {
        sum.iter_mut().zip(term).for_each(|(sum, value)| *sum += value);
        sum
    };
    terms.reduce(added).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::values::dot;
    use crate::network::{Attention, Pool, PoolKind, Window};
    use crate::rules::fixture::Bench;

    /// <J u, v> = <u, J^T v>, and what comes back is what was measured.
    #[test]
    fn both_ways_are_transposes_of_one_another() {
        for more in [
            "activation = \"tanh\"",
            "norm = \"batch\"\nactivation = \"gelu\"",
            "norm = \"layer\"",
            "kind = \"residual\"\nnorm = \"batch\"",
            "kind = \"residual\"\nnorm = \"rms\"\nbranch_scale = \"depth\"",
            "kind = \"residual\"\ngate_bias = -1.0",
            "kind = \"residual\"\ngrowth = 5\nnorm = \"layer\"",
        ] {
            let bench = Bench::new(&format!("[network]\ndepth = 6\nwidth = 24\n{more}\n"));
            let body = &bench.capture.ops()[..bench.capture.head()];
            let map = Frozen::of(body).unwrap();
            let (first, last) = (&body[0], body.last().unwrap());
            let wave = |count: usize, pace: f64| (0..count).map(|at| (pace * at as f64).sin()).collect::<Vec<f64>>();
            let (u, v) = (wave(first.input.len(), 0.7), wave(last.output.len(), 1.3));
            let (one, other) = (dot(&map.forth(&u), &v), dot(&u, &map.back(&v)));
            assert!((one - other).abs() < 1e-10 * one.abs().max(1e-3), "{more}: {one} and {other}");
            let found = map.back(&last.cotangent_out.to_f64());
            let measured = first.cotangent_in.to_f64();
            let apart: Vec<f64> = found.iter().zip(measured.iter()).map(|(a, b)| a - b).collect();
            assert!(dot(&apart, &apart) < 1e-20 * dot(&measured, &measured), "{more}");
        }
    }

    /// <J u, v> = <u, J^T v>, and J u is what the output changes by; of made-up buffers with this input.
    fn is_a_derivative(
        kind: OpCaptureKind,
        rows: [usize; 2],
        features: [usize; 2],
        output: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        let wave = |count: usize, pace: f64| (0..count).map(|at| (pace * at as f64).sin()).collect::<Vec<f64>>();
        let [before, after] = [0, 1].map(|end| rows[end] * features[end]);
        let (input, u, v) = (wave(before, 1.7), wave(before, 0.7), wave(after, 1.3));
        let values = |values: &[f64]| Values::from(values.to_vec());
        let op = OpCapture {
            name: "op".into(),
            rows: rows[1],
            kind,
            output: values(&output(&input)),
            input: values(&input),
            cotangent_in: values(&u),
            cotangent_out: values(&v),
        };
        assert_eq!(op.output.len(), after);
        let map = Frozen::of(std::slice::from_ref(&op)).unwrap();
        let forth = map.forth(&u);
        let (one, other) = (dot(&forth, &v), dot(&u, &map.back(&v)));
        assert!((one - other).abs() < 1e-12 * dot(&forth, &forth).max(1.0), "{one} and {other}");
        let step = 1e-5;
        let at = |sign: f64| output(&input.iter().zip(&u).map(|(x, u)| x + sign * step * u).collect::<Vec<f64>>());
        for ((up, down), found) in at(1.0).iter().zip(at(-1.0)).zip(&forth) {
            assert!(((up - down) / (2.0 * step) - found).abs() < 1e-8, "{up} {down} {found}");
        }
    }

    #[test]
    fn convolutions_pools_and_attention_are_followed_too() {
        let numbers = |count: usize| (0..count).map(|at| (0.9 * at as f64).cos()).collect::<Vec<f64>>();
        let window = Window { grid: [3, 4], size: [3, 2], stride: [2, 1], padding: [1, 0] };
        let weight = numbers(6 * 2 * 5);
        let of_weight = || Values::from(weight.clone());
        let kind =
            OpCaptureKind::Convolution { weight: of_weight(), weight_gradient: of_weight(), window: Some(window) };
        // Two samples of 12 positions with two channels, to 6 positions with five.
        is_a_derivative(kind, [24, 12], [2, 5], |x| {
            let value = |sample: usize, patch: usize, out: usize| {
                let taps = window.patches()[patch * 6..][..6].to_vec();
                let of_tap = |(tap, at): (usize, Option<usize>)| {
                    let of = |channel: usize| {
                        Some(x[(sample * 12 + at?) * 2 + channel] * weight[(tap * 2 + channel) * 5 + out])
                    };
                    (0..2).filter_map(of).sum::<f64>()
                };
                taps.into_iter().enumerate().map(of_tap).sum::<f64>()
            };
            (0..2 * 6 * 5).map(|at| value(at / 30, at / 5 % 6, at % 5)).collect()
        });
        for pool in [PoolKind::Max, PoolKind::Average, PoolKind::Last] {
            let window = (pool != PoolKind::Last).then_some(window);
            let pool = Pool { pool, window, positions: 12 };
            let groups = pool.groups();
            let rows = 2 * groups.len();
            is_a_derivative(OpCaptureKind::Pool(pool.clone()), [24, rows], [2, 2], |x| {
                let one = |at: usize| {
                    let (sample, group) = (at / 2 / groups.len(), &groups[at / 2 % groups.len()]);
                    let values = group.iter().map(|position| x[(sample * 12 + position) * 2 + at % 2]);
                    match pool.pool {
                        PoolKind::Max => values.fold(f64::NEG_INFINITY, f64::max),
                        _ => values.sum::<f64>() / group.len() as f64,
                    }
                };
                (0..2 * rows).map(one).collect()
            });
        }
        let gammas = [numbers(3), numbers(4)[1..].to_vec()];
        let kind = OpCaptureKind::QkNorm { gammas: gammas.clone().map(Values::from), eps: 0.01 };
        is_a_derivative(kind, [2, 2], [18, 18], |x| {
            let one = |(index, x): (usize, &[f64])| {
                let size = (dot(x, x) / 3.0 + 0.01).sqrt();
                let gamma = gammas.get(index / 2 % 3);
                x.iter().enumerate().map(|(at, x)| gamma.map_or(*x, |gamma| x * gamma[at] / size)).collect::<Vec<f64>>()
            };
            x.chunks_exact(3).enumerate().flat_map(one).collect()
        });
        for (causal, rotary, logit_cap) in [(false, false, None), (true, true, None), (true, false, Some(0.8))] {
            let attention = Attention { features: 8, heads: 2, steps: 3, causal, rotary, logit_cap };
            let kind = OpCaptureKind::Attention { features: [8; 3], attention: Some(attention) };
            is_a_derivative(kind, [6, 6], [24, 8], |x| attended(&attention, x));
        }
    }

    /// Attention of two samples, number by number.
    fn attended(attention: &Attention, x: &[f64]) -> Vec<f64> {
        let turns = attention.turns();
        let part = |row: usize, part: usize, at: usize| {
            let get = |at: usize| x[row * 24 + part * 8 + at];
            let (head, place) = (at / 4 * 4, at % 4);
            if !attention.rotary || part == 2 {
                return get(at);
            }
            let [cosine, sine] = turns[row % 3 * 2 + place % 2];
            let (a, b) = (get(head + place % 2), get(head + place % 2 + 2));
            if place < 2 { cosine * a - sine * b } else { sine * a + cosine * b }
        };
        let value = |index: usize| {
            let (row, at) = (index / 8, index % 8);
            let (first, head) = (row / 3 * 3, at / 4 * 4);
            let seen = if attention.causal { first..row + 1 } else { first..first + 3 };
            let weight = |other: usize| {
                let logit = (head..head + 4).map(|at| part(row, 0, at) * part(other, 1, at)).sum::<f64>() / 2.0;
                attention.logit_cap.map_or(logit, |cap| cap * (logit / cap).tanh()).exp()
            };
            let total: f64 = seen.clone().map(weight).sum();
            seen.map(|other| weight(other) * part(other, 2, at)).sum::<f64>() / total
        };
        (0..48).map(value).collect()
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let values = |count: usize| Values::from(vec![1.0_f64; count]);
        let op = OpCapture {
            name: "conv2".into(),
            rows: 4,
            kind: OpCaptureKind::Convolution { weight: values(6), weight_gradient: values(6), window: None },
            input: values(4),
            output: values(8),
            cotangent_in: values(4),
            cotangent_out: values(8),
        };
        let error = Frozen::of(std::slice::from_ref(&op)).err().unwrap();
        assert_eq!(error, "conv2 (convolution) cannot be followed for any direction");
    }
}
