//! The plane of weight and bias variances of one activation: where gradients vanish, where they explode, and the line
//! between (Poole et al. 2016, Schoenholz et al. 2017).
//!
//! A picture asks for thousands of points, and [`MeanField`] answers each one exactly and slowly. The expectations depend on
//! the variance of the pre-activations alone, so that they are tabulated once and each point is a walk along the table.

use serde::Serialize;

use super::activations::Activation;
use super::edge_of_chaos::{critical_at, edge_of_chaos};
use super::mean_field::MeanField;
use super::quadrature::GaussianRule;

/// Smallest and largest variance of the table, powers of ten, and entries for each of them.
const DECADES: [i32; 2] = [-9, 9];
/// See [`DECADES`].
const PER_DECADE: i32 = 24;
/// Points of the edge.
const EDGE_POINTS: usize = 160;

/// The plane, as far as a picture shows it. Both axes are standard deviations: sw = sqrt(fan_in Var W), sb = sqrt(Var b).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseDiagram {
    /// phi.
    pub activation: Activation,
    /// sw of each column, ascending.
    pub weight_deviations: Vec<f64>,
    /// sb of each row, ascending.
    pub bias_deviations: Vec<f64>,
    /// ln of the factor by which the gradient's RMS changes per layer at depth, 1/2 ln chi, by row, then by column.
    pub log_gains: Vec<Vec<f64>>,
    /// The edge of chaos as (sw, sb), in order; a vertical line for phi whose gain does not depend on the variance, empty
    /// for phi without one.
    pub edge: Vec<(f64, f64)>,
}

impl PhaseDiagram {
    /// The plane from 0 to these deviations, in so many columns and rows; each cell is told in its middle.
    pub fn new(activation: Activation, largest: [f64; 2], [columns, rows]: [usize; 2]) -> Self {
        let table = Table::new(activation);
        let middles = |count: usize, largest: f64| -> Vec<f64> {
            (0..count).map(|index| largest * (index as f64 + 0.5) / count as f64).collect()
        };
        let weight_deviations = middles(columns, largest[0]);
        let bias_deviations = middles(rows, largest[1]);
        let of = |sw: f64, sb: f64| 0.5 * table.chi(sw * sw, sb * sb).ln();
        let row = |sb: &f64| weight_deviations.iter().map(|sw| of(*sw, *sb)).collect();
        Self {
            activation,
            log_gains: bias_deviations.iter().map(row).collect(),
            edge: edge(activation, largest),
            weight_deviations,
            bias_deviations,
        }
    }
}

/// ln of the factor by which the gradient's RMS changes per layer at depth, for a first layer of unit variance; exact.
pub fn log_gain(field: &MeanField) -> f64 {
    0.5 * field.chi_at_depth(1.0).ln()
}

/// E phi^2 and E phi'^2 by the variance of the pre-activation.
struct Table {
    /// ln q, square, slope.
    entries: Vec<(f64, f64, f64)>,
}

impl Table {
    fn new(activation: Activation) -> Self {
        let [low, high] = DECADES;
        let entry = |index: i32| {
            let q = 10_f64.powf(f64::from(index) / f64::from(PER_DECADE));
            let rule = GaussianRule::new(q, activation.kinks());
            let square = rule.expect(|u| activation.value(u).powi(2));
            (q.ln(), square, rule.expect(|u| activation.derivative(u).powi(2)))
        };
        Self { entries: (low * PER_DECADE..=high * PER_DECADE).map(entry).collect() }
    }

    /// chi where the variance ends up that starts at 1. V rises with q, so the first place at which it points back is it.
    fn chi(&self, weight_variance: f64, bias_variance: f64) -> f64 {
        let drift = |index: usize| {
            let (ln_q, square, _) = self.entries[index];
            ((weight_variance * square + bias_variance) / ln_q.exp()).ln()
        };
        let start = (-DECADES[0] * PER_DECADE) as usize;
        let last = self.entries.len() - 1;
        let rises = drift(start) > 0.0;
        let mut at = start;
        while (drift(at) > 0.0) == rises && (if rises { at < last } else { at > 0 }) {
            at = if rises { at + 1 } else { at - 1 };
        }
        let slope = |index: usize| self.entries[index].2;
        let end = |slope: f64| weight_variance * slope;
        if (drift(at) > 0.0) == rises {
            // It runs away, or shrinks to nothing.
            return end(slope(at));
        }
        let before = if rises { at - 1 } else { at + 1 };
        let share = drift(before) / (drift(before) - drift(at));
        end(slope(before) + share * (slope(at) - slope(before)))
    }
}

fn edge(activation: Activation, [widest, highest]: [f64; 2]) -> Vec<(f64, f64)> {
    if activation.slopes().is_some() {
        let critical = edge_of_chaos(activation, 0.0).map(|point| point.weight_variance.sqrt());
        return critical.filter(|sw| *sw <= widest).map_or_else(Vec::new, |sw| vec![(sw, 0.0), (sw, highest)]);
    }
    let [low, high] = DECADES;
    let variance = |index: usize| {
        let share = index as f64 / (EDGE_POINTS - 1) as f64;
        10_f64.powf(f64::from(low) + share * f64::from(high - low))
    };
    let points = (0..EDGE_POINTS).map(|index| critical_at(activation, variance(index)));
    points
        .filter(|(_, bias)| *bias >= 0.0)
        .map(|(weight, bias)| (weight.sqrt(), bias.sqrt()))
        .filter(|(sw, sb)| *sw <= widest && *sb <= highest)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table against the exact answer, over the whole plane.
    #[test]
    fn each_cell_is_what_mean_field_says_there() {
        for name in ["tanh", "relu", "sigmoid", "gelu", "elu"] {
            let activation = Activation::named(name).unwrap();
            let diagram = PhaseDiagram::new(activation, [3.0, 1.5], [9, 6]);
            for (sb, row) in diagram.bias_deviations.iter().zip(&diagram.log_gains) {
                for (sw, found) in diagram.weight_deviations.iter().zip(row) {
                    let field = MeanField { activation, weight_variance: sw * sw, bias_variance: sb * sb };
                    let exact = log_gain(&field);
                    // Entries are 10 % apart in the variance, and what lies between is a straight line.
                    assert!((found - exact).abs() < 0.01, "{name} at {sw}, {sb}: {found}, exactly {exact}");
                }
            }
        }
    }

    #[test]
    fn the_edge_is_where_the_gain_is_one() {
        let tanh = PhaseDiagram::new(Activation::tanh(), [3.0, 1.0], [4, 4]);
        assert!(tanh.edge.len() > 20);
        for (sw, sb) in &tanh.edge {
            let field = MeanField { activation: Activation::tanh(), weight_variance: sw * sw, bias_variance: sb * sb };
            assert!(log_gain(&field).abs() < 5e-3, "{sw}, {sb}: {}", log_gain(&field));
        }
        let relu = PhaseDiagram::new(Activation::relu(), [3.0, 1.0], [4, 4]);
        assert_eq!(relu.edge, [(2_f64.sqrt(), 0.0), (2_f64.sqrt(), 1.0)]);
    }
}
