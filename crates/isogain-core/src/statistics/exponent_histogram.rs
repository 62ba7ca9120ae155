//! How many values have which order of magnitude: a 256-bin histogram of the biased exponent of f32.
//!
//! Bin e in 1..=254 holds 2^(e-127) <= |x| < 2^(e-126). Bin 0 holds zeros and subnormals, told apart by
//! [`Moments::zeros`]. Bin 255 holds the non-finite values. What a narrower format would lose under a loss scale
//! follows from the bins (Micikevicius et al. 2018, "Mixed precision training").

use serde::{Deserialize, Serialize};

use super::moments::{Moments, fraction};
use super::number_format::NumberFormat;

/// Counts by binary order of magnitude. The default is empty; [`ExponentHistogram::merge`] of the parts is the whole.
///
/// It is written as `{"first_bin": e, "counts": [...]}`, from the first bin to the last that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "OccupiedBins", try_from = "OccupiedBins")]
pub struct ExponentHistogram {
    counts: [u64; 256],
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OccupiedBins {
    first_bin: usize,
    counts: Vec<u64>,
}

impl From<ExponentHistogram> for OccupiedBins {
    fn from(histogram: ExponentHistogram) -> OccupiedBins {
        let first_bin = histogram.counts.iter().position(|n| *n > 0).unwrap_or(0);
        let end = histogram.counts.iter().rposition(|n| *n > 0).map_or(first_bin, |last| last + 1);
        OccupiedBins { first_bin, counts: histogram.counts[first_bin..end].to_vec() }
    }
}

impl TryFrom<OccupiedBins> for ExponentHistogram {
    type Error = String;

    fn try_from(bins: OccupiedBins) -> Result<ExponentHistogram, String> {
        let mut histogram = ExponentHistogram::default();
        let (first, len) = (bins.first_bin, bins.counts.len());
        let target = first.checked_add(len).and_then(|end| histogram.counts.get_mut(first..end)).ok_or_else(|| {
            format!("an exponent histogram has 256 bins, but this one has {len} bins from bin {first} on")
        })?;
        target.copy_from_slice(&bins.counts);
        Ok(histogram)
    }
}

impl Default for ExponentHistogram {
    fn default() -> Self {
        ExponentHistogram { counts: [0; 256] }
    }
}

impl ExponentHistogram {
    /// From the 256 counts, by biased exponent.
    pub fn from_counts(counts: [u64; 256]) -> Self {
        ExponentHistogram { counts }
    }

    /// The 256 counts, by biased exponent.
    pub fn counts(&self) -> &[u64; 256] {
        &self.counts
    }

