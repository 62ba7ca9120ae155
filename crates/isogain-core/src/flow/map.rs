//! One operation as a linear map, from its buffers alone, the forward pass being what it was: small changes of its input go forth
//! through it, cotangents come back through its transpose.

use std::borrow::Cow;

use super::capture::{OpCapture, OpCaptureKind};
use super::convolution::Patches;
use super::unrolled::Unrolled;
use super::values::rms;
use super::{Values, attention, linear, norm, pool, product, qk_norm};
use crate::conservation::Units;

/// Largest deviation, relative to the cotangent, of what counts as a product with one number: rounding in f32 leaves 1e-7.
const SAME: f64 = 1e-5;

/// Size of what rounding adds, relative to what is given; that of 16-bit numbers included.
const ADDED: f64 = 0.01;

/// J of one operation on one batch.
pub(super) trait Map {
    /// J u: a small change of the input to that of the output.
    fn forth(&self, u: &[f64]) -> Vec<f64>;
    /// J^T g: a cotangent at the output to that at the input.
    fn back(&self, g: &[f64]) -> Vec<f64>;
}

/// `None` for an operation whose buffers do not tell it (most of what is taken whole, weights in an unknown order)
/// and for a residual one, which is a sum of two ways.
pub(super) fn map(op: &OpCapture) -> Option<Box<dyn Map + '_>> {
    match &op.kind {
        OpCaptureKind::Linear { weight, units, .. } => Some(Box::new(linear::Product::of(weight, *units, op)?)),
        OpCaptureKind::Convolution { weight, window, .. } => Some(Box::new(Patches::of(weight, (*window)?, op))),
        OpCaptureKind::Activation(activation) => {
            let slopes = op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
            Some(Box::new(Diagonal(slopes)))
        }
        OpCaptureKind::Norm { norm, gamma, eps, groups, samples, ratio } => {
            let statistics = norm::Statistics::new(*norm, *eps, *groups, *samples, ratio.as_ref());
            Some(Box::new(norm::Normalisation::of(statistics, gamma, op)))
        }
        OpCaptureKind::Mask => Some(Box::new(Diagonal(factors(op)))),
        OpCaptureKind::Pool(pool) => Some(Box::new(pool::Links::of(pool, op))),
        OpCaptureKind::QkNorm { gammas, eps } => Some(Box::new(qk_norm::HeadNorms { gammas, eps: *eps, op })),
        OpCaptureKind::Attention { features, attention, dropped } => {
            Some(Box::new(attention::Heads::of(attention.as_ref()?, *features, dropped.as_ref(), op)))
        }
        OpCaptureKind::Product { ways, .. } => Some(Box::new(product::Product::of(ways)?)),
        // Its head adds a cotangent that depends on none.
        OpCaptureKind::AuxiliaryHead { .. } => Some(Box::new(Factor(1.0))),
        OpCaptureKind::Other { weighted: false } => Some(Box::new(Factor(one_number(op)?))),
        OpCaptureKind::Recurrent { recurrence, .. } => Some(Box::new(Unrolled::of(recurrence.as_ref()?, op))),
        OpCaptureKind::Residual { .. } | OpCaptureKind::Other { .. } => None,
    }
}

/// Whether these operations can be followed for any direction; nothing is prepared for it, which of a long sequence takes gigabytes.
pub(super) fn are_known(ops: &[OpCapture]) -> bool {
    ops.iter().all(|op| match &op.kind {
        OpCaptureKind::Linear { units, .. } => *units != Units::Unknown,
        OpCaptureKind::Convolution { window, .. } => window.is_some(),
        OpCaptureKind::Attention { attention, .. } => attention.is_some(),
        OpCaptureKind::Residual { .. } | OpCaptureKind::Product { .. } => op.ways().into_iter().all(are_known),
        OpCaptureKind::Other { weighted } => !weighted && one_number(op).is_some(),
        OpCaptureKind::Recurrent { recurrence, .. } => recurrence.is_some(),
        OpCaptureKind::Activation(_)
        | OpCaptureKind::Norm { .. }
        | OpCaptureKind::Mask
        | OpCaptureKind::Pool(_)
        | OpCaptureKind::QkNorm { .. }
        | OpCaptureKind::AuxiliaryHead { .. } => true,
    })
}

