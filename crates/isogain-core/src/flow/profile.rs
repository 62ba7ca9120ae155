//! The flow layer by layer: what a person calls a layer is a linear operation with what follows it, or one residual
//! block.

use std::ops::Range;

use super::{CauseShare, Flow, Joint};

/// Layers left out at each end of the interior: input and output are shaped by data and loss, not by the network's own
/// rule of growth.
const ENDS: usize = 2;
/// Layers from which on the ends can be left out.
const ENOUGH: usize = 8;

/// The body of a network as layers, in forward order; the head is not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The layers.
    pub layers: Vec<Layer>,
}

/// A linear operation with the norm and activation that follow, or one residual operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of its first operation.
    pub name: String,
    /// Its operations, as indices into the flow's joints.
    pub joints: Range<usize>,
    /// ln(rms cotangent at its input / rms at its output), nepers; `None` when one of its joints has none.
    pub log_gain: Option<f64>,
    /// RMS of dL/dz per sample, z being the output of its first operation: the pre-activation, or the block's output.
    pub cotangent_rms: f64,
    /// RMS of the layer's output.
    pub activation_rms: f64,
}

impl Profile {
    /// The layers of a flow's body.
    pub fn of(flow: &Flow) -> Self {
        let mut starts: Vec<usize> = Vec::new();
        for (index, joint) in flow.joints.iter().enumerate() {
            if joint.begins_layer() || index == 0 {
                starts.push(index);
            }
        }
        let ends = starts.iter().skip(1).copied().chain([flow.joints.len()]);
        let layers = starts.iter().zip(ends).map(|(&start, end)| layer(&flow.joints, start..end)).collect();
        Self { layers }
    }

    /// The layers whose gain is the network's own: two fewer at each end when there are at least eight.
    pub fn interior(&self) -> Range<usize> {
        let count = self.layers.len();
        if count < ENOUGH { 0..count } else { ENDS..count - ENDS }
    }

    /// Mean log-gain of an interior layer, nepers; `None` when none has one.
    pub fn slope(&self) -> Option<f64> {
        let gains: Vec<f64> = self.layers[self.interior()].iter().filter_map(|layer| layer.log_gain).collect();
        (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64)
    }

    /// The joints of a range of layers; empty when the range is empty or reaches beyond them.
    pub fn joints(&self, layers: Range<usize>) -> Range<usize> {
        match self.layers.get(layers) {
            Some([first, .., last]) => first.joints.start..last.joints.end,
            Some([only]) => only.joints.clone(),
            _ => 0..0,
        }
    }
}

fn layer(joints: &[Joint], range: Range<usize>) -> Layer {
    let parts = &joints[range.clone()];
    Layer {
        name: parts[0].name.clone(),
        log_gain: parts.iter().map(|joint| joint.log_gain).sum(),
        cotangent_rms: parts[0].cotangent_rms,
        activation_rms: parts[parts.len() - 1].activation_rms,
        joints: range,
    }
}

/// The causes behind the log-gain of several joints, largest first. A cause that acts against the total has share 0.
pub fn causes(joints: &[Joint]) -> Vec<CauseShare> {
    let mut sums: Vec<CauseShare> = Vec::new();
    for part in joints.iter().flat_map(|joint| &joint.split) {
        match sums.iter_mut().find(|sum| sum.cause == part.cause) {
            Some(sum) => sum.log_gain += part.log_gain,
            None => sums.push(CauseShare { cause: part.cause, log_gain: part.log_gain, share: 0.0 }),
        }
    }
    let total: f64 = sums.iter().map(|sum| sum.log_gain).sum();
    let acts = |log_gain: f64| log_gain != 0.0 && log_gain.signum() == total.signum();
    let acting: f64 = sums.iter().map(|sum| sum.log_gain).filter(|&gain| acts(gain)).sum();
    for sum in &mut sums {
        if acts(sum.log_gain) {
            sum.share = sum.log_gain / acting;
        }
    }
    sums.sort_by(|a, b| b.log_gain.abs().total_cmp(&a.log_gain.abs()).then(a.cause.cmp(&b.cause)));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Cause, Part};

    fn joint(kind: &str, split: &[(Cause, f64)]) -> Joint {
        Joint {
            name: kind.into(),
            kind: kind.into(),
            log_gain: (!split.is_empty()).then(|| split.iter().map(|part| part.1).sum()),
            split: split.iter().map(|&(cause, log_gain)| Part { cause, log_gain }).collect(),
            cotangent_rms: 1.0,
            cotangent_in_rms: 1.0,
            activation_rms: 1.0,
            branch: None,
            states: Vec::new(),
            paths: Vec::new(),
        }
    }

    #[test]
    fn shares_are_of_what_acts_in_the_direction_of_the_total() {
        let joints = [
            joint("linear", &[(Cause::WeightScale, -3.0), (Cause::Alignment, 0.5)]),
            joint("activation", &[(Cause::ActivationSlope, -1.0), (Cause::SlopeCorrelation, 0.0)]),
            joint("linear", &[(Cause::WeightScale, -3.0), (Cause::Alignment, 0.5)]),
        ];
        let found = causes(&joints);
        let expected = [
            (Cause::WeightScale, -6.0, 6.0 / 7.0),
            (Cause::ActivationSlope, -1.0, 1.0 / 7.0),
            (Cause::Alignment, 1.0, 0.0),
            (Cause::SlopeCorrelation, 0.0, 0.0),
        ];
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((found.cause, found.log_gain, found.share), expected);
        }
        assert!(causes(&[]).is_empty());
    }
}
