//! Data that needs no file, the same at every call: the embedded digits, and tasks drawn from a generator of fixed seed.

mod adding;
mod copy_memory;
mod digits;
mod gaussian;
mod spirals;
mod temporal_order;

use isogain_core::names::nearest;
use isogain_core::recipe::{Data as DataRecipe, Task};
use isogain_core::theory::sampling::{standard_normal as normal, uniform};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};
use crate::table::Table;

/// Every generated set is drawn from this seed; the split draws from its own.
const SEED: u64 = 0x0069_736f_6761_696e;

/// Most numbers that a generated set may have: 2 GB.
const MOST_NUMBERS: usize = 1 << 28;

/// The built-in data of this name.
pub(crate) fn table(recipe: &DataRecipe) -> Result<Table> {
    use Task::{Classification, Regression};
    let samples = |default: usize| if recipe.samples == 0 { default } else { recipe.samples };
    let length = |least: usize| match recipe.length {
        0 => Ok(100),
        length if length < least => {
            Err(Error::value("data.length", length, format!("must be {least} or more for {}", recipe.source)))
        }
        length => Ok(length),
    };
    let tasks: &[Task] = match recipe.source.as_str() {
        "adding" => &[Regression],
        "gaussian" => &[Classification, Regression],
        _ => &[Classification],
    };
    if !tasks.contains(&recipe.task) {
        let (found, expected) = match recipe.task {
            Classification => ("\"classification\"", "has numbers: must be \"regression\""),
            Regression => ("\"regression\"", "has classes: must be \"classification\""),
        };
        let expected = match recipe.source.as_str() {
            DataRecipe::DIGITS => expected.replacen("has", "the digits have", 1),
            source => format!("{source} {expected}"),
        };
        return Err(Error::value("data.task", found, expected));
    }
    let generator = &mut ChaCha8Rng::seed_from_u64(SEED);
    match recipe.source.as_str() {
        DataRecipe::DIGITS => digits::table(),
        "adding" => {
            let (samples, length) = (samples(10_000), length(2)?);
            affordable(samples, 2 * length)?;
            Ok(adding::table(samples, length, generator))
        }
        "temporal-order" => {
            let (samples, length) = (samples(10_000), length(10)?);
            affordable(samples, temporal_order::SYMBOLS * length)?;
            Ok(temporal_order::table(samples, length, generator))
        }
        "copy-memory" => {
            let (samples, length) = (samples(10_000), length(1)?);
            affordable(samples, copy_memory::SYMBOLS * (length + 2 * copy_memory::COPIED))?;
            Ok(copy_memory::table(samples, length, generator))
        }
        "spirals" => {
            let samples = samples(3_000);
            affordable(samples, 2)?;
            Ok(spirals::table(samples, or_default(recipe.classes, 3), generator))
        }
        "gaussian" => {
            let (samples, features) = (samples(3_000), or_default(recipe.features, 32));
            affordable(samples, features)?;
            let classes = (recipe.task == Classification).then(|| or_default(recipe.classes, 3));
            Ok(gaussian::table(samples, features, classes, generator))
        }
        other => {
            let near = nearest(other, DataRecipe::BUILT_IN.into_iter()).unwrap_or(DataRecipe::DIGITS);
            Err(Error::value("data.source", format!("\"{other}\""), format!("not built in; did you mean '{near}'?")))
        }
    }
}

fn or_default(number: usize, default: usize) -> usize {
    if number == 0 { default } else { number }
}

fn affordable(samples: usize, numbers: usize) -> Result<()> {
    if samples.checked_mul(numbers).is_some_and(|count| count <= MOST_NUMBERS) {
        return Ok(());
    }
    let expected = format!("must be at most {}, with {numbers} numbers in each sample", MOST_NUMBERS / numbers);
    Err(Error::value("data.samples", samples, expected))
}

/// A whole number below `bound`.
fn below(bound: usize, generator: &mut ChaCha8Rng) -> usize {
    generator.random_range(0..bound)
}

#[cfg(test)]
mod tests;
