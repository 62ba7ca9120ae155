//! Multi-head softmax attention among the positions of a sample (Vaswani et al. 2017), one pass forward and one back.
//!
//! With P = softmax(Q K^T / sqrt d), O = P V and the cotangent G of O: dV = P^T G, dP = G V^T,
//! dS = P (dP - rowsum(dP P)), dQ = dS K / sqrt d, dK = dS^T Q / sqrt d. Rotary positions turn Q and K by an orthogonal
//! matrix, and their cotangents back; a bound on the logits multiplies dS by its slopes.

use burn::tensor::{Bool, Tensor, activation as burn_activation};

use isogain_core::network::Attention;
use isogain_core::record::{AttentionRecord, Detail};

use super::buffer::{Buffer, LANES, Loop, Real, by_type, extent, filled, largest_of, sum_of, vectorised};
use super::matmul::{Matrix, Mosaic, multiply_into};
use super::site::Site;
use super::soft_cap::{self, soft_cap};
use super::stock::to_processor;
use super::tape::{Pull, apply};
use super::threads::{for_each_share, share};
use super::workspace::Workspace;
use crate::model::matrix;

/// `[batch x steps, 3 x features]` (queries, keys, values side by side) to `[batch x steps, features]`.
pub(crate) fn attention(x: Tensor<2>, attention: &Attention, site: Site) -> Tensor<2> {
    if site.is_stock() {
        return site.shown(stock(x, attention, &site));
    }
    let (attention, here) = (*attention, site.clone());
    apply(x, site, move |x| by_type!(x, forward(x, &attention, &here)))
}

fn stock(x: Tensor<2>, attention: &Attention, site: &Site) -> Tensor<2> {
    let Layout { features, heads, steps, width } = Layout::new(attention);
    let samples = x.dims()[0] / steps;
    // [samples, heads, steps, width] each.
    let parts = x.reshape([samples, steps, 3, heads, width]);
    let part = |index: usize| {
        let part = parts.clone().narrow(2, index, 1).reshape([samples, steps, heads, width]).swap_dims(1, 2);
        if attention.rotary && index < 2 { turned(part, &attention.turns()) } else { part }
    };
    let [queries, keys, values] = [0, 1, 2].map(part);
    let mut logits = queries.matmul(keys.swap_dims(2, 3)) * (width as f64).sqrt().recip();
    if let Some(cap) = attention.logit_cap {
        logits = (logits * cap.recip()).tanh() * cap;
    }
    if site.is_watched() {
        let (mut spread, mut below) = (Spread::default(), vec![0.0; steps]);
        for logits in to_processor(logits.clone()).chunks_exact_mut(steps * steps) {
            let causal = attention.causal;
            let watched = Some(Watched { spread: &mut spread, below: &mut below });
            vectorised(Softmax { logits, steps, scale: 1.0, causal, watched });
        }
        site.detail(Detail::Attention(spread.record()));
    }
    if attention.causal {
        let unseen = Tensor::<2, Bool>::tril_mask([steps, steps], 0, &logits.device());
        logits = logits.mask_fill(unseen.unsqueeze::<4>().expand([samples, heads, steps, steps]), f64::NEG_INFINITY);
    }
    let weights = burn_activation::softmax(logits, 3);
    weights.matmul(values).swap_dims(1, 2).reshape([samples * steps, features])
}

/// Rotary positions of `[samples, heads, steps, width]`, as [`turn`].
fn turned(x: Tensor<4>, turns: &[[f64; 2]]) -> Tensor<4> {
    let [_, _, steps, width] = x.dims();
    let pairs = width / 2;
    let factor = |which: usize| {
        let values: Vec<f64> = turns.iter().map(|turn| turn[which]).collect();
        matrix(&values, steps, pairs, x.dtype(), &x.device()).unsqueeze::<4>()
    };
    let [cosine, sine] = [0, 1].map(factor);
    let [a, b] = [0, pairs].map(|from| x.clone().narrow(3, from, pairs));
    let first = a.clone() * cosine.clone() - b.clone() * sine.clone();
    let mut parts = vec![first, a * sine + b * cosine];
    if width > 2 * pairs {
        parts.push(x.narrow(3, 2 * pairs, width - 2 * pairs));
    }
    Tensor::cat(parts, 3)
}

