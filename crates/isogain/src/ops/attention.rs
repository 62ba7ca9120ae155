//! Multi-head softmax attention among the positions of a sample (Vaswani et al. 2017), one pass forward and one back.
//!
//! With P = softmax(Q K^T / sqrt d), O = P V and the cotangent G of O: dV = P^T G, dP = G V^T,
//! dS = P (dP - rowsum(dP P)), dQ = dS K / sqrt d, dK = dS^T Q / sqrt d. Rotary positions turn Q and K by an orthogonal
//! matrix, and their cotangents back.

use burn::tensor::Tensor;

use isogain_core::network::Attention;
use isogain_core::record::{AttentionRecord, Detail};

use super::buffer::{Buffer, Real, by_type, extent, filled};
use super::matmul::{Matrix, multiply_into, product};
use super::site::Site;
use super::tape::{Pull, apply};

/// `[batch x steps, 3 x features]` (queries, keys, values side by side) to `[batch x steps, features]`.
pub(crate) fn attention(x: Tensor<2>, attention: &Attention, site: Site) -> Tensor<2> {
    let (attention, here) = (attention.clone(), site.clone());
    apply(x, site, move |x| by_type!(x, forward(x, &attention, &here)))
}

/// Queries, keys and values of one head of one sample, `[steps, width]` each.
struct Head<T> {
    parts: [Vec<T>; 3],
    /// Softmax, `[steps, steps]`.
    weights: Vec<T>,
}

fn forward<T: Real>(x: Buffer, attention: &Attention, site: &Site) -> (Buffer, Pull) {
    let layout = Layout::new(attention);
    let samples = extent(&x).0 / layout.steps;
    let turns = attention.rotary.then(|| turns(&layout));
    let mut output = vec![T::default(); samples * layout.steps * attention.features];
    let mut spread = site.is_watched().then(Spread::default);
    let mut heads = Vec::with_capacity(samples * attention.heads);
    for sample in 0..samples {
        for head in 0..attention.heads {
            let mut parts = [0, 1, 2].map(|part| layout.read(T::read(&x), sample, head, part));
            if let Some(turns) = &turns {
                parts[..2].iter_mut().for_each(|part| turn(part, turns, layout.width, 1.0));
            }
            let [queries, keys, values] = [&parts[0], &parts[1], &parts[2]].map(|part| layout.matrix(part));
            let mut weights = product(queries, keys.transposed());
            softmax(&mut weights, &layout, attention.causal, spread.as_mut());
            let mixed = product(Matrix::new(&weights, layout.steps, layout.steps), values);
            layout.write_output(&mut output, &mixed, sample, head);
            heads.push(Head { parts, weights });
        }
    }
    if let Some(spread) = spread {
        site.detail(Detail::Attention(spread.record()));
    }
    let rows = samples * layout.steps;
    let pull = move |cotangent: Buffer, _| Some(backward(&heads, &layout, turns.as_deref(), &cotangent));
    (filled(output, &[rows, attention.features]), Box::new(pull))
}

fn backward<T: Real>(heads: &[Head<T>], layout: &Layout, turns: Option<&[f64]>, cotangent: &Buffer) -> Buffer {
    let steps = layout.steps;
    let rows = extent(cotangent).0;
    let mut returned = vec![T::default(); rows * 3 * layout.features];
    let scale = layout.scale();
    let mut slopes = vec![T::default(); steps * steps];
    for (index, head) in heads.iter().enumerate() {
        let (sample, place) = (index / layout.heads, index % layout.heads);
        let incoming = layout.read_output(T::read(cotangent), sample, place);
        let incoming = layout.matrix(&incoming);
        let [queries, keys, values] = [&head.parts[0], &head.parts[1], &head.parts[2]].map(|part| layout.matrix(part));
        let weights = Matrix::new(&head.weights, steps, steps);
        let value_slopes = product(weights.transposed(), incoming);
        multiply_into(&mut slopes, incoming, values.transposed());
        for (slopes, weights) in slopes.chunks_exact_mut(steps).zip(head.weights.chunks_exact(steps)) {
            let mean: f64 = slopes.iter().zip(weights).map(|(slope, weight)| slope.wide() * weight.wide()).sum();
            for (slope, weight) in slopes.iter_mut().zip(weights) {
                *slope = T::of(weight.wide() * (slope.wide() - mean) * scale);
            }
        }
        let slopes = Matrix::new(&slopes, steps, steps);
        let mut query_slopes = product(slopes, keys);
        let mut key_slopes = product(slopes.transposed(), queries);
        if let Some(turns) = turns {
            turn(&mut query_slopes, turns, layout.width, -1.0);
            turn(&mut key_slopes, turns, layout.width, -1.0);
        }
        for (part, slopes) in [query_slopes, key_slopes, value_slopes].iter().enumerate() {
            layout.write(&mut returned, slopes, sample, place, part);
        }
    }
    filled(returned, &[rows, 3 * layout.features])
}

/// Where a head's numbers are.
struct Layout {
    features: usize,
    heads: usize,
    steps: usize,
    /// Features of one head.
    width: usize,
}

impl Layout {
    fn new(attention: &Attention) -> Self {
        let Attention { features, heads, steps, .. } = *attention;
        Self { features, heads, steps, width: features / heads }
    }

    fn scale(&self) -> f64 {
        (self.width as f64).sqrt().recip()
    }

