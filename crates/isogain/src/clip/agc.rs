//! AGC, adaptive gradient clipping: each unit's gradient against its own weights (Brock et al. 2021, equation 3).
//!
//! A unit's gradient G is scaled to the norm `ratio max(|W|, 1e-3)` where it is longer, W being the unit's weights. A unit
//! is a column of a weight `[fan_in, fan_out]`, a row of an embedding's table; a bias, a gamma or another vector is one.
//! The head is left alone, as in the paper, and so are auxiliary ones.

use std::collections::{BTreeMap, BTreeSet};

use isogain_core::network::{Network, OpKind};

use super::{Change, changed, factor, shrink, square};
use crate::model::Value;
use crate::ops::{Buffer, Real, by_type};
use crate::snapshot::Gradients;

/// Lets weights that start at zero move.
const FLOOR: f64 = 1e-3;

/// What a network says of its parameters.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Those of heads.
    exempt: BTreeSet<String>,
    /// Tables, of which each row is a unit.
    by_row: BTreeSet<String>,
}

impl Layout {
    pub(super) fn of(network: &Network) -> Self {
        let heads = network.heads().into_iter();
        let of_heads = heads.flat_map(|op| ["weight", "bias"].map(|part| format!("{}.{part}", op.name)));
        let is_table = |kind: &OpKind| matches!(kind, OpKind::Embedding(_));
        let tables = network.walk().into_iter().filter(|op| is_table(&op.kind));
        let by_row = tables.flat_map(|op| ["weight", "position"].map(|part| format!("{}.{part}", op.name)));
        Self { exempt: of_heads.collect(), by_row: by_row.collect() }
    }
}

pub(super) fn clip(
    gradients: &mut Gradients,
    ratio: f64,
    layout: &Layout,
    parameters: &BTreeMap<String, Value>,
) -> Change {
    changed(gradients, |name, gradient| {
        let Some(weight) = parameters.get(name).filter(|_| !layout.exempt.contains(name)) else {
            return shrink(gradient, 1.0);
        };
        let columns = match weight {
            Value::Matrix(matrix) => matrix.dims()[1],
            Value::Vector(_) => {
                let limit = ratio * square(&weight.clone().into_buffer()).sqrt().max(FLOOR);
                return shrink(gradient, factor(square(gradient), limit));
            }
        };
        let weight = weight.clone().into_buffer();
        let by_row = layout.by_row.contains(name);
        by_type!(gradient, units(gradient, &weight, ratio, columns, by_row))
    })
}

fn units<T: Real>(gradient: &mut Buffer, weight: &Buffer, ratio: f64, columns: usize, by_row: bool) -> Change {
    let (gradient, weight) = (T::write(gradient), T::read(weight));
    let unit = |index: usize| if by_row { index / columns } else { index % columns };
    let count = if by_row { weight.len() / columns.max(1) } else { columns };
    let squares = |values: &[T]| {
        let mut sums = vec![0.0; count];
        values.iter().enumerate().for_each(|(index, value)| sums[unit(index)] += value.wide() * value.wide());
        sums
    };
    let (of_gradient, of_weight) = (squares(gradient), squares(weight));
    let factors: Vec<f64> = of_gradient
        .iter()
        .zip(&of_weight)
        .map(|(gradient, weight)| factor(*gradient, ratio * weight.sqrt().max(FLOOR)))
        .collect();
    if factors.iter().any(|factor| *factor != 1.0) {
        for (index, value) in gradient.iter_mut().enumerate() {
            *value = *value * T::of(factors[unit(index)]);
        }
    }
    let mut change = Change::default();
    for (square, factor) in of_gradient.iter().zip(&factors) {
        change.before += square;
        change.after += square * factor * factor;
        change.product += square * factor;
    }
    change
}