fn forward<T: Real>(mut x: Buffer, attention: &Attention, site: &Site) -> (Buffer, Pull) {
    let layout = Layout::new(attention);
    let samples = extent(&x).0 / layout.steps;
    let rows = samples * layout.steps;
    let turns = attention.rotary.then(|| attention.turns());
    if let Some(turns) = &turns {
        turn(T::write(&mut x), turns, &layout, 1.0);
    }
    let (steps, scale, causal) = (layout.steps, layout.scale(), attention.causal);
    // Softmax of every head, `[steps, steps]` each.
    let size = layout.heads * steps * steps;
    let mut weights = Workspace::<T>::new(samples * size);
    let mut output = Mosaic::new(rows * layout.features);
    let share = share(samples, layout.products());
    let values = T::read(&x).chunks(share * steps * 3 * layout.features);
    let shares = values.zip(weights.chunks_mut(share * size)).zip(output.rooms(share * steps * layout.features));
    let is_watched = site.is_watched();
    let seen = for_each_share(shares.collect(), |((x, weights), mut output)| {
        // Slopes of the bound on the logits, where there is one, and how each sample's attention spreads.
        let (mut bounds, mut spreads) = (Vec::new(), Vec::new());
        let mut below = vec![T::default(); steps];
        for (sample, weights) in weights.chunks_exact_mut(size).enumerate() {
            let mut spread = Spread::default();
            for (head, logits) in weights.chunks_exact_mut(steps * steps).enumerate() {
                let place = Place { sample, head };
                let [queries, keys, values] = layout.parts(x, place);
                multiply_into(logits, queries, keys.transposed());
                if let Some(cap) = attention.logit_cap {
                    bounds.extend(soft_cap(logits, scale, cap));
                }
                let watched = is_watched.then(|| Watched { spread: &mut spread, below: &mut below });
                vectorised(Softmax { logits, steps, scale, causal, watched });
                output.write(layout.output(place), layout.features, Matrix::new(logits, steps, steps), values);
            }
            spreads.push(spread);
        }
        (bounds, spreads)
    });
    // SAFETY: every head of every sample wrote its features of each step.
    let output = unsafe { output.finish() };
    let (bounds, spreads): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    let bounds = bounds.concat();
    if is_watched {
        // Sample by sample, however they were shared.
        site.detail(Detail::Attention(spreads.into_iter().flatten().fold(Spread::default(), Spread::and).record()));
    }
    let features = layout.features;
    let pull = move |cotangent: Buffer, _| {
        let kept = Kept { x: &x, weights: &weights, bounds: &bounds, turns: turns.as_deref() };
        Some(backward::<T>(&kept, &layout, &cotangent))
    };
    (filled(output, &[rows, features]), Box::new(pull))
}

/// What the way back needs of the way forward.
struct Kept<'a, T> {
    /// Queries, keys and values, turned.
    x: &'a Buffer,
    /// Softmax of every head.
    weights: &'a [T],
    /// Slopes of the bound on the logits of every head; empty without one.
    bounds: &'a [T],
    turns: Option<&'a [[f64; 2]]>,
}

