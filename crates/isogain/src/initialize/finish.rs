//! Passes over a batch that finish what was drawn: each layer is divided by what was measured of it.

use isogain_core::network::{Convolution, Network, Op, OpKind};
use isogain_core::theory::initializers::Finish;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::Samples;
use crate::model::{Mode, Model, Value, branch_joint, matrix, skip_joint};
use crate::probe::{Keep, Kept, Probes, Seen};

/// Most passes over the batch for one layer's variance (Mishkin & Matas 2016).
const TRIES: usize = 10;

/// How far a variance may be from 1 (the same).
const TOLERANCE: f64 = 0.1;

/// Most passes for all Jacobians. Each settles at least one layer more, and where the activation's slope hardly depends on
/// what is before it, all at once: tanh, GELU and sigmoid need 5 to 12 at fifty layers.
const SWEEPS: usize = 50;

/// How far the factor of a gradient's length may be from 1: e at a hundred layers, all off to the same side.
const LENGTH_TOLERANCE: f64 = 0.01;

impl Model {
    /// Finishes every layer whose initialiser asks for it.
    pub(super) fn finish(&mut self, batch: &Samples, generator: &mut ChaCha8Rng) {
        let blocks = blocks(&self.network);
        for Block { layer, .. } in blocks.iter().filter(|block| block.is_first || block.finish == Finish::UnitVariance)
        {
            self.unit_variance(layer, batch);
        }
        let tuned: Vec<&Block> =
            blocks.iter().filter(|block| !block.is_first && block.finish == Finish::UnitJacobian).collect();
        if !tuned.is_empty() {
            self.unit_jacobians(&tuned, batch, generator);
        }
    }

    /// LSUV (Mishkin & Matas 2016): divides a layer by the deviation of its output on the batch until the variance is within
    /// 10 % of 1, at most ten times.
    fn unit_variance(&mut self, layer: &str, batch: &Samples) {
        for _ in 0..TRIES {
            let probes = Probes::new(Keep::Moments);
            self.forward(&mut self.plain(Mode::Train, Some(&probes)), self.inputs(batch));
            let moments = probes.take().forward.get(layer).map(Kept::moments);
            let variance = moments.and_then(|moments| moments.variance()).unwrap_or(1.0);
            if variance <= 0.0 || !variance.is_finite() || (variance - 1.0).abs() <= TOLERANCE {
                break;
            }
            self.divide(layer, variance.sqrt());
        }
    }

    /// AutoInit (He, Doshi & Gromov 2022), with the one direction that random numbers at the outputs give: divides each layer
    /// by the factor of the gradient's length from its output to that of the layer before it, until all are within 1 % of 1.
    /// A layer that no gradient reaches yet waits for those behind it.
    fn unit_jacobians(&mut self, blocks: &[&Block], batch: &Samples, generator: &mut ChaCha8Rng) {
        let mut direction = Vec::new();
        for _ in 0..SWEEPS {
            let seen = self.pulled(batch, &mut direction, generator);
            let mut is_done = true;
            for block in blocks {
                let (layer, factor) = (&block.layer, block.factor(&seen));
                if factor.is_finite() && factor > 0.0 && (factor - 1.0).abs() > LENGTH_TOLERANCE {
                    is_done = false;
                    self.divide(layer, factor);
                }
            }
            if is_done {
                break;
            }
        }
    }

    /// What probes see of one pass over the batch and back, along random signs at the outputs, drawn where there are none yet.
    fn pulled(&self, batch: &Samples, signs: &mut Vec<f64>, generator: &mut ChaCha8Rng) -> Seen {
        let probes = Probes::new(Keep::Moments);
        let mut pass = self.tracked(Some(&probes));
        let outputs = self.forward(&mut pass, self.inputs(batch));
        let [rows, columns] = outputs.dims();
        if signs.is_empty() {
            *signs = (0..rows * columns).map(|_| if generator.random() { 1.0 } else { -1.0 }).collect();
        }
        let cotangent = matrix(signs, rows, columns, self.dtype, &self.device);
        pass.gradients(&(outputs * cotangent.autodiff()).sum());
        probes.take()
    }

    /// Divides a layer's weights; those that are computed from others have the size of their gain.
    fn divide(&mut self, layer: &str, divisor: f64) {
        let names = ["gain", "weight"].map(|parameter| format!("{layer}.{parameter}"));
        let Some(name) = names.into_iter().find(|name| self.parameters.contains_key(name)) else { return };
        match self.parameters.get_mut(&name) {
            Some(Value::Matrix(weight)) => *weight = weight.clone() / divisor,
            Some(Value::Vector(gain)) => *gain = gain.clone() / divisor,
            None => {}
        }
    }
}

