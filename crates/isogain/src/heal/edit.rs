//! Numbers of parameters and optimizer state, changed in place.

use std::collections::BTreeMap;

use crate::model::Value;
use crate::ops::{Buffer, Real, by_type, scale};

/// Multiplies all numbers of one entry, where there is one.
pub(super) fn multiply(values: &mut BTreeMap<String, Value>, name: &str, factor: f64) {
    if let Some((name, value)) = values.remove_entry(name) {
        values.insert(name, value.with_buffer(|buffer| by_type!(buffer, multiply_buffer(buffer, factor))));
    }
}

fn multiply_buffer<T: Real>(buffer: &mut Buffer, factor: f64) {
    scale(buffer, T::of(factor));
}

/// Sets some numbers of one entry, where there is one.
pub(super) fn set(values: &mut BTreeMap<String, Value>, name: &str, numbers: impl Iterator<Item = (usize, f64)>) {
    if let Some((name, value)) = values.remove_entry(name) {
        let numbers: Vec<(usize, f64)> = numbers.collect();
        values.insert(name, value.with_buffer(|buffer| by_type!(buffer, set_buffer(buffer, &numbers))));
    }
}

fn set_buffer<T: Real>(buffer: &mut Buffer, numbers: &[(usize, f64)]) {
    let values = T::write(buffer);
    for (index, number) in numbers {
        values[*index] = T::of(*number);
    }
}
