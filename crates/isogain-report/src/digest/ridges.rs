//! Orders of magnitude by step, in a few bytes a tensor: what a picture of their course needs.

use isogain_core::record::{HistogramRecord, TensorKind};

use crate::chart::spaced;

/// Steps that are kept; of more, every second one is dropped, the first and the last stay.
const MOST_STEPS: usize = 16;
/// Tensors of a step that are kept; of more, evenly spaced ones.
const MOST_TENSORS: usize = 512;
/// Exponent of bin 0.
const BIAS: i32 = 127;

/// Orders of magnitude of one tensor, the fullest at 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ridge {
    pub(crate) name: String,
    pub(crate) kind: TensorKind,
    /// Exponent of the first height.
    pub(crate) first: i32,
    /// By exponent.
    pub(crate) heights: Vec<u8>,
}

impl Ridge {
    /// `None` where no value is a normal number.
    fn of(record: &HistogramRecord) -> Option<Self> {
        let counts = &record.histogram.counts()[1..255];
        let first = counts.iter().position(|count| *count > 0)?;
        let last = counts.iter().rposition(|count| *count > 0)?;
        let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
        // What is there at all is seen.
        let height = |count: &u64| if *count == 0 { 0 } else { (255.0 * *count as f64 / most).round().max(1.0) as u8 };
        Some(Self {
            name: record.name.clone(),
            kind: record.kind,
            first: first as i32 + 1 - BIAS,
            heights: counts[first..=last].iter().map(height).collect(),
        })
    }

    /// Exponent of the last height.
    pub(crate) fn last(&self) -> i32 {
        self.first + self.heights.len() as i32 - 1
    }
}

/// The steps, thinned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ridges {
    steps: Vec<(u64, Vec<Ridge>)>,
}

impl Ridges {
    /// One more step.
    pub(super) fn add(&mut self, step: u64, records: &[HistogramRecord]) {
        if self.steps.last().is_some_and(|(last, _)| *last >= step) {
            return;
        }
        let kept = spaced(records.len(), MOST_TENSORS).into_iter().filter_map(|index| Ridge::of(&records[index]));
        self.steps.push((step, kept.collect()));
        if self.steps.len() > MOST_STEPS {
            let mut index = 0;
            let last = self.steps.len() - 1;
            self.steps.retain(|_| {
                index += 1;
                index % 2 == 1 || index == last + 1
            });
        }
    }

    /// Forgets a step and all later ones.
    pub(super) fn cut(&mut self, step: u64) {
        self.steps.retain(|(kept, _)| *kept < step);
    }

    /// By step.
    pub(crate) fn steps(&self) -> &[(u64, Vec<Ridge>)] {
        &self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isogain_core::statistics::ExponentHistogram;

    fn record(bin: usize) -> HistogramRecord {
        let mut counts = [0; 256];
        counts[bin] = 40;
        counts[bin + 1] = 1;
        let histogram = ExponentHistogram::from_counts(counts);
        HistogramRecord { name: "fc1".into(), kind: TensorKind::Cotangent, histogram }
    }

    #[test]
    fn the_first_and_the_last_step_stay() {
        let mut ridges = Ridges::default();
        (0..1000).for_each(|step| ridges.add(step, &[record(100)]));
        let steps: Vec<u64> = ridges.steps().iter().map(|(step, _)| *step).collect();
        assert!(steps.len() <= MOST_STEPS && steps.len() > MOST_STEPS / 2 && steps[0] == 0 && steps.contains(&999));
        ridges.add(5, &[record(100)]);
        assert_eq!(ridges.steps().len(), steps.len(), "what comes late is left out");
        let (_, kept) = &ridges.steps()[0];
        assert_eq!((kept[0].first, kept[0].heights.clone()), (-27, vec![255, 6]));
        ridges.cut(1);
        assert_eq!(ridges.steps().len(), 1);
    }
}
