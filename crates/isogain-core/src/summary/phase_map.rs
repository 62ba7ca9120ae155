//! How deep a plain network of one activation can be trained, by the variances of its weights and biases, as `map` prints
//! it: the phase diagram of mean-field theory (Poole et al. 2016; Schoenholz et al. 2017).

use serde::Serialize;

use crate::forecast::TOLERATED_GRADIENT_RATIO;
use crate::network::{Linear, Network};
use crate::theory::activations::Activation;
use crate::theory::edge_of_chaos::edge_of_chaos;
use crate::theory::limits::CORRELATION_DEPTHS;
use crate::theory::mean_field::{MeanField, Phase};

/// Name and version of the document that `map` prints.
pub const MAP_SCHEMA: &str = "isogain-map/1";

/// Bias variances of the rows.
const BIAS_VARIANCES: [f64; 7] = [0.0, 0.001, 0.01, 0.05, 0.1, 0.3, 1.0];

/// Weight variances of the columns, as factors of the critical one at a bias variance of 0.05.
const FACTORS: [f64; 11] = [0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.3, 1.7, 2.5];

/// The map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseMap {
    /// [`MAP_SCHEMA`].
    pub schema: &'static str,
    /// The function after each layer.
    pub activation: Activation,
    /// Rows by bias variance, each by weight variance.
    pub rows: Vec<Vec<MapPoint>>,
    /// The edge of chaos at each row's bias variance, where there is one.
    pub critical: Vec<Option<MapPoint>>,
    /// Where a network stands.
    pub network: Option<MapPlace>,
}

/// One point of the map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MapPoint {
    /// Variance of a weight, times the fan-in.
    pub weight_variance: f64,
    /// Variance of a bias.
    pub bias_variance: f64,
    /// Factor of the mean squared gradient per layer.
    pub chi: f64,
    /// Whether gradients vanish, stay or explode.
    pub phase: Phase,
    /// xi_c in layers; `None` where two inputs do not approach a correlation exponentially.
    pub correlation_depth: Option<f64>,
    /// The smaller of 6 xi_c and the depth over which the gradient changes by 10^4; `None` where neither is a limit.
    pub trainable_depth: Option<f64>,
}

/// A layer of a network on the map.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MapPlace {
    /// The layer's name.
    pub layer: String,
    /// Layers with weights before the head.
    pub depth: usize,
    /// Where it is.
    pub point: MapPoint,
}

impl MapPoint {
    /// A layer of these variances, entered by a signal of variance 1.
    pub fn new(activation: Activation, weight_variance: f64, bias_variance: f64) -> Self {
        let field = MeanField { activation, weight_variance, bias_variance };
        let propagation = field.propagation(weight_variance + bias_variance);
        let correlation = propagation.correlation_depth.map(|depth| CORRELATION_DEPTHS * depth);
        let per_layer = 0.5 * propagation.chi.ln().abs();
        let gradient = (propagation.phase != Phase::Critical && per_layer.is_finite())
            .then(|| TOLERATED_GRADIENT_RATIO.ln() / per_layer);
        Self {
            weight_variance,
            bias_variance,
            chi: propagation.chi,
            phase: propagation.phase,
            correlation_depth: propagation.correlation_depth,
            trainable_depth: correlation.into_iter().chain(gradient).reduce(f64::min),
        }
    }
}

impl PhaseMap {
    /// The map of an activation, and where a network of it stands: the first of its square hidden layers.
    pub fn new(activation: Activation, network: Option<&Network>) -> Self {
        let middle = edge_of_chaos(activation, 0.05).map_or(1.0, |point| point.weight_variance);
        let point = |bias: f64, weight: f64| MapPoint::new(activation, weight, bias);
        let rows = BIAS_VARIANCES.map(|bias| FACTORS.iter().map(|factor| point(bias, factor * middle)).collect());
        let critical = BIAS_VARIANCES.map(|bias| {
            let found = edge_of_chaos(activation, bias)?;
            // Where phi allows none at that bias, theory gives the nearest that there is.
            (found.bias_variance == bias).then(|| point(bias, found.weight_variance))
        });
        Self {
            schema: MAP_SCHEMA,
            activation,
            rows: rows.into(),
            critical: critical.into(),
            network: network.and_then(|network| MapPlace::of(network, activation)),
        }
    }
}

impl MapPlace {
    fn of(network: &Network, activation: Activation) -> Option<Self> {
        let layers: Vec<(&str, &Linear)> = network.linears().map(|(op, linear)| (op.name.as_str(), linear)).collect();
        let (_, hidden) = layers.split_last()?;
        let inner = hidden.iter().filter(|(_, linear)| linear.fan_in == linear.fan_out);
        // The first layer reads the data and not an activation.
        let (name, linear) = inner.clone().nth(1).or_else(|| inner.clone().next()).or_else(|| hidden.last())?;
        let weight = linear.fan_in as f64 * linear.weight_variance();
        let bias = linear.init.bias_variance(linear.fan_in, linear.activation);
        Some(Self { layer: (*name).to_owned(), depth: hidden.len(), point: MapPoint::new(activation, weight, bias) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;
    use crate::recipe::{Recipe, expand};

    /// The table of Schoenholz's setting, by an independent program: weight variance, 6 xi_c.
    #[test]
    fn depths_of_tanh() {
        for (weight, depth) in [(0.5, 7.15), (0.8, 13.77), (1.0, 21.76), (1.3, 47.00), (4.0, 41.88)] {
            let point = MapPoint::new(Activation::tanh(), weight, 0.05);
            let correlation = 6.0 * point.correlation_depth.unwrap();
            assert!((correlation - depth).abs() < 0.01, "{weight}: {point:?}");
            assert!(point.trainable_depth.unwrap() <= correlation + 1e-9);
        }
    }

    #[test]
    fn the_critical_line_has_no_limit_by_the_gradient() {
        let map = PhaseMap::new(Activation::tanh(), None);
        for critical in map.critical.iter().flatten() {
            assert_eq!(critical.phase, Phase::Critical, "{critical:?}");
        }
        assert!((map.critical[3].unwrap().weight_variance - 1.76095464).abs() < 1e-7);
        // Rows are ordered on the left and chaotic on the right.
        for row in &map.rows {
            assert_eq!((row[0].phase, row[row.len() - 1].phase), (Phase::Ordered, Phase::Chaotic));
        }
    }

    #[test]
    fn every_activation_has_a_map() {
        for activation in Activation::all() {
            let map = PhaseMap::new(activation, None);
            let points = map.rows.iter().flatten();
            assert!(points.clone().all(|point| point.chi.is_finite() || point.phase == Phase::Chaotic), "{activation}");
            assert!(points.flat_map(|point| point.trainable_depth).all(|depth| depth > 0.0), "{activation}");
        }
    }

    #[test]
    fn a_network_stands_where_its_initialiser_puts_it() {
        let network = expand::network(&Recipe::default(), Shape::vector(64), 10).unwrap();
        let place = PhaseMap::new(Activation::relu(), Some(&network)).network.unwrap();
        assert!((place.point.weight_variance - 1.0 / 3.0).abs() < 1e-12);
        assert!((place.point.chi - 1.0 / 6.0).abs() < 1e-9 && place.depth == 30, "{place:?}");
    }
}
