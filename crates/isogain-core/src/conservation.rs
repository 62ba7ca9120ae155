//! Exact laws that every right gradient obeys, whatever the data and the loss, watched from weights and gradients alone.
//!
//! With <W, dW> the sum over all elements of a weight times its gradient, bias included where there is one:
//!
//! * **Handing on**: where only operations with f(c x) = c f(x) lie between two layers (ReLU and its kin, pooling, dropout),
//!   what flows out of the first is what flows into the second: `<W_1, dW_1> + <b_1, db_1> = <W_2, dW_2>` (Du, Hu and Lee
//!   2018). Attention hands on what its values carry in the same way. An auxiliary head in between takes a part of it: what
//!   flows into it is added on the right.
//! * **Scale invariance**: where a norm follows, the layer's scale is no matter: `<W, dW> + <b, db> = 0`, up to the norm's eps,
//!   of which the norm's own values tell exactly how much it leaves.
//! * **Queries and keys**: only their product counts: `<W_Q, dW_Q> + <b_Q, db_Q> = <W_K, dW_K> + <b_K, db_K>`.
//!
//! Nothing is compared with another implementation, and it costs one read of the parameters. A gradient that breaks a law is
//! not the derivative of the loss by these weights: it belongs to others, a part of its way was cut off, a value left the
//! range of the number format, or the norm's eps is no small number.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::flow::Values;
use crate::network::{Convolution, Network, Op, OpKind};

/// A parameter with its gradient.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its values.
    pub weight: Values,
    /// dL/d of each.
    pub gradient: Values,
    /// Where a matrix has its units.
    pub units: Units,
}

/// Where in a matrix the weights of one unit lie; queries and keys that come out of one matrix are told apart by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// In a column, `[fan_in, fan_out]`.
    Columns,
    /// In a row, `[fan_out, fan_in]`.
    Rows,
    /// Nobody says, or in neither.
    Unknown,
}

impl Units {
    /// Which of `units` units the value at this place of `values` belongs to.
    fn unit(self, index: usize, values: usize, units: usize) -> Option<usize> {
        match self {
            // One value for each, as a bias has.
            _ if values == units => Some(index),
            Self::Columns => Some(index % units),
            Self::Rows => Some(index / (values / units)),
            Self::Unknown => None,
        }
    }
}

/// Which law.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// A layer hands its signal on to the next one, and to auxiliary heads in between.
    HandedOn,
    /// A layer in front of a norm has no scale.
    ScaleInvariance,
    /// Queries and keys have the same signal.
    QueriesAndKeys,
}

/// A law that weights and gradients contradict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokenLaw {
    /// Which.
    pub law: Law,
    /// The operations concerned, in forward order: the layer, and where another is concerned, that one.
    pub layers: Vec<String>,
    /// One side of the equation.
    pub left: f64,
    /// The other side.
    pub right: f64,
    /// |left - right| over the sum of |W| |dW| of all that stands in it, which no right gradient exceeds: in [0, 1].
    pub share: f64,
    /// In front of a norm, what its eps leaves of the left side, where its values were at hand.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_by_eps: Option<f64>,
}

impl BrokenLaw {
    /// Whether a norm's eps is all that breaks it; `None` where nobody measured that.
    pub fn is_by_eps(&self) -> Option<bool> {
        let rest = (self.left - self.left_by_eps?).abs();
        let rounding = TOLERATED_SHARE * self.left.abs() / self.share;
        Some(rest <= rounding.max(OF_EPS * self.left.abs()))
    }
}

/// What may be missing of the part that eps explains: the gradient is rounded where that part is a difference.
const OF_EPS: f64 = 0.1;

/// The laws that are broken by more than this share, in forward order. `parameter` gives a parameter by name
/// (`fc1.weight`), with an empty gradient where it has none (a frozen one), and nothing for one that is not there. A law
/// that needs a gradient that is not there is not looked at. `radial` gives <x, dL/dx> in front of a norm as its eps leaves it,
/// where its values are at hand.
pub fn broken(
    network: &Network,
    parameter: impl Fn(&str) -> Option<Pair>,
    radial: impl Fn(&str) -> Option<f64>,
    tolerated_share: f64,
) -> Vec<BrokenLaw> {
    let mut watch = Watch { parameter: &parameter, found: Vec::new() };
    watch.chain(&network.ops);
    let mut found = watch.found;
    found.retain(|(broken, _)| broken.share > tolerated_share);
    let of = |(broken, norm): (BrokenLaw, Option<&str>)| {
        let left_by_eps = norm.and_then(&radial).filter(|part| part.is_finite());
        BrokenLaw { left_by_eps, ..broken }
    };
    found.into_iter().map(of).collect()
}

/// The share from which on a law is broken, in f32 and f64. Rounding in f32 leaves some 1e-6.
pub const TOLERATED_SHARE: f64 = 1e-3;

/// The same for numbers that are right up to `unit_roundoff` of their size: a cotangent that was rounded at many layers.
pub fn tolerated_share(unit_roundoff: f64) -> f64 {
    (16.0 * unit_roundoff).max(TOLERATED_SHARE)
}

/// <W, dW> and |W| |dW|.
#[derive(Clone, Copy, Default)]
struct Inner {
    product: f64,
    bound: f64,
}

impl Inner {
    fn of(values: impl Iterator<Item = (f64, f64)>) -> Self {
        let [mut product, mut weights, mut gradients] = [0.0; 3];
        for (w, g) in values {
            product += w * g;
            weights += w * w;
            gradients += g * g;
        }
        Self { product, bound: (weights * gradients).sqrt() }
    }

    fn plus(self, other: Self) -> Self {
        Self { product: self.product + other.product, bound: self.bound + other.bound }
    }
}

