//! The layers a finding is about, as the rows of its picture.

use crate::flow::Flow;
use crate::flow::profile::{Layer, Profile};
use crate::rules::Finding;

/// Most rows shown: the first layer, the last, and some evenly spaced in between.
const MOST_ROWS: usize = 8;

/// What a finding's rows show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// RMS of dL/dz, from the last layer to the first, as it flows.
    Cotangent,
    /// RMS of the layer's output, from the first layer to the last.
    Activation,
}

/// One layer and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The layer's name.
    pub name: String,
    /// Its RMS.
    pub rms: f64,
}

impl Quantity {
    /// What a finding is about, by the words of its rule's name; `None` where layers would show nothing.
    pub fn of(finding: &Finding) -> Option<Self> {
        if finding.rule.contains("activation") || finding.rule.contains("forward") {
            Some(Self::Activation)
        } else if finding.rule.contains("gradient") || !finding.causes.is_empty() {
            Some(Self::Cotangent)
        } else {
            None
        }
    }

    /// Heading of the column.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Cotangent => "|dL/dz| rms",
            Self::Activation => "output rms",
        }
    }

    fn rms(self, layer: &Layer) -> f64 {
        match self {
            Self::Cotangent => layer.cotangent_rms,
            Self::Activation => layer.activation_rms,
        }
    }
}

/// The layers from the finding's first to its last one; all where a name is not that of a layer's operation.
pub fn concerned(flow: &Flow, finding: &Finding) -> Vec<Layer> {
    let layers = Profile::of(flow).layers;
    let holds = |layer: &Layer, name: &String| {
        let of_layer = flow.joints.get(layer.joints.clone()).unwrap_or_default();
        of_layer.iter().any(|joint| joint.name == *name || name.starts_with(&format!("{}.", joint.name)))
    };
    let [first, last] = &finding.layers;
    let first = layers.iter().position(|layer| holds(layer, first)).unwrap_or(0);
    let last = layers.iter().position(|layer| holds(layer, last)).map_or(layers.len(), |last| last + 1);
    layers.get(first..last).map_or(layers.clone(), <[Layer]>::to_vec)
}

/// The rows of a finding's picture, in the direction of what it shows.
pub fn rows(flow: &Flow, finding: &Finding, quantity: Quantity) -> Vec<Row> {
    let layers = concerned(flow, finding);
    let row = |index: usize| Row { name: layers[index].name.clone(), rms: quantity.rms(&layers[index]) };
    let mut rows: Vec<Row> = spaced(layers.len(), MOST_ROWS).into_iter().map(row).collect();
    if quantity == Quantity::Cotangent {
        rows.reverse();
    }
    rows
}

/// At most `most` of the numbers below `count`: first, last and evenly spaced ones between.
fn spaced(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let last = count - 1;
    let gaps = most - 1;
    (0..most).map(|row| (row * last + gaps / 2) / gaps).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_spread_evenly_and_keep_both_ends() {
        assert_eq!(spaced(3, 8), [0, 1, 2]);
        assert_eq!(spaced(30, 8), [0, 4, 8, 12, 17, 21, 25, 29]);
        assert_eq!(spaced(9, 8).len(), 8);
        assert!(spaced(0, 8).is_empty());
    }
}
