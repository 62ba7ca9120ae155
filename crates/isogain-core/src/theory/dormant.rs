//! Dormant units (Sokar et al. 2023): s_i = mean |h_i| over its layer's average of that; a unit is dormant at s_i <= tau.
//! At tau = 0 these are the dead ones; 0.1 is the authors' code's.

/// Mean |h| of each unit over the average of the layer; zeros where the whole layer is silent.
pub fn scores(mean_sizes: &[f64]) -> Vec<f64> {
    let average = mean_sizes.iter().sum::<f64>() / mean_sizes.len().max(1) as f64;
    mean_sizes.iter().map(|size| if average > 0.0 { size / average } else { 0.0 }).collect()
}

/// Indices of the units with a score of at most `tau`.
pub fn dormant(mean_sizes: &[f64], tau: f64) -> Vec<usize> {
    scores(mean_sizes).iter().enumerate().filter(|(_, score)| **score <= tau).map(|(unit, _)| unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T29: three units of nothing, two of 5 %, the rest alike.
    #[test]
    fn planted_units_are_counted() {
        let mut sizes = vec![1.0; 64];
        sizes[..3].fill(0.0);
        sizes[10] = 0.05;
        sizes[20] = 0.05;
        assert_eq!(dormant(&sizes, 0.0), [0, 1, 2]);
        assert_eq!(dormant(&sizes, 0.1), [0, 1, 2, 10, 20]);
        let mean = scores(&sizes).iter().sum::<f64>() / 64.0;
        assert!((mean - 1.0).abs() < 1e-15);
        assert_eq!(dormant(&[0.0; 4], 0.0).len(), 4);
    }
}
