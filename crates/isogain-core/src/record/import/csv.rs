//! Reads curves from CSV: isogain's own long format, a number a row; or a column for each curve, as loggers write it.

use super::assemble::{Curves, Value};
use super::place::{Joint, Parameter, Place};
use crate::record::export::long::COLUMNS;
use crate::statistics::Moments;

/// Names of a column that counts steps, the best first.
const STEPS: [&str; 7] = ["step", "global_step", "iteration", "iter", "batch", "_step", "epoch"];

/// Takes in all numbers of a file.
///
/// # Errors
/// Line and reason, where it is not text or has no column of steps.
pub(super) fn read(bytes: &[u8], curves: &mut Curves) -> Result<(), (u64, String)> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        (1 + before.iter().filter(|byte| **byte == b'\n').count() as u64, "not UTF-8 text".to_owned())
    })?;
    let mut rows = Rows { rest: text.trim_start_matches('\u{feff}'), line: 1 };
    let (_, head) = rows.next().ok_or((1, "the file is empty".to_owned()))?;
    let head: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
    let has_room = if head == COLUMNS { long(rows, curves)? } else { wide(&head, rows, curves)? };
    if !has_room {
        curves.full();
    }
    Ok(())
}

fn wide(head: &[String], rows: Rows<'_>, curves: &mut Curves) -> Result<bool, (u64, String)> {
    let of_steps = STEPS.iter().find_map(|known| head.iter().position(|name| name.eq_ignore_ascii_case(known)));
    let of_steps = of_steps.ok_or((1, format!("no column counts steps; one of {} is needed", STEPS.join(", "))))?;
    for (line, row) in rows {
        let Some(step) = row.get(of_steps).and_then(|cell| whole(cell)) else {
            return Err((line, format!("'{}' is not the number of a step", row.get(of_steps).map_or("", |cell| cell))));
        };
        for (index, (name, cell)) in head.iter().zip(&row).enumerate() {
            // A cell that is empty, or is no number, is not recorded at this step.
            let Some(number) = number(cell).filter(|_| index != of_steps && !name.is_empty()) else { continue };
            if !curves.add(name, step, Value::Number(number)) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Numbers of one tensor at one step, until the next one begins.
#[derive(Default)]
struct Tensor {
    key: Option<(u64, String, String)>,
    moments: Moments,
}

impl Tensor {
    fn flush(&mut self, curves: &mut Curves) -> bool {
        let Some((step, name, kind)) = self.key.take() else { return true };
        let moments = std::mem::take(&mut self.moments);
        let place = match kind.as_str() {
            "activation" => Place::Joint(name.clone(), Joint::Activation),
            "cotangent" => Place::Joint(name.clone(), Joint::Cotangent),
            "weight" => Place::Parameter(name.clone(), Parameter::Weight),
            "gradient" => Place::Parameter(name.clone(), Parameter::Gradient),
            _ => Place::Parameter(name.clone(), Parameter::Update),
        };
        curves.add_at(&format!("{kind}/{name}"), step, Value::Tensor(moments), || place)
    }
}

fn long(rows: Rows<'_>, curves: &mut Curves) -> Result<bool, (u64, String)> {
    let mut tensor = Tensor::default();
    let mut has_room = true;
    for (line, row) in rows {
        let [step, name, kind, statistic, value] = &row[..] else {
            return Err((line, format!("{} fields; each row has {}", row.len(), COLUMNS.join(", "))));
        };
        let step = whole(step).ok_or_else(|| (line, format!("'{step}' is not the number of a step")))?;
        let value = number(value);
        match (kind.as_str(), statistic.as_str(), value) {
            ("step", "loss", Some(loss)) => {
                has_room = curves.add_at("loss", step, Value::Number(loss), || Place::Loss(0));
            }
            ("step", "learning_rate", Some(rate)) => {
                has_room = curves.add_at("learning_rate", step, Value::Number(rate), || Place::LearningRate(0));
            }
            ("clip", statistic, Some(number)) => {
                has_room = curves.add(&format!("clip/{statistic}"), step, Value::Number(number));
            }
            // Counts of a histogram come after all moments; they would stand for a tensor of their own.
            (_, statistic, _) if statistic.starts_with("exponent_") => {}
            ("activation" | "cotangent" | "weight" | "gradient" | "update", statistic, value) => {
                let key = (step, name.clone(), kind.clone());
                if tensor.key.as_ref() != Some(&key) {
                    has_room = tensor.flush(curves);
                    tensor.key = Some(key);
                }
                statistic_of(&mut tensor.moments, statistic, value);
            }
            _ => {}
        }
        if !has_room {
            return Ok(false);
        }
    }
    Ok(tensor.flush(curves))
}

/// Moments from the numbers that stand for them; sums come from their means.
fn statistic_of(moments: &mut Moments, statistic: &str, value: Option<f64>) {
    let Some(value) = value else { return };
    match statistic {
        "count" => moments.count = value as u64,
        "mean" => moments.sum = value * moments.count as f64,
        "norm" => moments.sum_of_squares = value * value,
        "min" => moments.min = Some(value),
        "max" => moments.max = Some(value),
        "abs_max" => moments.abs_max = value,
        "zeros" => moments.zeros = (value as u64).min(moments.count),
        "non_finite" => {
            moments.non_finite = (value as u64).min(moments.count);
            // The mean is one of the finite values.
            moments.sum *= moments.finite() as f64 / moments.count.max(1) as f64;
        }
        _ => {}
    }
}

/// A number that counts: `12`, and `12.0` as data frames write it.
fn whole(cell: &str) -> Option<u64> {
    let cell = cell.trim();
    cell.parse().ok().or_else(|| {
        let number: f64 = cell.parse().ok()?;
        (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as u64)
    })
}

fn number(cell: &str) -> Option<f64> {
    match cell.trim() {
        "" => None,
        cell => cell.parse().ok(),
    }
}

/// The rows of a file with the line that each begins in; fields may be in quotes (RFC 4180). Empty lines are none.
struct Rows<'a> {
    rest: &'a str,
    line: u64,
}

impl Iterator for Rows<'_> {
    type Item = (u64, Vec<String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let line = self.line;
            let row = self.row();
            if row.len() > 1 || !row[0].is_empty() {
                return Some((line, row));
            }
        }
    }
}

impl Rows<'_> {
    fn row(&mut self) -> Vec<String> {
        let (mut row, mut field) = (Vec::new(), String::new());
        let mut is_quoted = false;
        let mut chars = self.rest.char_indices().peekable();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            if c == '\n' {
                self.line += 1;
            }
            match (c, is_quoted) {
                ('"', true) if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    chars.next();
                    field.push('"');
                }
                ('"', true) => is_quoted = false,
                ('"', false) if field.is_empty() => is_quoted = true,
                (',', false) => row.push(std::mem::take(&mut field)),
                ('\r', false) => {}
                ('\n', false) => {
                    end = at + 1;
                    break;
                }
                (c, _) => field.push(c),
            }
        }
        row.push(field);
        self.rest = &self.rest[end..];
        row
    }
}