    /// Number of values counted, the non-finite ones included.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Takes in the histogram of another part of the same tensor.
    pub fn merge(&mut self, other: &ExponentHistogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// The histogram of the same values times 2^`exponent`. What leaves the range of normal numbers ends in bin 0, or as
    /// the largest ones in bin 254; zeros and non-finite values stay what they are.
    #[must_use]
    pub fn scaled(&self, exponent: i32) -> Self {
        let mut scaled = Self::default();
        for (bin, count) in self.counts.iter().enumerate() {
            let to =
                if bin == 0 || bin == 255 { bin } else { (bin as i32).saturating_add(exponent).clamp(0, 254) as usize };
            scaled.counts[to] += count;
        }
        scaled
    }

    /// Share of the finite non-zero values x for which x * `loss_scale` becomes 0 when cast to `format`, in [0, 1].
    ///
    /// `moments` are those of the same tensor. The edge is at `format.flush_edge / loss_scale`. For a power-of-two
    /// scale that is an edge between two bins, and the share is exact but for values that sit on the edge itself (a
    /// tie, which a cast flushes and which is counted here as kept). For another scale the bin that holds the edge is
    /// split as if its values were spread evenly over it.
    pub fn underflow_fraction(&self, format: &NumberFormat, moments: &Moments, loss_scale: f64) -> f64 {
        let nonzero = moments.finite_nonzero();
        share(nonzero as f64 - self.at_or_above(format.flush_edge / loss_scale.abs(), moments), nonzero)
    }

    /// Share of the finite non-zero values that a cast to `format` keeps with less than full precision, in [0, 1].
    ///
    /// Edges as in [`Self::underflow_fraction`]. The sliver just below the smallest normal number that rounds up to
    /// it (half a subnormal unit) is counted as subnormal.
    pub fn subnormal_fraction(&self, format: &NumberFormat, moments: &Moments, loss_scale: f64) -> f64 {
        let kept = self.at_or_above(format.flush_edge / loss_scale.abs(), moments);
        let normal = self.at_or_above(format.min_normal / loss_scale.abs(), moments);
        share(kept - normal, moments.finite_nonzero())
    }

    /// Share of the finite non-zero values x for which x * `loss_scale` becomes infinite when cast to `format`, in
    /// [0, 1].
    ///
    /// The edge lies inside a bin (fp16: 65520 in [32768, 65536)). The values of that bin are taken as spread evenly
    /// over it, up to the tensor's largest magnitude if that is in the bin. So the share is exactly 0 if and only if
    /// nothing overflows, and all that is above the bin is counted exactly.
    pub fn overflow_fraction(&self, format: &NumberFormat, moments: &Moments, loss_scale: f64) -> f64 {
        share(self.at_or_above(format.overflow_edge / loss_scale.abs(), moments), moments.finite_nonzero())
    }

    /// [`Self::underflow_fraction`] in fp16: the share of non-zero values with |x| * `loss_scale` below 2^-25.
    pub fn fp16_underflow_fraction(&self, moments: &Moments, loss_scale: f64) -> f64 {
        self.underflow_fraction(&NumberFormat::FP16, moments, loss_scale)
    }

    /// [`Self::subnormal_fraction`] in fp16: the share of non-zero values in [2^-25, 2^-14) / `loss_scale`.
    pub fn fp16_subnormal_fraction(&self, moments: &Moments, loss_scale: f64) -> f64 {
        self.subnormal_fraction(&NumberFormat::FP16, moments, loss_scale)
    }

    /// [`Self::overflow_fraction`] in fp16: the share of non-zero values with |x| * `loss_scale` from 65520 on.
    pub fn fp16_overflow_fraction(&self, moments: &Moments, loss_scale: f64) -> f64 {
        self.overflow_fraction(&NumberFormat::FP16, moments, loss_scale)
    }

    /// Share of the finite non-zero values that are subnormal in f32 itself (|x| < 2^-126), in [0, 1]. Hardware that
    /// flushes subnormals turns these into zeros.
    pub fn f32_subnormal_fraction(&self, moments: &Moments) -> f64 {
        fraction(self.counts[0].saturating_sub(moments.zeros), moments.finite_nonzero())
    }

    /// Estimated number of finite non-zero values with |x| >= `edge`; exact if `edge` is a power of two.
    fn at_or_above(&self, edge: f64, moments: &Moments) -> f64 {
        if edge.is_nan() || moments.abs_max < edge {
            return 0.0;
        }
        let bin = bin_of(edge);
        let whole: u64 = self.counts[bin + 1..255].iter().sum();
        let in_bin = if bin == 0 { self.counts[0].saturating_sub(moments.zeros) } else { self.counts[bin] };
        let (low, end) = bin_range(bin);
        let part = if edge <= low {
            in_bin as f64
        } else {
            // The tensor's largest value is at or above the edge; when it is in this bin, the bin ends there.
            let top = moments.abs_max.min(end);
            let evenly = in_bin as f64 * (top - edge) / (top - low);
            if moments.abs_max < end { evenly.max(1.0) } else { evenly }
        };
        whole as f64 + part
    }
}

fn share(part: f64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part / whole as f64).clamp(0.0, 1.0) }
}

/// The bin of a magnitude; what is beyond f32 goes to the bins at its ends.
fn bin_of(magnitude: f64) -> usize {
    let biased = (magnitude.to_bits() >> 52) as i64 - 1023 + 127;
    biased.clamp(0, 254) as usize
}

