//! What one pass brings to light beside its result: gradients of parameters, statistics of batches, and, on another device than
//! the processor, what is still there.

use std::collections::BTreeMap;
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Gradients, Tensor, TensorData, Transaction};

use super::batch_norm::BatchStatistics;
use super::buffer::{Buffer, tensor};
use crate::model::{Value, to_f64};
use crate::probe::Probes;

/// What one pass brings to light beside its result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected(Arc<Mutex<Collection>>);

#[derive(Debug, Default)]
struct Collection {
    gradients: BTreeMap<String, Value>,
    statistics: Vec<(String, BatchStatistics)>,
    /// What operations of Burn's own leave on their device.
    left: Left,
}

/// What is on another device until it is read, all at once: to wait for a device takes longer than to read from it.
#[derive(Debug, Default)]
struct Left {
    /// Parameters on Burn's tape, by name.
    leaves: Vec<(String, Value)>,
    /// Outputs by operation, and zeros added to them, whose gradients are the cotangents.
    outputs: Vec<(Arc<str>, [Tensor<2>; 2])>,
    /// Norms with the values of each feature, and their means and variances.
    statistics: Vec<(String, usize, [Tensor<2>; 2])>,
}

impl Collected {
    fn lock(&self) -> MutexGuard<'_, Collection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gradient of a parameter.
    pub(super) fn gradient(&self, name: String, gradient: Value) {
        self.lock().gradients.insert(name, gradient);
    }

    /// The statistics of a norm's batch, or of a part of it.
    pub(super) fn statistics(&self, norm: &str, statistics: BatchStatistics) {
        self.lock().statistics.push((norm.to_owned(), statistics));
    }

    /// The same of so many values of each feature, where mean and variance `[1, features]` are on another device.
    pub(super) fn statistics_of(&self, norm: &str, count: usize, both: [Tensor<2>; 2]) {
        self.lock().left.statistics.push((norm.to_owned(), count, both));
    }

    /// An output that is watched on another device, and the zeros that were added to it.
    pub(super) fn output(&self, operation: Arc<str>, output_and_zeros: [Tensor<2>; 2]) {
        self.lock().left.outputs.push((operation, output_and_zeros));
    }

    /// Takes the gradients of the parameters that the loss depends on, by name.
    pub(crate) fn take_gradients(&self) -> BTreeMap<String, Value> {
        std::mem::take(&mut self.lock().gradients)
    }

    /// A parameter on Burn's tape.
    pub(crate) fn leaf(&self, name: String, value: Value) {
        self.lock().left.leaves.push((name, value));
    }

    /// Reads what Burn found on the way back of a scaled loss: gradients of leaves, and what probes want to see.
    pub(crate) fn read(&self, found: &Gradients, probes: Option<&Probes>, loss_scale: f64) {
        let (leaves, outputs) = {
            let left = &mut self.lock().left;
            (std::mem::take(&mut left.leaves), std::mem::take(&mut left.outputs))
        };
        let leaves: Vec<(String, Value)> =
            leaves.into_iter().filter_map(|(name, leaf)| Some((name, leaf.gradient(found)?))).collect();
        let outputs: Vec<(Arc<str>, Tensor<2>, Option<Tensor<2>>)> =
            outputs.into_iter().map(|(name, [output, zeros])| (name, output, zeros.grad(found))).collect();
        let seen = outputs.iter().flat_map(|(_, output, cotangent)| iter::once(output).chain(cotangent)).cloned();
        let gradients = leaves.iter().map(|(_, gradient)| gradient.clone().matrix());
        let mut read = at_once(seen.chain(gradients)).into_iter().map(Buffer::from_data);
        for (name, _, cotangent) in outputs {
            let (Some(probes), Some(output)) = (probes, read.next()) else { break };
            probes.keep_forward(&name, &output);
            if let Some(cotangent) = cotangent.and_then(|_| read.next()) {
                probes.keep_backward(&name, &cotangent, loss_scale);
            }
        }
        let mut collection = self.lock();
        for ((name, gradient), buffer) in leaves.into_iter().zip(read) {
            let gradient = gradient.like(tensor(buffer));
            // A table that is read twice.
            let sum = match collection.gradients.remove(&name) {
                Some(before) => before.plus(gradient),
                None => gradient,
            };
            collection.gradients.insert(name, sum);
        }
    }

    /// Takes the batch statistics of the norms, by operation.
    pub(crate) fn take_statistics(&self) -> Vec<(String, BatchStatistics)> {
        let mut collection = self.lock();
        let left = std::mem::take(&mut collection.left.statistics);
        let mut statistics = std::mem::take(&mut collection.statistics);
        drop(collection);
        let means_and_variances = at_once(left.iter().flat_map(|(_, _, both)| both.clone()));
        for ((name, count, _), both) in left.into_iter().zip(means_and_variances.chunks_exact(2)) {
            let [mean, variance] = [0, 1].map(|which| to_f64(both[which].clone()));
            statistics.push((name, BatchStatistics { count, mean, variance }));
        }
        statistics
    }
}

/// Tensors of one device, brought to the processor at once.
fn at_once(tensors: impl Iterator<Item = Tensor<2>>) -> Vec<TensorData> {
    let mut tensors = tensors.peekable();
    if tensors.peek().is_none() {
        return Vec::new();
    }
    tensors.fold(Transaction::default(), Transaction::register).execute()
}
