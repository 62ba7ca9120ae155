//! What `torch.nn.Linear` does when nobody asks: weights and biases uniform within 1 / sqrt(fan_in).
//!
//! Its `kaiming_uniform_(a = sqrt 5)` has bound sqrt(6 / ((1 + 5) fan_in)), so sw2 = 1/3 where ReLU needs 2. The bias
//! variance is 1 / (3 fan_in), not 1/3: it fades as the layer gets wide.

use super::{Distribution, Entry, PLAIN};

pub(super) static ENTRY: Entry = Entry {
    name: "pytorch-default",
    distribution: Distribution::Uniform,
    weight_variance: |layer| 1.0 / (3.0 * layer.fan_in),
    bias_variance: |layer| 1.0 / (3.0 * layer.fan_in),
    ..PLAIN
};
