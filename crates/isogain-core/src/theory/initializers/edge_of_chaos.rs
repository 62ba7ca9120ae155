//! Weight variance at which gradients neither vanish nor explode for the layer's activation and a wished bias
//! variance (Schoenholz et al. 2017). See [`crate::theory::edge_of_chaos`] for activations that allow no such bias.

use crate::theory::edge_of_chaos::{CriticalPoint, edge_of_chaos};

use super::{Distribution, Domain, Entry, Layer, PLAIN, Parameter};

pub(super) static ENTRY: Entry = Entry {
    name: "edge-of-chaos",
    parameters: &[Parameter { name: "bias_variance", default: 0.05, domain: Domain::NonNegative }],
    distribution: Distribution::Normal,
    weight_variance: |layer| point(layer).map_or(f64::NAN, |point| point.weight_variance / layer.fan_in),
    bias_variance: |layer| point(layer).map_or(f64::NAN, |point| point.bias_variance),
    supports: |activation| edge_of_chaos(activation, 0.05).is_some(),
    ..PLAIN
};

fn point(layer: &Layer) -> Option<CriticalPoint> {
    edge_of_chaos(layer.activation, layer.values[0])
}
