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
mod shaped_gelu;
mod shaped_sigmoid;
mod shaped_silu;
mod shaped_softplus;
mod shaped_tanh;
mod sigmoid;
mod silu;
mod softplus;
mod softsign;
mod tailored_relu;
mod tanh;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::kernel_shaping::{Plain, Shape};
use super::named::{self, Domain, NameError, Parameter, Written};

const KIND: &str = "activation";

/// Every known activation, in alphabetical order of its name.
static TABLE: [&Entry; 19] = [
    &elu::ENTRY,
    &exponential::ENTRY,
    &gelu::ENTRY,
    &hard_tanh::ENTRY,
    &leaky_relu::ENTRY,
    &linear::ENTRY,
    &relu::ENTRY,
    &selu::ENTRY,
    &shaped_gelu::ENTRY,
    &shaped_sigmoid::ENTRY,
    &shaped_silu::ENTRY,
    &shaped_softplus::ENTRY,
    &shaped_tanh::ENTRY,
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
    /// Infimum and supremum of the output; of a shaped activation before it is shaped.
    range: fn(f64) -> (f64, f64),
    /// Where its parameter decides how `value` is moved and scaled, the smooth activation that it is made of.
    shaping: Option<Plain>,
}

/// The parameter of every shaped activation: C'(1), the factor of the mean squared gradient per layer. The default is that
/// of 30 layers at the usual growth.
const SHAPED_SLOPE: Parameter =
    Parameter { name: "slope", default: 1.013_607_250_893_42, domain: Domain::SlightlyAboveOne };

/// An activation function phi and, where it has one, the value of its parameter.
#[derive(Clone, Copy)]
pub struct Activation {
    entry: &'static Entry,
    parameter: f64,
    /// Follows from both.
    shape: Option<Shape>,
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
        Self { entry: &tailored_relu::ENTRY, parameter: slope, shape: None }
    }

    fn of(entry: &'static Entry) -> Self {
        let parameter = entry.parameter.map_or(0.0, |parameter| parameter.default);
        Self { entry, parameter, shape: shape(entry, parameter) }
    }

    /// The same activation with another value of its parameter, such as `("slope", 0.2)`.
    ///
    /// # Errors
    /// A parameter it does not have, or a value outside of the parameter's domain.
    pub fn with_parameter(self, key: &str, value: f64) -> Result<Self, NameError> {
        named::checked_index(KIND, self.entry.name, self.entry.parameter.as_slice(), key, value)?;
        Ok(Self { parameter: value, shape: shape(self.entry, value), ..self })
    }

    /// The name it has in a recipe.
    pub fn name(self) -> &'static str {
        self.entry.name
    }

    /// Key and value of its parameter, if it has one.
    pub fn parameter(self) -> Option<(&'static str, f64)> {
        self.entry.parameter.map(|parameter| (parameter.name, self.parameter))
    }

    /// Where and how large the activation is read that it is made of, see [`super::kernel_shaping`]; `None` for all but the
    /// `shaped-` ones.
    pub fn shape(self) -> Option<Shape> {
        self.shape
    }

    /// The shaped form of a smooth activation with C'(1) = `slope`, the factor of the mean squared gradient per layer. `None`
    /// where there is none, or none with this slope.
    pub fn shaped(self, slope: f64) -> Option<Self> {
        Self::named(&format!("shaped-{}", self.name())).ok()?.with_parameter(SHAPED_SLOPE.name, slope).ok()
    }

    /// phi(x).
    pub fn value(self, x: f64) -> f64 {
        let value = |x| (self.entry.value)(x, self.parameter);
        match self.shape {
            None => value(x),
            Some(shape) => shape.output_scale * (value(shape.input_scale * x + shape.input_shift) + shape.output_shift),
        }
    }

    /// phi'(x); at a kink, what PyTorch's backward pass uses there (0 for ReLU at 0).
    pub fn derivative(self, x: f64) -> f64 {
        let derivative = |x| (self.entry.derivative)(x, self.parameter);
        match self.shape {
            None => derivative(x),
            Some(shape) => {
                shape.output_scale * shape.input_scale * derivative(shape.input_scale * x + shape.input_shift)
            }
        }
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

    /// Whether it is bounded on both sides (sigmoid, tanh).
    pub fn is_bounded(self) -> bool {
        let (low, high) = self.range();
        low.is_finite() && high.is_finite()
    }

    /// Infimum and supremum of phi: what a head with this activation can reach.
    pub fn range(self) -> (f64, f64) {
        let (low, high) = (self.entry.range)(self.parameter);
        match self.shape {
            None => (low, high),
            Some(shape) => {
                let moved = |end: f64| shape.output_scale * (end + shape.output_shift);
                (moved(low), moved(high))
            }
        }
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

/// The shape that a parameter asks for. Within the parameter's domain there is one.
fn shape(entry: &Entry, parameter: f64) -> Option<Shape> {
    entry.shaping.and_then(|plain| Shape::of(plain, parameter))
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
