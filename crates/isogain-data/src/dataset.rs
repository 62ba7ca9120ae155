//! From a recipe to a training and a test part.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use isogain_core::network::Shape;
use isogain_core::recipe::Data as DataRecipe;
use isogain_core::record::DataSummary;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::part::Part;
use crate::samples::Targets;
use crate::scale::Scale;
use crate::summary::summarise;
use crate::table::Table;
use crate::{formats, generate, raw};

/// Training and test part, ready for a network.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// For training.
    pub train: Part,
    /// For judging.
    pub test: Part,
    /// What it looks like, as rules read it.
    pub summary: DataSummary,
}

/// The split belongs to the data, not to a trial: every seed of a trial trains and is judged on the same samples.
const SPLIT_SEED: u64 = 0;

impl Dataset {
    /// Loads, splits and measures. A relative path is looked up from `folder`, the recipe's folder.
    ///
    /// # Errors
    /// When a file cannot be read, has a value that is not a finite number, a label that is not a class, or fewer
    /// samples than a batch; when recipe and data are at odds.
    pub fn load(recipe: &DataRecipe, folder: &Path) -> Result<Self> {
        Self::load_within(recipe, folder, raw::IN_MEMORY)
    }

    /// As [`Dataset::load`], with binary files of more than `limit` bytes left on disk.
    pub(crate) fn load_within(recipe: &DataRecipe, folder: &Path, limit: u64) -> Result<Self> {
        let mut tables =
            if recipe.is_built_in() { vec![generate::table(recipe)?] } else { formats::load(recipe, folder, limit)? };
        let test = tables.pop().map(Arc::new);
        let train = tables.pop().map(Arc::new);
        match (train, test) {
            (Some(train), Some(test)) => {
                let (train_rows, test_rows) = given(&train, &test, recipe)?;
                Self::prepare(recipe, train, train_rows, test, test_rows)
            }
            (None, Some(whole)) => {
                let (train_rows, test_rows) = split(&whole, recipe)?;
                Self::prepare(recipe, Arc::clone(&whole), train_rows, whole, test_rows)
            }
            _ => unreachable!("a format gives one table or two"),
        }
    }

    fn prepare(
        recipe: &DataRecipe,
        train: Arc<Table>,
        train_rows: Vec<usize>,
        test: Arc<Table>,
        test_rows: Vec<usize>,
    ) -> Result<Self> {
        let source = &recipe.source;
        if train_rows.len() < recipe.batch {
            let (most, kept) = (train_rows.len(), test_rows.len());
            let expected =
                format!("must be at most {most}, the training samples of {source} ({kept} more are kept for testing)");
            return Err(Error::value("data.batch", recipe.batch, expected));
        }
        if train.vocabulary().is_some() && recipe.input_scale != 1.0 {
            let expected = "must be 1: the inputs are symbols, not numbers";
            return Err(Error::value("data.input_scale", format!("{:?}", recipe.input_scale), expected));
        }
        let scale =
            Scale::measure(&train, &train_rows, recipe.standardize, recipe.standardize_target, recipe.input_scale)?;
        let scale = Arc::new(scale);
        let train = Part::new(train, train_rows, Arc::clone(&scale));
        let test = Part::new(test, test_rows, scale);
        if train.is_constant() {
            let (samples, kept) = (train.len(), test.len());
            let message = format!(
                "the target is the same on every training sample ({samples}; {kept} more are kept for testing); there \
                 is nothing to learn"
            );
            return Err(Error::whole(&PathBuf::from(source), message));
        }
        let summary = summarise(recipe, &train, &test)?;
        Ok(Self { train, test, summary })
    }

    /// Shape of one sample.
    pub fn shape(&self) -> Shape {
        self.train.shape().clone()
    }

    /// Number of network outputs that this data needs, at each position where a label stands at each.
    pub fn outputs(&self) -> usize {
        match &self.train.table.wanted {
            crate::table::Wanted::Numbers { outputs, .. } => *outputs,
            _ => self.train.table.classes().unwrap_or(1),
        }
    }

    /// Targets of one sample: one, or one for each position.
    pub fn targets(&self) -> usize {
        match self.train.targets(&[0]) {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::Values { values, outputs } => values.len() / outputs.max(1),
        }
    }

    /// How many different symbols there are, when the inputs are symbols: whole numbers below this one, which are
    /// looked up and never scaled.
    pub fn vocabulary(&self) -> Option<usize> {
        self.train.table.vocabulary()
    }

    /// Whether everything that was asked for so far could be read.
    ///
    /// # Errors
    /// See [`Part::intact`].
    pub fn intact(&self) -> Result<()> {
        self.train.intact()?;
        self.test.intact()
    }
}

fn shuffled(rows: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..rows).collect();
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(SPLIT_SEED));
    rows
}

/// Rows for training and for testing of data that is not divided.
fn split(table: &Table, recipe: &DataRecipe) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut rows = shuffled(table.rows());
    rows.truncate(wished(recipe, rows.len())?);
    let test_count = ((rows.len() as f64 * recipe.test_fraction).round() as usize).clamp(1, rows.len().max(2) - 1);
    let train = rows.split_off(test_count.min(rows.len()));
    Ok((train, rows))
}

/// Rows of data that is divided already; fewer of both where the recipe wishes fewer.
fn given(train: &Table, test: &Table, recipe: &DataRecipe) -> Result<(Vec<usize>, Vec<usize>)> {
    let (train, test) = (train.rows(), test.rows());
    let wished = wished(recipe, train + test)?;
    if wished == train + test {
        return Ok(((0..train).collect(), (0..test).collect()));
    }
    let test_count = ((wished as f64 * test as f64 / (train + test) as f64).round() as usize).clamp(1, wished - 1);
    let drawn = |rows: usize, count: usize| {
        let mut rows = shuffled(rows);
        rows.truncate(count);
        rows
    };
    Ok((drawn(train, wished - test_count), drawn(test, test_count)))
}

/// How many of `rows` samples to use.
fn wished(recipe: &DataRecipe, rows: usize) -> Result<usize> {
    match recipe.samples {
        0 => Ok(rows),
        samples if samples > rows => {
            let expected = format!("must be at most {rows}, the samples of {}", recipe.source);
            Err(Error::value("data.samples", samples, expected))
        }
        samples => Ok(samples),
    }
}
