//! The gauge of a network of positively homogeneous activations (ReLU, leaky ReLU, linear): its outputs stay what they are
//! when layer l's units become s_l times as large, W_l -> (s_l / s_(l-1)) W_l, b_l -> s_l b_l, with s_0 = s_L = 1. Its
//! gradients change by the inverse factors, so one choice of s makes |dW_l| / |W_l| the same for all layers.

/// What every number of one layer is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// The weight; its gradient is divided by it.
    pub weight: f64,
    /// The bias; its gradient is divided by it.
    pub bias: f64,
}

/// ln s_l for each layer that makes r_l = ln(|dW_l| / |W_l|) the mean of all: t_l = 1/2 sum_{k <= l} (r_k - mean r).
///
/// The last one, of the outputs, is 0. `None` where a ratio is not finite: a layer without a gradient has nothing to
/// balance. Nothing is gained or lost: the mean of r, the signal that there is, stays.
pub fn balance(log_ratios: &[f64]) -> Option<Vec<f64>> {
    if log_ratios.is_empty() || log_ratios.iter().any(|ratio| !ratio.is_finite()) {
        return None;
    }
    let mean = log_ratios.iter().sum::<f64>() / log_ratios.len() as f64;
    let mut sum = 0.0;
    let mut scales: Vec<f64> = log_ratios
        .iter()
        .map(|ratio| {
            sum += 0.5 * (ratio - mean);
            sum
        })
        .collect();
    // Zero but for rounding, and the outputs must stay what they are.
    if let Some(last) = scales.last_mut() {
        *last = 0.0;
    }
    Some(scales)
}

/// The factors of each layer for these ln s_l, none of which may be beyond `most` in size: a scale that is clamped leaves
/// its neighbours less balanced, and the outputs unchanged.
pub fn factors(log_scales: &[f64], most: f64) -> Vec<Factors> {
    let mut before = 0.0;
    log_scales
        .iter()
        .map(|scale| {
            let scale = scale.clamp(-most, most);
            let factors = Factors { weight: (scale - before).exp(), bias: scale.exp() };
            before = scale;
            factors
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_ratios_are_all_the_mean() {
        let ratios = [-1.0, 2.5, -7.0, 0.3, 3.1, -2.2];
        let mean = ratios.iter().sum::<f64>() / 6.0;
        let factors = factors(&balance(&ratios).unwrap(), f64::INFINITY);
        for (ratio, factors) in ratios.iter().zip(&factors) {
            // The gradient is divided by what the weight is multiplied with.
            assert!((ratio - 2.0 * factors.weight.ln() - mean).abs() < 1e-14);
        }
        let product: f64 = factors.iter().map(|factors| factors.weight).product();
        assert!((product - 1.0).abs() < 1e-14 && factors[5].bias == 1.0);
    }

    #[test]
    fn nothing_to_balance() {
        assert_eq!(balance(&[]), None);
        assert_eq!(balance(&[0.0, f64::NEG_INFINITY]), None);
        assert_eq!(balance(&[1.0]), Some(vec![0.0]));
        let clamped = factors(&[50.0, 0.0], 20.0);
        assert_eq!((clamped[0].weight, clamped[1].weight), (20_f64.exp(), (-20_f64).exp()));
    }
}
