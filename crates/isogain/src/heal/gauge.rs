//! Gauge repair: rescales the layers of a partly trained ReLU network so that all weights change at the same relative rate,
//! without changing what the network computes. See [`isogain_core::theory::gauge`] for the formula.
//!
//! Nothing that was learned is lost. It balances; where the mean of the relative gradients is tiny, it stays tiny, and
//! another remedy is needed. Weight decay acts on the rescaled weights, so that with it the run is another one.

use isogain_core::network::{Convolution, Network, OpKind, PoolKind};
use isogain_core::recipe::OptimizerName;
use isogain_core::theory::gauge::{Factors, balance, factors};

use super::edit::multiply;
use super::{Repair, Situation, Treated};
use crate::Error;
use crate::data::Samples;
use crate::model::Value;
use crate::snapshot::loss_and_gradients;
use crate::train::Trainer;

/// From this spread of relative gradients on, nepers, there is something to balance.
const NOTICEABLE: f64 = 1.0;

/// Batches whose mean gradient is balanced.
const BATCHES: usize = 4;

pub(super) const REPAIR: Repair = Repair {
    answers: Some(&["frozen-layer", "vanishing-gradient", "exploding-gradient", "exploding-activation"]),
    treat,
};

/// Factors on the learning rate after it: the layer that changed fastest, which held the rate down, is slower now.
const FASTER: [f64; 3] = [1.0, 5.0, 25.0];

/// Where a gauge exists and layers change at rates that are further apart than e.
fn treat(trainer: &Trainer, situation: &Situation<'_>) -> Vec<Treated> {
    let mut treated = trainer.clone();
    // The coming batches, drawn by a copy so that the training itself stands where it stood.
    let mut ahead = trainer.clone();
    let batches: Vec<Samples> = (0..BATCHES).map(|_| ahead.next_batch(&situation.subject.data)).collect();
    let Ok(balanced) = repair(&mut treated, &batches) else { return Vec::new() };
    if balanced.spread() < NOTICEABLE {
        return Vec::new();
    }
    let at = |factor: f64| {
        let mut trainer = treated.clone();
        let mut recipe = trainer.recipe().clone();
        recipe.optimizer.learning_rate *= factor;
        trainer.change_settings(&recipe);
        let rate = if factor > 1.0 { format!(", learning rate x{factor}") } else { String::new() };
        let parameters = format!("relative gradients {:.1} nepers apart made equal{rate}", balanced.spread());
        Treated { remedy: "balance-layers", parameters, trainer }
    };
    FASTER.into_iter().map(at).collect()
}

/// Largest |ln s| of a layer: e^20 leaves single precision enough room on both sides.
const MOST: f64 = 20.0;

/// What a repair did.
#[derive(Clone, Debug, PartialEq)]
pub struct Balanced {
    /// The layers, in forward order.
    pub layers: Vec<String>,
    /// ln(|dW| / |W|) of each before.
    pub before: Vec<f64>,
    /// ln of the factor on each layer's units.
    pub log_scales: Vec<f64>,
}

impl Balanced {
    /// Largest less smallest of the ratios before, nepers; 0 after.
    pub fn spread(&self) -> f64 {
        let (low, high) = self
            .before
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
        high - low
    }
}

/// The layers that a gauge can balance, in forward order.
///
/// # Errors
/// What stands in the way: an activation that is not homogeneous, a normalisation, a skip, an attention, a recurrence, a
/// weight that two layers share.
pub fn layers(network: &Network) -> Result<Vec<String>, Error> {
    let head = network.head().ok_or_else(|| refused("the network has no layer with weights"))?;
    let mut found = Vec::new();
    for op in &network.ops[..=head] {
        let why = match &op.kind {
            OpKind::Linear(linear) if linear.tied.is_some() => "its weight is another operation's",
            OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. })
                if linear.weight_norm.is_some() =>
            {
                "its weight is computed from others"
            }
            OpKind::Linear(_) | OpKind::Convolution(_) => {
                found.push(op.name.clone());
                continue;
            }
            OpKind::Activation { activation } if activation.is_homogeneous() => continue,
            OpKind::Pool(pool) if matches!(pool.pool, PoolKind::Max | PoolKind::Average | PoolKind::Last) => continue,
            OpKind::Flatten(_) | OpKind::Dropout(_) => continue,
            OpKind::Activation { .. } => "the activation is not positively homogeneous, as ReLU and leaky ReLU are",
            OpKind::Norm(_) => "a normalisation takes every scale away again",
            OpKind::Residual(_) => "a skip connection would need one scale for the whole stream",
            OpKind::AuxiliaryHead(_) => {
                "its head reads the same values as the next layer, and has a gradient of its own"
            }
            _ => "it is not positively homogeneous",
        };
        return Err(refused(&format!("{}: {why}", op.name)));
    }
    Ok(found)
}

fn refused(why: &str) -> Error {
    Error::Mismatch(format!("the layers cannot be rescaled without changing what the network computes: {why}"))
}

/// Balances the relative gradients of all weights, measured on these batches together; optimizer state follows.
///
/// # Errors
/// As [`layers`]; a gradient that is zero or not finite.
pub fn repair(trainer: &mut Trainer, batches: &[Samples]) -> Result<Balanced, Error> {
    let layers = layers(&trainer.model.network)?;
    let before = log_ratios(trainer, &layers, batches);
    let log_scales = balance(&before)
        .ok_or_else(|| refused("a layer's gradient is zero or not finite, so that there is nothing to balance"))?;
    for (layer, Factors { weight, bias }) in layers.iter().zip(factors(&log_scales, MOST)) {
        for (part, factor) in [("weight", weight), ("bias", bias)] {
            let name = format!("{layer}.{part}");
            multiply(&mut trainer.model.parameters, &name, factor);
            // Gradients from now on are smaller by the factor. RMSprop's velocity has no scale: it is made of g / sqrt v.
            let of_first = match trainer.recipe().optimizer.name {
                OptimizerName::RmsProp => 1.0,
                _ => factor.recip(),
            };
            multiply(&mut trainer.optimizer.first, &name, of_first);
            multiply(&mut trainer.optimizer.second, &name, factor.powi(-2));
        }
    }
    Ok(Balanced { layers, before, log_scales })
}

/// ln(|dW| / |W|) of each layer, from the mean gradient of these batches.
pub fn log_ratios(trainer: &Trainer, layers: &[String], batches: &[Samples]) -> Vec<f64> {
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); layers.len()];
    for batch in batches {
        let (_, gradients) = loss_and_gradients(&trainer.model, batch, None);
        for (layer, sum) in layers.iter().zip(&mut sums) {
            let gradient = gradients.get(&format!("{layer}.weight")).map(Value::to_f64).unwrap_or_default();
            sum.resize(gradient.len(), 0.0);
            sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
        }
    }
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let count = batches.len().max(1) as f64;
    layers
        .iter()
        .zip(&sums)
        .map(|(layer, sum)| {
            let weight = trainer.model.parameters.get(&format!("{layer}.weight")).map(Value::to_f64);
            (norm(sum) / count / norm(&weight.unwrap_or_default())).ln()
        })
        .collect()
}
