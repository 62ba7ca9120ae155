//! Initialisers: how weights and biases are drawn before training.
//!
//! One file each, one line each in `TABLE`; nothing else names them. Weights are drawn in f64, row-major
//! `[fan_in, fan_out]`, so that a layer computes y = x W + b.

mod constant;
mod delta_orthogonal;
mod edge_of_chaos;
mod fixed_variance;
mod glorot;
mod he;
mod identity;
mod keras_default;
mod lecun;
mod looks_linear;
mod lsuv;
mod normal;
mod orthogonal;
mod pytorch_default;
mod quadrature_gain;
mod randomized_asymmetric;
mod unit_jacobian;
mod zeros;

use std::fmt;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::activations::Activation;
use super::distribution::Distribution;
use super::named::{self, Domain, NameError, Parameter, Written};

const KIND: &str = "initializer";

/// Every known initialiser, in alphabetical order of its name.
static TABLE: [&Entry; 24] = [
    &constant::ENTRY,
    &delta_orthogonal::ENTRY,
    &edge_of_chaos::ENTRY,
    &fixed_variance::ENTRY,
    &glorot::NORMAL,
    &glorot::TRUNCATED,
    &glorot::UNIFORM,
    &he::NORMAL,
    &he::TRUNCATED,
    &he::UNIFORM,
    &identity::ENTRY,
    &keras_default::ENTRY,
    &lecun::NORMAL,
    &lecun::TRUNCATED,
    &lecun::UNIFORM,
    &looks_linear::ENTRY,
    &lsuv::ENTRY,
    &normal::ENTRY,
    &orthogonal::ENTRY,
    &pytorch_default::ENTRY,
    &quadrature_gain::ENTRY,
    &randomized_asymmetric::ENTRY,
    &unit_jacobian::ENTRY,
    &zeros::ENTRY,
];

/// The most numbers that an initialiser has.
const MOST_PARAMETERS: usize = 2;

/// The gain that several initialisers multiply their standard deviation with.
const GAIN: Parameter = Parameter { name: "gain", default: 1.0, domain: Domain::Positive };

/// One initialiser as its file describes it.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    parameters: &'static [Parameter],
    distribution: Distribution,
    /// Variance of each weight.
    weight_variance: fn(&Layer) -> f64,
    /// Variance of each bias.
    bias_variance: fn(&Layer) -> f64,
    /// Mean of each weight.
    weight_mean: fn(&Layer) -> f64,
    /// Mean of each bias.
    bias_mean: fn(&Layer) -> f64,
    /// Draws a weight that is no plain draw of its distribution.
    draw: Option<Draw>,
    /// Draws weight and bias together, where one depends on the other.
    draw_all: Option<DrawAll>,
    /// Whether units come in pairs, so that a layer needs an even number of them.
    pairs: bool,
    /// The pass over data that finishes it.
    finish: Option<Finish>,
    /// Whether it has an answer for this activation.
    supports: fn(Activation) -> bool,
}

/// What the trainer measures on a batch, and divides each layer's weights by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The deviation of the layer's output.
    UnitVariance,
    /// The factor by which a gradient becomes longer between the layer's output and that of the layer before it; of the first
    /// layer the deviation of its output.
    UnitJacobian,
}

/// Draws the weight of a layer, row-major.
type Draw = fn(&Layer, &mut ChaCha8Rng) -> Vec<f64>;

/// Draws weight, row-major, and bias of a layer.
type DrawAll = fn(&Layer, &mut ChaCha8Rng) -> (Vec<f64>, Vec<f64>);

/// The layer to initialise, and the initialiser's own numbers in the order of its parameters.
struct Layer {
    fan_in: f64,
    fan_out: f64,
    /// Positions of a convolution's patch, all of which `fan_in` counts; 1 otherwise.
    taps: usize,
    activation: Activation,
    values: [f64; MOST_PARAMETERS],
}

/// What most initialisers share: no bias, mean zero, any activation, no data.
const PLAIN: Entry = Entry {
    name: "",
    parameters: &[],
    distribution: Distribution::Normal,
    weight_variance: |_| 0.0,
    bias_variance: |_| 0.0,
    weight_mean: |_| 0.0,
    bias_mean: |_| 0.0,
    draw: None,
    draw_all: None,
    pairs: false,
    finish: None,
    supports: |_| true,
};

/// An initialiser and its numbers, such as a gain.
///
/// Methods take the layer's fans and `activation`, the one whose output the layer reads (for the hidden layers of a
/// plain net: the hidden activation). Fans count the receptive field of a convolution.
#[derive(Clone, Copy)]
pub struct Initializer {
    entry: &'static Entry,
    values: [f64; MOST_PARAMETERS],
}

impl Initializer {
    /// What PyTorch gives a linear layer when nobody says anything: U(-1/sqrt(fan_in), 1/sqrt(fan_in)), biases too.
    pub const PYTORCH_DEFAULT: Self = Self { entry: &pytorch_default::ENTRY, values: [0.0; MOST_PARAMETERS] };

