//! Softmax attention: what goes back through the values, and what through queries and keys, past the softmax.
//!
//! The input is [q, k, v], and so is its cotangent: |g_in|^2 = |dq|^2 + |dk|^2 + |dv|^2 exactly, whatever happens to
//! queries and keys before they are compared (rotation, a norm of their own). The values' part is told
//! as if they were alone, the others as what they add:
//! ln(rms g_in / rms g) = ln(rms dv / rms g) + 1/2 ln(1 + |dq|^2 / |dv|^2) + 1/2 ln(1 + |dk|^2 / (|dv|^2 + |dq|^2)),
//! the first with dv spread over the three parts of the input.

use std::ops::Range;

use super::capture::OpCapture;
use super::map::Map;
use super::values::{dot, rms};
use super::ways::scaled;
use super::{Cause, Part, Values};
use crate::matmul::{product, transpose};
use crate::network::Attention;

/// Values, queries, keys; `features` are those of queries, keys and values in a row of the input.
pub(super) fn split(features: [usize; 3], op: &OpCapture, gain: f64) -> Vec<Part> {
    let cotangent = op.cotangent_in.to_f64();
    let all: usize = features.iter().sum();
    // Root of the energy over that of one number in each row.
    let part = |place: usize| -> f64 {
        let from: usize = features[..place].iter().sum();
        let rows = cotangent.chunks_exact(all.max(1));
        let values = rows.flat_map(|row| row[from..][..features[place]].iter().copied()).collect::<Vec<f64>>();
        rms(&values) * (features[place] as f64).sqrt()
    };
    let (query, key, value) = (part(0), part(1), part(2));
    let queries = (query / value).powi(2).ln_1p() / 2.0;
    let keys = (key / value.hypot(query)).powi(2).ln_1p() / 2.0;
    if !(queries.is_finite() && keys.is_finite()) {
        return vec![Part { cause: Cause::ValuePath, log_gain: gain }];
    }
    vec![
        Part { cause: Cause::ValuePath, log_gain: gain - queries - keys },
        Part { cause: Cause::QueryPath, log_gain: queries },
        Part { cause: Cause::KeyPath, log_gain: keys },
    ]
}

/// Attention as a linear map, the weights P = softmax(Q K^T / sqrt d) being what they were, with O = P V:
/// dS = dQ K^T + Q dK^T, dP = P (dS - rowsum(P dS)), dO = dP V + P dV, and the transpose of that. Slopes of a bound on the
/// logits multiply dS. Rotary positions turn Q and K by an orthogonal matrix. Dropout multiplies P, and dP behind the softmax, with
/// its mask.
pub(super) struct Heads {
    attention: Attention,
    /// Of queries, keys and values in a row of the input; several heads may share keys and values.
    features: [usize; 3],
    /// Head by head, sample by sample.
    heads: Vec<Head>,
    turns: Vec<[f64; 2]>,
}

/// One head of one sample.
struct Head {
    /// `[steps, width]` each, queries and keys turned.
    parts: [Vec<f64>; 3],
    /// P, `[steps, steps]`.
    weights: Vec<f64>,
    /// What dropout multiplies P with, and what it leaves of it for the values; `None` without.
    dropped: Option<[Vec<f64>; 2]>,
    /// Of the logits by Q K^T: 1 / sqrt d, times the slope of their bound.
    slopes: Vec<f64>,
}

impl Heads {
    pub(super) fn of(attention: &Attention, features: [usize; 3], dropped: Option<&Values>, op: &OpCapture) -> Self {
        let turns = if attention.rotary { attention.turns() } else { Vec::new() };
        let mut input = op.input.to_f64().into_owned();
        turn(&mut input, &turns, attention, features, 1.0);
        let masks = dropped.map(Values::to_f64).unwrap_or_default();
        let each = attention.steps * attention.steps;
        let head = |(index, place): (usize, Place<'_>)| {
            let mask = masks.get(index * each..(index + 1) * each);
            Head::of(attention, [0, 1, 2].map(|part| place.read(&input, part, &features)), mask)
        };
        let heads = places(attention, op.rows).enumerate().map(head).collect();
        Self { attention: *attention, features, heads, turns }
    }
}

