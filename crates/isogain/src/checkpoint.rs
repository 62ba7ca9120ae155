//! A training on disk: safetensors with parameters, optimizer state, running statistics, losses, and the last steps that
//! are not in the record; where it stands in its metadata. A resumed training continues bit for bit.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use isogain_core::network::{Network, NormKind, OpKind};
use isogain_core::recipe::{self, Recipe, Run};
use isogain_core::record::{Healed, NonFinite, StepRecord};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::data::Dataset;
use crate::file::replace;
use crate::model::{Model, Value};
use crate::scaler::Scaler;
use crate::train::Trainer;

/// Key of the metadata. One key only: the order of several changes from run to run.
const POSITION: &str = "training";

/// Name of the steps that only the flight recorder has, as JSON: a tensor of bytes, for a header has no room for them.
const UNWRITTEN: &str = "unwritten_steps";

/// Last part of the name of the number of batches that batch renormalisation's running statistics have followed.
const BATCHES: &str = "running_batches";

/// Where a training stands.
#[derive(Serialize, Deserialize)]
struct Position {
    /// Updates done.
    step: usize,
    /// Seed of initialisation and batches.
    seed: u64,
    /// Where the first non-finite value appeared.
    first_non_finite: Option<NonFinite>,
    /// The loss scale; a checkpoint of an earlier version has none.
    #[serde(default)]
    scaler: Option<Scaler>,
    /// What was done about findings while it went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    healed: Option<Vec<Healed>>,
}

/// A named tensor as bytes.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Writes the trained weights: parameters under their own names but those of auxiliary heads, which only training has; running statistics as `<norm>.running_mean` and
/// `<norm>.running_variance`, of batch renormalisation also how many batches they have followed, `<norm>.running_batches`.
///
/// # Errors
/// When the file cannot be written; an older file of that name is then still whole.
pub fn save_weights(model: &Model, path: &Path) -> Result<(), Error> {
    let mut tensors = weights(model);
    let beside = model.network.auxiliary_heads().flat_map(|(_, auxiliary)| &auxiliary.head);
    for op in beside {
        for (parameter, _) in op.kind.parameters() {
            tensors.remove(&format!("{}.{parameter}", op.name));
        }
    }
    write(path, tensors, HashMap::new())
}

/// Writes everything that a later step depends on, and those of the last steps that are not in the record.
///
/// # Errors
/// When the file cannot be written; an older file of that name is then still whole.
pub fn save(trainer: &Trainer, unwritten: &[&StepRecord], path: &Path) -> Result<(), Error> {
    let mut tensors = weights(&trainer.model);
    for (prefix, state) in [("first", &trainer.optimizer.first), ("second", &trainer.optimizer.second)] {
        tensors
            .extend(state.iter().map(|(name, value)| (format!("{prefix}/{name}"), stored(value, trainer.model.dtype))));
    }
    let memory = trainer.clipper.memory.iter();
    tensors.extend(memory.map(|(name, values)| (format!("clip/{name}"), doubles(values))));
    tensors.insert("losses".into(), doubles(&trainer.losses));
    let position = Position {
        step: trainer.step,
        seed: trainer.seed(),
        first_non_finite: trainer.first_non_finite.clone(),
        scaler: trainer.recipe().run.loss_scale.map(|_| trainer.scaler.clone()),
        healed: trainer.healed.clone(),
    };
    let problem = |error: serde_json::Error| Error::Checkpoint { path: path.to_path_buf(), message: error.to_string() };
    let position = serde_json::to_string(&position).map_err(problem)?;
    let unwritten = serde_json::to_vec(unwritten).map_err(problem)?;
    tensors.insert(UNWRITTEN.into(), Stored { dtype: Dtype::U8, shape: vec![unwritten.len()], bytes: unwritten });
    write(path, tensors, HashMap::from([(POSITION.to_string(), position)]))
}