/// The magnitudes a bin holds, from the first up to but without the second.
fn bin_range(bin: usize) -> (f64, f64) {
    let low = if bin == 0 { 0.0 } else { 2f64.powi(bin as i32 - 127) };
    (low, 2f64.powi(bin as i32 - 126))
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::kernel::moments_with_histogram;
    use super::*;

    /// Box-Muller samples of N(0, scale^2).
    fn gaussian(n: usize, scale: f64, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let (u, v): (f64, f64) = (rng.random(), rng.random());
                ((-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos() * scale) as f32
            })
            .collect()
    }

    #[test]
    fn a_value_falls_into_the_bin_of_its_exponent() {
        let values = [0.0, -0.0, 1e-45, f32::MIN_POSITIVE, 1.0, -1.999, 2.0, f32::MAX, f32::INFINITY, f32::NAN];
        let (_, histogram) = moments_with_histogram(&values);
        let occupied: Vec<(usize, u64)> =
            histogram.counts().iter().enumerate().filter(|(_, n)| **n > 0).map(|(e, n)| (e, *n)).collect();
        assert_eq!(occupied, [(0, 3), (1, 1), (127, 2), (128, 1), (254, 1), (255, 2)]);
        for (bin, _) in occupied.iter().filter(|(bin, _)| *bin < 255) {
            let (low, end) = bin_range(*bin);
            assert_eq!((bin_of(low), bin_of(end)), (*bin, (*bin + 1).min(254)));
        }
    }

    #[test]
    fn gaussian_gradients_underflow_as_theory_says() {
        // P(|x| <= 2^-25) = erf(2^-25 / (s sqrt 2)) for x ~ N(0, s^2).
        const N: usize = 400_000;
        for (exponent, expected) in
            [(-20, 0.024_930), (-22, 0.099_476), (-24, 0.382_925), (-25, 0.682_689), (-26, 0.954_500)]
        {
            let values = gaussian(N, 2f64.powi(exponent), 25);
            let (moments, histogram) = moments_with_histogram(&values);
            let measured = histogram.fp16_underflow_fraction(&moments, 1.0);
            let standard_error = f64::sqrt(expected * (1.0 - expected) / N as f64);
            assert!((measured - expected).abs() < 4.0 * standard_error, "s = 2^{exponent}: {measured} {expected}");
        }
    }

    #[test]
    fn power_of_two_loss_scales_are_exact() {
        let values = gaussian(50_000, 2f64.powi(-24), 7);
        let (moments, histogram) = moments_with_histogram(&values);
        let nonzero = moments.finite_nonzero() as f64;
        for scale in [1.0f32, 8.0, 1024.0, 65536.0] {
            let flushed = values.iter().filter(|x| **x != 0.0 && f16::from_f32(*x * scale).to_f32() == 0.0).count();
            let fraction = histogram.fp16_underflow_fraction(&moments, f64::from(scale));
            assert_eq!(fraction, flushed as f64 / nonzero, "loss scale {scale}");
            let below = |limit: f32| values.iter().filter(|x| **x != 0.0 && (*x * scale).abs() < limit).count() as f64;
            let fraction = histogram.fp16_subnormal_fraction(&moments, f64::from(scale));
            let counted = (below(2f32.powi(-14)) - below(2f32.powi(-25))) / nonzero;
            assert!((fraction - counted).abs() < 1e-12, "loss scale {scale}: {fraction} {counted}");
        }
    }

    #[test]
    fn other_loss_scales_split_the_bin_at_the_edge() {
        let values = gaussian(200_000, 2f64.powi(-24), 8);
        let (moments, histogram) = moments_with_histogram(&values);
        for scale in [3.0f32, 1000.0, 0.7] {
            let flushed = values.iter().filter(|x| f16::from_f32(**x * scale).to_f32() == 0.0).count() as f64;
            let fraction = histogram.fp16_underflow_fraction(&moments, f64::from(scale));
            assert!((fraction - flushed / 200_000.0).abs() < 0.02, "{scale}: {fraction} {flushed}");
        }
    }

    #[test]
    fn a_tie_at_the_flush_edge_counts_as_kept() {
        let (moments, histogram) = moments_with_histogram(&[2f32.powi(-25), 2f32.powi(-26), 0.0]);
        assert_eq!(histogram.fp16_underflow_fraction(&moments, 1.0), 0.5);
        assert_eq!(histogram.fp16_subnormal_fraction(&moments, 1.0), 0.5);
    }

    #[test]
    fn overflow_is_zero_exactly_when_nothing_overflows() {
        for (largest, overflows) in [(65_504.0f32, false), (65_519.9, false), (65_520.0, true), (65_530.0, true)] {
            assert_eq!(f16::from_f32(largest).is_infinite(), overflows);
            let (moments, histogram) = moments_with_histogram(&[40_000.0, -largest, 1.0, 0.0]);
            let fraction = histogram.fp16_overflow_fraction(&moments, 1.0);
            assert_eq!(fraction, if overflows { 1.0 / 3.0 } else { 0.0 }, "{largest}");
        }
        // 70000 is counted for sure, and of the one value in [32768, 65536) the share of the bin above 65520.
        let (moments, histogram) = moments_with_histogram(&[40_000.0, 70_000.0]);
        let fraction = histogram.fp16_overflow_fraction(&moments, 1.0);
        assert_eq!(fraction, (1.0 + 16.0 / 32_768.0) / 2.0);

        let values = gaussian(200_000, 30_000.0, 9);
        let (moments, histogram) = moments_with_histogram(&values);
        let overflowing = values.iter().filter(|x| f16::from_f32(**x).is_infinite()).count() as f64 / 200_000.0;
        let fraction = histogram.fp16_overflow_fraction(&moments, 1.0);
        assert!((fraction - overflowing).abs() < 2e-4, "{fraction} {overflowing}");
    }

    #[test]
    fn bf16_loses_only_what_f32_barely_holds() {
        let values = [1e-45f32, 7e-43, 1e-40, 1.0, f32::MAX, 0.0];
        let (moments, histogram) = moments_with_histogram(&values);
        assert!(bf16::from_f32(f32::MAX).is_infinite());
        assert_eq!(histogram.overflow_fraction(&NumberFormat::BF16, &moments, 1.0), 0.2);
        assert_eq!(histogram.f32_subnormal_fraction(&moments), 0.6);
        let lost = histogram.underflow_fraction(&NumberFormat::BF16, &moments, 1.0);
        let subnormal = histogram.subnormal_fraction(&NumberFormat::BF16, &moments, 1.0);
        assert!((lost + subnormal - 0.6).abs() < 1e-12, "{lost} {subnormal}");
    }

    #[test]
    fn nothing_underflows_in_an_empty_tensor() {
        let (moments, histogram) = moments_with_histogram(&[0.0, f32::NAN]);
        assert_eq!(histogram.fp16_underflow_fraction(&moments, 1.0), 0.0);
        assert_eq!(histogram.fp16_overflow_fraction(&moments, 1.0), 0.0);
        assert_eq!(histogram.f32_subnormal_fraction(&moments), 0.0);
    }

    #[test]
    fn survives_json_and_refuses_too_many_bins() {
        for values in [vec![], vec![0.0], vec![1.0, 1e-30, f32::NAN, 0.0], vec![3.0]] {
            let (_, histogram) = moments_with_histogram(&values);
            let json = serde_json::to_string(&histogram).unwrap();
            assert_eq!(serde_json::from_str::<ExponentHistogram>(&json).unwrap(), histogram, "{json}");
        }
        let too_many = r#"{"first_bin": 255, "counts": [1, 2]}"#;
        let error = serde_json::from_str::<ExponentHistogram>(too_many).unwrap_err().to_string();
        assert!(error.contains("256 bins"), "{error}");
        let overflowing = r#"{"first_bin": 18446744073709551615, "counts": [1, 2]}"#;
        assert!(serde_json::from_str::<ExponentHistogram>(overflowing).is_err());
    }

    #[test]
    fn merge_of_the_parts_is_the_whole() {
        let values = gaussian(10_000, 1e-3, 3);
        let (left, right) = values.split_at(3_333);
        let mut merged = moments_with_histogram(left).1;
        merged.merge(&moments_with_histogram(right).1);
        assert_eq!(merged, moments_with_histogram(&values).1);
        assert_eq!(merged.total(), 10_000);
    }

    #[test]
    fn scaling_by_a_power_of_two_moves_whole_bins() {
        let mut values = gaussian(10_000, 1e-3, 4);
        values.extend([0.0, f32::NAN, f32::INFINITY]);
        let histogram = moments_with_histogram(&values).1;
        for exponent in [-16, -1, 0, 3, 40] {
            let scaled: Vec<f32> = values.iter().map(|value| value * 2_f32.powi(exponent)).collect();
            assert_eq!(histogram.scaled(exponent), moments_with_histogram(&scaled).1, "2^{exponent}");
        }
        for exponent in [-1000, 1000, i32::MAX, i32::MIN + 1000] {
            let scaled = histogram.scaled(exponent);
            assert_eq!((scaled.total(), scaled.counts()[255]), (10_003, 2), "nothing is lost or becomes infinite");
        }
    }
}
