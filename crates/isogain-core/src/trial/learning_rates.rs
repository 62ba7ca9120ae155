//! The learning rates a trial searches: log-spaced around the recipe's own.

/// Divisors of the recipe's learning rate. Below more than above: the usable rate shrinks with depth at criticality, and a
/// repaired network passes on larger gradients than the ill one the rate was chosen for.
const DIVISORS: [f64; 4] = [25.0, 5.0, 1.0, 0.2];

/// How far above the predicted ceiling a rate may still be tried: the ceiling 2/lambda_max is of the quadratic model at
/// the start, and the curvature falls in the first steps.
const CEILING_SLACK: f64 = 2.0;

/// The learning rates to search, ascending. Always contains `recipe` itself.
pub fn grid(recipe: f64) -> Vec<f64> {
    DIVISORS.iter().map(|divisor| recipe / divisor).collect()
}

/// Those of `rates` (ascending) that a predicted ceiling leaves worth trying: at most twice the ceiling, but never fewer
/// than the two smallest, because the prediction may be wrong.
pub fn below_ceiling(rates: &[f64], ceiling: Option<f64>) -> Vec<f64> {
    let Some(ceiling) = ceiling.filter(|ceiling| ceiling.is_finite() && *ceiling > 0.0) else {
        return rates.to_vec();
    };
    let kept = rates.iter().filter(|rate| **rate <= CEILING_SLACK * ceiling).count();
    rates[..kept.max(2).min(rates.len())].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_ascending_and_contains_the_recipe() {
        let rates = grid(0.05);
        assert!(rates.windows(2).all(|pair| pair[0] < pair[1]), "{rates:?}");
        assert!(rates.contains(&0.05), "{rates:?}");
    }

    #[test]
    fn a_ceiling_removes_only_what_is_far_above_it() {
        let rates = [0.002, 0.01, 0.05, 0.25];
        assert_eq!(below_ceiling(&rates, None), rates);
        assert_eq!(below_ceiling(&rates, Some(0.04)), rates[..3]);
        assert_eq!(below_ceiling(&rates, Some(1e-9)), rates[..2]);
        assert_eq!(below_ceiling(&rates, Some(f64::NAN)), rates);
    }
}
