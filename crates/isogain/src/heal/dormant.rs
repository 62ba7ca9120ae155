//! ReDo (Sokar et al. 2023): dormant units start again. Their incoming weights are drawn anew, their outgoing ones become
//! zero, so that the network computes almost what it did (at tau = 0 exactly that), and the optimizer forgets both.

use isogain_core::network::{Linear, Network, OpKind};
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

/// An activation between two linear layers with nothing but dropout beside it.
struct Between<'n> {
    before: (&'n str, &'n Linear),
    activation: &'n str,
    after: (&'n str, &'n Linear),
}

fn between(network: &Network) -> Vec<Between<'_>> {
    let plain: Vec<_> = network.ops.iter().filter(|op| !matches!(op.kind, OpKind::Dropout(_))).collect();
    let windows = plain.windows(3).filter_map(|ops| match (&ops[0].kind, &ops[1].kind, &ops[2].kind) {
        // Weights that are computed from others are not what would be drawn anew.
        (OpKind::Linear(before), OpKind::Activation { .. }, OpKind::Linear(after))
            if after.tied.is_none() && before.weight_norm.is_none() && after.weight_norm.is_none() =>
        {
            let (before, after) = ((ops[0].name.as_str(), before), (ops[2].name.as_str(), after));
            Some(Between { before, activation: &ops[1].name, after })
        }
        _ => None,
    });
    windows.collect()
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
    for Between { before: (before, first), activation, after: (after, second) } in between(&network) {
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
        let outgoing = |unit: usize| (0..second.fan_out).map(move |column| unit * second.fan_out + column);
        let (of_weight, of_bias, of_next) =
            (format!("{before}.weight"), format!("{before}.bias"), format!("{after}.weight"));
        let parameters = &mut trainer.model.parameters;
        set(parameters, &of_weight, units.iter().flat_map(|unit| incoming(*unit)).map(|index| (index, weight[index])));
        set(parameters, &of_bias, units.iter().map(|unit| (*unit, bias[*unit])));
        set(parameters, &of_next, units.iter().flat_map(|unit| outgoing(*unit)).map(|index| (index, 0.0)));
        for state in [&mut trainer.optimizer.first, &mut trainer.optimizer.second] {
            set(state, &of_weight, units.iter().flat_map(|unit| incoming(*unit)).map(|index| (index, 0.0)));
            set(state, &of_bias, units.iter().map(|unit| (*unit, 0.0)));
            set(state, &of_next, units.iter().flat_map(|unit| outgoing(*unit)).map(|index| (index, 0.0)));
        }
        found.push(Reset { activation: activation.to_owned(), units });
    }
    found
}
