//! Inputs from N(0, 1), answered by a linear teacher with weights from N(0, 1/n): its value, or the largest of several.

use isogain_core::network::Shape;
use rand_chacha::ChaCha8Rng;

use super::normal;
use crate::table::{Scaling, Table, Values, Wanted};

pub(super) fn table(samples: usize, features: usize, classes: Option<usize>, generator: &mut ChaCha8Rng) -> Table {
    let outputs = classes.unwrap_or(1);
    let scale = 1.0 / (features as f64).sqrt();
    let teacher: Vec<f64> = (0..features * outputs).map(|_| scale * normal(generator)).collect();
    let inputs: Vec<f64> = (0..samples * features).map(|_| normal(generator)).collect();
    let answers: Vec<Vec<f64>> = inputs
        .chunks_exact(features)
        .map(|sample| {
            let value = |weights: &[f64]| weights.iter().zip(sample).map(|(w, x)| w * x).sum::<f64>();
            teacher.chunks_exact(features).map(value).collect()
        })
        .collect();
    let wanted = match classes {
        Some(classes) => {
            let largest = |values: &Vec<f64>| {
                values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class as u32)
            };
            Wanted::Labels { labels: answers.iter().map(largest).collect(), classes, each: 1 }
        }
        None => Wanted::Numbers { values: answers.concat(), outputs: 1 },
    };
    Table { shape: Shape::vector(features), values: Values::Numbers(inputs), wanted, scaling: Scaling::Never }
}