fn backward<T: Real>(kept: &Kept<'_, T>, layout: &Layout, cotangent: &Buffer) -> Buffer {
    let Kept { x, weights, bounds, turns } = *kept;
    let (steps, width, stride, square) = (layout.steps, layout.width, 3 * layout.features, layout.steps * layout.steps);
    let rows = extent(cotangent).0;
    let mut returned = Mosaic::new(rows * stride);
    let share = share(rows / steps, 2 * layout.products());
    let values = T::read(x).chunks(share * steps * stride).zip(weights.chunks(share * layout.heads * square));
    let cotangents = T::read(cotangent).chunks(share * steps * layout.features);
    let shares = values.zip(cotangents.zip(returned.rooms(share * steps * stride))).enumerate();
    for_each_share(shares.collect(), |(index, ((x, weights), (cotangent, mut returned)))| {
        let mut slopes = Workspace::<T>::new(square);
        let mut bounds = bounds.chunks_exact(square).skip(index * share * layout.heads);
        for (place, weights) in layout.places().zip(weights.chunks_exact(square)) {
            let [queries, keys, values] = layout.parts(x, place);
            let incoming = Matrix::within(cotangent, layout.output(place), [steps, width], layout.features);
            let [to_queries, to_keys, to_values] = [0, 1, 2].map(|part| layout.input(place, part));
            returned.write(to_values, stride, Matrix::new(weights, steps, steps).transposed(), incoming);
            multiply_into(&mut slopes, incoming, values.transposed());
            vectorised(PullBack { slopes: &mut slopes, weights, steps, scale: layout.scale() });
            if let Some(bound) = bounds.next() {
                soft_cap::pull(&mut slopes, bound);
            }
            let slopes = Matrix::new(&slopes, steps, steps);
            returned.write(to_queries, stride, slopes, keys);
            returned.write(to_keys, stride, slopes.transposed(), queries);
        }
    });
    // SAFETY: every head of every sample wrote the cotangents of its queries, keys and values of each step.
    let mut returned = unsafe { returned.finish() };
    if let Some(turns) = turns {
        turn(&mut returned, turns, layout, -1.0);
    }
    filled(returned, &[rows, stride])
}

/// Where a head's numbers are.
struct Layout {
    features: usize,
    heads: usize,
    steps: usize,
    /// Features of one head.
    width: usize,
}

/// One head of one sample.
#[derive(Clone, Copy)]
struct Place {
    sample: usize,
    head: usize,
}

impl Layout {
    fn new(attention: &Attention) -> Self {
        let Attention { features, heads, steps, .. } = *attention;
        let width = attention.head_width();
        // What nobody writes is never read: every feature must be some head's.
        assert_eq!(heads * width, features, "features that {heads} heads share");
        Self { features, heads, steps, width }
    }

    fn scale(&self) -> f64 {
        (self.width as f64).sqrt().recip()
    }

    /// Every head of every sample.
    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let heads = self.heads;
        (0..).flat_map(move |sample| (0..heads).map(move |head| Place { sample, head }))
    }

    /// What the way forward of one sample multiplies.
    fn products(&self) -> usize {
        2 * self.steps * self.steps * self.features
    }

    /// First of a head's queries, keys or values.
    fn input(&self, Place { sample, head }: Place, part: usize) -> usize {
        (sample * self.steps * 3 + part) * self.features + head * self.width
    }

    /// First of a head's outputs.
    fn output(&self, Place { sample, head }: Place) -> usize {
        sample * self.steps * self.features + head * self.width
    }

    /// Queries, keys and values of one head of one sample, `[steps, width]` each.
    fn parts<'a, T>(&self, x: &'a [T], place: Place) -> [Matrix<'a, T>; 3] {
        let part = |part| Matrix::within(x, self.input(place, part), [self.steps, self.width], 3 * self.features);
        [0, 1, 2].map(part)
    }
}

/// Scales the logits and turns them into weights, row by row; a step sees all steps, or those up to itself.
struct Softmax<'a, T> {
    logits: &'a mut [T],
    steps: usize,
    scale: f64,
    causal: bool,
    watched: Option<Watched<'a, T>>,
}

/// What gathers how attention spreads.
struct Watched<'a, T> {
    spread: &'a mut Spread,
    /// How far each logit of the row at hand is below the largest.
    below: &'a mut [T],
}

impl<T: Real> Loop for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { logits, steps, scale, causal, mut watched } = self;
        let factor = T::of(scale);
        for (step, row) in logits.chunks_exact_mut(steps).enumerate() {
            let visible = if causal { step + 1 } else { steps };
            // Whole vectors, with what the step does not see filled in so that it changes nothing: otherwise half of the work
            // is what is left at the ends of rows.
            let (row, beyond) = row.split_at_mut(visible.next_multiple_of(LANES).min(steps));
            beyond.fill(T::default());
            for logit in &mut *row {
                *logit = *logit * factor;
            }
            if let Some(watched) = &mut watched {
                watched.spread.logits(row, visible);
            }
            row[visible..].fill(T::of(f64::NEG_INFINITY));
            let largest = largest_of(row, |logit| logit);
            for logit in &mut *row {
                *logit = *logit - largest;
            }
            if let Some(watched) = &mut watched {
                watched.below[..row.len()].copy_from_slice(row);
            }
            let (groups, rest) = row.as_chunks_mut::<LANES>();
            for group in groups {
                group.iter_mut().for_each(|weight| *weight = weight.exponential());
            }
            rest.iter_mut().for_each(|weight| *weight = weight.exponential());
            let sum = sum_of(row, row, |weight, _| weight.wide());
            if let Some(Watched { spread, below }) = &mut watched {
                spread.weights(row, &below[..row.len()], visible, sum);
            }
            let share = T::of(1.0 / sum);
            for weight in &mut *row {
                *weight = *weight * share;
            }
            row[visible..].fill(T::default());
        }
    }
}

