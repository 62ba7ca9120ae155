//! Which of five kinds of illness a network's gradient has, since each asks for other remedies.
//!
//! * **scale**: the gradient of any direction gets smaller or larger on its way: one number for each layer mends it;
//! * **spread**: directions fare differently, until few are left: no number mends it, since a factor on every weight leaves
//!   it as it is;
//! * **shatter**: inputs that are neighbours get gradients that have nothing in common;
//! * **cancel**: the gradients of the samples are there, and cancel one another in their sum;
//! * **precision**: the gradient is right, and too small for the optimizer's eps or the number format.
//!
//! Several may hold. Scale and spread are of [`crate::flow::jacobian`], cancellation of the weights' gradients; the other two
//! are what rules look for.

use serde::{Deserialize, Serialize};

use super::measure::{backward, by_joint, min_normal, weights};
use super::{Case, Evidence, Finding, named};
use super::{exploding_gradient, gradient_below_eps, gradient_underflow, shattered_gradient, vanishing_gradient};
use crate::flow::{Asked, Jacobian};
use crate::statistics::median;

/// Directions for each sample below which gradients are too much alike: one, so that the batch has fewer than samples.
const DIRECTIONS: f64 = 1.0;
/// What was measured of it on networks that it was not read from, whose scale is right: the best accuracy of five learning
/// rates after 400 steps (`examples/spread_limit.rs` of the engine; docs/theory.md tells of both).
const DIRECTIONS_SOURCE: &str = "59 of 90 trainings below it stayed under 90 % accuracy, 2 of 71 above";
/// ln of what is left of a weight's gradient against what samples without anything in common leave, ln 0.1. Networks of 30
/// layers, ill ones included, have -1.1 and more before training.
const CANCELS: f64 = -2.303;

/// A kind of illness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The size of any gradient changes on its way.
    Scale,
    /// Directions fare differently.
    Spread,
    /// Neighbours get gradients that have nothing in common.
    Shatter,
    /// The gradients of the samples cancel one another.
    Cancel,
    /// Too small for eps or the number format.
    Precision,
}

impl Kind {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Scale, Self::Spread, Self::Shatter, Self::Cancel, Self::Precision];

    /// Names of the remedies that are meant for it.
    pub fn remedies(self) -> &'static [&'static str] {
        match self {
            Self::Scale => &["rescale-init", "lsuv-init", "unit-jacobian-init", "scale-branches"],
            Self::Spread => &["orthogonal-init", "add-skip", "looks-linear-init"],
            Self::Shatter => &["add-skip", "insert-layer-norm", "looks-linear-init"],
            Self::Cancel => &["insert-batch-norm", "scale-input", "change-learning-rate"],
            Self::Precision => &["smaller-eps", "loss-scaling", "normalise-updates", "orthogonalise-updates"],
        }
    }
}

/// Whether a network has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It has.
    Holds,
    /// It has not.
    Clear,
    /// Nobody knows: it could not be measured.
    Unknown,
}

/// One kind, and what speaks for or against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Which.
    pub kind: Kind,
    /// Whether it holds.
    pub verdict: Verdict,
    /// The numbers.
    pub evidence: Vec<Evidence>,
    /// Why it could not be measured, or was measured in another way, as a sentence without a full stop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left_out: Option<String>,
    /// Names of remedies that are meant for it; empty unless it holds.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub remedies: Vec<String>,
}

