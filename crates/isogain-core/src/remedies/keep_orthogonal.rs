//! Keep matrices orthogonal while they train.

use super::{Prescription, Remedy, computed_weights};
use crate::network::{Cell, Op, OpKind};
use crate::recipe::{NetworkKind, Recipe};
use crate::rules::Case;
use crate::weight_norm::WeightNorm;

pub(super) static REMEDY: Remedy = Remedy {
    name: "keep-orthogonal",
    summary: "multiply by the orthogonal matrix nearest to what is trained: each direction keeps its length at every step",
    page: include_str!("keep-orthogonal.md"),
    prescribe,
};

fn prescribe(case: &Case<'_>, recipe: &Recipe) -> Vec<Prescription> {
    let cells: Vec<Cell> = case.network.walk().into_iter().filter_map(cell).collect();
    let is_plain = match recipe.network.kind {
        // A diagonal one has none, and those of oscillators carry nothing.
        NetworkKind::Rnn => !recipe.network.diagonal && recipe.network.oscillator.is_none(),
        // What a gated cell remembers is multiplied by its gates, and by no matrix.
        NetworkKind::Lstm | NetworkKind::Gru => false,
        // Without a recurrence an orthogonal start does as much at no cost, see the page.
        _ => !cells.is_empty() && cells.iter().all(|cell| *cell == Cell::Rnn),
    };
    if !is_plain {
        return Vec::new();
    }
    // Which changes no length, so that there is nothing to penalise, and no length to keep otherwise.
    let mut bare = recipe.clone();
    bare.network.vanishing_penalty = None;
    bare.network.antisymmetric_step = None;
    computed_weights::prescribe(&REMEDY, &bare, WeightNorm::Orthogonal, "orthogonal")
}

fn cell(op: &Op) -> Option<Cell> {
    match &op.kind {
        OpKind::Recurrent(layer) => Some(layer.cell),
        _ => None,
    }
}
