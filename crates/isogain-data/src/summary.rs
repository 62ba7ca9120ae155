//! What the data looks like to the network, as rules read it.

use isogain_core::baseline;
use isogain_core::recipe::Data as DataRecipe;
use isogain_core::record::DataSummary;

use crate::error::Result;
use crate::part::Part;
use crate::samples::Targets;
use crate::scale::{Measure, column_count};
use crate::table::Scaling;

/// Numbers read at once.
const PIECE: usize = 1 << 20;

pub(crate) fn summarise(recipe: &DataRecipe, train: &Part, test: &Part) -> Result<DataSummary> {
    let columns = column_count(&train.table);
    let is_coded = train.table.vocabulary().is_some() || train.table.scaling == Scaling::Never;
    let mut input = Measure::default();
    let mut squares = vec![0.0; columns];
    let mut outputs = Vec::new();
    let mut counts = vec![0_usize; train.table.classes().unwrap_or(0)];
    for piece in train.pieces((PIECE / train.shape().values().max(1)).max(1)) {
        if train.table.vocabulary().is_none() {
            input.push(&piece.inputs);
        }
        for position in piece.inputs.chunks_exact(columns) {
            squares.iter_mut().zip(position).for_each(|(sum, value)| *sum += value * value);
        }
        match &piece.targets {
            Targets::Classes { labels, .. } => labels.iter().for_each(|&label| counts[label] += 1),
            Targets::Values { values, outputs: each } => {
                outputs.resize_with(*each, Measure::default);
                for sample in values.chunks_exact(*each) {
                    outputs.iter_mut().zip(sample).for_each(|(measure, value)| measure.push(&[*value]));
                }
            }
        }
    }
    train.intact()?;
    let positions = train.shape().values() / columns.max(1);
    let rms = squares.iter().map(|sum| (sum / (train.len() * positions) as f64).sqrt());
    let rms: Vec<f64> = rms.filter(|&rms| rms > 0.0).collect();
    let largest = rms.iter().copied().fold(0.0, f64::max);
    let smallest = rms.iter().copied().fold(f64::INFINITY, f64::min);
    let outputs: Vec<_> = outputs.into_iter().map(Measure::moments).collect();
    let variance = outputs.iter().map(|moments| moments.variance().unwrap_or(0.0)).sum::<f64>();
    let baseline_loss = if counts.is_empty() {
        variance / outputs.len().max(1) as f64
    } else {
        baseline::of_classes(recipe.loss(), &counts)
    };
    let target = outputs.into_iter().reduce(|mut all, one| {
        all.merge(&one);
        all
    });
    Ok(DataSummary {
        source: recipe.source.clone(),
        train_samples: train.len(),
        test_samples: test.len(),
        input: input.moments(),
        // Symbols and generated markers are of any frequency by design.
        feature_rms_ratio: if largest > 0.0 && !is_coded { largest / smallest } else { 1.0 },
        target,
        classes: train.table.classes(),
        baseline_loss,
    })
}
