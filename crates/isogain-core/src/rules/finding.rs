//! Putting a finding together, and the wording of numbers in it.

use super::{Case, Evidence, Finding};
use crate::recipe::Level;

/// ln 10.
const LN_10: f64 = std::f64::consts::LN_10;

impl Evidence {
    /// A number that is compared with nothing.
    pub(crate) fn of(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value: finite(value), threshold: None, source: String::new() }
    }

    /// A number, what it was compared with, and why.
    pub(crate) fn against(name: impl Into<String>, value: f64, threshold: f64, source: impl Into<String>) -> Self {
        Self { threshold: finite(threshold), source: source.into(), ..Self::of(name, value) }
    }
}

impl Finding {
    /// A finding before training, without evidence or remedies yet. `layers` is the first and the last operation.
    pub(crate) fn new(rule: &str, level: Level, layers: [&str; 2], message: String) -> Self {
        Self {
            rule: rule.into(),
            level,
            layers: layers.map(Into::into),
            step: 0,
            message,
            evidence: Vec::new(),
            causes: Vec::new(),
            theory: None,
            remedies: Vec::new(),
            consequences: Vec::new(),
        }
    }

    /// The same finding, seen at this step.
    pub(crate) fn at(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The same finding with one more number behind it.
    pub(crate) fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.evidence.push(Evidence::of(name, value));
        self
    }

    /// The same finding with one more number, what it was compared with, and why.
    pub(crate) fn against(
        mut self,
        name: impl Into<String>,
        value: f64,
        threshold: f64,
        source: impl Into<String>,
    ) -> Self {
        self.evidence.push(Evidence::against(name, value, threshold, source));
        self
    }

    /// The same finding with the remedies to try, the first one first.
    pub(crate) fn remedies(mut self, names: &[&str]) -> Self {
        self.remedies = names.iter().map(|name| (*name).into()).collect();
        self
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// First and last operation of the network's body, for findings about the whole of it.
pub(super) fn whole<'a>(case: &Case<'a>) -> [&'a str; 2] {
    let name = |op: Option<&'a crate::network::Op>| op.map_or("", |op| op.name.as_str());
    [name(case.network.ops.first()), name(case.network.ops.last())]
}

/// A factor e^`log_gain` for people: `10^-11.6` far from 1, `0.408` near it.
pub(crate) fn factor(log_gain: f64) -> String {
    let decades = log_gain / LN_10;
    if decades.abs() < 3.0 { number(log_gain.exp()) } else { format!("10^{decades:.1}") }
}

/// `1 step`, `57 steps`.
pub(crate) fn steps(count: u64) -> String {
    format!("{count} step{}", if count == 1 { "" } else { "s" })
}

/// `about 12 layers`, `less than 1 layer`; a depth without false precision. Theory counts a network with skips in residual branches.
pub(crate) fn about_layers(depth: f64, has_skips: bool) -> String {
    let (one, several) = if has_skips { ("residual branch", "residual branches") } else { ("layer", "layers") };
    match depth.round() {
        whole if whole < 1.0 => format!("less than 1 {one}"),
        1.0 => format!("about 1 {one}"),
        whole if whole >= 1e6 => format!("a million and more {several}"),
        whole => format!("about {whole:.0} {several}"),
    }
}

/// A number with three significant digits, in powers of ten where it is far from 1.
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() {
        format!("{value}")
    } else if !(1e-3..1e5).contains(&magnitude) {
        format!("{value:.1e}")
    } else if magnitude >= 100.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_has_no_plural() {
        assert_eq!([0, 1, 2].map(steps), ["0 steps", "1 step", "2 steps"]);
        let depths = [0.0, 0.3, 0.8, 1.4, 1.6, 12.2, 3e6].map(|depth| about_layers(depth, false));
        let expected = [
            "less than 1 layer",
            "less than 1 layer",
            "about 1 layer",
            "about 1 layer",
            "about 2 layers",
            "about 12 layers",
        ];
        assert_eq!(depths[..6], expected);
        assert_eq!(depths[6], "a million and more layers");
        assert_eq!(
            [1.0, 7.0].map(|depth| about_layers(depth, true)),
            ["about 1 residual branch", "about 7 residual branches"]
        );
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(number(0.408_25), "0.408");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(1234.0), "1234");
        assert_eq!(number(1.2e-7), "1.2e-7");
        assert_eq!(factor(-26.7), "10^-11.6");
        assert_eq!(factor(0.0), "1.00");
    }
}
