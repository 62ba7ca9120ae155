//! The median, one for all.

/// Middle value, the mean of the two middle ones of an even count; `None` without values. Values may be infinite: between
/// two infinities of different sign it is 0. NaN counts as larger than everything.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let ordered = |value: f64| if value.is_nan() { f64::NAN } else { value };
    let mut values: Vec<f64> = values.into_iter().map(ordered).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let (low, high) = (values[last / 2], values[values.len() / 2]);
    Some(if low == high {
        low
    } else if low.is_infinite() && high.is_infinite() {
        0.0
    } else {
        // Halves first: the sum of two large values leaves the range.
        0.5 * low + 0.5 * high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_extended_line() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([1.0, 2.0]), Some(1.5));
        assert_eq!(median([f64::MAX, f64::MAX / 2.0]), Some(0.75 * f64::MAX));
        assert_eq!(median([1.0, f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert_eq!(median([f64::NEG_INFINITY, f64::INFINITY]), Some(0.0));
        assert_eq!(median([f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert_eq!(median([-f64::NAN, 1.0, 2.0]), Some(2.0));
    }
}