/// What the last layer sends on: all of its units, or some.
#[derive(Clone)]
struct Source<'n> {
    op: &'n str,
    units: usize,
    part: Range<usize>,
    /// Layers of auxiliary heads that read it on its way, with their units.
    readers: Vec<(&'n str, usize)>,
}

/// The layer by which an auxiliary head reads its input, with its units; `None` where it is none that the law is about, or where
/// what stands in front of it changes the product.
fn reader(head: &[Op]) -> Option<(&str, usize)> {
    let at = head.iter().position(|op| !matches!(op.kind, OpKind::Pool(_) | OpKind::Flatten(_)))?;
    match &head[at].kind {
        OpKind::Linear(linear) if linear.tied.is_none() && linear.weight_norm.is_none() => {
            Some((&head[at].name, linear.fan_out))
        }
        _ => None,
    }
}

struct Watch<'p, 'n, F> {
    parameter: &'p F,
    /// With the norm behind, where the law is about that.
    found: Vec<(BrokenLaw, Option<&'n str>)>,
}

impl<'n, F: Fn(&str) -> Option<Pair>> Watch<'_, 'n, F> {
    fn chain(&mut self, ops: &'n [Op]) {
        let mut source: Option<Source<'_>> = None;
        for op in ops {
            source = match &op.kind {
                // Of a weight that is computed from what is trained the laws are others.
                OpKind::Linear(linear) | OpKind::Convolution(Convolution { linear, .. })
                    if linear.tied.is_none() && linear.weight_norm.is_none() =>
                {
                    if let Some(before) = &source {
                        let readers = before.readers.iter().copied().chain([(op.name.as_str(), linear.fan_out)]);
                        let layers: Vec<&str> =
                            [before.op].into_iter().chain(readers.clone().map(|(op, _)| op)).collect();
                        let reads =
                            readers.map(|(op, units)| self.parameter_of(op, "weight", units, 0..units).flatten());
                        let reads = reads.reduce(|one, other| Some(one?.plus(other?))).flatten();
                        self.law(Law::HandedOn, &layers, [self.source(before), reads], None);
                    }
                    Some(Source { op: &op.name, units: linear.fan_out, part: 0..linear.fan_out, readers: Vec::new() })
                }
                OpKind::AuxiliaryHead(auxiliary) => source.and_then(|before| {
                    let reader = reader(&auxiliary.head)?;
                    Some(Source { readers: [before.readers, vec![reader]].concat(), ..before })
                }),
                OpKind::Activation { activation } if activation.is_homogeneous() => source,
                OpKind::Pool(_) | OpKind::Flatten(_) | OpKind::Dropout(_) => source,
                OpKind::Other(other) if other.homogeneous => source,
                OpKind::Norm(_) => {
                    if let Some(before) = &source {
                        let sides = [self.source(before), Some(Inner::default())];
                        self.law(Law::ScaleInvariance, &[before.op], sides, Some(&op.name));
                    }
                    None
                }
                OpKind::Attention(attention) => source.and_then(|before| {
                    let third = attention.features;
                    // All of a layer's units, and nothing in between that would change the product.
                    let is_whole = before.part == (0..before.units) && before.units == 3 * third;
                    let part =
                        |third_of: usize| Source { part: third_of * third..(third_of + 1) * third, ..before.clone() };
                    if !is_whole {
                        return None;
                    }
                    let sides = [self.source(&part(0)), self.source(&part(1))];
                    self.law(Law::QueriesAndKeys, &[before.op], sides, None);
                    Some(part(2))
                }),
                OpKind::Residual(residual) => {
                    residual.ways().into_iter().for_each(|way| self.chain(way));
                    None
                }
                _ => None,
            };
        }
    }

    fn law(&mut self, law: Law, layers: &[&str], [left, right]: [Option<Inner>; 2], norm: Option<&'n str>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let bound = left.bound + right.bound;
        let share = (left.product - right.product).abs() / bound;
        // No gradient at all keeps every law; what is not finite is another rule's.
        if bound > 0.0 && share.is_finite() {
            let layers = layers.iter().map(|layer| (*layer).to_owned()).collect();
            let (left, right) = (left.product, right.product);
            self.found.push((BrokenLaw { law, layers, left, right, share, left_by_eps: None }, norm));
        }
    }

    /// Weight and bias of what a source sends on; a layer without a bias has none to add.
    fn source(&self, Source { op, units, part, .. }: &Source<'_>) -> Option<Inner> {
        let weight = self.parameter_of(op, "weight", *units, part.clone())??;
        match self.parameter_of(op, "bias", *units, part.clone()) {
            None => Some(weight),
            Some(bias) => Some(weight.plus(bias?)),
        }
    }

    /// `None` where there is no such parameter, `Some(None)` where its gradient, or which of it is meant, is not known.
    fn parameter_of(&self, op: &str, what: &str, units: usize, part: Range<usize>) -> Option<Option<Inner>> {
        let pair = (self.parameter)(&format!("{op}.{what}"))?;
        if pair.gradient.len() != pair.weight.len() {
            return Some(None);
        }
        let values = pair.weight.iter().zip(pair.gradient.iter());
        if part == (0..units) {
            return Some(Some(Inner::of(values)));
        }
        let count = pair.weight.len();
        let is_chosen = |index| pair.units.unit(index, count, units).is_some_and(|unit| part.contains(&unit));
        let is_known = pair.units.unit(0, count, units).is_some();
        let chosen = values.enumerate().filter(|(index, _)| is_chosen(*index)).map(|(_, values)| values);
        Some(is_known.then(|| Inner::of(chosen)))
    }
}
