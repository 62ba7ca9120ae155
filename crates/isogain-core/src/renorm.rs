//! Batch renormalisation (Ioffe 2017): batch norm in training that gives what evaluation would give.
//!
//! With m and s the mean and sqrt(variance + eps) of this batch, M and S those of the running averages,
//!
//! y = gamma ((x - m) / s r + d) + beta,  r = s / S in [1 / `r_max`, `r_max`],  d = (m - M) / S in [-`d_max`, `d_max`],
//!
//! which is gamma (x - M) / S + beta where neither bound is met, whoever shares the batch. On the way back r and d are
//! constants: what comes back is batch norm's times r, that is over S in the place of s. Running averages that have seen
//! little are wrong, so that the bounds begin closed, `r_max` = 1 and `d_max` = 0, which is batch norm, and open batch by
//! batch. S is of the running variance that evaluation reads; Ioffe averages s itself.

use std::borrow::Cow;

/// Where the bound of r ends, the paper's value.
const R_MAX: f64 = 3.0;
/// Where the bound of d ends, the paper's value.
const D_MAX: f64 = 5.0;

/// How far the correction may go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest r; its inverse is the smallest.
    pub ratio: f64,
    /// Largest size of d.
    pub shift: f64,
}

impl Bounds {
    /// When the running averages have followed `batches` batches, of the `ramp` over which the bounds open evenly.
    pub fn after(batches: usize, ramp: usize) -> Self {
        let part = if batches < ramp { batches as f64 / ramp as f64 } else { 1.0 };
        Self { ratio: 1.0 + (R_MAX - 1.0) * part, shift: D_MAX * part }
    }
}

/// Mean and variance of each feature, `[features]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Averages<'a> {
    /// Per feature.
    pub mean: Cow<'a, [f64]>,
    /// Per feature.
    pub variance: Cow<'a, [f64]>,
}

impl<'a> Averages<'a> {
    /// Of known numbers.
    pub fn of(mean: &'a [f64], variance: &'a [f64]) -> Self {
        Self { mean: Cow::Borrowed(mean), variance: Cow::Borrowed(variance) }
    }

    /// Of a batch `[rows, features]`, row-major; the variance over the number of rows.
    pub fn of_batch(values: &[f64], features: usize) -> Self {
        let rows = (values.len() / features.max(1)).max(1) as f64;
        let mut mean = vec![0.0; features];
        for row in values.chunks_exact(features.max(1)) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / rows);
        }
        let mut variance = vec![0.0; features];
        for row in values.chunks_exact(features.max(1)) {
            for ((variance, x), mean) in variance.iter_mut().zip(row).zip(&mean) {
                *variance += (x - mean) * (x - mean) / rows;
            }
        }
        Self { mean: Cow::Owned(mean), variance: Cow::Owned(variance) }
    }
}

/// r and d of each feature, `[features]` each.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    /// r: what the normalised values are multiplied with.
    pub ratio: Vec<f64>,
    /// d: what is added to them then.
    pub shift: Vec<f64>,
}

impl Correction {
    /// That takes a batch's averages to the running ones, within the bounds.
    pub fn new(batch: &Averages<'_>, running: &Averages<'_>, eps: f64, bounds: Bounds) -> Self {
        let both = batch.mean.iter().zip(batch.variance.iter()).zip(running.mean.iter().zip(running.variance.iter()));
        let (ratio, shift) = both
            .map(|((mean, variance), (running_mean, running_variance))| {
                let deviation = (running_variance + eps).sqrt();
                let ratio = (variance + eps).sqrt() / deviation;
                let shift = (mean - running_mean) / deviation;
                (ratio.clamp(1.0 / bounds.ratio, bounds.ratio), shift.clamp(-bounds.shift, bounds.shift))
            })
            .unzip();
        Self { ratio, shift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: [f64; 6] = [1.0, -2.0, 3.0, 0.5, -1.0, 4.0];

    #[test]
    fn bounds_open_evenly() {
        assert_eq!(Bounds::after(0, 100), Bounds { ratio: 1.0, shift: 0.0 });
        assert_eq!(Bounds::after(50, 100), Bounds { ratio: 2.0, shift: 2.5 });
        assert_eq!(Bounds::after(100, 100), Bounds { ratio: 3.0, shift: 5.0 });
        assert_eq!(Bounds::after(5000, 100), Bounds::after(100, 100));
        assert_eq!(Bounds::after(0, 0), Bounds { ratio: 3.0, shift: 5.0 });
    }

    #[test]
    fn a_batch_has_its_own_averages() {
        let found = Averages::of_batch(&BATCH, 2);
        assert_eq!(found.mean[0], 1.0);
        assert!((found.mean[1] - 2.5 / 3.0).abs() < 1e-15);
        assert!((found.variance[0] - 8.0 / 3.0).abs() < 1e-15);
    }

    /// Within the bounds the output is what evaluation gives: (x - M) / S.
    #[test]
    fn training_and_evaluation_agree_within_the_bounds() {
        let (mean, variance, eps) = ([0.5, -1.0], [4.0, 3.0], 0.01);
        let (batch, running) = (Averages::of_batch(&BATCH, 2), Averages::of(&mean, &variance));
        let open = Correction::new(&batch, &running, eps, Bounds::after(1, 0));
        for (index, x) in BATCH.iter().enumerate() {
            let feature = index % 2;
            let normal = (x - batch.mean[feature]) / (batch.variance[feature] + eps).sqrt();
            let found = normal * open.ratio[feature] + open.shift[feature];
            let expected = (x - mean[feature]) / (variance[feature] + eps).sqrt();
            assert!((found - expected).abs() < 1e-14, "{found} is not {expected}");
        }
        let closed = Correction::new(&batch, &running, eps, Bounds::after(0, 10));
        assert_eq!(closed, Correction { ratio: vec![1.0; 2], shift: vec![0.0; 2] });
        let half = Correction::new(&batch, &running, eps, Bounds { ratio: 1.1, shift: 0.1 });
        assert_eq!(half, Correction { ratio: vec![1.0 / 1.1, 1.1], shift: vec![0.1, 0.1] });
    }
}