impl Map for Heads {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let (Attention { steps, features, .. }, all) = (self.attention, self.features.iter().sum::<usize>());
        let width = self.attention.head_width();
        let mut turned = u.to_vec();
        turn(&mut turned, &self.turns, &self.attention, self.features, 1.0);
        let rows = u.len() / all;
        let mut output = vec![0.0; rows * features];
        for (place, head) in places(&self.attention, rows).zip(&self.heads) {
            let Head { parts: [q, k, v], weights, slopes, .. } = head;
            let [dq, dk, dv] = [0, 1, 2].map(|part| place.read(&turned, part, &self.features));
            let through_queries = product(&dq, &transpose(k, steps, width), [steps, width, steps]);
            let through_keys = product(q, &transpose(&dk, steps, width), [steps, width, steps]);
            let sum = through_queries.iter().zip(through_keys).zip(slopes).map(|((q, k), slope)| (q + k) * slope);
            let of_weights = head.masked(softmax_slope(weights, &sum.collect::<Vec<f64>>(), steps));
            let of_values = product(head.kept(), &dv, [steps, steps, width]);
            let of_weights = product(&of_weights, v, [steps, steps, width]);
            place.add(&mut output, 0, &[features], &of_values);
            place.add(&mut output, 0, &[features], &of_weights);
        }
        output
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        let Attention { steps, features, .. } = self.attention;
        let width = self.attention.head_width();
        let mut returned = vec![0.0; g.len() / features * self.features.iter().sum::<usize>()];
        for (place, head) in places(&self.attention, g.len() / features).zip(&self.heads) {
            let Head { parts: [q, k, v], weights, slopes, .. } = head;
            let incoming = place.read(g, 0, &[features]);
            let to_weights = head.masked(product(&incoming, &transpose(v, steps, width), [steps, width, steps]));
            let mut to_logits = softmax_slope(weights, &to_weights, steps);
            to_logits.iter_mut().zip(slopes).for_each(|(g, slope)| *g *= slope);
            let to_values = product(&transpose(head.kept(), steps, steps), &incoming, [steps, steps, width]);
            let to_queries = product(&to_logits, k, [steps, steps, width]);
            let to_keys = product(&transpose(&to_logits, steps, steps), q, [steps, steps, width]);
            for (part, values) in [to_queries, to_keys, to_values].iter().enumerate() {
                place.add(&mut returned, part, &self.features, values);
            }
        }
        turn(&mut returned, &self.turns, &self.attention, self.features, -1.0);
        returned
    }
}

impl Head {
    fn of(attention: &Attention, parts: [Vec<f64>; 3], mask: Option<&[f64]>) -> Self {
        let (steps, width) = (attention.steps, attention.head_width());
        let scale = (width as f64).sqrt().recip();
        let mut weights = product(&parts[0], &transpose(&parts[1], steps, width), [steps, width, steps]);
        let mut slopes = vec![scale; weights.len()];
        for (logit, slope) in weights.iter_mut().zip(&mut slopes) {
            *logit *= scale;
            if let Some(cap) = attention.logit_cap {
                let bounded = (*logit / cap).tanh();
                *logit = cap * bounded;
                *slope *= 1.0 - bounded * bounded;
            }
        }
        for (step, row) in weights.chunks_exact_mut(steps).enumerate() {
            let (row, unseen) = row.split_at_mut(if attention.causal { step + 1 } else { steps });
            unseen.fill(0.0);
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|logit| *logit = (*logit - largest).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        let dropped = mask.map(|mask| [mask.to_vec(), scaled(&weights, mask)]);
        Self { parts, weights, dropped, slopes }
    }

    /// What the values are multiplied by.
    fn kept(&self) -> &[f64] {
        self.dropped.as_ref().map_or(&self.weights, |[_, kept]| kept)
    }

    /// What dropout leaves of a change of the weights, and of its cotangent.
    fn masked(&self, change: Vec<f64>) -> Vec<f64> {
        match &self.dropped {
            Some([mask, _]) => scaled(&change, mask),
            None => change,
        }
    }
}

/// P (c - rowsum(P c)) of a change c of the logits; its own transpose.
fn softmax_slope(weights: &[f64], change: &[f64], steps: usize) -> Vec<f64> {
    let of_row = |(weights, change): (&[f64], &[f64])| {
        let mean = dot(weights, change);
        weights.iter().zip(change).map(|(weight, change)| weight * (change - mean)).collect::<Vec<f64>>()
    };
    weights.chunks_exact(steps).zip(change.chunks_exact(steps)).flat_map(of_row).collect()
}

/// Where one head of one sample is in rows of one part, or of three of so many features (queries, keys, values).
struct Place<'a> {
    attention: &'a Attention,
    sample: usize,
    head: usize,
}

