//! Orders of magnitude of what is watched, at steps where they are wanted.

use isogain_core::record::{HistogramRecord, TensorKind};
use isogain_core::statistics::{ExponentHistogram, Moments};

use super::state::{State, Statistic};
use crate::tensor::Tensor;

/// Bins of a histogram.
const BINS: usize = 256;

impl Statistic {
    /// The kind under which a record keeps its histogram.
    pub(crate) fn kind(self) -> Option<TensorKind> {
        match self {
            Self::Weight => Some(TensorKind::Weight),
            Self::Gradient => Some(TensorKind::Gradient),
            Self::Activation => Some(TensorKind::Activation),
            Self::Cotangent => Some(TensorKind::Cotangent),
            Self::Update | Self::Change => None,
        }
    }
}

impl State {
    /// Moments of a tensor whose values are yet to be divided by something; where histograms are wanted, its histogram
    /// is kept.
    pub(crate) fn moments(&mut self, kind: TensorKind, place: usize, tensor: &Tensor<'_>, divided_by: f64) -> Moments {
        if !self.takes_histograms {
            return tensor.moments();
        }
        if matches!(kind, TensorKind::Weight | TensorKind::Gradient) {
            // Of a parameter the last reading counts, of an operation all of them together.
            self.histograms.remove(&(kind, place));
        }
        let (moments, histogram) = tensor.moments_and_histogram();
        self.put_histogram(kind, place, &histogram, divided_by);
        moments
    }

    /// Takes in the histogram of values that are yet to be divided by something.
    pub(crate) fn put_histogram(
        &mut self,
        kind: TensorKind,
        place: usize,
        histogram: &ExponentHistogram,
        divided_by: f64,
    ) {
        let exponent = -divided_by.log2().round() as i32;
        self.histograms.entry((kind, place)).or_default().merge(&histogram.scaled(exponent));
    }

    pub(crate) fn histogram_records(&self) -> Vec<HistogramRecord> {
        let record = |(&(kind, place), histogram): (&(TensorKind, usize), &ExponentHistogram)| {
            let name = match kind {
                TensorKind::Activation | TensorKind::Cotangent => &self.slots.get(place)?.name,
                TensorKind::Weight | TensorKind::Gradient => &self.parameters.get(place)?.name,
            };
            Some(HistogramRecord { name: name.clone(), kind, histogram: histogram.clone() })
        };
        self.histograms.iter().filter_map(record).collect()
    }

    /// The histograms in the layout of [`State::export`], to be summed over processes.
    pub(crate) fn export_histograms(&mut self, calls: &[usize], counted: &[bool]) -> Vec<f64> {
        let mut counts = Vec::new();
        for (kind, place) in self.layout(calls) {
            let is_parameter = matches!(kind, TensorKind::Weight | TensorKind::Gradient);
            let counts_here = !is_parameter || counted.get(place).is_some_and(|&counted| counted);
            match self.histograms.get(&(kind, place)).filter(|_| counts_here) {
                Some(histogram) => counts.extend(histogram.counts().iter().map(|&count| count as f64)),
                None => counts.extend([0.0; BINS]),
            }
        }
        counts
    }

    /// Takes the vector of [`State::export_histograms`] back, summed over all processes.
    pub(crate) fn import_histograms(&mut self, calls: &[usize], counts: &[f64]) -> Result<(), String> {
        let layout = self.layout(calls);
        if counts.len() != BINS * layout.len() {
            return Err(format!("{} counts are not those of {} histograms", counts.len(), layout.len()));
        }
        self.histograms.clear();
        for (of, summed) in layout.into_iter().zip(counts.chunks_exact(BINS)) {
            let mut bins = [0; BINS];
            for (bin, count) in bins.iter_mut().zip(summed) {
                *bin = *count as u64;
            }
            let histogram = ExponentHistogram::from_counts(bins);
            if histogram.total() > 0 {
                self.histograms.insert(of, histogram);
            }
        }
        Ok(())
    }

    fn layout(&mut self, calls: &[usize]) -> Vec<(TensorKind, usize)> {
        let mut layout = Vec::new();
        for (module, &calls) in calls.iter().enumerate() {
            for call in 0..calls {
                let slot = self.slot(module, call);
                layout.extend([(TensorKind::Activation, slot), (TensorKind::Cotangent, slot)]);
            }
        }
        for place in 0..self.parameters.len() {
            layout.extend([(TensorKind::Weight, place), (TensorKind::Gradient, place)]);
        }
        layout
    }
}