/// From the cotangents of weights to those of logits before they were scaled.
struct PullBack<'a, T> {
    slopes: &'a mut [T],
    weights: &'a [T],
    steps: usize,
    scale: f64,
}

impl<T: Real> Loop for PullBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { slopes, weights, steps, scale } = self;
        for (slopes, weights) in slopes.chunks_exact_mut(steps).zip(weights.chunks_exact(steps)) {
            let mean = sum_of(slopes, weights, |slope, weight| slope.wide() * weight.wide());
            for (slope, weight) in slopes.iter_mut().zip(weights) {
                *slope = T::of(weight.wide() * (slope.wide() - mean) * scale);
            }
        }
    }
}

/// How attention spreads.
#[derive(Clone, Copy, Debug, Default)]
struct Spread {
    entropies: f64,
    rows: usize,
    logit_squares: f64,
    logits: usize,
    largest: f64,
}

impl Spread {
    /// Of the rows of both.
    fn and(self, other: Self) -> Self {
        Self {
            entropies: self.entropies + other.entropies,
            rows: self.rows + other.rows,
            logit_squares: self.logit_squares + other.logit_squares,
            logits: self.logits + other.logits,
            largest: self.largest.max(other.largest),
        }
    }

    /// Takes in the `visible` logits at the start of a row; what is beyond them is overwritten.
    #[inline(always)]
    fn logits<T: Real>(&mut self, row: &mut [T], visible: usize) {
        row[visible..].fill(T::default());
        let mean = sum_of(row, row, |logit, _| logit.wide()) / visible as f64;
        row[visible..].fill(T::of(mean));
        self.logit_squares += sum_of(row, row, |logit, _| (logit.wide() - mean) * (logit.wide() - mean));
        let magnitude = |logit: T| if logit < T::default() { -logit } else { logit };
        self.largest = self.largest.max(largest_of(row, magnitude).wide());
        self.logits += visible;
    }

    /// Takes in weights e^d before they are divided by their sum, d how far the logit is `below` the largest: their entropy
    /// is ln sum - mean of d.
    #[inline(always)]
    fn weights<T: Real>(&mut self, row: &[T], below: &[T], visible: usize, sum: f64) {
        if visible < 2 {
            return;
        }
        // Of a weight that is zero nothing is left, however far the logit is below.
        let term = |weight: T, below: T| if weight > T::default() { weight.wide() * below.wide() } else { 0.0 };
        let falling = sum_of(row, below, term);
        self.entropies += (sum.ln() - falling / sum) / (visible as f64).ln();
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

/// Turns, in queries and keys of `[batch x steps, 3 x features]`, the features of a head's first half against those of its
/// second, by plus or minus the angle.
fn turn<T: Real>(rows: &mut [T], turns: &[[f64; 2]], layout: &Layout, sign: f64) {
    let Layout { features, width, .. } = *layout;
    let pairs = width / 2;
    for sample in rows.chunks_exact_mut(layout.steps * 3 * features) {
        for (row, turns) in sample.chunks_exact_mut(3 * features).zip(turns.chunks_exact(pairs)) {
            for head in row[..2 * features].chunks_exact_mut(width) {
                for (pair, [cosine, sine]) in turns.iter().enumerate() {
                    let (cosine, sine) = (*cosine, sign * sine);
                    let (a, b) = (head[pair].wide(), head[pair + pairs].wide());
                    head[pair] = T::of(cosine * a - sine * b);
                    head[pair + pairs] = T::of(sine * a + cosine * b);
                }
            }
        }
    }
}
