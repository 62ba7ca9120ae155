//! Looks-linear: units come in pairs z and -z, so that relu(z) - relu(-z) = z and the network starts as a product of
//! orthogonal matrices, an isometry of any depth (Balduzzi et al. 2017; the plain ReLU form of their CReLU).
//!
//! The second half of a layer's units has the negated weights of the first half; the next layer reads the difference
//! of both halves: `W = [[M, -M], [-M, M]]`. Where no activation follows (the head) no unit has a partner, and where a
//! layer reads values as they are (the first one) no input has.

use super::{Distribution, Domain, Entry, GAIN, Layer, PLAIN, Parameter};

/// Key of the number that says whether inputs come in pairs: above 0 if so.
pub(super) const PAIRED_INPUT: &str = "paired_input";

pub(super) static ENTRY: Entry = Entry {
    name: "looks-linear",
    parameters: &[GAIN, Parameter { name: PAIRED_INPUT, default: 1.0, domain: Domain::NonNegative }],
    distribution: Distribution::Orthogonal,
    weight_variance,
    draw: Some(draw),
    pairs: true,
    supports: |activation| activation.slopes().is_some(),
    ..PLAIN
};

/// The independent part: an orthogonal matrix `[rows, columns]`.
struct Half {
    rows: usize,
    columns: usize,
    mirrors_rows: bool,
    mirrors_columns: bool,
    /// Of each entry.
    deviation: f64,
}

impl Half {
    fn of(layer: &Layer) -> Self {
        // phi(z) - phi(-z) = (a + b) z for slopes a and b; a linear unit needs no partner.
        let (below, above) = layer.activation.slopes().unwrap_or((f64::NAN, f64::NAN));
        let is_kinked = below != above;
        let (fan_in, fan_out) = (layer.fan_in as usize, layer.fan_out as usize);
        let channels = fan_in / layer.taps;
        let mirrors_rows = layer.values[1] > 0.0 && channels.is_multiple_of(2);
        let mirrors_columns = is_kinked && fan_out.is_multiple_of(2);
        let rows = if mirrors_rows { fan_in / 2 } else { fan_in };
        let columns = if mirrors_columns { fan_out / 2 } else { fan_out };
        let kept = if is_kinked { below + above } else { 1.0 };
        let deviation = layer.values[0] / kept / (rows.max(columns) as f64).sqrt();
        Self { rows, columns, mirrors_rows, mirrors_columns, deviation }
    }
}

/// That of M: mirroring changes no size.
fn weight_variance(layer: &Layer) -> f64 {
    Half::of(layer).deviation.powi(2)
}

fn draw(layer: &Layer, rng: &mut super::ChaCha8Rng) -> Vec<f64> {
    let half = Half::of(layer);
    let deviation = if half.deviation.is_nan() { 0.0 } else { half.deviation };
    let matrix = Distribution::Orthogonal.matrix(half.rows, half.columns, deviation, rng);
    let (fan_in, fan_out) = (layer.fan_in as usize, layer.fan_out as usize);
    // Rows are those of one tap after the other.
    let (channels, kept) = (fan_in / layer.taps, half.rows / layer.taps);
    let entry = |row: usize, column: usize| {
        let (tap, channel) = (row / channels, row % channels);
        let sign = |is_mirror: bool| if is_mirror { -1.0 } else { 1.0 };
        let of_row = sign(half.mirrors_rows && channel >= kept);
        let of_column = sign(half.mirrors_columns && column >= half.columns);
        of_row * of_column * matrix[(tap * kept + channel % kept) * half.columns + column % half.columns]
    };
    (0..fan_in * fan_out).map(|index| entry(index / fan_out, index % fan_out)).collect()
}