    /// The initialiser of this name, its numbers at their defaults.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self, NameError> {
        TABLE
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| Self::of(entry))
            .ok_or_else(|| NameError::unknown_name(KIND, name, TABLE.iter().map(|entry| entry.name).collect()))
    }

    /// Every known initialiser, its numbers at their defaults, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| Self::of(entry))
    }

    /// U(+-1/sqrt(fan_in)) for weight and bias: what PyTorch's `nn.Linear` does.
    pub fn pytorch_default() -> Self {
        Self::of(&pytorch_default::ENTRY)
    }

    /// N(0, 2 / (fan_in + fan_out)), biases 0.
    pub fn glorot_normal() -> Self {
        Self::of(&glorot::NORMAL)
    }

    fn of(entry: &'static Entry) -> Self {
        let mut values = [0.0; MOST_PARAMETERS];
        for (value, parameter) in values.iter_mut().zip(entry.parameters) {
            *value = parameter.default;
        }
        Self { entry, values }
    }

    /// The same initialiser with another value of one of its numbers, such as `("gain", 1.4)`.
    ///
    /// # Errors
    /// A number it does not have, or a value outside of its domain.
    pub fn with_parameter(mut self, key: &str, value: f64) -> Result<Self, NameError> {
        let index = named::checked_index(KIND, self.entry.name, self.entry.parameters, key, value)?;
        self.values[index] = value;
        Ok(self)
    }

    /// The name it has in a recipe.
    pub fn name(self) -> &'static str {
        self.entry.name
    }

    /// Key and value of each of its numbers.
    pub fn parameters(self) -> impl Iterator<Item = (&'static str, f64)> {
        self.entry.parameters.iter().map(|parameter| parameter.name).zip(self.values)
    }

    /// The largest deviation from the mean that a drawn weight can have, in standard deviations: sqrt(3) for a uniform
    /// distribution, 2.27 for a normal one cut off at two; `None` where there is no largest one.
    pub fn largest_deviation(self) -> Option<f64> {
        self.entry.distribution.largest_deviation()
    }

    /// What passes over a batch must do to the drawn weights.
    pub fn finish(self) -> Option<Finish> {
        self.entry.finish
    }

    /// Whether passes over a batch must finish the drawn weights.
    pub fn is_data_dependent(self) -> bool {
        self.finish().is_some()
    }

    /// Whether it is defined for `activation`: softplus has no edge of chaos. Where it is not, variances are NaN.
    pub fn supports(self, activation: Activation) -> bool {
        (self.entry.supports)(activation)
    }

    /// Variance of each weight; `fan_in` times it is the sw2 of mean-field theory.
    ///
    /// For orthogonal matrices, over the Haar measure; for the identity the mean square of its entries.
    pub fn weight_variance(self, fan_in: usize, fan_out: usize, activation: Activation) -> f64 {
        (self.entry.weight_variance)(&self.layer(fan_in, fan_out, activation))
    }

    /// Variance of each bias, the sb2 of mean-field theory.
    pub fn bias_variance(self, fan_in: usize, activation: Activation) -> f64 {
        (self.entry.bias_variance)(&self.layer(fan_in, fan_in, activation))
    }

    /// Mean of each weight: zero but for `constant` and `randomized-asymmetric`.
    pub fn weight_mean(self, fan_in: usize) -> f64 {
        (self.entry.weight_mean)(&self.layer(fan_in, 1, Activation::linear()))
    }

    /// Mean of each bias: zero but for `randomized-asymmetric`.
    pub fn bias_mean(self, fan_in: usize) -> f64 {
        (self.entry.bias_mean)(&self.layer(fan_in, 1, Activation::linear()))
    }

    /// Whether units come in pairs of opposite sign, so that a layer before an activation needs an even number of them.
    pub fn pairs_units(self) -> bool {
        self.entry.pairs
    }

    /// The same for a layer that reads values as they are, and not pairs of units.
    pub fn reading_no_pairs(mut self) -> Self {
        let key = self.entry.parameters.iter().position(|parameter| parameter.name == looks_linear::PAIRED_INPUT);
        if let Some(index) = key {
            self.values[index] = 0.0;
        }
        self
    }

    /// Draws a weight matrix, row-major `[fan_in, fan_out]`.
    pub fn sample_weight(
        self,
        fan_in: usize,
        fan_out: usize,
        activation: Activation,
        rng: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        self.sample_patch(fan_in, fan_out, 1, activation, rng)
    }

    /// Variance of each weight of a convolution `[taps x channels in, channels out]`, each unit of which reads `fan_in =
    /// taps x channels in` numbers and is read by `taps x channels out` units of the next layer.
    ///
    /// Orthogonal matrices have the matrix's own dimensions, whatever is read by whom.
    pub fn patch_variance(self, fan_in: usize, channels_out: usize, taps: usize, activation: Activation) -> f64 {
        (self.entry.weight_variance)(&self.patch(fan_in, channels_out, taps, activation))
    }

    /// Draws the weight of a convolution, row-major `[fan_in, channels_out]`, each entry of variance
    /// [`Self::patch_variance`].
    pub fn sample_patch(
        self,
        fan_in: usize,
        channels_out: usize,
        taps: usize,
        activation: Activation,
        rng: &mut ChaCha8Rng,
    ) -> Vec<f64> {
        let layer = self.patch(fan_in, channels_out, taps, activation);
        if let Some(draw) = self.entry.draw {
            return draw(&layer, rng);
        }
        if self.entry.draw_all.is_some() {
            return self.sample_layer(fan_in, channels_out, taps, activation, rng).0;
        }
        let deviation = (self.entry.weight_variance)(&layer).sqrt();
        let mut weight = self.entry.distribution.matrix(fan_in, channels_out, deviation, rng);
        let mean = (self.entry.weight_mean)(&layer);
        if mean != 0.0 {
            weight.iter_mut().for_each(|w| *w += mean);
        }
        weight
    }

    /// Draws weight and bias of a layer: [`Self::sample_patch`], then [`Self::sample_bias`], or both together where one
    /// depends on the other.
    pub fn sample_layer(
        self,
        fan_in: usize,
        channels_out: usize,
        taps: usize,
        activation: Activation,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<f64>, Vec<f64>) {
        if let Some(draw) = self.entry.draw_all {
            let layer = Layer { fan_out: channels_out as f64, ..self.patch(fan_in, channels_out, taps, activation) };
            return draw(&layer, rng);
        }
        let weight = self.sample_patch(fan_in, channels_out, taps, activation, rng);
        (weight, self.sample_bias(fan_in, channels_out, activation, rng))
    }

    /// Draws the biases, `[fan_out]`.
    pub fn sample_bias(self, fan_in: usize, fan_out: usize, activation: Activation, rng: &mut ChaCha8Rng) -> Vec<f64> {
        if self.entry.draw_all.is_some() {
            return self.sample_layer(fan_in, fan_out, 1, activation, rng).1;
        }
        let deviation = self.bias_variance(fan_in, activation).sqrt();
        self.entry.distribution.vector(fan_out, deviation, rng)
    }

    /// The initialiser whose weights are `factor` > 0 times as large, of the same distribution. Biases are zero where this
    /// one has no number for the weights alone (PyTorch's default). `None` where no initialiser is that: those that a pass
    /// over data finishes, which undoes any factor, and the scales that follow from the activation.
    pub fn scaled(self, factor: f64) -> Option<Self> {
        let of = |name: &str, key: &str, value: f64| Self::named(name).ok()?.with_parameter(key, value).ok();
        match self.name() {
            "zeros" => Some(self),
            "pytorch-default" => of("lecun-uniform", "gain", factor / 3_f64.sqrt()),
            "keras-default" => of("glorot-uniform", "gain", factor),
            name => self.parameters().find_map(|(key, value)| match key {
                "gain" | "std" => self.with_parameter(key, factor * value).ok(),
                "value" if name == "constant" => self.with_parameter(key, factor * value).ok(),
                "weight_variance" => self.with_parameter(key, factor * factor * value).ok(),
                _ => None,
            }),
        }
    }

    /// Whether it draws a matrix as a whole.
    fn is_matrix(self) -> bool {
        matches!(self.entry.distribution, Distribution::Orthogonal | Distribution::Identity)
    }

    fn layer(self, fan_in: usize, fan_out: usize, activation: Activation) -> Layer {
        Layer { fan_in: fan_in as f64, fan_out: fan_out as f64, taps: 1, activation, values: self.values }
    }

    /// The matrix of a patch: that of a linear layer, but for the units that read an output.
    fn patch(self, fan_in: usize, channels_out: usize, taps: usize, activation: Activation) -> Layer {
        let fan_out = if self.is_matrix() { channels_out } else { taps * channels_out };
        Layer { taps, ..self.layer(fan_in, fan_out, activation) }
    }

    fn own_values(&self) -> &[f64] {
        &self.values[..self.entry.parameters.len()]
    }
}

impl PartialEq for Initializer {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.values == other.values
    }
}

impl fmt::Debug for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named::display(self.entry.name, self.entry.parameters, self.own_values(), f)
    }
}

impl Serialize for Initializer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        named::serialize(self.entry.name, self.entry.parameters, self.own_values(), serializer)
    }
}

impl<'de> Deserialize<'de> for Initializer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut initializer = Self::named(&written.name).map_err(de::Error::custom)?;
        for (key, value) in written.numbers {
            initializer = initializer.with_parameter(&key, value).map_err(de::Error::custom)?;
        }
        Ok(initializer)
    }
}

#[cfg(test)]
mod tests;
