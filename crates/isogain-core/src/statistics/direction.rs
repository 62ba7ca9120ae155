//! How two tensors of one shape stand to each other: the angle between two gradients, the size of an update against
//! the weights it changes.

use super::error::StatisticsError;
use super::real::Real;

/// Independent sums, so that one addition need not wait for the one before.
const LANES: usize = 8;

/// Inner product sum a_i b_i, in f64.
///
/// # Errors
/// [`StatisticsError::LengthMismatch`] if the lengths differ.
pub fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> Result<f64, StatisticsError> {
    same_length(a.len(), b.len())?;
    Ok(sum_of_products(a, b))
}

/// Euclidean norm, in f64.
pub fn norm<T: Real>(values: &[T]) -> f64 {
    sum_of_products(values, values).sqrt()
}

/// Cosine of the angle between two tensors, in [-1, 1]; `None` if a norm is zero or not finite, where there is no
/// angle.
///
/// # Errors
/// [`StatisticsError::LengthMismatch`] if the lengths differ.
pub fn cosine<A: Real, B: Real>(a: &[A], b: &[B]) -> Result<Option<f64>, StatisticsError> {
    let product = dot(a, b)?;
    let (norm_a, norm_b) = (norm(a), norm(b));
    let directed = |norm: f64| norm > 0.0 && norm.is_finite();
    Ok((directed(norm_a) && directed(norm_b)).then(|| (product / norm_a / norm_b).clamp(-1.0, 1.0)))
}

/// Relative size of one step, |after - before| / |before|; `None` if the weights were all zero, or if the ratio is not
/// finite.
///
/// # Errors
/// [`StatisticsError::LengthMismatch`] if the lengths differ.
pub fn update_ratio<T: Real>(before: &[T], after: &[T]) -> Result<Option<f64>, StatisticsError> {
    same_length(before.len(), after.len())?;
    let moved = sum_over_lanes(before, after, |before, after| (after - before) * (after - before)).sqrt();
    let ratio = moved / norm(before);
    Ok(ratio.is_finite().then_some(ratio))
}

fn same_length(left: usize, right: usize) -> Result<(), StatisticsError> {
    if left == right { Ok(()) } else { Err(StatisticsError::LengthMismatch { left, right }) }
}

fn sum_of_products<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    sum_over_lanes(a, b, |a, b| a * b)
}

/// Sum of `term(a_i, b_i)` over two buffers of one length.
fn sum_over_lanes<A: Real, B: Real>(a: &[A], b: &[B], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let ((a_groups, a_rest), (b_groups, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_groups.iter().zip(b_groups) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane].into(), b[lane].into());
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] += term((*a).into(), (*b).into());
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_angles() {
        assert_eq!(cosine(&[1.0f32, 0.0], &[0.0f32, 2.0]), Ok(Some(0.0)));
        assert_eq!(cosine(&[3.0f32, 4.0], &[6.0f64, 8.0]), Ok(Some(1.0)));
        assert_eq!(cosine(&[3.0f32, 4.0], &[-3.0f32, -4.0]), Ok(Some(-1.0)));
        assert_eq!(cosine(&[0.0f32, 0.0], &[1.0f32, 1.0]), Ok(None));
        assert_eq!(cosine(&[f32::NAN], &[1.0f32]), Ok(None));
        assert_eq!(cosine(&[f32::INFINITY], &[1.0f32]), Ok(None));
    }

    #[test]
    fn clipping_by_value_turns_a_gradient_and_clipping_by_norm_does_not() {
        let gradient = [0.9f64, 100.0];
        let by_value = gradient.map(|g| g.clamp(-1.0, 1.0));
        let by_norm = gradient.map(|g| g / norm(&gradient));
        // The textbook pair: (0.9, 100) cut to (0.9, 1) points 48 degrees away from where it did.
        let expected = (0.9 * 0.9 + 100.0) / ((0.81f64 + 1e4).sqrt() * 1.81f64.sqrt());
        assert!((cosine(&gradient, &by_value).unwrap().unwrap() - expected).abs() < 1e-15);
        assert!((cosine(&gradient, &by_norm).unwrap().unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn update_ratios() {
        assert_eq!(update_ratio(&[3.0f32, 4.0], &[3.0, 4.5]), Ok(Some(0.1)));
        assert_eq!(update_ratio(&[1.0f32], &[1.0]), Ok(Some(0.0)));
        assert_eq!(update_ratio(&[0.0f32], &[1.0]), Ok(None));
        assert_eq!(update_ratio(&[0.0f32], &[0.0]), Ok(None));
        assert_eq!(update_ratio(&[1.0f32], &[f32::NAN]), Ok(None));
    }

    #[test]
    fn different_lengths_are_refused() {
        let error = StatisticsError::LengthMismatch { left: 2, right: 1 };
        assert_eq!(dot(&[1.0f32, 2.0], &[1.0f32]), Err(error));
        assert_eq!(cosine(&[1.0f32, 2.0], &[1.0f32]), Err(error));
        assert_eq!(update_ratio(&[1.0f32, 2.0], &[1.0f32]), Err(error));
    }

    proptest! {
        #[test]
        fn dot_is_the_plain_sum(pairs in prop::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 0..100)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let plain: f64 = pairs.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let magnitude: f64 = pairs.iter().map(|(a, b)| (f64::from(*a) * f64::from(*b)).abs()).sum();
            prop_assert!((dot(&a, &b).unwrap() - plain).abs() <= 1e-13 * magnitude);
        }

        #[test]
        fn cosine_ignores_scale(values in prop::collection::vec(0.1f64..1e3, 2..50), scale in 1e-6f64..1e6) {
            let other: Vec<f64> = values.iter().rev().copied().collect();
            let scaled: Vec<f64> = values.iter().map(|x| x * scale).collect();
            let (a, b) = (cosine(&values, &other).unwrap().unwrap(), cosine(&scaled, &other).unwrap().unwrap());
            prop_assert!((a - b).abs() < 1e-12);
        }
    }
}