impl Told {
    fn new(kind: Kind, holds: bool, evidence: Vec<Evidence>) -> Self {
        let remedies = if holds { kind.remedies() } else { &[] };
        Self {
            kind,
            verdict: if holds { Verdict::Holds } else { Verdict::Clear },
            evidence,
            left_out: None,
            remedies: remedies.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn unknown(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, verdict: Verdict::Unknown, evidence: Vec::new(), left_out: Some(why.into()), remedies: Vec::new() }
    }
}

/// Each of the five kinds, in their order; empty where nobody asked for the Jacobian of the way back.
pub fn differential(case: &Case<'_>) -> Vec<Told> {
    if case.start.flow.jacobian.is_none() {
        return Vec::new();
    }
    vec![scale(case), spread(case), shatter(case), cancel(case), precision(case)]
}

/// The Jacobian, or why there is none.
fn jacobian<'a>(case: &Case<'a>) -> Result<&'a Jacobian, &'a str> {
    match &case.start.flow.jacobian {
        Some(Asked::Told(jacobian)) => Ok(jacobian),
        Some(Asked::LeftOut { left_out }) => Err(left_out),
        None => Err("it was not measured"),
    }
}

fn scale(case: &Case<'_>) -> Told {
    let evidence = |name: String, log_gain: f64| {
        let (limit, source) = if log_gain < 0.0 {
            (-vanishing_gradient::SHRINKS, "healthy networks lose up to 3.0")
        } else {
            (exploding_gradient::RANGE, "tolerated range 1e4 of the gradient's RMS")
        };
        let holds = log_gain.abs() > f64::abs(limit);
        Told::new(Kind::Scale, holds, vec![Evidence::against(name, log_gain, limit, source)])
    };
    // What comes back from the last head is then not all.
    let has_others = case.network.auxiliary_heads().next().is_some();
    let jacobian = if has_others { Err("auxiliary heads add to the gradient on its way") } else { jacobian(case) };
    match jacobian {
        Ok(jacobian) => {
            let apart = if jacobian.from_positions == 0.0 { "" } else { ", fewer positions apart" };
            let name = format!("ln of any direction's gain back to {}{apart}", jacobian.layer);
            evidence(name, jacobian.log_gain - jacobian.from_positions)
        }
        // The gradient that was measured stands for those of other directions.
        Err(why) => {
            let [smallest, largest] = [false, true].map(|largest| backward(case.start, largest));
            let spans = smallest.into_iter().chain(largest);
            let Some(span) = spans.max_by(|a, b| a.log_gain.abs().total_cmp(&b.log_gain.abs())) else {
                return Told::unknown(Kind::Scale, why);
            };
            let name = format!("ln of the measured gradient's gain back to {}", span.first.name);
            Told { left_out: Some(why.to_owned()), ..evidence(name, span.log_gain) }
        }
    }
}

fn spread(case: &Case<'_>) -> Told {
    let jacobian = match jacobian(case) {
        Ok(jacobian) => jacobian,
        Err(why) => return Told::unknown(Kind::Spread, why),
    };
    let name = "directions that are left for each sample";
    let measured = Evidence::against(name, jacobian.directions, DIRECTIONS, DIRECTIONS_SOURCE);
    let spread = Evidence::of("spread of what directions gain", jacobian.spread);
    let alone = Evidence::of("the same if layers lay to one another as by chance", jacobian.independent_spread);
    Told::new(Kind::Spread, jacobian.directions < DIRECTIONS, vec![measured, spread, alone])
}

fn shatter(case: &Case<'_>) -> Told {
    let Some(measured) = &case.start.shattering else {
        return Told::unknown(Kind::Shatter, "inputs that are neighbours were not tried");
    };
    if let Some(finding) = found(case, shattered_gradient::RULE.name) {
        return Told::new(Kind::Shatter, true, finding.evidence.into_iter().take(2).collect());
    }
    let (gradients, limit) = (measured.gradient_correlation, shattered_gradient::GRADIENTS);
    Told::new(
        Kind::Shatter,
        false,
        vec![Evidence::against("correlation of dL/dx between neighbours", gradients, limit, "")],
    )
}

fn cancel(case: &Case<'_>) -> Told {
    match agreement(case) {
        None => Told::unknown(Kind::Cancel, "no weight has a gradient"),
        Some(agreement) => {
            let name = "ln of a weight's gradient over that of unrelated samples, median";
            Told::new(
                Kind::Cancel,
                agreement < CANCELS,
                vec![Evidence::against(name, agreement, CANCELS, "a tenth of it")],
            )
        }
    }
}

