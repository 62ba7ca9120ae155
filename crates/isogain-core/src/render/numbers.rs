//! How numbers are written for people.

use std::f64::consts::LN_10;

/// What stands for a value that is missing or not finite.
pub const MISSING: &str = "-";

/// Below this an accuracy, or any other share, is written as it is, rather than rounded to 0.
const SMALL: f64 = 1e-3;

/// Three significant digits: `2.30`, `0.0213`, `1.5e-09`, `12300`.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    // The exponent after rounding to three digits: 0.09996 is 0.1000 and has one digit less behind the point.
    let scientific = format!("{value:.2e}");
    let exponent: i32 = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    match exponent {
        -4..3 => format!("{value:.*}", (2 - exponent).max(0) as usize),
        3..6 => format!("{value:.0}"),
        _ => self::scientific(value),
    }
}

/// The same, or a dash for a missing value.
pub fn number_or_missing(value: Option<f64>) -> String {
    value.map_or_else(|| MISSING.to_owned(), number)
}

/// Two significant digits with an exponent of at least two digits: `3.1e-03`.
pub fn scientific(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return number(value);
    }
    let text = format!("{value:.1e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = exponent.strip_prefix('-').map_or(("+", exponent), |digits| ("-", digits));
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

/// A setting as a person would type it: `0.05`, `0.002`, `1e-06`.
pub fn setting(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    if rounded != 0.0 && (rounded.abs() < 1e-4 || rounded.abs() >= 1e6) {
        scientific(rounded)
    } else {
        format!("{rounded}")
    }
}

/// A factor given by its natural logarithm: `x0.408`, and `x10^-11.7` beyond six decades.
pub fn factor(log_gain: f64) -> String {
    let decades = log_gain / LN_10;
    if decades.abs() < 6.0 { format!("x{}", number(log_gain.exp())) } else { format!("x10^{decades:.1}") }
}

/// The same, or a dash for a missing value.
pub fn factor_or_missing(log_gain: Option<f64>) -> String {
    log_gain.map_or_else(|| MISSING.to_owned(), factor)
}

/// A share in [0, 1] in percent: `61 %`, `0.4 %`.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent != 0.0 && percent.abs() < 1.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// An accuracy in [0, 1], two digits, never rounded up to a perfect 1: `0.10`, `0.998`, `1.00`.
pub fn accuracy(share: f64) -> String {
    if share < 1.0 && share > 0.99 { format!("{share:.4}") } else { format!("{share:.2}") }
}

/// A loss: three digits behind the point, or scientific where those are 0.
pub fn loss(loss: Option<f64>) -> String {
    match loss {
        None => "diverged".to_owned(),
        Some(loss) if loss.is_finite() && (SMALL..1e6).contains(&loss.abs()) => format!("{loss:.3}"),
        Some(loss) => scientific(loss),
    }
}

/// Seconds as `8.3 s`, `75 s` or `6 min 4 s`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {} s", whole / 60, whole % 60)
    }
}

/// A count with thin groups of three digits: `57,200`.
pub fn count(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 error`, `2 errors`.
pub fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The same with groups of digits: `1 training`, `57,200 steps`.
pub fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_has_no_plural() {
        assert_eq!([0, 1, 2].map(|number| plural(number, "step")), ["0 steps", "1 step", "2 steps"]);
        assert_eq!([1, 1000].map(|number| counted(number, "training")), ["1 training", "1,000 trainings"]);
    }

    #[test]
    fn numbers_have_three_digits() {
        let written = [2.345_678, 0.408_248, 0.09996, 0.001_234, 12.34, 123.4, 12_345.6, 1.5e-9, -3.0e7, 0.0];
        let expected = ["2.35", "0.408", "0.100", "0.00123", "12.3", "123", "12346", "1.5e-09", "-3.0e+07", "0"];
        assert_eq!(written.map(number), expected);
        assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(number), ["NaN", "inf", "-inf"]);
    }

    #[test]
    fn factors_come_from_logarithms() {
        assert_eq!(factor((1.0_f64 / 6.0).sqrt().ln()), "x0.408");
        assert_eq!(factor(-26.8), "x10^-11.6");
        assert_eq!(factor_or_missing(None), "-");
    }

    #[test]
    fn settings_read_as_typed() {
        assert_eq!(
            [0.05, 0.002, 0.01, 1e-8, 5.0, 0.25, 1.0 / 3.0].map(setting),
            ["0.05", "0.002", "0.01", "1.0e-08", "5", "0.25", "0.3333"]
        );
    }

    #[test]
    fn small_losses_and_near_perfect_accuracies_keep_their_digits() {
        assert_eq!(
            [Some(2.3034), Some(0.0213), Some(4.2e-5), Some(1e9), None].map(loss),
            ["2.303", "0.021", "4.2e-05", "1.0e+09", "diverged"]
        );
        assert_eq!([0.1, 0.9986, 1.0].map(accuracy), ["0.10", "0.9986", "1.00"]);
        assert_eq!([0.61, 0.004, 0.0].map(percent), ["61 %", "0.4 %", "0 %"]);
    }

    #[test]
    fn time_and_counts() {
        assert_eq!([8.26, 75.2, 364.0].map(seconds), ["8.3 s", "75 s", "6 min 4 s"]);
        assert_eq!([0, 999, 57_200, 1_234_567].map(count), ["0", "999", "57,200", "1,234,567"]);
        assert_eq!((plural(1, "error"), plural(0, "error")), ("1 error".into(), "0 errors".into()));
    }
}
