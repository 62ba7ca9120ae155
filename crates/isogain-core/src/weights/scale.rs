//! A weight's scale against theory: which initialiser draws such weights, and what they do to a gradient.

use serde::Serialize;

use crate::statistics::Moments;
use crate::theory::activations::Activation;
use crate::theory::gains::Gains;
use crate::theory::initializers::Initializer;

use super::plan::Fans;
use super::spectrum::Spectrum;

/// Initialisers that are recognised by scale and shape of the distribution, the most specific first. ReLU stands for the
/// activation where one matters (He).
const KNOWN: [&str; 11] = [
    "pytorch-default",
    "he-uniform",
    "he-truncated",
    "he-normal",
    "glorot-uniform",
    "glorot-truncated",
    "glorot-normal",
    "lecun-uniform",
    "lecun-truncated",
    "lecun-normal",
    "fixed-variance",
];

/// Those of them that PyTorch's models also use with the number of outputs (`mode="fan_out"`), which holds the gradient.
const BY_FAN_OUT: [&str; 2] = ["he-uniform", "he-normal"];

/// Fewer values say too little about the distribution that they come from.
const FEWEST: u64 = 256;

/// Standard errors by which a sample may miss the deviation and the mean of its distribution.
const STANDARD_ERRORS: f64 = 4.0;

/// Share of the largest deviation that the largest of [`FEWEST`] uniform numbers exceeds: 0.95^256 is 2e-6.
const NEARLY: f64 = 0.95;

/// Singular values that differ by less than this are one: rounding of f32, over a sum of some thousand products.
const SAME: f64 = 1e-3;

/// How large the weights of one layer are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scale {
    /// fan_in times the mean square: sw2 of mean-field theory. 2 holds the signal under ReLU, 1 in a linear net.
    pub sw2: f64,
    /// ln of the factor by which the matrix alone changes the RMS of a gradient without preferred direction:
    /// 1/2 ln(fan_out E w^2). No activation with slopes of at most 1 leaves more.
    pub log_gain: f64,
    /// The same with ReLU: half of the units pass it on.
    pub log_gain_relu: f64,
    /// The same with tanh at pre-activations of variance 1; near 0 tanh is linear, far out it saturates.
    pub log_gain_tanh: f64,
    /// Names of the initialisers that draw such weights; empty for none, which is what training leaves behind.
    pub initializers: Vec<String>,
}

impl Scale {
    /// `None` for weights that are all zero, or none of them finite.
    pub(super) fn of(moments: &Moments, fans: Fans, spectrum: Option<&Spectrum>) -> Option<Self> {
        let mean_square = moments.mean_square().filter(|square| *square > 0.0)?;
        let log_gain = 0.5 * (fans.fan_out as f64 * mean_square).ln();
        let tanh = Activation::named("tanh").map_or(0.0, |tanh| Gains::at(tanh, 1.0).backward().ln());
        Some(Self {
            sw2: fans.fan_in as f64 * mean_square,
            log_gain,
            log_gain_relu: log_gain - Gains::at(Activation::relu(), 1.0).backward().ln(),
            log_gain_tanh: log_gain - tanh,
            initializers: initializers(moments, fans, spectrum),
        })
    }
}

fn initializers(moments: &Moments, fans: Fans, spectrum: Option<&Spectrum>) -> Vec<String> {
    let (Some(mean), Some(variance)) = (moments.mean(), moments.variance()) else { return Vec::new() };
    if moments.finite() < FEWEST || moments.non_finite > 0 || variance == 0.0 {
        return Vec::new();
    }
    if let Some(gain) = orthogonal_gain(spectrum) {
        return vec![if (gain - 1.0).abs() < SAME {
            "orthogonal".into()
        } else {
            format!("orthogonal, gain {gain:.3}")
        }];
    }
    let count = moments.finite() as f64;
    let deviation = variance.sqrt();
    if mean.abs() > STANDARD_ERRORS * deviation / count.sqrt() {
        return Vec::new();
    }
    // Of a normal distribution; that of the others is smaller.
    let tolerance = STANDARD_ERRORS / (2.0 * count).sqrt();
    let mut found: Vec<(f64, String)> = Vec::new();
    for (name, by_fan_out) in KNOWN.iter().map(|name| (name, false)).chain(BY_FAN_OUT.iter().map(|name| (name, true))) {
        let Ok(initializer) = Initializer::named(name) else { continue };
        let (fan_in, fan_out) = if by_fan_out { (fans.fan_out, fans.fan_in) } else { (fans.fan_in, fans.fan_out) };
        let expected = initializer.weight_variance(fan_in, fan_out, Activation::relu()).sqrt();
        let miss = (deviation / expected - 1.0).abs();
        // Where both fans are one there is nothing to tell apart.
        let says_more = !by_fan_out || fan_in != fan_out;
        if says_more && miss < tolerance && has_ends(initializer, moments.abs_max / expected) {
            found.push((miss, if by_fan_out { format!("{initializer} by fan_out") } else { initializer.to_string() }));
        }
    }
    // The nearest first; of equal variances the one that stands first in the table.
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, name)| name).collect()
}

/// Whether the largest magnitude, in standard deviations, is one that the distribution would leave.
fn has_ends(initializer: Initializer, largest: f64) -> bool {
    let ends: Vec<f64> = {
        let mut ends: Vec<f64> =
            KNOWN.iter().filter_map(|name| Initializer::named(name).ok()?.largest_deviation()).collect();
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        ends
    };
    // Half precision rounds the end up by at most one part in 256.
    let rounded = 1.0 + 1.0 / 256.0;
    match initializer.largest_deviation() {
        Some(end) => (NEARLY * end..=end * rounded).contains(&largest),
        None => ends.last().is_none_or(|end| largest > end * rounded),
    }
}

fn orthogonal_gain(spectrum: Option<&Spectrum>) -> Option<f64> {
    let spectrum = spectrum?;
    let smallest = spectrum.smallest?;
    (spectrum.largest - smallest < SAME * spectrum.largest).then_some(spectrum.largest)
}