fn places(attention: &Attention, rows: usize) -> impl Iterator<Item = Place<'_>> {
    (0..rows / attention.steps)
        .flat_map(move |sample| (0..attention.heads).map(move |head| Place { attention, sample, head }))
}

impl Place<'_> {
    fn rows(&self, part: usize, features: &[usize]) -> impl Iterator<Item = Range<usize>> + use<> {
        let (width, Attention { heads, steps, .. }) = (self.attention.head_width(), *self.attention);
        let all: usize = features.iter().sum();
        // Of fewer keys than queries, heads that lie together share one.
        let shared = heads / (features[part] / width);
        let start = self.sample * steps * all + features[..part].iter().sum::<usize>() + self.head / shared * width;
        (0..steps).map(move |step| start + step * all..start + step * all + width)
    }

    /// `[steps, width]`.
    fn read(&self, values: &[f64], part: usize, features: &[usize]) -> Vec<f64> {
        self.rows(part, features).flat_map(|row| values[row].iter().copied()).collect()
    }

    fn add(&self, sums: &mut [f64], part: usize, features: &[usize], values: &[f64]) {
        for (row, values) in self.rows(part, features).zip(values.chunks_exact(self.attention.head_width())) {
            sums[row].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}

/// Turns queries and keys by plus or minus the angle of each step and pair of features; without angles it leaves them.
fn turn(rows: &mut [f64], turns: &[[f64; 2]], attention: &Attention, features: [usize; 3], sign: f64) {
    let (steps, width) = (attention.steps, attention.head_width());
    let pairs = width / 2;
    if turns.is_empty() {
        return;
    }
    for (index, row) in rows.chunks_exact_mut(features.iter().sum()).enumerate() {
        let turns = &turns[index % steps * pairs..][..pairs];
        for head in row[..features[0] + features[1]].chunks_exact_mut(width) {
            for (pair, [cosine, sine]) in turns.iter().enumerate() {
                let (a, b, sine) = (head[pair], head[pair + pairs], sign * sine);
                head[pair] = cosine * a - sine * b;
                head[pair + pairs] = sine * a + cosine * b;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::capture::{Capture, OpCapture, OpCaptureKind};
    use crate::flow::{Cause, Values, attribute};

    /// One row, two features: |dv|^2 = 2, |dq|^2 = 1, |dk|^2 = 5.
    #[test]
    fn the_three_ways_add_up() {
        let values = |values: &[f64]| Values::from(values.to_vec());
        let op = OpCapture {
            name: "attention".into(),
            rows: 1,
            kind: OpCaptureKind::Attention { features: [2; 3], attention: None, dropped: None },
            input: values(&[0.0; 6]),
            output: values(&[0.0; 2]),
            cotangent_in: values(&[1.0, 0.0, 2.0, -1.0, 1.0, 1.0]),
            cotangent_out: values(&[3.0, 1.0]),
        };
        let flow = attribute(&Capture::new(1, vec![op], 0.0).unwrap());
        let joint = &flow.joints[0];
        assert_eq!(joint.kind, "attention");
        let part = |cause: Cause| joint.split.iter().find(|part| part.cause == cause).unwrap().log_gain;
        // rms over 6 values of the values' part alone, against rms over 2 values of the cotangent
        let expected = [0.5 * ((2.0 / 6.0) / (10.0 / 2.0_f64)).ln(), 0.5 * 1.5_f64.ln(), 0.5 * (8.0 / 3.0_f64).ln()];
        for (cause, expected) in [Cause::ValuePath, Cause::QueryPath, Cause::KeyPath].into_iter().zip(expected) {
            assert!((part(cause) - expected).abs() < 1e-14, "{cause:?}: {:?}", joint.split);
        }
        let sum: f64 = joint.split.iter().map(|part| part.log_gain).sum();
        assert!((sum - joint.log_gain.unwrap()).abs() < 1e-14);
    }
}
