//! What the pages show, in reading order: one file each.

mod attention;
mod by_layer;
mod by_step;
mod clipping;
pub(crate) mod compare;
mod course;
mod depth;
pub(crate) mod differential;
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
mod over_time;
pub(crate) mod path_lengths;
pub(crate) mod phase;
pub(crate) mod phase_map;
pub(crate) mod predicted;
pub(crate) mod recipe;
pub(crate) mod recorded;
pub(crate) mod remedies;
mod repairs;
pub(crate) mod reproduced;
mod split;
mod time;
mod units;
pub(crate) mod waterfall;
pub(crate) mod what_if;

use crate::digest::Digest;

/// One picture of a recorded run.
pub(crate) struct View {
    /// Unique in the page.
    pub(crate) id: &'static str,
    /// What it is called where it is missing.
    pub(crate) name: &'static str,
    /// What must have been recorded for it.
    pub(crate) needs: &'static str,
    /// How it is read, and what its words mean; shown under the pointer or with the keyboard.
    pub(crate) about: &'static str,
    /// The figure; `None` where that is missing.
    pub(crate) draw: fn(&Digest) -> Option<String>,
}

/// How a picture of a run is read; empty for a name that is none.
pub(crate) fn about(id: &str) -> &'static str {
    OF_A_RUN.iter().find(|view| view.id == id).map_or("", |view| view.about)
}

/// The pictures of a recorded run, in reading order.
pub(crate) const OF_A_RUN: &[View] = &[
    View {
        id: "loss",
        name: "loss",
        needs: "a step",
        about: "The loss of each step's batch: what training makes small. Of a long run several steps share a point, and the band \
            is from the lowest to the highest of them.",
        draw: course::figure,
    },
    View {
        id: "repairs",
        name: "repairs while training",
        needs: "a training that repairs what is found (`train --heal`)",
        about: "What was found on the way, and the repairs that were tried on copies over the batches that came next. Losses are means \
            over the last of those batches. A repair is applied where it makes the loss 10 % smaller than doing nothing.",
        draw: repairs::figure,
    },
    View {
        id: "flight",
        name: "the first value that was not finite",
        needs: "a value that is NaN or infinite",
        about: "The recorded steps that led to it. RMS, the root of the mean square, is the usual size of a tensor's values. NaN \
            is the result of an operation that has none, such as 0/0.",
        draw: flight::figure,
    },
    View {
        id: "depth",
        name: "gradient by depth",
        needs: "cotangents of the layers",
        about: "RMS, the usual size, of dL/d(output): how much the loss changes with the output of each layer, also called its \
            cotangent. A straight line is growth by the same factor at every layer; flat is what a trainable network looks like. \
            Theory is drawn for the weights before training, its band two standard deviations of networks of this width.",
        draw: depth::figure,
    },
    View {
        id: "gradient-map",
        name: "gradient by layer and step",
        needs: "cotangents of the layers",
        about: "dL/d(output), the cotangent of each layer, at each recorded step. Blue is smaller, red larger than at the last \
            layer in the same column, so that a change of the loss alone leaves no trace.",
        draw: maps::gradient,
    },
    View {
        id: "signal-map",
        name: "signal by layer and step",
        needs: "outputs of the layers",
        about: "RMS, the usual size, of each layer's output at each recorded step. Blue is smaller, red larger than at the first \
            layer in the same column.",
        draw: maps::signal,
    },
    View {
        id: "update-map",
        name: "update over weight",
        needs: "weights and their updates",
        about: "How far one step moves each weight, as a part of its size. Around a thousandth a weight learns; far below it stays \
            where it was, far above it is torn about.",
        draw: maps::update,
    },
    View {
        id: "waterfall",
        name: "causes",
        needs: "a snapshot, the chain rule taken apart on one batch",
        about: "The change of the gradient from the head back to the first layer, as a product of causes. Each bar begins where the \
            one above it ends, and the last is exactly their sum.",
        draw: |run| waterfall::recorded(run.first_snapshot()?, run.last_snapshot()?),
    },
    View {
        id: "phase",
        name: "phase diagram",
        needs: "weights of a plain network without norms, at step 0",
        about: "What depth does to the gradient for every pair of weight and bias deviations (mean-field theory, infinite width). \
            Blue: it vanishes, and inputs become alike. Red: it explodes, and inputs drift apart. On the edge between them, the \
            edge of chaos, every layer has equal gain.",
        draw: phase::recorded,
    },
    View {
        id: "split",
        name: "the chain rule at each weight",
        needs: "a snapshot",
        about: "|dW|, the size of a weight's gradient, is the signal from behind times the size of the input times how far the \
            samples of the batch agree. It can be small for any of the three, and each has another remedy.",
        draw: split::figure,
    },
    View {
        id: "units",
        name: "dead and saturated units",
        needs: "the units of a snapshot, or outputs that are exactly zero",
        about: "A dead unit is zero on every sample and gets no gradient; a saturated value lies where the activation is flat. \
            Outputs that are zero on half of the samples are healthy behind a ReLU.",
        draw: units::figure,
    },
    View {
        id: "histogram-cotangent",
        name: "orders of magnitude of the gradient",
        needs: "histograms, which the watcher records when asked",
        about: "For each layer how many values have which binary exponent: a ridge that lies further left has smaller values. Left \
            of 2⁻²⁴ a number is lost in fp16, the 16-bit format.",
        draw: histograms::cotangent,
    },
    View {
        id: "histogram-activation",
        name: "orders of magnitude of the signal",
        needs: "histograms, which the watcher records when asked",
        about: "For each layer how many outputs have which binary exponent: a ridge that lies further left has smaller values.",
        draw: histograms::activation,
    },
    View {
        id: "over-time-cotangent",
        name: "orders of magnitude of the gradient over time",
        needs: "histograms at two or more steps",
        about: "The same for one layer, a ridge for each step, the first at the top. A ridge that wanders left from step to step is \
            a gradient that dies while training.",
        draw: over_time::cotangent,
    },
    View {
        id: "over-time-activation",
        name: "orders of magnitude of the signal over time",
        needs: "histograms at two or more steps",
        about: "The outputs of one layer, a ridge for each step, the first at the top.",
        draw: over_time::activation,
    },
    View {
        id: "clipping",
        name: "clipping",
        needs: "a clipped training",
        about: "The norm of all gradients together before and after clipping, and the cosine between the two: at 1 only the length \
            was changed. At every step means that the threshold, not the learning rate, sets the step.",
        draw: clipping::figure,
    },
    View {
        id: "time",
        name: "back through time",
        needs: "a snapshot of a network with recurrent layers",
        about: "How large the gradient of a recurrent layer's state is after each time step; the last step is on the right. Where it \
            falls below the rest by orders of magnitude, the layer has forgotten.",
        draw: time::figure,
    },
    View {
        id: "attention",
        name: "attention",
        needs: "attention layers",
        about: "Entropy of the attention weights over its largest value. Near 1 every position looks at all alike, near 0 at a \
            single one.",
        draw: attention::figure,
    },
];
