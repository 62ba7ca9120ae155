//! Data as the network sees it: `[samples, features]`, split by seed, standardised, in shuffled batches.

mod csv;
mod digits;

use std::path::{Path, PathBuf};

use isogain_core::baseline;
use isogain_core::network::Shape;
use isogain_core::recipe::{Data as DataRecipe, Task};
use isogain_core::record::DataSummary;
use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::moments_f64;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Error;

/// Raw samples, before split and standardisation.
pub(crate) struct Table {
    pub(crate) features: usize,
    /// Row-major `[samples, features]`.
    pub(crate) inputs: Vec<f64>,
    pub(crate) targets: Targets,
}

/// What is to be predicted, one entry for each sample.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Class indices from 0, and the number of classes.
    Classes(Vec<usize>, usize),
    /// Numbers.
    Values(Vec<f64>),
}

impl Targets {
    fn len(&self) -> usize {
        match self {
            Self::Classes(labels, _) => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Self::Classes(labels, _) => labels.iter().all(|label| *label == labels[0]),
            Self::Values(values) => values.iter().all(|value| *value == values[0]),
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(labels, classes) => Self::Classes(rows.iter().map(|&row| labels[row]).collect(), *classes),
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }
}

/// Samples with their targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// Features of one sample.
    pub features: usize,
    /// Row-major `[samples, features]`.
    pub inputs: Vec<f64>,
    /// One for each sample.
    pub targets: Targets,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples of these rows, in this order.
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut inputs = Vec::with_capacity(rows.len() * self.features);
        for &row in rows {
            inputs.extend_from_slice(&self.inputs[row * self.features..][..self.features]);
        }
        Self { features: self.features, inputs, targets: self.targets.select(rows) }
    }
}

/// Training and test part, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// For training.
    pub train: Samples,
    /// For judging.
    pub test: Samples,
    /// What it looks like, as rules read it.
    pub summary: DataSummary,
}

/// The split belongs to the data, not to a trial: every seed of a trial trains and is judged on the same samples.
const SPLIT_SEED: u64 = 0;

impl Dataset {
    /// Loads, splits and standardises. A relative path is looked up from `folder`, the recipe's folder.
    ///
    /// # Errors
    /// When the file cannot be read, has a value that is not a finite number, a label that is not a class, or fewer
    /// samples than a batch.
    pub fn load(recipe: &DataRecipe, folder: &Path) -> Result<Self, Error> {
        let table = match recipe.source.as_str() {
            "digits" if recipe.task == Task::Classification => digits::load()?,
            "digits" => {
                let expected = "the digits have classes: must be \"classification\"";
                return Err(Error::value("data.task", "\"regression\"", expected.into()));
            }
            path => csv::load(&folder.join(path), recipe)?,
        };
        Self::prepare(table, recipe)
    }

    fn prepare(table: Table, recipe: &DataRecipe) -> Result<Self, Error> {
        let whole = Samples { features: table.features, inputs: table.inputs, targets: table.targets };
        let mut rows: Vec<usize> = (0..whole.len()).collect();
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
        let test_count =
            ((whole.len() as f64 * recipe.test_fraction).round() as usize).clamp(1, whole.len().max(2) - 1);
        let (test_rows, train_rows) = rows.split_at(test_count.min(rows.len()));
        if train_rows.len() < recipe.batch {
            let (most, kept) = (train_rows.len(), test_rows.len());
            let source = &recipe.source;
            let expected =
                format!("must be at most {most}, the training samples of {source} ({kept} more are kept for testing)");
            return Err(Error::value("data.batch", recipe.batch, expected));
        }
        let (mut train, mut test) = (whole.select(train_rows), whole.select(test_rows));
        if train.targets.is_constant() {
            let (path, samples, kept) = (PathBuf::from(&recipe.source), train.len(), test.len());
            let message = format!(
                "the target is the same on every training sample ({samples}; {kept} more are kept for testing); there \
                 is nothing to learn"
            );
            return Err(Error::Data { path, line: 0, message });
        }
        if recipe.standardize {
            standardize(&mut train, &mut test);
        }
        for value in train.inputs.iter_mut().chain(&mut test.inputs) {
            *value *= recipe.input_scale;
        }
        if recipe.standardize_target {
            standardize_target(&mut train.targets, &mut test.targets);
        }
        let summary = summarise(recipe, &train, &test);
        Ok(Self { train, test, summary })
    }

    /// Shape of one sample.
    pub fn shape(&self) -> Shape {
        Shape::vector(self.train.features)
    }

    /// Number of network outputs that this data needs.
    pub fn outputs(&self) -> usize {
        match &self.train.targets {
            Targets::Classes(_, classes) => *classes,
            Targets::Values(_) => 1,
        }
    }
}

