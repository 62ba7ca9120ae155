//! Shattered gradients: whether inputs that are neighbours still get gradients that are alike.
//!
//! A deep plain network with batch norm has gradients that look like white noise in the input (Balduzzi et al. 2017): the
//! gradient at one point says nothing of that at the next, and averages over a batch cancel. No scale shows it.
//!
//! An engine measures it with one more pass: [`arc()`] gives a batch of inputs that lie close together on their way from
//! one sample to another; all get the target of the first sample; the network runs in training mode and untouched; the
//! capture of that pass goes to [`Shattering::of`].

use serde::{Deserialize, Serialize};

use super::capture::Capture;
use super::number_or_nan;
use super::values::dot;

/// Points of the arc: as many as a usual batch, for batch norm's sake.
pub const POINTS: usize = 64;

/// How alike neighbours are on the arc.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shattering {
    /// Correlation of dL/dx at neighbouring points: sum of <g_t, g_t+1> over the sum of their mean squared lengths.
    #[serde(deserialize_with = "number_or_nan")]
    pub gradient_correlation: f64,
    /// The same of the activations that the head reads, their mean over the points taken out. Where these differ as
    /// much, the points lie too far apart for this network to call them neighbours.
    #[serde(deserialize_with = "number_or_nan")]
    pub activation_correlation: f64,
}

/// Points `[points, values]` on the way from sample `a` to sample `b`: cos(t) a + sin(t) b with t from 0 to pi/2, which
/// keeps the size of inputs that are orthogonal.
pub fn arc(a: &[f64], b: &[f64], points: usize) -> Vec<f64> {
    let step = std::f64::consts::FRAC_PI_2 / points.saturating_sub(1).max(1) as f64;
    (0..points)
        .flat_map(|point| {
            let (sin, cos) = (step * point as f64).sin_cos();
            a.iter().zip(b).map(move |(a, b)| cos * a + sin * b)
        })
        .collect()
}

impl Shattering {
    /// From a pass over the points of an arc, in their order. `None` where nothing precedes the head or nothing varies.
    pub fn of(capture: &Capture) -> Option<Self> {
        let first = capture.ops().first()?;
        let head = capture.ops().get(capture.head())?;
        Self::between(&first.cotangent_in.to_f64(), &head.input.to_f64(), capture.batch())
    }

    /// The same from dL/dx and the activations that the head reads, each a row for every point.
    pub fn between(gradients: &[f64], activations: &[f64], points: usize) -> Option<Self> {
        Some(Self {
            gradient_correlation: neighbours(gradients, points)?,
            activation_correlation: neighbours(&centred(activations, points), points)?,
        })
    }
}

/// Sum of <v_t, v_t+1> over the sum of (|v_t|^2 + |v_t+1|^2) / 2, rows being points; `None` where all are zero.
fn neighbours(values: &[f64], points: usize) -> Option<f64> {
    let width = values.len() / points.max(1);
    let rows: Vec<&[f64]> = values.chunks_exact(width.max(1)).collect();
    let (mut products, mut squares) = (0.0, 0.0);
    for pair in rows.windows(2) {
        products += dot(pair[0], pair[1]);
        squares += 0.5 * (dot(pair[0], pair[0]) + dot(pair[1], pair[1]));
    }
    (squares > 0.0 && squares.is_finite()).then(|| products / squares)
}

fn centred(values: &[f64], points: usize) -> Vec<f64> {
    let width = values.len() / points.max(1);
    let mut mean = vec![0.0; width];
    for row in values.chunks_exact(width.max(1)) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value / points as f64);
    }
    values.iter().zip(mean.iter().cycle()).map(|(value, mean)| value - mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arc_keeps_the_size_of_orthogonal_samples() {
        let points = arc(&[3.0, 0.0], &[0.0, 3.0], POINTS);
        assert_eq!((points.len(), &points[..2]), (2 * POINTS, &[3.0, 0.0][..]));
        assert!(points.chunks_exact(2).all(|point| (point[0].hypot(point[1]) - 3.0).abs() < 1e-12));
        let neighbours = neighbours(&points, POINTS).unwrap();
        assert!((neighbours - (std::f64::consts::FRAC_PI_2 / 63.0).cos()).abs() < 1e-12, "{neighbours}");
    }

    #[test]
    fn neighbours_by_hand() {
        // (1*2 + 2*-1) / (5/2 + 5/2), one column
        assert_eq!(neighbours(&[1.0, 2.0, -1.0], 3), Some(0.0));
        assert_eq!(neighbours(&[1.0, 1.0, 1.0], 3), Some(1.0));
        assert_eq!(neighbours(&[0.0; 3], 3), None, "nothing varies");
        assert_eq!(centred(&[1.0, 5.0, 3.0, 7.0], 2), [-1.0, -1.0, 1.0, 1.0]);
    }
}
