//! A number line: what is shown, where it lies, and its ticks.

use isogain_core::render::numbers;

/// Decades from which on ticks are written as powers of ten.
const MANY_DECADES: f64 = 5.0;

/// Decades below which a tick for every power of ten is too few.
const FEW_DECADES: f64 = 1.6;

/// Most ticks on one axis.
const MOST_TICKS: f64 = 7.0;

/// A range of values and the range of pixels it is drawn in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    is_log: bool,
}

impl Axis {
    /// Equal steps.
    pub(crate) fn linear(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, from: 0.0, to: 1.0, is_log: false }
    }

    /// Equal factors, from below the smallest to above the largest of the positive, finite values, and over at least
    /// `decades`.
    pub(crate) fn log(values: impl Iterator<Item = f64>, decades: f64) -> Self {
        let logs: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10).collect();
        let mut low = logs.iter().copied().fold(f64::INFINITY, f64::min);
        let mut high = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            (low, high) = (-1.0, 0.0);
        }
        let missing = (decades - (high - low)).max(0.0);
        let margin = 0.5 * missing + 0.04 * (high - low);
        Self { low: low - margin, high: high + margin, from: 0.0, to: 1.0, is_log: true }
    }

    /// The same values drawn from one pixel to another.
    pub(crate) fn drawn(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Where a value lies; `None` where it cannot be drawn.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let value = if self.is_log { value.log10() } else { value };
        let share = (value - self.low) / (self.high - self.low);
        share.is_finite().then_some(self.from + share * (self.to - self.from))
    }

    /// Values with a tick, and how they are written.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        if self.is_log { self.log_ticks() } else { self.linear_ticks() }
    }

    fn linear_ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / MOST_TICKS;
        let decade = 10.0_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|nice| nice * decade).into_iter().find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        let digits = if step < 1.0 { (-step.log10()).ceil() as usize } else { 0 };
        (first..=last)
            .map(|tick| tick as f64 * step)
            .map(|value| (value, minus(&format!("{value:.digits$}"))))
            .collect()
    }

    fn log_ticks(&self) -> Vec<(f64, String)> {
        let decades = self.high - self.low;
        let step = (decades / MOST_TICKS).ceil().max(1.0) as i64;
        let (first, last) = (self.low.floor() as i64, self.high.ceil() as i64);
        let mantissas: &[f64] = if decades < FEW_DECADES { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (first..=last).filter(|power| power.rem_euclid(step) == 0);
        let values = powers
            .flat_map(|power| mantissas.iter().map(move |mantissa| (power, mantissa * 10.0_f64.powi(power as i32))));
        let inside = values.filter(|(_, value)| (self.low..=self.high).contains(&value.log10()));
        inside
            .map(|(power, value)| {
                (value, if decades < MANY_DECADES { plain(value, power) } else { decade_label(power) })
            })
            .collect()
    }
}

/// `0.01`, `2`, `500`, without digits that say nothing.
fn plain(value: f64, power: i64) -> String {
    match power {
        -4..0 => format!("{value:.*}", power.unsigned_abs() as usize),
        0..5 => format!("{value:.0}"),
        _ => numbers::scientific(value),
    }
}

fn minus(text: &str) -> String {
    text.replace('-', "−")
}

/// A power of ten with a raised exponent: `10⁻⁴`.
fn decade_label(power: i64) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(digit),
    };
    format!("10{}", power.to_string().chars().map(raised).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Axis::linear(0.0, 1000.0)), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(labels(Axis::linear(1.0, 30.0)), ["5", "10", "15", "20", "25", "30"]);
        assert_eq!(labels(Axis::linear(-1.2, 0.4)), ["−1.0", "−0.5", "0.0"]);
        assert_eq!(labels(Axis::log([0.005, 3.0].into_iter(), 1.0)), ["0.01", "0.1", "1"]);
        assert_eq!(labels(Axis::log([2.3, 2.31].into_iter(), 1.0)), ["1", "2", "5"]);
        assert_eq!(
            labels(Axis::log([1e-13, 0.05].into_iter(), 1.0)),
            ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²"]
        );
    }

    #[test]
    fn what_cannot_be_drawn_has_no_place() {
        let axis = Axis::log([1e-2, 1.0].into_iter(), 1.0).drawn(100.0, 0.0);
        assert!((axis.place(0.1).unwrap() - 50.0).abs() < 1e-9);
        assert_eq!([0.0, f64::NAN, f64::INFINITY, -1.0].map(|value| axis.place(value)), [None; 4]);
        assert!(Axis::log(std::iter::empty(), 1.0).place(0.5).is_some());
    }
}
