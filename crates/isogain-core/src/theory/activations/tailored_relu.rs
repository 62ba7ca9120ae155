//! Leaky ReLU times sqrt(2 / (1 + slope^2)), which keeps the mean square of a centred Gaussian (Zhang, Botev and
//! Martens 2022). The slope is chosen for the depth by [`crate::theory::tailored`]; the default fits 30 layers.

use super::super::named::{Domain, Parameter};
use super::{Entry, leaky_relu};

pub(super) static ENTRY: Entry = Entry {
    name: "tailored-relu",
    parameter: Some(Parameter { name: "slope", default: 0.302_694, domain: Domain::Finite }),
    value: |x, slope| scale(slope) * leaky_relu::value(x, slope),
    derivative: |x, slope| scale(slope) * leaky_relu::derivative(x, slope),
    kinks: &[0.0],
    homogeneous: true,
    range: leaky_relu::range,
    shaping: None,
};

fn scale(slope: f64) -> f64 {
    (2.0 / (1.0 + slope * slope)).sqrt()
}