    fn matrix<'a, T>(&self, values: &'a [T]) -> Matrix<'a, T> {
        Matrix::new(values, self.steps, self.width)
    }

    /// One of the three parts of one head of one sample.
    fn read<T: Real>(&self, x: &[T], sample: usize, head: usize, part: usize) -> Vec<T> {
        self.columns(x, 3 * self.features, sample, part * self.features + head * self.width)
    }

    fn read_output<T: Real>(&self, output: &[T], sample: usize, head: usize) -> Vec<T> {
        self.columns(output, self.features, sample, head * self.width)
    }

    fn columns<T: Real>(&self, rows: &[T], columns: usize, sample: usize, from: usize) -> Vec<T> {
        let rows = rows[sample * self.steps * columns..][..self.steps * columns].chunks_exact(columns);
        rows.flat_map(|row| row[from..from + self.width].iter().copied()).collect()
    }

    fn write<T: Real>(&self, x: &mut [T], values: &[T], sample: usize, head: usize, part: usize) {
        self.fill(x, 3 * self.features, values, sample, part * self.features + head * self.width);
    }

    fn write_output<T: Real>(&self, output: &mut [T], values: &[T], sample: usize, head: usize) {
        self.fill(output, self.features, values, sample, head * self.width);
    }

    fn fill<T: Real>(&self, rows: &mut [T], columns: usize, values: &[T], sample: usize, from: usize) {
        let rows = rows[sample * self.steps * columns..][..self.steps * columns].chunks_exact_mut(columns);
        for (row, values) in rows.zip(values.chunks_exact(self.width)) {
            row[from..from + self.width].copy_from_slice(values);
        }
    }
}

/// Scales the logits and turns them into weights, row by row; a step sees all steps, or those up to itself.
fn softmax<T: Real>(logits: &mut [T], layout: &Layout, causal: bool, mut spread: Option<&mut Spread>) {
    let scale = layout.scale();
    let mut exponentials = vec![0.0; layout.steps];
    for (step, row) in logits.chunks_exact_mut(layout.steps).enumerate() {
        let visible = if causal { step + 1 } else { layout.steps };
        let largest = row[..visible].iter().map(|logit| logit.wide() * scale).fold(f64::NEG_INFINITY, f64::max);
        if let Some(spread) = spread.as_deref_mut() {
            spread.logits(row[..visible].iter().map(|logit| logit.wide() * scale));
        }
        let mut sum = 0.0;
        for (exponential, logit) in exponentials.iter_mut().zip(&row[..visible]) {
            *exponential = (logit.wide() * scale - largest).exp();
            sum += *exponential;
        }
        for (weight, exponential) in row[..visible].iter_mut().zip(&exponentials) {
            *weight = T::of(exponential / sum);
        }
        row[visible..].fill(T::default());
        if let Some(spread) = spread.as_deref_mut() {
            spread.weights(&row[..visible]);
        }
    }
}

/// Gathers how attention spreads.
#[derive(Default)]
struct Spread {
    entropies: f64,
    rows: usize,
    logit_squares: f64,
    logits: usize,
    largest: f64,
}

impl Spread {
    fn logits(&mut self, logits: impl ExactSizeIterator<Item = f64> + Clone) {
        let count = logits.len();
        let mean = logits.clone().sum::<f64>() / count as f64;
        for logit in logits {
            self.logit_squares += (logit - mean) * (logit - mean);
            self.largest = self.largest.max(logit.abs());
        }
        self.logits += count;
    }

    fn weights<T: Real>(&mut self, weights: &[T]) {
        if weights.len() < 2 {
            return;
        }
        let term = |weight: &T| {
            let weight = weight.wide();
            if weight > 0.0 { -weight * weight.ln() } else { 0.0 }
        };
        self.entropies += weights.iter().map(term).sum::<f64>() / (weights.len() as f64).ln();
        self.rows += 1;
    }

    fn record(&self) -> AttentionRecord {
        AttentionRecord {
            entropy: self.entropies / self.rows.max(1) as f64,
            logit_rms: (self.logit_squares / self.logits.max(1) as f64).sqrt(),
            largest_logit: self.largest,
        }
    }
}

/// Cosine and sine of the angle of each step and pair of features: step 10000^(-pair / pairs).
fn turns(layout: &Layout) -> Vec<f64> {
    let pairs = layout.width / 2;
    let angle = |step: usize, pair: usize| step as f64 * 10_000_f64.powf(-(pair as f64) / pairs as f64);
    let both = |step: usize, pair: usize| [angle(step, pair).cos(), angle(step, pair).sin()];
    (0..layout.steps).flat_map(|step| (0..pairs).flat_map(move |pair| both(step, pair))).collect()
}

/// Turns the features of the first half against those of the second, by plus or minus the angle.
fn turn<T: Real>(rows: &mut [T], turns: &[f64], width: usize, sign: f64) {
    let pairs = width / 2;
    for (row, turns) in rows.chunks_exact_mut(width).zip(turns.chunks_exact(2 * pairs)) {
        for (pair, turn) in turns.chunks_exact(2).enumerate() {
            let (cosine, sine) = (turn[0], sign * turn[1]);
            let (a, b) = (row[pair].wide(), row[pair + pairs].wide());
            row[pair] = T::of(cosine * a - sine * b);
            row[pair + pairs] = T::of(sine * a + cosine * b);
        }
    }
}
