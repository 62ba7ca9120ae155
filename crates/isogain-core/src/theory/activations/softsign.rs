//! phi(x) = x / (1 + |x|): saturates like 1/x instead of exponentially (Glorot and Bengio 2010).

use super::Entry;

pub(super) static ENTRY: Entry = Entry {
    name: "softsign",
    parameter: None,
    value: |x, _| x / (1.0 + x.abs()),
    derivative: |x, _| {
        let d = 1.0 + x.abs();
        1.0 / (d * d)
    },
    kinks: &[0.0],
    homogeneous: false,
    range: |_| (-1.0, 1.0),
    shaping: None,
};