/// Median over the weights of ln(|dW| / (|G| rms |x|)): dW = X^T G is a sum over rows, and rows that have nothing in common
/// have a squared sum of |G|^2 times the mean of |x|^2.
fn agreement(case: &Case<'_>) -> Option<f64> {
    let joints = by_joint(&case.start.joints);
    let of = |weight: &crate::flow::WeightGradient| {
        let cotangent = joints.get(weight.name.as_str())?.cotangent.norm().ln();
        Some(weight.log_norm? - cotangent - weight.input_size?).filter(|log| log.is_finite())
    };
    median(case.start.flow.weights.iter().filter_map(of))
}

fn precision(case: &Case<'_>) -> Told {
    let rules = [gradient_underflow::RULE.name, gradient_below_eps::RULE.name];
    match rules.iter().find_map(|rule| found(case, rule)) {
        Some(finding) => Told::new(Kind::Precision, true, finding.evidence.into_iter().take(1).collect()),
        None => Told::new(Kind::Precision, false, smallest(case).into_iter().collect()),
    }
}

/// The smallest weight gradient against eps, or the smallest normal number where the optimizer has none.
fn smallest(case: &Case<'_>) -> Option<Evidence> {
    let sizes = weights(case).into_iter().filter(|weight| !weight.gradient_is_zero());
    let normal = min_normal(case.recipe.run.precision);
    let both = sizes
        .filter_map(|weight| Some((weight.gradient.rms()?, weight.eps.filter(|eps| *eps > 0.0).unwrap_or(normal))));
    let (smallest, limit) = both.min_by(|(a, of_a), (b, of_b)| (a / of_a).total_cmp(&(b / of_b)))?;
    Some(Evidence::against("smallest RMS of a weight's gradient", smallest, limit, ""))
}

