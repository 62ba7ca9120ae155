//! What can be said of a network's weights alone, without its data, its activations or its code.
//!
//! A [`Survey`] is told the names and shapes first and then given one tensor after another, so that a model is never in
//! memory as a whole: [`mod@file`] does that for safetensors, another framework with its own tensors. What comes out is a
//! [`WeightReport`]: each layer's scale against theory, its singular values, what is dead, constant or repeated. What a
//! gradient would do is said for a gradient without preferred direction and an activation that is named, never as if it
//! had been measured.

mod chain;
mod error;
pub mod file;
mod findings;
mod matrix;
mod names;
mod plan;
mod scale;
pub(crate) mod spectrum;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::flow::Values;
use crate::recipe::Level;
use crate::rules::Finding;
use crate::statistics::Moments;

pub use chain::Chain;
pub use error::WeightError;
pub use matrix::UnitCounts;
pub use scale::Scale;
pub use spectrum::{Spectrum, singular_values};

use matrix::Matrix;
use plan::{Plan, Role};

/// Name and version of the document.
pub const WEIGHTS_SCHEMA: &str = "isogain-weights/1";

/// What the weights of one model say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightReport {
    /// [`WEIGHTS_SCHEMA`].
    pub schema: &'static str,
    /// Where the weights come from.
    pub source: String,
    /// Whether layers are in the order in which the model names them; else they are sorted by name, because the file
    /// keeps no order.
    pub in_model_order: bool,
    /// Numbers in all floating-point tensors.
    pub values: u64,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Weight matrices, first to last.
    pub layers: Vec<LayerRecord>,
    /// The scales of normalisations, first to last.
    pub norms: Vec<NormRecord>,
    /// The layers as one chain; `None` where their shapes, or a norm, say that they are none.
    pub chain: Option<Chain>,
    /// Tensors that were not judged: embeddings, running statistics, whole numbers.
    pub others: Vec<String>,
}

impl WeightReport {
    /// Whether there is neither error nor warning.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.level <= Level::Note)
    }
}

/// One weight matrix. A convolution's is `[channels, inputs x taps]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerRecord {
    /// The tensor's name.
    pub name: String,
    /// Its shape, as stored.
    pub shape: Vec<usize>,
    /// UnitCounts that come out.
    pub units: usize,
    /// Inputs of one unit, taps of a convolution counted.
    pub fan_in: usize,
    /// UnitCounts that read one input, taps of a convolution counted (stride 1).
    pub fan_out: usize,
    /// Count, sums and extremes.
    pub weight: Moments,
    /// The scale against theory; `None` for a matrix that is zero or not finite.
    pub scale: Option<Scale>,
    /// Singular values; `None` where they were not computed.
    pub spectrum: Option<Spectrum>,
    /// UnitCounts and inputs without weights, units that repeat another one.
    pub counts: UnitCounts,
}

/// The learnable scale of a normalisation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NormRecord {
    /// The tensor's name.
    pub name: String,
    /// Count, sums and extremes.
    pub gamma: Moments,
    /// Channels that are switched off: |gamma| below a thousandth of the largest one, or all where that is 0.
    pub off: usize,
}

/// Takes in the tensors of one model.
#[derive(Debug)]
pub struct Survey {
    plan: Plan,
    in_model_order: bool,
    with_spectrum: bool,
    values: u64,
    layers: BTreeMap<usize, LayerRecord>,
    norms: BTreeMap<usize, NormRecord>,
    biases: BTreeMap<String, Moments>,
    non_finite: Vec<(String, Moments)>,
    others: Vec<String>,
}

impl Survey {
    /// A survey of tensors with these names and shapes. `in_model_order` says that this is the order of the layers;
    /// otherwise they are sorted by name.
    ///
    /// # Errors
    /// A name that is there twice.
    pub fn new(
        shapes: Vec<(String, Vec<usize>)>,
        in_model_order: bool,
        with_spectrum: bool,
    ) -> Result<Self, WeightError> {
        Ok(Self {
            plan: Plan::new(shapes, in_model_order)?,
            in_model_order,
            with_spectrum,
            values: 0,
            layers: BTreeMap::new(),
            norms: BTreeMap::new(),
            biases: BTreeMap::new(),
            non_finite: Vec::new(),
            others: Vec::new(),
        })
    }

    /// Takes in one tensor, its values row-major.
    ///
    /// # Errors
    /// A name that was not announced, or values that do not fill the announced shape.
    pub fn add(&mut self, name: &str, values: &Values) -> Result<(), WeightError> {
        let (place, tensor) = self.plan.tensor(name).ok_or_else(|| WeightError::Unknown(name.to_owned()))?;
        let expected: usize = tensor.shape.iter().product();
        if values.len() != expected {
            return Err(WeightError::Length { name: name.to_owned(), found: values.len(), expected });
        }
        let moments = values.moments();
        self.values += moments.count;
        if moments.non_finite > 0 {
            self.non_finite.push((name.to_owned(), moments));
        }
        match tensor.role {
            Role::Weight(fans) => {
                let matrix = Matrix { values, fans };
                let with_spectrum = self.with_spectrum && moments.non_finite == 0;
                let spectrum = with_spectrum.then(|| Spectrum::of(&matrix)).flatten();
                let layer = LayerRecord {
                    name: name.to_owned(),
                    shape: tensor.shape.clone(),
                    units: fans.units,
                    fan_in: fans.fan_in,
                    fan_out: fans.fan_out,
                    scale: Scale::of(&moments, fans, spectrum.as_ref()),
                    weight: moments,
                    spectrum,
                    counts: UnitCounts::of(&matrix),
                };
                self.layers.insert(place, layer);
            }
            Role::Gamma => {
                let off = switched_off(values, &moments);
                self.norms.insert(place, NormRecord { name: name.to_owned(), gamma: moments, off });
            }
            Role::Bias => drop(self.biases.insert(name.to_owned(), moments)),
            Role::Other => self.others.push(name.to_owned()),
        }
        Ok(())
    }

    /// Notes a tensor that holds no floating-point numbers.
    pub fn skip(&mut self, name: &str) {
        self.others.push(name.to_owned());
    }

    /// What was found. `source` is the name of the file or the model.
    pub fn report(mut self, source: &str) -> WeightReport {
        self.others.sort();
        let layers: Vec<LayerRecord> = self.layers.into_values().collect();
        let norms: Vec<NormRecord> = self.norms.into_values().collect();
        let chain = if norms.is_empty() { Chain::of(&layers, &self.plan) } else { None };
        let evidence = findings::Weights {
            layers: &layers,
            norms: &norms,
            biases: &self.biases,
            chain: chain.as_ref(),
            non_finite: &self.non_finite,
        };
        WeightReport {
            schema: WEIGHTS_SCHEMA,
            source: source.to_owned(),
            in_model_order: self.in_model_order,
            values: self.values,
            findings: findings::of(&evidence),
            layers,
            norms,
            chain,
            others: self.others,
        }
    }
}

/// |gamma| below this share of the largest one lets nothing through that the next layer could see.
const OFF: f64 = 1e-3;

fn switched_off(values: &Values, moments: &Moments) -> usize {
    values.to_f64().iter().filter(|value| value.abs() <= OFF * moments.abs_max).count()
}
