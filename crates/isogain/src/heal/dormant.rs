//! ReDo (Sokar et al. 2023): dormant units start again. Their incoming weights are drawn anew, their outgoing ones become
//! zero, so that the network computes almost what it did (at tau = 0 exactly that), and the optimizer forgets both.

use isogain_core::network::{Linear, Network, Op, OpKind};
use isogain_core::theory::dormant::dormant;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::edit::set;
use super::{Repair, Situation, Treated};
use crate::data::Samples;
use crate::model::Mode;
use crate::probe::{Keep, Kept, Probes};
use crate::train::Trainer;

pub(super) const REPAIR: Repair = Repair { answers: Some(&["dead-units", "exactly-zero-gradient"]), treat };

/// Where units are silent on the coming batch; only those that are dead, since a unit that is merely quiet may be needed.
fn treat(trainer: &Trainer, situation: &Situation<'_>) -> Vec<Treated> {
    let mut treated = trainer.clone();
    let batch = trainer.clone().next_batch(&situation.subject.data);
    let found = reset(&mut treated, &batch, 0.0, trainer.seed() ^ trainer.step as u64);
    let units: usize = found.iter().map(|reset| reset.units.len()).sum();
    if units == 0 {
        return Vec::new();
    }
    let parameters = format!("{units} dead units of {} layers", found.len());
    vec![Treated { remedy: "reset-dormant", parameters, trainer: treated }]
}

/// Units of one layer that started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The activation they are units of.
    pub activation: String,
    /// Which.
    pub units: Vec<usize>,
}

/// An activation between two linear layers with nothing but dropout and auxiliary heads beside it.
struct Between<'n> {
    before: (&'n str, &'n Linear),
    activation: &'n str,
    /// What reads it: auxiliary heads and the next layer.
    after: Vec<(&'n str, &'n Linear)>,
}

fn between(network: &Network) -> Vec<Between<'_>> {
    let mut found = Vec::new();
    // The layer and the activation so far, and who reads that.
    let (mut before, mut activation, mut after) = (None, None, Vec::new());
    for op in &network.ops {
        match &op.kind {
            OpKind::Dropout(_) => {}
            OpKind::Activation { .. } if before.is_some() && activation.is_none() => {
                activation = Some(op.name.as_str())
            }
            OpKind::AuxiliaryHead(auxiliary) if activation.is_some() => match auxiliary.head.first() {
                Some(Op { name, kind: OpKind::Linear(head) }) => after.push((name.as_str(), head)),
                _ => activation = None,
            },
            // Weights that are computed from others are not what would be drawn anew.
            OpKind::Linear(linear) => {
                let reads = linear.tied.is_none() && linear.weight_norm.is_none();
                if let (Some(before), Some(activation), true) = (before, activation, reads) {
                    after.push((op.name.as_str(), linear));
                    found.push(Between { before, activation, after });
                }
                before = linear.weight_norm.is_none().then_some((op.name.as_str(), linear));
                (activation, after) = (None, Vec::new());
            }
            _ => (before, activation, after) = (None, None, Vec::new()),
        }
    }
    found
}

/// Starts the units again that are dormant on this batch; which, layer by layer, those without one left out. What is drawn
/// follows from `seed`.
pub fn reset(trainer: &mut Trainer, batch: &Samples, tau: f64, seed: u64) -> Vec<Reset> {
    let network = trainer.model.network.clone();
    let probes = Probes::new(Keep::Values);
    trainer.model.forward(&mut trainer.model.plain(Mode::Evaluate, Some(&probes)), trainer.model.inputs(batch));
    let seen = probes.take();
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut found = Vec::new();
    for Between { before: (before, first), activation, after } in between(&network) {
        let Some(values) = seen.forward.get(activation).and_then(Kept::values) else { continue };
        let columns = first.fan_out;
        let mut sizes = vec![0.0; columns];
        for (index, value) in values.to_f64().iter().enumerate() {
            sizes[index % columns] += value.abs();
        }
        let rows = (values.len() / columns.max(1)).max(1) as f64;
        sizes.iter_mut().for_each(|size| *size /= rows);
        let units = dormant(&sizes, tau);
        if units.is_empty() {
            continue;
        }
        let (weight, bias) = first.sample(1, &mut generator);
        let incoming = |unit: usize| (0..first.fan_in).map(move |row| row * columns + unit);
        let (of_weight, of_bias) = (format!("{before}.weight"), format!("{before}.bias"));
        let parameters = &mut trainer.model.parameters;
        set(parameters, &of_weight, units.iter().flat_map(|unit| incoming(*unit)).map(|index| (index, weight[index])));
        set(parameters, &of_bias, units.iter().map(|unit| (*unit, bias[*unit])));
        for state in [&mut trainer.optimizer.first, &mut trainer.optimizer.second] {
            set(state, &of_weight, units.iter().flat_map(|unit| incoming(*unit)).map(|index| (index, 0.0)));
            set(state, &of_bias, units.iter().map(|unit| (*unit, 0.0)));
        }
        for (reader, layer) in after {
            let name = format!("{reader}.weight");
            let outgoing = || units.iter().flat_map(|unit| unit * layer.fan_out..(unit + 1) * layer.fan_out);
            let Trainer { model, optimizer, .. } = &mut *trainer;
            for values in [&mut model.parameters, &mut optimizer.first, &mut optimizer.second] {
                set(values, &name, outgoing().map(|index| (index, 0.0)));
            }
        }
        found.push(Reset { activation: activation.to_owned(), units });
    }
    found
}
