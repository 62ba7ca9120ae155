//! Activation functions: value, derivative and what theory needs to know of each.
//!
//! One file each, one line each in `TABLE`; nothing else names them.

mod elu;
mod exponential;
mod gelu;
mod hard_tanh;
mod leaky_relu;
mod linear;
mod relu;
mod selu;
mod sigmoid;
mod silu;
mod softplus;
mod softsign;
mod tailored_relu;
mod tanh;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::named::{self, NameError, Parameter, Written};

const KIND: &str = "activation";

/// Every known activation, in alphabetical order of its name.
static TABLE: [&Entry; 14] = [
    &elu::ENTRY,
    &exponential::ENTRY,
    &gelu::ENTRY,
    &hard_tanh::ENTRY,
    &leaky_relu::ENTRY,
    &linear::ENTRY,
    &relu::ENTRY,
    &selu::ENTRY,
    &sigmoid::ENTRY,
    &silu::ENTRY,
    &softplus::ENTRY,
    &softsign::ENTRY,
    &tailored_relu::ENTRY,
    &tanh::ENTRY,
];

/// One activation as its file describes it. Functions take the argument, then the parameter's value.
#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// The one number it may have, such as a slope.
    parameter: Option<Parameter>,
    value: fn(f64, f64) -> f64,
    /// At a kink: what PyTorch's backward pass uses there, so that both agree on exact zeros.
    derivative: fn(f64, f64) -> f64,
    /// Arguments at which some derivative jumps, ascending: quadrature must split there.
    kinks: &'static [f64],
    /// Whether phi(c x) = c phi(x) for every c > 0.
    homogeneous: bool,
    /// Infimum and supremum of the output.
    range: fn(f64) -> (f64, f64),
}

/// An activation function phi and, where it has one, the value of its parameter.
#[derive(Clone, Copy)]
pub struct Activation {
    entry: &'static Entry,
    parameter: f64,
}

impl Activation {
    /// The activation of this name, its parameter at the default.
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

    /// Every known activation, parameters at their defaults, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|entry| Self::of(entry))
    }

    /// phi(x) = x.
    pub fn linear() -> Self {
        Self::of(&linear::ENTRY)
    }

    /// phi(x) = max(x, 0).
    pub fn relu() -> Self {
        Self::of(&relu::ENTRY)
    }

    /// phi(x) = tanh x.
    pub fn tanh() -> Self {
        Self::of(&tanh::ENTRY)
    }

    /// phi(x) = max(x, 0) + slope min(x, 0), scaled to keep the mean square (see [`super::tailored`]).
    pub fn tailored_relu(slope: f64) -> Self {
        Self { entry: &tailored_relu::ENTRY, parameter: slope }
    }

    fn of(entry: &'static Entry) -> Self {
        Self { entry, parameter: entry.parameter.map_or(0.0, |parameter| parameter.default) }
    }

    /// The same activation with another value of its parameter, such as `("slope", 0.2)`.
    ///
    /// # Errors
    /// A parameter it does not have, or a value outside of the parameter's domain.
    pub fn with_parameter(self, key: &str, value: f64) -> Result<Self, NameError> {
        named::checked_index(KIND, self.entry.name, self.entry.parameter.as_slice(), key, value)?;
        Ok(Self { parameter: value, ..self })
    }

    /// The name it has in a recipe.
    pub fn name(self) -> &'static str {
        self.entry.name
    }

    /// Key and value of its parameter, if it has one.
    pub fn parameter(self) -> Option<(&'static str, f64)> {
        self.entry.parameter.map(|parameter| (parameter.name, self.parameter))
    }

    /// phi(x).
    pub fn value(self, x: f64) -> f64 {
        (self.entry.value)(x, self.parameter)
    }

    /// phi'(x); at a kink, what PyTorch's backward pass uses there (0 for ReLU at 0).
    pub fn derivative(self, x: f64) -> f64 {
        (self.entry.derivative)(x, self.parameter)
    }

    /// Arguments at which some derivative jumps, ascending.
    pub fn kinks(self) -> &'static [f64] {
        self.entry.kinks
    }

    /// Whether phi(c x) = c phi(x) for every c > 0 (linear, ReLU and its leaky kin).
    pub fn is_homogeneous(self) -> bool {
        self.entry.homogeneous
    }

    /// Slopes `(below zero, above zero)` of a homogeneous activation, else `None`.
    pub fn slopes(self) -> Option<(f64, f64)> {
        self.is_homogeneous().then(|| (self.derivative(-1.0), self.derivative(1.0)))
    }

    /// Whether a negative argument gives value 0 and slope 0, so that a unit can die (ReLU).
    pub fn is_zero_below_zero(self) -> bool {
        self.slopes().is_some_and(|(below, _)| below == 0.0)
    }

    /// Infimum and supremum of phi: what a head with this activation can reach.
    pub fn range(self) -> (f64, f64) {
        (self.entry.range)(self.parameter)
    }

    /// The arguments outside of which |phi'| stays below `epsilon`; infinite where it never does.
    ///
    /// For tanh and 0.01: about (-3.0, 3.0); for ReLU (0, infinity). Equal bounds mean that |phi'| is nowhere
    /// that large.
    pub fn active_range(self, epsilon: f64) -> (f64, f64) {
        let lower = -self.outermost_active(-1.0, epsilon);
        (lower, self.outermost_active(1.0, epsilon).max(lower))
    }

    /// The largest t with |phi'(sign t)| >= epsilon; 0 when this side has none.
    fn outermost_active(self, sign: f64, epsilon: f64) -> f64 {
        const FAR: f64 = 1e9;
        const RATIO: f64 = 1.02;
        let active = |t: f64| self.derivative(sign * t).abs() >= epsilon;
        if active(FAR) {
            return f64::INFINITY;
        }
        let mut outside = FAR;
        while outside > 1e-9 {
            let inside = outside / RATIO;
            if active(inside) {
                let (mut inside, mut outside) = (inside, outside);
                for _ in 0..60 {
                    let middle = 0.5 * (inside + outside);
                    if active(middle) { inside = middle } else { outside = middle }
                }
                return inside;
            }
            outside = inside;
        }
        0.0
    }
}

impl PartialEq for Activation {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.parameter == other.parameter
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named::display(self.entry.name, self.entry.parameter.as_slice(), &[self.parameter], f)
    }
}

impl Serialize for Activation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        named::serialize(self.entry.name, self.entry.parameter.as_slice(), &[self.parameter], serializer)
    }
}

impl<'de> Deserialize<'de> for Activation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut activation = Self::named(&written.name).map_err(de::Error::custom)?;
        for (key, value) in written.numbers {
            activation = activation.with_parameter(&key, value).map_err(de::Error::custom)?;
        }
        Ok(activation)
    }
}

#[cfg(test)]
mod tests;