/// Puts a saved state into a fresh trainer of the same recipe; also those of its last steps that were not in the record.
///
/// # Errors
/// When the file cannot be read, is damaged, or belongs to another network or seed.
pub fn load(
    recipe: &Recipe,
    network: &Network,
    data: &Dataset,
    path: &Path,
) -> Result<(Trainer, Vec<StepRecord>), Error> {
    let problem = |message: String| Error::Checkpoint { path: path.to_path_buf(), message };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| problem(format!("damaged: {error}")))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| problem(format!("damaged: {error}")))?;
    let position = header.metadata().as_ref().and_then(|metadata| metadata.get(POSITION));
    let position =
        position.ok_or_else(|| problem("does not say where the training stands; it holds weights only".into()))?;
    let position: Position =
        serde_json::from_str(position).map_err(|error| problem(format!("damaged: where it stands: {error}")))?;

    let mut trainer = Trainer::new(recipe, network, data, position.seed);
    // What was changed on the way is in force.
    let changed = position.healed.iter().flatten().filter_map(|healed| healed.recipe.as_ref()).next_back();
    if let Some(changed) = changed {
        let changed = recipe::parse(changed, "the checkpoint's recipe")?;
        // Of the rest of the recipe the file has the last word.
        let (data, run) = (recipe.data.clone(), Run { loss_scale: changed.run.loss_scale, ..recipe.run.clone() });
        trainer.change_settings(&Recipe { data, run, rules: recipe.rules.clone(), ..changed });
    }
    trainer.healed = position.healed;
    let dtype = trainer.model.dtype;
    let read = |name: &str, like: &Value| -> Result<Value, Error> {
        let view = file.tensor(name).map_err(|_| problem(format!("has no '{name}'; it belongs to another network")))?;
        let expected = shape(like);
        if view.shape() != expected {
            return Err(problem(format!("'{name}' is {:?}, the recipe's is {expected:?}", view.shape())));
        }
        Ok(like.with(&numbers(&view), dtype))
    };
    let fresh = trainer.model.parameters.clone();
    for (name, value) in &mut trainer.model.parameters {
        *value = read(name, value)?;
    }
    for name in file.names() {
        let (state, parameter) = match name.split_once('/') {
            Some(("first", parameter)) => (&mut trainer.optimizer.first, parameter),
            Some(("second", parameter)) => (&mut trainer.optimizer.second, parameter),
            Some(("clip", kept)) => {
                let view = file.tensor(name).map_err(|_| problem(format!("has no '{name}'")))?;
                trainer.clipper.memory.insert(kept.to_string(), numbers(&view));
                continue;
            }
            _ => continue,
        };
        let like = fresh.get(parameter).ok_or_else(|| problem(format!("state of unknown parameter '{parameter}'")))?;
        state.insert(parameter.to_string(), read(name, like)?);
    }
    for (op, running) in &mut trainer.model.running {
        for (suffix, values) in [("running_mean", &mut running.mean), ("running_variance", &mut running.variance)] {
            let name = format!("{op}.{suffix}");
            let view = file.tensor(&name).map_err(|_| problem(format!("has no '{name}'")))?;
            *values = numbers(&view);
        }
        if counts_batches(network, op) {
            let name = format!("{op}.{BATCHES}");
            let view = file.tensor(&name).map_err(|_| problem(format!("has no '{name}'")))?;
            running.batches = numbers(&view).first().map_or(0, |&batches| batches as usize);
        }
    }
    let losses = file.tensor("losses").map_err(|_| problem("has no losses".into()))?;
    trainer.losses = numbers(&losses);
    trainer.step = position.step;
    trainer.first_non_finite = position.first_non_finite;
    if let Some(scaler) = position.scaler {
        trainer.scaler = scaler;
    }
    // A checkpoint of an earlier version has none; only what a flight recorder writes is lost with them.
    let unwritten = match file.tensor(UNWRITTEN) {
        Ok(view) => {
            serde_json::from_slice(view.data()).map_err(|error| problem(format!("damaged: the last steps: {error}")))?
        }
        Err(_) => Vec::new(),
    };
    Ok((trainer, unwritten))
}

fn weights(model: &Model) -> BTreeMap<String, Stored> {
    let mut tensors: BTreeMap<String, Stored> =
        model.parameters.iter().map(|(name, value)| (name.clone(), stored(value, model.dtype))).collect();
    for (name, running) in &model.running {
        tensors.insert(format!("{name}.running_mean"), doubles(&running.mean));
        tensors.insert(format!("{name}.running_variance"), doubles(&running.variance));
        if counts_batches(&model.network, name) {
            tensors.insert(format!("{name}.{BATCHES}"), doubles(&[running.batches as f64]));
        }
    }
    tensors
}

/// Whether a norm computes by how many batches its running statistics have followed.
fn counts_batches(network: &Network, norm: &str) -> bool {
    let op = network.op(norm);
    op.is_some_and(|op| matches!(&op.kind, OpKind::Norm(norm) if norm.norm == NormKind::BatchRenorm))
}

fn shape(value: &Value) -> Vec<usize> {
    match value {
        Value::Matrix(tensor) => tensor.dims().to_vec(),
        Value::Vector(tensor) => tensor.dims().to_vec(),
    }
}

fn stored(value: &Value, dtype: DType) -> Stored {
    let values = value.to_f64();
    if dtype == DType::F64 {
        return Stored { shape: shape(value), ..doubles(&values) };
    }
    // Exact: the values came from f32.
    let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
    Stored { dtype: Dtype::F32, shape: shape(value), bytes }
}

fn doubles(values: &[f64]) -> Stored {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Stored { dtype: Dtype::F64, shape: vec![values.len()], bytes }
}

fn numbers(view: &TensorView<'_>) -> Vec<f64> {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|chunk| f64::from_le_bytes(*chunk)).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|chunk| f64::from(f32::from_le_bytes(*chunk))).collect(),
    }
}

fn write(path: &Path, tensors: BTreeMap<String, Stored>, metadata: HashMap<String, String>) -> Result<(), Error> {
    let problem = |message: String| Error::Checkpoint { path: path.to_path_buf(), message };
    let views = tensors.iter().map(|(name, stored)| {
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes);
        view.map(|view| (name.clone(), view)).map_err(|error| problem(error.to_string()))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let bytes = safetensors::serialize(views, metadata).map_err(|error| problem(error.to_string()))?;
    replace(path, &path.with_extension("safetensors.partial"), &bytes)
}