/// Every value times a number of its own.
struct Diagonal(Vec<f64>);

impl Map for Diagonal {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        u.iter().zip(&self.0).map(|(u, factor)| u * factor).collect()
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        self.forth(g)
    }
}

/// Every value times the same number.
struct Factor(f64);

impl Map for Factor {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        u.iter().map(|u| self.0 * u).collect()
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        self.forth(g)
    }
}

/// What a mask multiplies each value with, which it shows in the values, or where these are zero in the cotangents.
fn factors(op: &OpCapture) -> Vec<f64> {
    let (ways, back) = ([&op.output, &op.input], [&op.cotangent_in, &op.cotangent_out]);
    let [forth, back] = [ways, back].map(|ways| ways.map(Values::to_f64));
    let quotient =
        |[result, given]: &[Cow<'_, [f64]>; 2], at: usize| (given[at] != 0.0).then(|| result[at] / given[at]);
    // Where nothing goes forth and nothing comes back, nobody sees it.
    (0..op.input.len()).map(|at| quotient(&forth, at).or_else(|| quotient(&back, at)).unwrap_or(0.0)).collect()
}

/// The number that an operation of an unknown kind multiplies every value with, which its two cotangents show, and its values: a
/// scale, a new shape, dropout that is switched off, or what adds the same to every sample.
fn one_number(op: &OpCapture) -> Option<f64> {
    let (before, after) = (op.cotangent_in.to_f64(), op.cotangent_out.to_f64());
    let size = rms(&after);
    if before.len() != after.len() || !(size > 0.0 && size.is_finite()) {
        return None;
    }
    let mean = |of: &dyn Fn(f64, f64) -> f64| {
        before.iter().zip(after.iter()).map(|(b, a)| of(b / size, a / size)).sum::<f64>() / after.len() as f64
    };
    let factor = mean(&|b, a| b * a);
    let apart = mean(&|b, a| (b - factor * a).powi(2)).sqrt();
    (apart <= SAME * factor.abs() && adds_the_same(op, factor)).then_some(factor)
}

/// Whether what an operation gives beyond its input times a number is nothing, or the same for every sample: of cotangents that
/// all positions share, a mean over positions or another order makes the same as a number does.
fn adds_the_same(op: &OpCapture, factor: f64) -> bool {
    let (input, output) = (op.input.to_f64(), op.output.to_f64());
    let added: Vec<f64> = output.iter().zip(input.iter()).map(|(y, x)| y - factor * x).collect();
    let least = ADDED * rms(&output).max(factor.abs() * rms(&input));
    if !(least.is_finite() && rms(&added) > least) {
        return true;
    }
    // How many samples there are nobody says: one of the prime numbers of rows is a number of them.
    let repeats = |parts: usize| {
        let (first, all) = (&added[..added.len() / parts], added.chunks_exact(added.len() / parts));
        let apart: Vec<f64> = all.flat_map(|part| part.iter().zip(first).map(|(a, b)| a - b)).collect();
        rms(&apart) <= least
    };
    primes(op.rows).into_iter().any(repeats)
}

/// The different prime factors of a number.
fn primes(mut number: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut divisor = 2;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            found.push(divisor);
            while number.is_multiple_of(divisor) {
                number /= divisor;
            }
        }
        divisor += 1;
    }
    found.extend((number > 1).then_some(number));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::unrolled::{Direction, Recurrence, StateRule};
    use crate::flow::values::dot;
    use crate::network::{Attention, Oscillator, Pool, PoolKind, Window};
    use crate::theory::activations::Activation;

    fn whole(before: &[f64], after: &[f64]) -> OpCapture {
        let values = |values: &[f64]| Values::from(values.to_vec());
        OpCapture {
            name: "mul".into(),
            rows: 1,
            kind: OpCaptureKind::Other { weighted: false },
            input: values(after),
            output: values(before),
            cotangent_in: values(before),
            cotangent_out: values(after),
        }
    }

    /// A cotangent that two rows share comes back the same through a mean over both as through nothing at all.
    #[test]
    fn what_mixes_rows_is_no_number() {
        let op = |rows, input: &[f64], output: &[f64]| OpCapture {
            rows,
            input: Values::from(input.to_vec()),
            output: Values::from(output.to_vec()),
            ..whole(&vec![1.0; input.len()], &vec![1.0; input.len()])
        };
        assert!(map(&op(2, &[1.0, 2.0], &[1.5, 1.5])).is_none());
        assert!(map(&op(2, &[1.0, 2.0], &[2.0, 1.0])).is_none());
        // Two samples of three positions, and what is added to each position.
        let added = [1.0, 2.0, 3.0, 1.5, 2.5, 3.0];
        assert!(map(&op(6, &[0.0, 0.5, 0.25, 0.5, 1.0, 0.25], &added)).is_some());
        assert!(map(&op(6, &[0.0, 0.5, 0.25, 0.5, 1.0, 0.0], &added)).is_none());
        assert_eq!([primes(12), primes(97), primes(1)], [vec![2, 3], vec![97], vec![]]);
    }

    #[test]
    fn a_product_with_one_number_is_known_by_its_cotangents() {
        for scale in [1.0, 1e-200] {
            let found = whole(&[-1.0, 2.0, 0.5].map(|g| scale * g), &[2.0, -4.0, -1.0].map(|g| scale * g));
            let back = map(&found).unwrap().back(&[3.0, 0.0, 8.0]);
            // The number is a quotient of sums.
            assert!(back.iter().zip([-1.5, 0.0, -4.0]).all(|(g, expected)| (g - expected).abs() < 1e-14), "{back:?}");
        }
        // A mask, another order, a part: not one number.
        for (before, after) in [([1.0, 0.0, 3.0], [1.0, 2.0, 3.0]), ([2.0, 1.0, 3.0], [1.0, 2.0, 3.0])] {
            let op = whole(&before, &after);
            assert!(map(&op).is_none() && !are_known(&[op]));
        }
        assert!(map(&whole(&[1.0], &[1.0, 2.0])).is_none() && map(&whole(&[0.0; 2], &[0.0; 2])).is_none());
        // Zero times a gradient is zero.
        assert_eq!(map(&whole(&[0.0; 2], &[1.0, 2.0])).unwrap().back(&[1.0, 1.0]), [0.0, 0.0]);
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
        assert!(are_known(std::slice::from_ref(&op)));
        let map = map(&op).unwrap();
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
        let of_neighbours = Window::of_neighbours();
        let window = Window { grid: [3, 4], size: [3, 2], stride: [2, 1], padding: [1, 0], dilation: of_neighbours };
        let apart = Window { padding: [2, 1], dilation: [2, 3], ..window };
        // Two samples of 12 positions with channels in so many groups, to 6 positions.
        for (window, groups, [of_group, out_of_group]) in
            [(window, 1, [2, 5]), (apart, 1, [2, 5]), (window, 3, [2, 2]), (apart, 4, [1, 1])]
        {
            let (channels, channels_out) = (groups * of_group, groups * out_of_group);
            let weight = numbers(6 * of_group * channels_out);
            let of_weight = || Values::from(weight.clone());
            let kind =
                OpCaptureKind::Convolution { weight: of_weight(), weight_gradient: of_weight(), window: Some(window) };
            is_a_derivative(kind, [24, 12], [channels, channels_out], |x| {
                let value = |sample: usize, patch: usize, out: usize| {
                    let taps = window.patches()[patch * 6..][..6].to_vec();
                    let first = out / out_of_group * of_group;
                    let of_tap = |(tap, at): (usize, Option<usize>)| {
                        let of = |channel: usize| {
                            let x = x[(sample * 12 + at?) * channels + first + channel];
                            Some(x * weight[(tap * of_group + channel) * channels_out + out])
                        };
                        (0..of_group).filter_map(of).sum::<f64>()
                    };
                    taps.into_iter().enumerate().map(of_tap).sum::<f64>()
                };
                let of_sample = 6 * channels_out;
                (0..2 * of_sample).map(|at| value(at / of_sample, at / channels_out % 6, at % channels_out)).collect()
            });
        }
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
            let kind = |features| OpCaptureKind::Attention { features, attention: Some(attention), dropped: None };
            is_a_derivative(kind([8; 3]), [6, 6], [24, 8], |x| attended(&attention, &[], x));
            // Some weights are dropped, by other masks for each head of each sample.
            let mask: Vec<f64> = (0..36).map(|at| if at * at % 5 == 1 { 0.0 } else { 1.5 }).collect();
            let dropped = Some(Values::from(mask.clone()));
            let kind_of_dropped = OpCaptureKind::Attention { features: [8; 3], attention: Some(attention), dropped };
            is_a_derivative(kind_of_dropped, [6, 6], [24, 8], |x| attended(&attention, &mask, x));
            // Two heads that share keys and values: as if each had the same.
            is_a_derivative(kind([8, 4, 4]), [6, 6], [16, 8], |x| {
                let row = |row: &[f64]| [&row[..8], &row[8..12], &row[8..12], &row[12..], &row[12..]].concat();
                attended(&attention, &[], &x.chunks_exact(16).flat_map(row).collect::<Vec<f64>>())
            });
        }
    }

    #[test]
    fn a_product_is_followed_through_both_of_its_ways() {
        let input = (0..6).map(|at| (1.7 * f64::from(at)).sin()).collect::<Vec<f64>>();
        let [tanh, gelu] = ["tanh", "gelu"].map(|name| Activation::named(name).unwrap());
        let way = |phi: Activation| {
            let values = |values: &[f64]| Values::from(values.to_vec());
            let output = input.iter().map(|&x| phi.value(x)).collect::<Vec<f64>>();
            vec![OpCapture {
                name: phi.to_string(),
                rows: 2,
                kind: OpCaptureKind::Activation(phi),
                output: values(&output),
                input: values(&input),
                cotangent_in: values(&input),
                cotangent_out: values(&input),
            }]
        };
        let kind = OpCaptureKind::Product { ways: [way(tanh), way(gelu)], weighted: false };
        is_a_derivative(kind, [2, 2], [3, 3], |x| x.iter().map(|&x| tanh.value(x) * gelu.value(x)).collect());
    }

    /// Two samples of three steps through a recurrent layer in both directions, number by number.
    #[test]
    fn recurrences_are_followed_step_by_step() {
        let [tanh, gelu] = ["tanh", "gelu"].map(|name| Activation::named(name).unwrap());
        let oscillator = Oscillator { step: 0.3, stiffness: 0.7, damping: 0.4 };
        let log_decay = vec![-1.5, 0.2];
        for rule in [
            StateRule::Plain(gelu),
            StateRule::Euler { activation: tanh, step: 0.2 },
            StateRule::Diagonal { activation: gelu, log_decay: Values::from(log_decay) },
            StateRule::Oscillating { activation: tanh, oscillator },
            StateRule::Lstm,
            StateRule::Gru,
        ] {
            let (units, width, states) = (2, 2 * rule.blocks(), rule.states());
            let numbers = |count: usize, pace: f64| (0..count).map(|at| (pace * at as f64).cos()).collect::<Vec<f64>>();
            let direction = |is_backward: bool| {
                let shift = if is_backward { 0.3 } else { 0.0 };
                Direction {
                    weight: Values::from(numbers(3 * width, 0.9 + shift)),
                    hidden_weight: Values::from(numbers(rule.read_states() * units * width, 1.1 + shift)),
                    biases: [0.5, 0.8].map(|pace| Values::from(numbers(width, pace))),
                    start: Values::from(numbers(2 * states * units, 0.7 + shift)),
                    is_backward,
                }
            };
            let directions = vec![direction(false), direction(true)];
            let recurrence = Recurrence { rule: rule.clone(), steps: 3, directions: directions.clone() };
            let kind = OpCaptureKind::Recurrent { states: Vec::new(), paths: Vec::new(), recurrence: Some(recurrence) };
            is_a_derivative(kind, [6, 6], [3, 2 * units], |x| {
                let mut output = vec![0.0; 6 * 2 * units];
                for (way, direction) in directions.iter().enumerate() {
                    for sample in 0..2 {
                        let start = direction.start.to_f64();
                        let mut state = start[sample * states * units..][..states * units].to_vec();
                        for turn in 0..3 {
                            let row = sample * 3 + if direction.is_backward { 2 - turn } else { turn };
                            state = next_state(&rule, direction, &x[row * 3..][..3], &state);
                            output[row * 2 * units + way * units..][..units].copy_from_slice(&state[..units]);
                        }
                    }
                }
                output
            });
        }
    }

    /// As [`crate::network::Cell`] has it, for two units.
    fn next_state(rule: &StateRule, direction: &Direction, x: &[f64], state: &[f64]) -> Vec<f64> {
        let width = 2 * rule.blocks();
        let times = |values: &[f64], weight: &Values, bias: &Values, column: usize| {
            let weight = weight.to_f64();
            let rows = weight.chunks_exact(width).zip(values);
            rows.map(|(row, value)| row[column] * value).sum::<f64>() + bias.to_f64()[column]
        };
        let of_input = |column: usize| times(x, &direction.weight, &direction.biases[0], column);
        let of_state = |column: usize| times(state, &direction.hidden_weight, &direction.biases[1], column);
        let read = |column: usize| of_input(column) + of_state(column);
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let of_units = |next: &dyn Fn(usize) -> f64| (0..2).map(next).collect::<Vec<f64>>();
        match rule {
            StateRule::Plain(phi) => of_units(&|unit| phi.value(read(unit))),
            StateRule::Euler { activation, step } => {
                of_units(&|unit| state[unit] + step * activation.value(read(unit)))
            }
            StateRule::Diagonal { activation, log_decay } => of_units(&|unit| {
                let kept = (-log_decay.to_f64()[unit].exp()).exp();
                kept * state[unit] + (1.0 - kept * kept).sqrt() * activation.value(read(unit))
            }),
            StateRule::Oscillating { activation, oscillator: Oscillator { step, stiffness, damping } } => {
                let velocity = of_units(&|unit| {
                    let [y, z] = [state[unit], state[2 + unit]];
                    z + step * (activation.value(read(unit)) - stiffness * y - damping * z)
                });
                [of_units(&|unit| state[unit] + step * velocity[unit]), velocity].concat()
            }
            StateRule::Lstm => {
                let cell = of_units(&|unit| {
                    logistic(read(2 + unit)) * state[2 + unit] + logistic(read(unit)) * read(4 + unit).tanh()
                });
                [of_units(&|unit| logistic(read(6 + unit)) * cell[unit].tanh()), cell].concat()
            }
            StateRule::Gru => of_units(&|unit| {
                let [reset, update] = [unit, 2 + unit].map(|column| logistic(read(column)));
                let candidate = (of_input(4 + unit) + reset * of_state(4 + unit)).tanh();
                (1.0 - update) * candidate + update * state[unit]
            }),
        }
    }

    /// Attention of two samples, number by number.
    fn attended(attention: &Attention, mask: &[f64], x: &[f64]) -> Vec<f64> {
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
            let kept = |other: usize| {
                let head = first / 3 * 2 + at / 4;
                mask.get(head * 9 + row % 3 * 3 + other % 3).copied().unwrap_or(1.0)
            };
            seen.map(|other| kept(other) * weight(other) * part(other, 2, at)).sum::<f64>() / total
        };
        (0..48).map(value).collect()
    }
}
