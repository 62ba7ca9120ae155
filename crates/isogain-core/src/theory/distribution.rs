//! The shapes weights are drawn from, each scaled to a stated standard deviation.

use rand_chacha::ChaCha8Rng;

use super::sampling::{standard_normal, uniform};

/// Deviation of a standard normal cut off at two deviations: a truncated draw is divided by it, so that the stated
/// variance is the one that comes out.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// A family of distributions with mean zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distribution {
    /// Uniform within sqrt(3) deviations.
    Uniform,
    /// Normal.
    Normal,
    /// Normal, redrawn beyond two deviations of the uncut normal.
    TruncatedNormal,
    /// A matrix with orthonormal rows or columns, uniform over the Haar measure.
    Orthogonal,
    /// The identity, as large as an orthogonal matrix.
    Identity,
}

impl Distribution {
    /// The largest magnitude that a draw can have, in standard deviations; `None` where there is no largest one.
    pub(super) fn largest_deviation(self) -> Option<f64> {
        match self {
            Self::Uniform => Some(3f64.sqrt()),
            Self::TruncatedNormal => Some(2.0 / TRUNCATED_DEVIATION),
            Self::Normal | Self::Orthogonal | Self::Identity => None,
        }
    }

    /// A matrix `[rows, columns]`, row-major, of the given deviation per entry.
    pub(super) fn matrix(self, rows: usize, columns: usize, deviation: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let (few, many) = (rows.min(columns), rows.max(columns));
        let scale = deviation * (many as f64).sqrt();
        match self {
            Self::Orthogonal => {}
            Self::Identity => {
                let mut identity = vec![0.0; rows * columns];
                identity.iter_mut().step_by(columns + 1).take(few).for_each(|w| *w = scale);
                return identity;
            }
            _ => return self.vector(rows * columns, deviation, rng),
        }
        let vectors = orthonormal(few, many, rng);
        if rows <= columns {
            return vectors.iter().flatten().map(|w| scale * w).collect();
        }
        (0..rows).flat_map(|row| vectors.iter().map(move |vector| scale * vector[row])).collect()
    }

    /// Independent numbers of the given deviation; normal where the family is one of matrices. Draws nothing for 0.
    pub(super) fn vector(self, count: usize, deviation: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
        if deviation == 0.0 {
            return vec![0.0; count];
        }
        let one: fn(&mut ChaCha8Rng) -> f64 = match self {
            Self::Uniform => |rng| 3f64.sqrt() * (2.0 * uniform(rng) - 1.0),
            Self::TruncatedNormal => truncated_normal,
            Self::Normal | Self::Orthogonal | Self::Identity => standard_normal,
        };
        (0..count).map(|_| deviation * one(rng)).collect()
    }
}

fn truncated_normal(rng: &mut ChaCha8Rng) -> f64 {
    loop {
        let z = standard_normal(rng);
        if z.abs() <= 2.0 {
            return z / TRUNCATED_DEVIATION;
        }
    }
}

/// `few` orthonormal vectors of length `many`: Gram-Schmidt of a Gaussian matrix.
///
/// That is its QR factorisation with a positive diagonal of R, the condition for the Haar measure (Mezzadri 2007).
/// Each vector is projected twice, which keeps orthogonality to rounding (Giraud et al. 2005).
fn orthonormal(few: usize, many: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(few);
    while vectors.len() < few {
        let mut vector: Vec<f64> = (0..many).map(|_| standard_normal(rng)).collect();
        for _ in 0..2 {
            for other in &vectors {
                let overlap = dot(other, &vector);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= overlap * o);
            }
        }
        let length = dot(&vector, &vector).sqrt();
        // A draw that lies in the span of the others has probability zero, and would be noise when normalised.
        if length > 1e-8 {
            vector.iter_mut().for_each(|v| *v /= length);
            vectors.push(vector);
        }
    }
    vectors
}

/// Inner product. Eight partial sums, so that the compiler can use wide registers; their order is fixed, because drawn
/// weights depend on its last bit.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    tail + sums.iter().sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::special::{normal_cdf, normal_pdf};
    use super::*;

    #[test]
    fn truncation_constant_is_the_deviation_of_the_cut_normal() {
        let inside = 2.0 * normal_cdf(2.0) - 1.0;
        let variance = 1.0 - 4.0 * normal_pdf(2.0) / inside;
        assert!((variance.sqrt() - TRUNCATED_DEVIATION).abs() < 1e-15);
    }
}