/// A layer that data finish, with what stands between it and the layer before it.
struct Block {
    layer: String,
    finish: Finish,
    /// Joint where it begins: the output of the layer before it in the same branch, or where the branch begins.
    from: String,
    /// Whether it reads the data.
    is_first: bool,
}

impl Block {
    /// By how much a gradient becomes longer on its way through, all samples together; NaN where none was seen.
    fn factor(&self, seen: &Seen) -> f64 {
        let length = |joint: &str| seen.backward.get(joint).map_or(f64::NAN, |kept| kept.moments().norm());
        length(&self.from) / length(&self.layer)
    }
}

/// Every layer that data finish, in forward order.
fn blocks(network: &Network) -> Vec<Block> {
    fn find(ops: &[Op], entry: &str, is_first: bool, found: &mut Vec<Block>) {
        let (mut from, mut is_first) = (entry.to_owned(), is_first);
        for op in ops {
            match &op.kind {
                OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. }) => {
                    // What is shared with an embedding has that one's size.
                    if let Some(finish) = linear.init.finish().filter(|_| linear.tied.is_none()) {
                        found.push(Block { layer: op.name.clone(), finish, from, is_first });
                    }
                    (from, is_first) = (op.name.clone(), false);
                }
                OpKind::Residual(residual) => {
                    find(&residual.branch, &branch_joint(&op.name), is_first, found);
                    find(&residual.shortcut, &skip_joint(&op.name), is_first, found);
                }
                OpKind::AuxiliaryHead(auxiliary) => {
                    find(&auxiliary.head, &branch_joint(&op.name), is_first, found);
                }
                OpKind::Embedding(_) | OpKind::Recurrent(_) => (from, is_first) = (op.name.clone(), false),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    find(&network.ops, "input", true, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::training::Subject;
    use rand::SeedableRng;

    /// Along the direction that is measured every layer keeps the length to 1 %. Along another the factor of a layer is another
    /// one, GELU's by up to 25 %, where few slopes carry all, and the sum of thirty by less than 0.5 nepers.
    #[test]
    fn gradients_keep_their_length_through_every_layer() {
        let mlp = |kind: &str, scale: &str| {
            format!("[data]\ninput_scale = {scale}\n[network]\nactivation = \"{kind}\"\ninit = \"unit-jacobian\"\n")
        };
        let mut cases: Vec<String> = Vec::new();
        for kind in ["relu", "tanh", "sigmoid", "gelu"] {
            cases.extend(["0.001", "1.0", "1000.0"].map(|scale| mlp(kind, scale)));
        }
        cases.push(
            "[network]\nkind = \"convnet\"\ndepth = 6\nwidth = 8\nstages = 2\npool = \"average\"\nactivation = \"tanh\"\n\
             init = \"unit-jacobian\"\n"
                .to_owned(),
        );
        for toml in cases {
            let Subject { network, data, .. } = Subject::new(&toml).unwrap();
            let batch = data.train.select(&(0..128).collect::<Vec<usize>>());
            let mut model = Model::new(&network, 0, burn::tensor::DType::F32, &batch);
            let blocks = blocks(&network);
            let tuned: Vec<&Block> = blocks.iter().skip(1).collect();
            assert!(blocks[0].is_first && blocks.len() == network.linears().count());
            let logs = |model: &Model, seed: u64| -> Vec<f64> {
                let seen = model.pulled(&batch, &mut Vec::new(), &mut ChaCha8Rng::seed_from_u64(seed));
                let variance = seen.forward[blocks[0].layer.as_str()].moments().variance().unwrap();
                assert!((variance - 1.0).abs() <= TOLERANCE, "{toml}: {variance}");
                tuned.iter().map(|block| block.factor(&seen).ln()).collect()
            };
            let other: f64 = logs(&model, 7).iter().sum();
            model.unit_jacobians(&tuned, &batch, &mut ChaCha8Rng::seed_from_u64(7));
            let worst = logs(&model, 7).iter().fold(0.0_f64, |worst, log| worst.max(log.abs()));
            println!("{toml} worst {worst:.4}, sum along another direction {other:.3}");
            assert!(worst <= 1.01 * LENGTH_TOLERANCE && other.abs() < 0.5, "{toml}: {worst} {other}");
        }
    }
}