fn found(case: &Case<'_>, rule: &str) -> Option<Finding> {
    named(rule).and_then(|rule| (rule.check)(case))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::jacobian::jacobian;
    use crate::flow::reference::Targets;
    use crate::rules::fixture::Bench;

    /// The kinds that hold, all others being known not to.
    fn kinds(mut bench: Bench) -> Vec<Kind> {
        bench.start.flow.jacobian = Some(jacobian(&bench.capture));
        let told = differential(&bench.case());
        println!("{told:#?}");
        assert_eq!(told.iter().map(|told| told.kind).collect::<Vec<_>>(), Kind::ALL);
        assert!(told.iter().all(|told| told.verdict != Verdict::Unknown), "{told:#?}");
        assert!(told.iter().all(|told| told.remedies.is_empty() != (told.verdict == Verdict::Holds)));
        told.iter().filter(|told| told.verdict == Verdict::Holds).map(|told| told.kind).collect()
    }

    fn of(network: &str) -> Vec<Kind> {
        kinds(Bench::new(&format!("[network]\nwidth = 64\n{network}\n")))
    }

    #[test]
    fn every_remedy_has_its_entry_in_the_table() {
        for name in Kind::ALL.iter().flat_map(|kind| kind.remedies()) {
            assert!(crate::remedies::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn scale_alone() {
        assert_eq!(of("depth = 12\nactivation = \"sigmoid\"\ninit = \"glorot-normal\""), [Kind::Scale]);
        assert_eq!(of("depth = 12\ninit = \"glorot-normal\""), [Kind::Scale]);
        let explodes = "depth = 12\nactivation = \"linear\"\ninit = { name = \"normal\", weight_variance = 16.0 }";
        assert_eq!(of(explodes), [Kind::Scale]);
    }

    #[test]
    fn spread_alone() {
        assert_eq!(of("depth = 60\ninit = \"he-normal\""), [Kind::Spread]);
        // The same scale, isometric: nothing.
        assert_eq!(of("depth = 60\nactivation = \"tanh\"\ninit = \"orthogonal\""), []);
    }

    #[test]
    fn shatter_alone() {
        assert_eq!(of("depth = 13\ninit = \"he-normal\"\nnorm = \"batch\""), [Kind::Shatter]);
    }

    const REGRESSION: &str = "[network]\nwidth = 64\ndepth = 5\ninit = \"he-normal\"\n[data]\ntask = \"regression\"\n";

    /// Each sample twice, with opposite targets that are far larger than the outputs.
    #[test]
    fn cancel_alone() {
        let contradict = |inputs: &mut [f64], targets: &mut Targets| {
            for pair in inputs.chunks_exact_mut(2 * 64) {
                let (one, other) = pair.split_at_mut(64);
                other.copy_from_slice(one);
            }
            if let Targets::Outputs(values) = targets {
                for (index, value) in values.iter_mut().enumerate() {
                    *value = if index % 2 == 0 { 100.0 } else { -100.0 };
                }
            }
        };
        assert_eq!(kinds(Bench::with_data(REGRESSION, 0, contradict)), [Kind::Cancel]);
        assert_eq!(kinds(Bench::new(REGRESSION)), [], "the same network on data that agrees");
    }

    #[test]
    fn precision_alone() {
        let adam = |eps: &str| {
            let recipe = "[network]\nwidth = 64\ndepth = 8\ninit = \"he-normal\"\n[optimizer]\nname = \"adam\"\n";
            kinds(Bench::new(&format!("{recipe}learning_rate = 1e-3\neps = {eps}\n")))
        };
        assert_eq!(adam("0.1"), [Kind::Precision]);
        assert_eq!(adam("1e-8"), []);
        // Steps of bits: a loss that is scaled down until half precision loses its gradient.
        let fp16 = |run: &str| {
            let recipe = "[network]\nwidth = 64\ndepth = 8\ninit = \"he-normal\"\n[run]\nprecision = \"fp16\"\n";
            kinds(Bench::new(&format!("{recipe}{run}\n")))
        };
        assert_eq!(fp16("loss_scale = 1e-6"), [Kind::Precision]);
        assert_eq!(fp16("loss_scale = \"dynamic\""), []);
    }

    #[test]
    fn healthy_networks_have_none() {
        for network in [
            "depth = 5\ninit = \"he-normal\"",
            "depth = 10\ninit = \"he-normal\"",
            "kind = \"residual\"\ndepth = 10\nnorm = \"batch\"\ninit = \"he-normal\"",
            "kind = \"residual\"\ndepth = 30\nnorm = \"layer\"\ninit = \"he-normal\"",
            "depth = 10\nactivation = \"tanh\"\ninit = \"glorot-normal\"",
        ] {
            assert_eq!(of(network), [], "{network}");
        }
    }

    #[test]
    fn several_at_once() {
        let adam = "depth = 30\n[optimizer]\nname = \"adam\"\nlearning_rate = 1e-3\n";
        let found = of(adam);
        assert!(found.contains(&Kind::Scale) && found.contains(&Kind::Precision), "{found:?}");
    }

    #[test]
    fn without_a_jacobian_the_measured_gradient_stands_in() {
        let mut bench = Bench::new("[network]\ndepth = 12\nwidth = 32\n");
        assert!(differential(&bench.case()).is_empty(), "nobody asked");
        bench.start.flow.jacobian = Some(Asked::LeftOut { left_out: "conv2 cannot be followed".into() });
        bench.start.shattering = None;
        let told = differential(&bench.case());
        assert_eq!(
            (told[0].verdict, told[1].verdict, told[2].verdict),
            (Verdict::Holds, Verdict::Unknown, Verdict::Unknown)
        );
        assert_eq!(told[0].left_out.as_deref(), Some("conv2 cannot be followed"));
        assert!(told[0].evidence[0].name.contains("measured gradient"), "{:?}", told[0]);
    }
}
