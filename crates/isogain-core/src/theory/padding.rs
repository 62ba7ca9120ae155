//! What zero padding takes from a signal.
//!
//! At the border of a grid a patch reads zeros, so that fewer taps count. Per layer the mean square q of each position
//! becomes `sw2 / taps` times the sum of q over the taps that lie inside: a linear map, whose largest eigenvalue is the
//! factor per layer far from the input. On 8x8 positions it takes 8 % of the signal's energy in every 3x3 layer.

/// Steps of the power iteration; it begins at the mode of a 3-tap patch, which is exact.
const STEPS: usize = 100;

/// The factor along one axis of `length` positions, for patches of `size` with `padding` zeros on both sides. Where patches
/// leave positions out, which changes the grid, the share of taps inside.
pub fn factor(length: usize, size: usize, stride: usize, padding: usize) -> f64 {
    let outputs = (length + 2 * padding).checked_sub(size).map_or(0, |rest| rest / stride.max(1) + 1);
    if padding == 0 || outputs == 0 {
        return 1.0;
    }
    let inside = |output: usize| {
        let start = output * stride;
        (start.max(padding) - padding)..(start + size).min(length + padding).max(padding) - padding
    };
    if outputs != length || stride != 1 {
        return (0..outputs).map(|output| inside(output).len() as f64).sum::<f64>() / (size * outputs) as f64;
    }
    let mode = |position: usize| (std::f64::consts::PI * (position + 1) as f64 / (length + 1) as f64).sin();
    let mut energy: Vec<f64> = (0..length).map(mode).collect();
    let mut factor = 1.0;
    for _ in 0..STEPS {
        let next: Vec<f64> =
            (0..length).map(|output| energy[inside(output)].iter().sum::<f64>() / size as f64).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let length = dot(&next, &next).sqrt();
        factor = dot(&energy, &next) / dot(&energy, &energy);
        energy = next.into_iter().map(|value| value / length).collect();
    }
    factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_taps_have_the_eigenvalue_of_a_path() {
        for length in [4, 8, 32, 1000] {
            let expected = (1.0 + 2.0 * (std::f64::consts::PI / (length + 1) as f64).cos()) / 3.0;
            assert!((factor(length, 3, 1, 1) - expected).abs() < 1e-12, "{length}");
        }
    }

    #[test]
    fn five_taps_have_the_eigenvalue_of_the_matrix() {
        // n = 3, 5 taps, 2 zeros on each side: every output reads all three positions, so that the map is 3/5 of a mean.
        assert!((factor(3, 5, 1, 2) - 0.6).abs() < 1e-12);
        assert_eq!(factor(1, 3, 1, 1), 1.0 / 3.0);
    }

    #[test]
    fn nothing_is_lost_without_padding() {
        assert_eq!(factor(8, 3, 1, 0), 1.0);
        assert_eq!(factor(8, 1, 2, 0), 1.0);
        // 8 positions, stride 2: 4 patches, the first of which reads one zero.
        assert!((factor(8, 3, 2, 1) - 11.0 / 12.0).abs() < 1e-15);
        assert_eq!(factor(2, 9, 1, 1), 1.0);
    }
}
