//! What the pages show, in reading order: one file each.

mod attention;
mod by_layer;
mod by_step;
mod clipping;
pub(crate) mod compare;
mod course;
mod depth;
pub(crate) mod findings;
mod flight;
pub(crate) mod gradient;
pub(crate) mod header;
mod histograms;
pub(crate) mod judged;
mod layers;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod loss;
mod maps;
pub(crate) mod network;
pub(crate) mod phase_map;
pub(crate) mod recipe;
pub(crate) mod recorded;
pub(crate) mod remedies;
pub(crate) mod reproduced;
mod split;
mod time;
mod units;
pub(crate) mod waterfall;

use crate::digest::Digest;

/// One picture of a recorded run.
pub(crate) struct View {
    /// Unique in the page.
    pub(crate) id: &'static str,
    /// What it is called where it is missing.
    pub(crate) name: &'static str,
    /// What must have been recorded for it.
    pub(crate) needs: &'static str,
    /// The figure; `None` where that is missing.
    pub(crate) draw: fn(&Digest) -> Option<String>,
}

/// The pictures of a recorded run, in reading order.
pub(crate) const OF_A_RUN: &[View] = &[
    View { id: "loss", name: "loss", needs: "a step", draw: course::figure },
    View {
        id: "flight",
        name: "the first value that was not finite",
        needs: "a value that is NaN or infinite",
        draw: flight::figure,
    },
    View { id: "depth", name: "gradient by depth", needs: "cotangents of the layers", draw: depth::figure },
    View {
        id: "gradient-map",
        name: "gradient by layer and step",
        needs: "cotangents of the layers",
        draw: maps::gradient,
    },
    View { id: "signal-map", name: "signal by layer and step", needs: "outputs of the layers", draw: maps::signal },
    View { id: "update-map", name: "update over weight", needs: "weights and their updates", draw: maps::update },
    View {
        id: "waterfall",
        name: "causes",
        needs: "a snapshot, the chain rule taken apart on one batch",
        draw: |run| waterfall::recorded(run.first_snapshot()?, run.last_snapshot()?),
    },
    View { id: "split", name: "the chain rule at each weight", needs: "a snapshot", draw: split::figure },
    View {
        id: "units",
        name: "dead and saturated units",
        needs: "the units of a snapshot, or outputs that are exactly zero",
        draw: units::figure,
    },
    View {
        id: "histogram-cotangent",
        name: "orders of magnitude of the gradient",
        needs: "histograms, which the watcher records when asked",
        draw: histograms::cotangent,
    },
    View {
        id: "histogram-activation",
        name: "orders of magnitude of the signal",
        needs: "histograms, which the watcher records when asked",
        draw: histograms::activation,
    },
    View { id: "clipping", name: "clipping", needs: "a clipped training", draw: clipping::figure },
    View {
        id: "time",
        name: "back through time",
        needs: "a snapshot of a network with recurrent layers",
        draw: time::figure,
    },
    View { id: "attention", name: "attention", needs: "attention layers", draw: attention::figure },
];
