//! Weights whose variance follows another number than that of their inputs.

use std::collections::HashMap;

use super::finding::factor;
use super::measure::{by_name, scale_invariant};
use super::{Case, Finding, Rule};
use crate::network::{Convolution, OpKind};
use crate::recipe::Level;
use crate::record::ParameterRecord;

pub(super) static RULE: Rule = Rule {
    name: "fan-mismatch",
    code: "G027",
    summary: "weights are scaled by another number than that of their inputs",
    page: include_str!("fan-mismatch.md"),
    explains: &[
        "saturated-head",
        "forward-overflow",
        "exploding-activation",
        "vanishing-activation",
        "saturated-units",
        "exploding-gradient",
        "vanishing-gradient",
        "learning-rate-too-high",
        "dead-units",
        "clipping-dominates",
        "diverging-loss",
        "loss-at-chance",
        "non-finite",
        "exploding-through-time",
    ],
    check,
};

/// Growth of the signal over what the same numbers with the right fan give, nepers: a factor of 2 takes ten logits of
/// size 1 to where softmax freezes, sqrt(2 ln 10) = 2.1.
const GROWS: f64 = std::f64::consts::LN_2;
/// Loss of the signal. Drawing all layers by their outputs keeps the gradient, which is as good (He et al. 2015), until
/// biases drown what is left: a factor of 10.
const SHRINKS: f64 = -std::f64::consts::LN_10;
/// Standard errors by which ln Var W of a layer may miss what the others say.
const STANDARD_ERRORS: f64 = 4.0;
/// The same beside chance: distributions that are cut off, and their corrections.
const SLACK: f64 = 0.02;
/// Fewest layers that can agree on a number.
const ENOUGH: usize = 3;

/// What variances may be in inverse proportion to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fan {
    Inputs,
    Outputs,
    Both,
    Largest,
    Channels,
    Nothing,
}

impl Fan {
    /// What initialisers mean: He and LeCun, Glorot, orthogonal, a fixed deviation.
    const MEANT: [Self; 4] = [Self::Inputs, Self::Both, Self::Largest, Self::Nothing];
    const MISTAKEN: [Self; 2] = [Self::Outputs, Self::Channels];

    fn of(self, weight: &Weight<'_>) -> f64 {
        let (inputs, outputs) = (weight.inputs as f64, (weight.channels_out * weight.taps) as f64);
        match self {
            Self::Inputs => inputs,
            Self::Outputs => outputs,
            Self::Both => 0.5 * (inputs + outputs),
            Self::Largest => inputs.max(outputs),
            Self::Channels => inputs / weight.taps as f64,
            Self::Nothing => 1.0,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Outputs => "their number of outputs",
            Self::Channels => "their channels, without the taps of the kernel",
            Self::Inputs | Self::Both | Self::Largest | Self::Nothing => "",
        }
    }
}

/// A weight on the main path, before training.
struct Weight<'a> {
    op: &'a str,
    inputs: usize,
    channels_out: usize,
    taps: usize,
    log_variance: f64,
    /// Standard error of that for normal numbers, the widest of the usual ones.
    error: f64,
}

fn check(case: &Case<'_>) -> Option<Finding> {
    let weights = weights(case);
    if weights.len() < ENOUGH || Fan::MEANT.iter().any(|&fan| explains(fan, &weights)) {
        return None;
    }
    let fan = Fan::MISTAKEN.into_iter().find(|&fan| explains(fan, &weights))?;
    // What the signal is behind each layer, over what it were with the same constant and the right fan.
    let mut sum = 0.0;
    let course: Vec<(&str, f64)> = weights
        .iter()
        .map(|weight| {
            sum += 0.5 * (Fan::Inputs.of(weight) / fan.of(weight)).ln();
            (weight.op, sum)
        })
        .collect();
    let (at, change) = course.iter().copied().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    let (level, limit, source) = if change > GROWS {
        (Level::Warn, GROWS, "a factor of 2 takes ten logits of size 1 to where softmax freezes")
    } else if change < SHRINKS {
        (Level::Note, SHRINKS, "a tenth of the signal; the gradient keeps its size (He et al. 2015)")
    } else {
        return None;
    };
    let (first, last) = (weights.first()?.op, weights.last()?.op);
    let message = format!(
        "the weights from {first} to {last} are scaled by {}: the signal is x{} of what is meant at {at}",
        fan.words(),
        factor(change)
    );
    let spread = |fan: Fan| deviations(fan, &weights).into_iter().fold(0.0, |most: f64, (off, _)| most.max(off.abs()));
    Some(
        Finding::new(RULE.name, level, [first, last], message)
            .against(format!("ln of the signal at {at}, over what is meant"), change, limit, source)
            .with("largest deviation of ln(Var W x inputs) from the layers' mean", spread(Fan::Inputs))
            .against(
                format!("the same with {}", fan.words()),
                spread(fan),
                STANDARD_ERRORS * weights.iter().map(|weight| weight.error).fold(0.0, f64::max) + SLACK,
                "four standard errors of a variance of so many weights",
            )
            .with("fan_in Var W of the first of them", number_of(&weights[0]))
            .remedies(&["rescale-init", "lsuv-init", "orthogonal-init", "insert-batch-norm", "insert-layer-norm"]),
    )
}

fn number_of(weight: &Weight<'_>) -> f64 {
    weight.inputs as f64 * weight.log_variance.exp()
}

