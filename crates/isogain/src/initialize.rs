//! A model from a network description and a seed.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use isogain_core::network::{Network, NormKind, OpKind};

use crate::data::Samples;
use crate::model::{Mode, Model, Running, Value, matrix, vector};
use crate::probe::{Keep, Probes};

impl Model {
    /// Draws every parameter; `batch` is needed by data-dependent initialisers (LSUV). Parameters are drawn in f64 from
    /// one ChaCha stream in forward order, so the same seed gives the same network in either precision.
    pub fn new(network: &Network, seed: u64, dtype: DType, batch: &Samples) -> Self {
        let device = Device::flex();
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let (mut parameters, mut running) = (BTreeMap::new(), BTreeMap::new());
        for op in network.walk() {
            let mut keep = |parameter: &str, value: Value| parameters.insert(format!("{}.{parameter}", op.name), value);
            let constant = |value: f64, count: usize| Value::Vector(vector(&vec![value; count], dtype, &device));
            match &op.kind {
                OpKind::Linear(linear) => {
                    let (rows, columns) = (linear.fan_in, linear.fan_out);
                    let weight = linear.init.sample_weight(rows, columns, linear.activation, &mut generator);
                    let bias = linear.init.sample_bias(rows, columns, linear.activation, &mut generator);
                    keep("weight", Value::Matrix(matrix(&weight, rows, columns, dtype, &device)));
                    keep("bias", Value::Vector(vector(&bias, dtype, &device)));
                }
                OpKind::Norm(norm) => {
                    keep("gamma", constant(1.0, norm.features));
                    if norm.norm != NormKind::Rms {
                        keep("beta", constant(0.0, norm.features));
                    }
                    if norm.norm == NormKind::Batch {
                        let (mean, variance) = (vec![0.0; norm.features], vec![1.0; norm.features]);
                        running.insert(op.name.clone(), Running { mean, variance });
                    }
                }
                OpKind::Residual(residual) if residual.learnable => {
                    keep("scale", constant(residual.scale, 1));
                }
                _ => {}
            }
        }
        let mut model = Self { network: network.clone(), parameters, running, dtype, device };
        model.unit_variance(batch);
        model
    }

    /// LSUV (Mishkin & Matas 2016): layer by layer, divides each weight by the deviation of its layer's output on the
    /// batch until the variance is within 10 % of 1, at most ten times.
    fn unit_variance(&mut self, batch: &Samples) {
        const TRIES: usize = 10;
        const TOLERANCE: f64 = 0.1;
        let layers = self.network.linears().filter(|(_, linear)| linear.init.is_data_dependent());
        let layers: Vec<String> = layers.map(|(op, _)| op.name.clone()).collect();
        for layer in layers {
            for _ in 0..TRIES {
                let probes = Probes::new(Keep::Moments);
                self.forward(&mut self.plain(Mode::Train, Some(&probes)), self.inputs(batch));
                let moments = probes.take().forward.get(layer.as_str()).map(crate::probe::Kept::moments);
                let variance = moments.and_then(|moments| moments.variance()).unwrap_or(1.0);
                if variance <= 0.0 || !variance.is_finite() || (variance - 1.0).abs() <= TOLERANCE {
                    break;
                }
                if let Some(Value::Matrix(weight)) = self.parameters.get_mut(&format!("{layer}.weight")) {
                    *weight = weight.clone() / variance.sqrt();
                }
            }
        }
    }
}
