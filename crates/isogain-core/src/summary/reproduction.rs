//! Results of theory and of the literature beside what our own engine measures, as `reproduce` prints them.

use serde::{Deserialize, Serialize};

/// Name and version of the document that `reproduce` prints.
pub const REPRODUCE_SCHEMA: &str = "isogain-reproduce/1";

/// One experiment or more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReproduceReport {
    /// [`REPRODUCE_SCHEMA`].
    pub schema: String,
    /// Version of the program that measured.
    pub version: String,
    /// In the order of the table of experiments.
    pub experiments: Vec<Reproduction>,
}

/// One experiment: what is claimed, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reproduction {
    /// Its name on the command line.
    pub name: String,
    /// What it shows, a few words.
    pub title: String,
    /// Who claims it: authors and year.
    pub source: String,
    /// What is measured, and how.
    pub setting: String,
    /// What would prove the claim wrong, where that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disproof: Option<String>,
    /// One number each.
    pub rows: Vec<Row>,
    /// Pictures of the same numbers.
    pub figures: Vec<Figure>,
    /// What the numbers alone do not say: where a measurement contradicts a claim.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// One number of ours beside what it should be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What the number is.
    pub what: String,
    /// What our engine measured; `None` where that is not finite.
    pub ours: Option<f64>,
    /// What it should be.
    pub theirs: Expected,
    /// Where that comes from.
    pub basis: Basis,
    /// Whether ours is what it should be.
    pub passes: bool,
}

/// What a number should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Expected {
    /// This value.
    Near {
        /// The value.
        value: f64,
        /// How far from it counts as the same.
        tolerance: f64,
    },
    /// Less than this.
    Below {
        /// The limit.
        limit: f64,
    },
    /// More than this.
    Above {
        /// The limit.
        limit: f64,
    },
    /// From one to the other.
    Between {
        /// The lower limit.
        low: f64,
        /// The upper limit.
        high: f64,
    },
    /// Not a finite number: the training breaks.
    Diverges,
}

impl Expected {
    /// A value known to a share of itself.
    pub fn within(value: f64, relative: f64) -> Self {
        Self::Near { value, tolerance: relative * value.abs() }
    }

    /// Whether a number is what it should be.
    pub fn holds(self, ours: f64) -> bool {
        match self {
            Self::Near { value, tolerance } => (ours - value).abs() <= tolerance,
            Self::Below { limit } => ours < limit,
            Self::Above { limit } => ours > limit,
            Self::Between { low, high } => (low..=high).contains(&ours),
            Self::Diverges => !ours.is_finite(),
        }
    }
}

/// Where a number that ours is compared with comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A closed form, or an integral to more digits than are compared.
    Exact,
    /// Printed by the source.
    Published,
    /// The outcome that the source describes, with a limit of our own.
    Claimed,
    /// Measured by a program of ours that shares no code with this one.
    Measured,
}

impl Basis {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Published => "published",
            Self::Claimed => "claimed",
            Self::Measured => "measured",
        }
    }
}

impl Row {
    /// A row; what is not finite passes only where the claim is that it diverges.
    pub fn new(what: impl Into<String>, ours: f64, theirs: Expected, basis: Basis) -> Self {
        let passes = theirs.holds(ours);
        Self { what: what.into(), ours: ours.is_finite().then_some(ours), theirs, basis, passes }
    }
}

/// A line chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it shows, a few words.
    pub title: String,
    /// The axis below.
    pub x: Scale,
    /// The axis on the left.
    pub y: Scale,
    /// What is drawn, the lowest first.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// What it counts, with its unit.
    pub label: String,
    /// Whether equal steps are equal factors.
    pub is_log: bool,
}

/// One line or one set of dots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// x and y; what is not finite is left out.
    pub points: Vec<(f64, f64)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// A line of ours.
    Line,
    /// Dots of ours without a line.
    Dots,
    /// What theory says.
    Theory,
}

impl Figure {
    /// An empty chart.
    pub fn new(title: &str, x: Scale, y: Scale) -> Self {
        Self { title: title.to_owned(), x, y, series: Vec::new() }
    }

    /// With one more series.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, mark: Mark, points: Vec<(f64, f64)>) -> Self {
        let points = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        self.series.push(Series { name: name.into(), mark, points });
        self
    }
}

impl Scale {
    /// Equal steps.
    pub fn linear(label: &str) -> Self {
        Self { label: label.to_owned(), is_log: false }
    }

    /// Equal factors.
    pub fn log(label: &str) -> Self {
        Self { label: label.to_owned(), is_log: true }
    }
}

impl Reproduction {
    /// Whether every number is what it should be.
    pub fn passes(&self) -> bool {
        self.rows.iter().all(|row| row.passes)
    }
}

impl ReproduceReport {
    /// The document for these experiments.
    pub fn new(experiments: Vec<Reproduction>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { schema: REPRODUCE_SCHEMA.to_owned(), version, experiments }
    }

    /// Whether every number of every experiment is what it should be.
    pub fn passes(&self) -> bool {
        self.experiments.iter().all(Reproduction::passes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_passes_only_where_it_should_diverge() {
        let row = |ours: f64, theirs: Expected| Row::new("x", ours, theirs, Basis::Exact);
        for theirs in [
            Expected::within(1.0, 0.1),
            Expected::Below { limit: 1.0 },
            Expected::Above { limit: 1.0 },
            Expected::Between { low: 0.0, high: 1.0 },
        ] {
            assert!(!row(f64::NAN, theirs).passes, "{theirs:?}");
        }
        assert!(row(f64::INFINITY, Expected::Diverges).passes && !row(1.0, Expected::Diverges).passes);
        assert!(row(-1.05, Expected::within(-1.0, 0.06)).passes && !row(-1.05, Expected::within(-1.0, 0.04)).passes);
        assert_eq!(row(f64::NAN, Expected::Diverges).ours, None);
    }
}
