//! A weight as a matrix: units without weights, inputs that nobody reads, units that repeat another one.

use std::collections::HashMap;

use serde::Serialize;

use crate::flow::Values;

use super::plan::Fans;

/// The values of a weight and how they lie.
pub(super) struct Matrix<'a> {
    pub(super) values: &'a Values,
    pub(super) fans: Fans,
}

/// What single units and inputs of a weight look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UnitCounts {
    /// UnitCounts all of whose weights are zero: they return their bias, whatever comes in.
    pub empty_units: usize,
    /// Inputs that no unit reads; taps of a convolution count as inputs of their own.
    pub unread_inputs: usize,
    /// UnitCounts whose weights equal another one's, value by value; empty ones not counted.
    pub repeated_units: usize,
}

impl Matrix<'_> {
    /// Rows and columns as stored: `[units, fan_in]`, or `[fan_in, units]`.
    pub(super) fn rows_and_columns(&self) -> (usize, usize) {
        let Fans { units, fan_in, .. } = self.fans;
        if self.fans.units_last { (fan_in, units) } else { (units, fan_in) }
    }
}

impl UnitCounts {
    pub(super) fn of(matrix: &Matrix<'_>) -> Self {
        match matrix.values {
            Values::F32(values) => {
                Self::count(matrix, values, |value| if value == 0.0 { 0 } else { value.to_bits().into() })
            }
            Values::F64(values) => Self::count(matrix, values, |value| if value == 0.0 { 0 } else { value.to_bits() }),
        }
    }

    /// `bits` tells values apart; a negative zero is a zero.
    fn count<T: Copy>(matrix: &Matrix<'_>, values: &[T], bits: impl Fn(T) -> u64) -> Self {
        let (rows, columns) = matrix.rows_and_columns();
        let units_last = matrix.fans.units_last;
        let mut signatures = vec![0xcbf2_9ce4_8422_2325_u64; matrix.fans.units];
        let mut has_weights = vec![false; matrix.fans.units];
        let mut is_read = vec![false; matrix.fans.fan_in];
        for (row, values) in values.chunks_exact(columns).enumerate().take(rows) {
            for (column, &value) in values.iter().enumerate() {
                let (unit, input) = if units_last { (column, row) } else { (row, column) };
                let bits = bits(value);
                // FNV-1a over whole words, with a rotation so that high bits matter too.
                signatures[unit] = (signatures[unit] ^ bits).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
                has_weights[unit] |= bits != 0;
                is_read[input] |= bits != 0;
            }
        }
        let unit = |unit: usize| -> Vec<u64> {
            let at = |input: usize| if units_last { input * columns + unit } else { unit * columns + input };
            (0..matrix.fans.fan_in).map(|input| bits(values[at(input)])).collect()
        };
        // Equal signatures are a suspicion; the values decide.
        let mut seen: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut repeated_units = 0;
        for (index, &signature) in signatures.iter().enumerate().filter(|(index, _)| has_weights[*index]) {
            let alike = seen.entry(signature).or_default();
            if alike.iter().any(|&other| unit(other) == unit(index)) {
                repeated_units += 1;
            } else {
                alike.push(index);
            }
        }
        Self {
            empty_units: has_weights.iter().filter(|has| !**has).count(),
            unread_inputs: is_read.iter().filter(|read| !**read).count(),
            repeated_units,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(values: Vec<f32>, fans: [usize; 2], units_last: bool) -> UnitCounts {
        let [units, fan_in] = fans;
        let values = Values::from(values);
        let fans = Fans { units, inputs: fan_in, fan_in, fan_out: units, units_last };
        UnitCounts::of(&Matrix { values: &values, fans })
    }

    #[test]
    fn empty_unread_and_repeated() {
        // UnitCounts: (1, 0, 2), (0, 0, 0), (1, -0, 2), (1, 0, 3); nobody reads the second input.
        let rows = vec![1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0, -0.0, 2.0, 1.0, 0.0, 3.0];
        let expected = UnitCounts { empty_units: 1, unread_inputs: 1, repeated_units: 1 };
        assert_eq!(units(rows.clone(), [4, 3], false), expected);
        let columns: Vec<f32> = (0..12).map(|at| rows[(at % 4) * 3 + at / 4]).collect();
        assert_eq!(units(columns, [4, 3], true), expected);
        assert_eq!(units(vec![0.5; 12], [4, 3], false).repeated_units, 3);
    }
}
