//! A matrix that rows are multiplied with, either way.

use std::cell::OnceCell;

use crate::matmul::{product, transpose};

/// A matrix, row-major, and its transpose once it is asked for.
pub(super) struct Matrix {
    values: Vec<f64>,
    rows: usize,
    columns: usize,
    turned: OnceCell<Vec<f64>>,
}

impl Matrix {
    pub(super) fn new(values: Vec<f64>, columns: usize) -> Self {
        Self { rows: values.len() / columns.max(1), values, columns, turned: OnceCell::new() }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows times it.
    pub(super) fn forth(&self, rows: &[f64]) -> Vec<f64> {
        product(rows, &self.values, [rows.len() / self.rows.max(1), self.rows, self.columns])
    }

    /// Rows times its transpose.
    pub(super) fn back(&self, rows: &[f64]) -> Vec<f64> {
        let turned = self.turned.get_or_init(|| transpose(&self.values, self.rows, self.columns));
        product(rows, turned, [rows.len() / self.columns.max(1), self.columns, self.rows])
    }
}