/// Smallest deviation that a feature is divided by, as a part of its largest value (at most of 1), so that a pixel that
/// is nearly always empty is not blown up.
const DEVIATION_FLOOR: f64 = 0.1;

fn standardize(train: &mut Samples, test: &mut Samples) {
    let features = train.features;
    let count = train.len() as f64;
    let (mut mean, mut square, mut largest) = (vec![0.0; features], vec![0.0; features], vec![0.0_f64; features]);
    for row in train.inputs.chunks_exact(features) {
        for ((sum, largest), value) in mean.iter_mut().zip(&mut largest).zip(row) {
            *sum += value / count;
            *largest = largest.max(value.abs());
        }
    }
    // The rounded mean of a column of equal values is not that value; divided by a small deviation, the difference would
    // look like a signal.
    for (feature, mean) in mean.iter_mut().enumerate() {
        let mut column = train.inputs.iter().skip(feature).step_by(features);
        if let Some(first) = column.next()
            && column.all(|value| value == first)
        {
            *mean = *first;
        }
    }
    for row in train.inputs.chunks_exact(features) {
        for ((sum, value), mean) in square.iter_mut().zip(row).zip(&mean) {
            *sum += (value - mean).powi(2) / count;
        }
    }
    let divisors = square.iter().zip(&largest).map(|(square, largest)| {
        let divisor = square.sqrt().max(DEVIATION_FLOOR * largest.min(1.0));
        if divisor > 0.0 { divisor } else { 1.0 }
    });
    let divisors: Vec<f64> = divisors.collect();
    for row in train.inputs.chunks_exact_mut(features).chain(test.inputs.chunks_exact_mut(features)) {
        for ((value, mean), divisor) in row.iter_mut().zip(&mean).zip(&divisors) {
            *value = (*value - mean) / divisor;
        }
    }
}

fn standardize_target(train: &mut Targets, test: &mut Targets) {
    let (Targets::Values(train), Targets::Values(test)) = (train, test) else { return };
    let moments = moments_f64(train);
    let mean = moments.mean().unwrap_or(0.0);
    let deviation = moments.variance().unwrap_or(0.0).sqrt();
    let deviation = if deviation > 0.0 { deviation } else { 1.0 };
    for value in train.iter_mut().chain(test.iter_mut()) {
        *value = (*value - mean) / deviation;
    }
}

fn summarise(recipe: &DataRecipe, train: &Samples, test: &Samples) -> DataSummary {
    let features = train.features;
    let feature_rms = (0..features).map(|feature| {
        let squares = train.inputs.iter().skip(feature).step_by(features).map(|value| value * value);
        (squares.sum::<f64>() / train.len() as f64).sqrt()
    });
    let feature_rms: Vec<f64> = feature_rms.filter(|&rms| rms > 0.0).collect();
    let largest = feature_rms.iter().copied().fold(0.0, f64::max);
    let smallest = feature_rms.iter().copied().fold(f64::INFINITY, f64::min);
    let (target, classes, baseline_loss) = match &train.targets {
        Targets::Classes(labels, classes) => (None, Some(*classes), frequencies(recipe, labels, *classes)),
        Targets::Values(values) => {
            let moments: Moments = moments_f64(values);
            (Some(moments), None, moments.variance().unwrap_or(0.0))
        }
    };
    DataSummary {
        source: recipe.source.clone(),
        train_samples: train.len(),
        test_samples: test.len(),
        input: moments_f64(&train.inputs),
        feature_rms_ratio: if largest > 0.0 { largest / smallest } else { 1.0 },
        target,
        classes,
        baseline_loss,
    }
}

/// The loss of a network that has learned the class frequencies and nothing else.
fn frequencies(recipe: &DataRecipe, labels: &[usize], classes: usize) -> f64 {
    let mut counts = vec![0usize; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    baseline::of_classes(recipe.loss(), &counts)
}

/// The rows of one step's batch. Each epoch is a fresh shuffle; what does not fill a batch at its end is left out.
/// A function of seed and step alone, so that a resumed run sees the same batches.
pub fn batch_rows(samples: usize, batch: usize, seed: u64, step: usize, order: &mut EpochOrder) -> Vec<usize> {
    let steps_per_epoch = (samples / batch).max(1);
    let epoch = step / steps_per_epoch;
    if order.epoch != Some(epoch) || order.rows.len() != samples {
        order.rows = (0..samples).collect();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // Stream 0 belongs to the initialisation.
        generator.set_stream(1 + epoch as u64);
        order.rows.shuffle(&mut generator);
        order.epoch = Some(epoch);
    }
    let start = (step % steps_per_epoch) * batch;
    order.rows[start..start + batch].to_vec()
}

/// The shuffled rows of the current epoch, kept between steps.
#[derive(Clone, Debug, Default)]
pub struct EpochOrder {
    epoch: Option<usize>,
    rows: Vec<usize>,
}
