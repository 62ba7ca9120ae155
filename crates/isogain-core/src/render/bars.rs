//! Bars drawn with block characters, in eighths of a character.

/// Blocks of one eighth to eight eighths.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Fewest decades that a full bar stands for, so that a harmless factor of two does not look like a collapse.
const FEWEST_DECADES: f64 = 4.0;

/// A bar `fraction` of `width` characters long; nothing for a fraction that is not above 0, and at least one eighth
/// otherwise.
pub fn bar(fraction: f64, width: usize) -> String {
    if fraction.is_nan() || fraction <= 0.0 {
        return String::new();
    }
    let most = width * EIGHTHS.len();
    let eighths = ((fraction.min(1.0) * most as f64).round() as usize).clamp(1, most.max(1));
    let full = eighths / EIGHTHS.len();
    let mut bar = "█".repeat(full);
    bar.extend(eighths.checked_rem(EIGHTHS.len()).and_then(|rest| EIGHTHS.get(rest.checked_sub(1)?)));
    bar
}

/// Length of each value's bar in [0, 1] on a logarithmic scale: the largest is 1, the smallest just above 0, and at
/// least four decades lie between. 0 for what is zero, negative or not finite.
pub fn log_fractions(values: &[f64]) -> Vec<f64> {
    let logs: Vec<Option<f64>> =
        values.iter().map(|value| (*value > 0.0 && value.is_finite()).then(|| value.log10())).collect();
    let top = logs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let bottom = logs.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let decades = (top - bottom).max(FEWEST_DECADES);
    logs.iter().map(|log| log.map_or(0.0, |log| (1.0 - (top - log) / decades).max(f64::MIN_POSITIVE))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        let widths = [0.0, 1e-9, 0.125, 0.25, 0.5, 0.5625, 1.0, 7.0, f64::NAN, -1.0];
        let bars = ["", "▏", "▎", "▌", "█", "█▏", "██", "██", "", ""];
        for (fraction, expected) in widths.iter().zip(bars) {
            assert_eq!(bar(*fraction, 2), expected, "{fraction}");
        }
        assert_eq!(bar(1.0, 0), "▏");
    }

    #[test]
    fn a_decade_has_the_same_length_everywhere() {
        let fractions = log_fractions(&[1e-10, 1e-5, 1.0, 0.0, f64::NAN]);
        assert_eq!(fractions, [f64::MIN_POSITIVE, 0.5, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_factor_of_ten_is_a_quarter_of_a_bar() {
        assert_eq!(log_fractions(&[1.0, 0.1]), [1.0, 0.75]);
        assert!(log_fractions(&[]).is_empty());
        assert_eq!(log_fractions(&[0.0, f64::INFINITY]), [0.0, 0.0]);
    }
}
