//! Batch norm and layer norm trained at smaller and smaller batches.

use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::mean;
use super::training::Subject;
use super::{Experiment, Found, Lab};
use crate::Error;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "batch-size",
    title: "Batch norm needs a batch: it falls behind as the batch shrinks and fails at two samples; layer norm does not",
    source: "Ioffe & Szegedy 2015; Ba, Kiros & Hinton 2016; Wu & He 2018",
    setting: "digits, 4 ReLU layers of 32 units, 400 steps of SGD at 0.05, 8 seeds: mean accuracy on the test part, where batch \
              norm uses its running averages",
    disproof: Some("batch norm at a batch of 2 came close to layer norm at a batch of 2"),
    seconds: 2,
    run,
};

const BATCHES: [usize; 5] = [64, 16, 8, 4, 2];
const SEEDS: u64 = 8;

fn accuracy(norm: &str, batch: usize, lab: &Lab<'_>) -> Result<f64, Error> {
    let subject = Subject::new(&format!(
        "[data]\nbatch = {batch}\n[network]\nkind = \"mlp\"\ndepth = 4\nwidth = 32\nnorm = \"{norm}\"\ninit = \
         \"he-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.05\n[run]\nsteps = 400\n"
    ))?;
    let ends: Result<Vec<f64>, Error> = (0..SEEDS).map(|seed| Ok(subject.train(seed, lab)?.test_accuracy)).collect();
    Ok(mean(ends?))
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let (mut batch_norm, mut layer_norm) = (Vec::new(), Vec::new());
    for (index, batch) in BATCHES.into_iter().enumerate() {
        lab.at(index, BATCHES.len())?;
        batch_norm.push((batch as f64, accuracy("batch", batch, lab)?));
        layer_norm.push((batch as f64, accuracy("layer", batch, lab)?));
    }
    for (index, batch) in BATCHES.into_iter().enumerate() {
        let (ours, theirs) = (batch_norm[index].1, layer_norm[index].1);
        let behind = match batch {
            2 => Expected::Below { limit: -0.3 },
            4 => Expected::Below { limit: 0.0 },
            _ => Expected::Above { limit: -0.1 },
        };
        found.claimed(format!("batch {batch}: accuracy with batch norm minus with layer norm"), ours - theirs, behind);
    }
    let last = BATCHES.len() - 1;
    found.claimed("batch 64, batch norm: accuracy", batch_norm[0].1, Expected::Above { limit: 0.9 });
    found.claimed("batch 2, batch norm: accuracy", batch_norm[last].1, Expected::Below { limit: 0.5 });
    found.claimed("batch 2, layer norm: accuracy", layer_norm[last].1, Expected::Above { limit: 0.8 });
    found.figures.push(
        Figure::new(
            "Accuracy by batch size",
            Scale::linear("samples in a batch"),
            Scale::linear("accuracy on the test part"),
        )
        .with("batch norm", Mark::Line, batch_norm)
        .with("layer norm", Mark::Line, layer_norm),
    );
    found.notes.push(
        "With two samples each unit sees one above and one below their mean, and batch norm makes them plus and minus one, \
         whatever they are: what the layers before have learned is erased, and so is their gradient. Smaller batches also see \
         fewer samples in the same number of steps; layer norm has that handicap as well."
            .to_owned(),
    );
    Ok(found)
}
