//! UTF-8 text for a language model: characters numbered in order of code point, cut into windows of equal length that
//! follow one another, the next character as the target at every position. The last part of the text is for testing.

use std::collections::BTreeMap;

use isogain_core::network::Shape;
use isogain_core::recipe::Task;

use super::{Request, open};
use crate::error::{Error, Place, Result};
use crate::sheet::{Answers, Sheet};
use crate::table::Values;

/// Characters in a window, where the recipe does not say.
const LENGTH: usize = 64;

pub(crate) fn read(requests: &[Request<'_>]) -> Result<Vec<Sheet>> {
    let recipe = requests[0].recipe;
    if recipe.task == Task::Regression {
        let expected = "the next character is a class: must be \"classification\"";
        return Err(Error::value("data.task", "\"regression\"", expected));
    }
    let length = if recipe.length == 0 { LENGTH } else { recipe.length };
    let mut texts = requests.iter().map(text).collect::<Result<Vec<String>>>()?;
    let known = texts.iter().flat_map(|text| text.chars());
    let mut numbers: BTreeMap<char, u32> = known.map(|character| (character, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, index)| *number = index);
    if numbers.len() < 2 {
        let message = format!("{} different characters; there is nothing to learn", numbers.len());
        return Err(Error::whole(&requests[0].path, message));
    }
    let mut parts: Vec<Vec<u32>> =
        texts.drain(..).map(|text| text.chars().map(|character| numbers[&character]).collect()).collect();
    if parts.len() == 1 {
        let count = parts[0].len();
        let test = ((count as f64 * recipe.test_fraction).round() as usize).min(count);
        let test = parts[0].split_off(count - test);
        parts.push(test);
    }
    let sheet = |(tokens, index): (Vec<u32>, usize)| {
        let path = requests[index.min(requests.len() - 1)].path.clone();
        if tokens.len() <= length {
            let part = if index == 0 { "for training" } else { "kept for testing" };
            let message =
                format!("{} characters {part}; windows of {length} need {} (data.length)", tokens.len(), length + 1);
            return Err(Error::whole(&path, message));
        }
        let values = Values::Windows { tokens, length, vocabulary: numbers.len() };
        Ok(Sheet { path, shape: Shape::sequence(length, 1), values, answers: Answers::Next })
    };
    parts.into_iter().zip(0..).map(sheet).collect()
}

fn text(request: &Request<'_>) -> Result<String> {
    let bytes = open(&request.path, request.key, &request.path.display().to_string())?.all()?;
    String::from_utf8(bytes).map_err(|error| {
        let (at, error) = (error.utf8_error().valid_up_to(), error.into_bytes());
        let message = format!("{:02x}: not UTF-8 text", error[at]);
        Error::file(&request.path, Place::Byte(at as u64), message)
    })
}
