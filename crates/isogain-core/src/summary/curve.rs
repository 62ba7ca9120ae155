//! Loss by step, as much of it as a chart can show.

use serde::{Deserialize, Serialize};

/// Loss by step of the untreated network and of the cured one, each at its own best learning rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curves {
    /// The untreated network, one curve for each seed.
    pub before: Vec<Curve>,
    /// The cured network, one curve for each seed; empty without a cure.
    pub after: Vec<Curve>,
    /// The other prescriptions that were trained to the end, each at its best learning rate, with fewer points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<TriedCurves>,
}

/// The curves of one prescription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedCurves {
    /// Index in the report's prescriptions.
    pub prescription: usize,
    /// One for each seed.
    pub curves: Vec<Curve>,
}

/// Loss by step of one training, thinned to what a chart can show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Seed of the training.
    pub seed: u64,
    /// Optimizer updates done before, ascending.
    pub steps: Vec<u64>,
    /// Loss on each of those steps' batch; `None` where it is not finite.
    pub losses: Vec<Option<f64>>,
}

impl Curve {
    /// Most points a curve keeps.
    const MOST_POINTS: usize = 400;
    /// Most points of one of many.
    const FEW_POINTS: usize = 80;

    /// A training's losses, one for each step from 0 on. Longer ones are thinned: of each group of neighbouring steps
    /// the geometric mean stands at the group's first step, and a group with a non-finite loss has none.
    pub fn thinned(seed: u64, losses: &[Option<f64>]) -> Self {
        let group = losses.len().div_ceil(Self::MOST_POINTS).max(1);
        let steps = (0..losses.len()).step_by(group).map(|step| step as u64).collect();
        let losses = losses.chunks(group).map(geometric_mean).collect();
        Self { seed, steps, losses }
    }

    /// The same curve with few points, by the same rule: a chart of all arms has many of them.
    pub fn coarse(&self) -> Self {
        let group = self.losses.len().div_ceil(Self::FEW_POINTS).max(1);
        Self {
            seed: self.seed,
            steps: self.steps.iter().copied().step_by(group).collect(),
            losses: self.losses.chunks(group).map(geometric_mean).collect(),
        }
    }
}

fn geometric_mean(losses: &[Option<f64>]) -> Option<f64> {
    let sum: f64 = losses.iter().map(|loss| loss.map(f64::ln)).sum::<Option<f64>>()?;
    // A loss of zero or below has no logarithm; the arithmetic mean stands in for it.
    let mean = if sum.is_finite() {
        (sum / losses.len() as f64).exp()
    } else {
        losses.iter().copied().sum::<Option<f64>>()? / losses.len() as f64
    };
    mean.is_finite().then_some(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_curves_are_kept_as_they_are() {
        let losses = [Some(2.5), None, Some(0.1)];
        let curve = Curve::thinned(7, &losses);
        assert_eq!((curve.seed, curve.steps), (7, vec![0, 1, 2]));
        assert_eq!(curve.losses[1], None);
        assert!((curve.losses[0].unwrap() - 2.5).abs() < 1e-12 && (curve.losses[2].unwrap() - 0.1).abs() < 1e-12);
    }

    #[test]
    fn long_curves_are_thinned_and_keep_what_is_not_finite() {
        let mut losses: Vec<Option<f64>> = (0..1000).map(|step| Some(f64::from(step) + 1.0)).collect();
        losses[999] = None;
        losses[3] = Some(f64::INFINITY);
        let curve = Curve::thinned(0, &losses);
        assert_eq!((curve.steps.len(), curve.losses.len()), (334, 334));
        assert_eq!((curve.steps[1], curve.steps[333]), (3, 999));
        assert!((curve.losses[0].unwrap() - 6.0_f64.cbrt()).abs() < 1e-12);
        assert_eq!((curve.losses[1], curve.losses[333]), (None, None));
        let coarse = curve.coarse();
        assert_eq!((coarse.steps.len(), coarse.steps[1], coarse.losses[0]), (67, 15, None));
        assert!(
            (coarse.losses[1].unwrap() - (16..31).map(|loss| f64::from(loss).ln()).sum::<f64>().exp().powf(1.0 / 15.0))
                .abs()
                < 1e-9
        );
    }

    #[test]
    fn losses_without_a_logarithm_are_averaged() {
        let losses: Vec<Option<f64>> = [Some(0.0), Some(-2.0)].into_iter().cycle().take(800).collect();
        assert!(Curve::thinned(0, &losses).losses.iter().all(|loss| *loss == Some(-1.0)));
    }
}