/// By how much each weight's ln(Var W x fan) misses the mean of all, and its standard error.
fn deviations(fan: Fan, weights: &[Weight<'_>]) -> Vec<(f64, f64)> {
    let value = |weight: &Weight<'_>| weight.log_variance + fan.of(weight).ln();
    let precision = |weight: &Weight<'_>| weight.error.powi(-2);
    let mean = weights.iter().map(|weight| precision(weight) * value(weight)).sum::<f64>()
        / weights.iter().map(precision).sum::<f64>();
    weights.iter().map(|weight| (value(weight) - mean, weight.error)).collect()
}

fn explains(fan: Fan, weights: &[Weight<'_>]) -> bool {
    deviations(fan, weights).iter().all(|(off, error)| off.abs() <= STANDARD_ERRORS * error + SLACK)
}

/// The weights before the head, outside of branches, whose size is not undone by a norm.
fn weights<'a>(case: &Case<'a>) -> Vec<Weight<'a>> {
    let records = by_name(&case.start.parameters);
    let normed = scale_invariant(&case.network.ops);
    let body = &case.network.ops[..case.network.head().unwrap_or(0)];
    body.iter()
        .filter(|op| !normed.contains(op.name.as_str()))
        .filter_map(|op| match &op.kind {
            OpKind::Linear(linear) if linear.tied.is_none() => Some((&op.name, linear, 1)),
            OpKind::Convolution(Convolution { linear, window: Some(window) }) => {
                Some((&op.name, linear, window.taps().max(1)))
            }
            _ => None,
        })
        .filter_map(|(name, linear, taps)| weight(&records, name, (linear.fan_in, linear.fan_out, taps)))
        .collect()
}

fn weight<'a>(
    records: &HashMap<&str, &ParameterRecord>,
    op: &'a str,
    (inputs, channels_out, taps): (usize, usize, usize),
) -> Option<Weight<'a>> {
    let moments = &records.get(format!("{op}.weight").as_str())?.weight;
    let variance = moments.mean_square().filter(|&square| square > 0.0 && square.is_finite())?;
    let error = (2.0 / moments.finite() as f64).sqrt();
    Some(Weight { op, inputs, channels_out, taps, log_variance: variance.ln(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Window;
    use crate::rules::fixture::Bench;

    /// A plain network of these widths, layer l drawn with variance 2 / fan(inputs, outputs).
    fn bench(widths: &[usize], fan: impl Fn(f64, f64) -> f64) -> Bench {
        let mut inputs = 64;
        let mut layers = String::new();
        for &width in widths {
            let variance = 2.0 * inputs as f64 / fan(inputs as f64, width as f64);
            layers += &format!(
                "{{ linear = {width}, init = {{ name = \"normal\", weight_variance = {variance:?} }} }}, {{ activation = \"relu\" }}, "
            );
            inputs = width;
        }
        Bench::new(&format!("[network]\nkind = \"layers\"\nlayers = [{layers}{{ linear = 10 }}]\n"))
    }

    const FUNNEL: [usize; 4] = [128, 64, 32, 12];

    #[test]
    fn only_the_number_of_outputs_is_a_mistake() {
        let finding = bench(&FUNNEL, |_, outputs| outputs).ask("fan-mismatch").unwrap();
        assert_eq!((finding.level, &finding.layers[1]), (Level::Warn, &"fc4".to_owned()));
        // 1/2 ln(64 / 12), telescoped.
        assert!((finding.evidence[0].value.unwrap() - 0.837).abs() < 1e-3, "{:?}", finding.evidence[0]);
        assert_eq!(bench(&FUNNEL, |inputs, _| inputs).ask("fan-mismatch"), None);
        assert_eq!(bench(&FUNNEL, |inputs, outputs| 0.5 * (inputs + outputs)).ask("fan-mismatch"), None);
        assert_eq!(bench(&FUNNEL, |_, _| 100.0).ask("fan-mismatch"), None, "a fixed deviation");
        assert_eq!(bench(&FUNNEL, f64::max).ask("fan-mismatch"), None, "orthogonal");
        assert_eq!(bench(&[64, 64, 64, 64], |_, outputs| outputs).ask("fan-mismatch"), None, "the same number");
        assert_eq!(bench(&[48, 96, 48, 96], |_, outputs| outputs).ask("fan-mismatch"), None, "as good as the inputs");
    }

    #[test]
    fn a_norm_undoes_it() {
        let mut bench = bench(&FUNNEL, |_, outputs| outputs);
        let norm = crate::network::Norm::new(crate::network::NormKind::Batch, 128, 1e-5);
        for op in &mut bench.network.ops {
            if matches!(op.kind, OpKind::Activation { .. }) {
                op.kind = OpKind::Norm(norm.clone());
            }
        }
        assert_eq!(bench.ask("fan-mismatch"), None);
    }

    /// The taps of a kernel forgotten: 3x3 convolutions drawn by their channels, 1x1 ones by the same rule.
    #[test]
    fn taps_count_as_inputs() {
        let mut bench = bench(&[64, 128, 64, 32], |inputs, _| inputs);
        for op in bench.network.ops.iter_mut().take(7).step_by(4) {
            let OpKind::Linear(linear) = &op.kind else { continue };
            let mut linear = linear.clone();
            linear.fan_in *= 9;
            let one = Window::of_neighbours();
            let window = Window { grid: [8, 8], size: [3, 3], stride: one, padding: one, dilation: one };
            op.kind = OpKind::Convolution(Convolution { linear, window: Some(window) });
        }
        let finding = bench.ask("fan-mismatch").unwrap();
        assert!(finding.message.contains("without the taps of the kernel"), "{}", finding.message);
        assert!((finding.evidence[0].value.unwrap() - 9f64.ln()).abs() < 1e-9);
    }
}
