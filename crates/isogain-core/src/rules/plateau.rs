//! Whether a flat stretch of the loss ends by itself: from the growth of the gradients on it.

use std::collections::HashSet;

use super::Case;
use super::finding::number;
use crate::network::OpKind;
use crate::recipe::{OptimizerName, ScheduleKind};
use crate::theory::plateau::Forecast;

/// Part of the run that is left out at its start: there the head's biases learn the class frequencies, which takes the
/// largest part of every gradient away, and random weights fall into line. Of 18 trainings of 3 to 8 matrices on the digits
/// (tanh, ReLU, linear; flat for 170 to 880 steps), asked at a half and at three quarters of their plateau, the last two
/// thirds told 0.7 to 2.0 times the steps that were left; all but the first tenth told up to 2.9 times.
const SETTLES: f64 = 1.0 / 3.0;

/// What the recorded gradients say of a run that was flat to its end. `None` where the law of growth does not hold: with
/// skips or norms, with activations that have a value at 0, under optimizers that rescale the gradient, and under a rate
/// that changes.
pub(super) fn forecast(case: &Case<'_>) -> Option<Forecast> {
    let by_gradient = [OptimizerName::Sgd, OptimizerName::Momentum, OptimizerName::Nesterov];
    let steps = case.history.last()?.step as f64;
    let from = SETTLES * steps;
    let schedule = &case.recipe.schedule;
    let is_constant = match schedule.kind {
        ScheduleKind::Constant => true,
        ScheduleKind::WarmUp => (schedule.warm_up as f64) < from,
        ScheduleKind::Cosine | ScheduleKind::Step => false,
    };
    if !is_constant || !by_gradient.contains(&case.recipe.optimizer.name) {
        return None;
    }
    let layers = product(case)?;
    let is_one = |name: &str| name.strip_suffix(".weight").is_some_and(|layer| layers.contains(layer));
    let mut points = Vec::new();
    for record in case.history.iter().filter(|record| record.step as f64 >= from) {
        let weights = record.parameters.iter().filter(|parameter| is_one(&parameter.name));
        let (sum, found) = weights.fold((0.0, 0), |(sum, found), one| (sum + one.gradient.norm().ln(), found + 1));
        if found != layers.len() {
            return None;
        }
        points.push((record.step as f64, sum / found as f64));
    }
    Forecast::new(&points, layers.len())
}

/// The layers whose weights a chain multiplies.
fn product<'a>(case: &Case<'a>) -> Option<HashSet<&'a str>> {
    let mut layers = HashSet::with_capacity(case.network.ops.len());
    for op in &case.network.ops {
        match &op.kind {
            OpKind::Linear(_) | OpKind::Convolution(_) => {
                layers.insert(op.name.as_str());
            }
            OpKind::Activation { activation } if activation.value(0.0) == 0.0 => {}
            OpKind::Pool(_) | OpKind::Flatten(_) | OpKind::Dropout(_) => {}
            _ => return None,
        }
    }
    Some(layers)
}

/// The forecast in words, as the end of a sentence.
pub(super) fn words(forecast: Forecast) -> String {
    match forecast {
        Forecast::Ends { steps, .. } => {
            format!("; its gradients grow: expect some {} more flat steps, by order of magnitude", about(steps))
        }
        Forecast::Far { .. } => "; its gradients hardly grow: no end within ten times this run".to_owned(),
        Forecast::NoGrowth { .. } => "; its gradients do not grow: it will not leave by itself".to_owned(),
    }
}

/// One digit: `300`, `20000`.
fn about(steps: f64) -> String {
    let rounded: f64 = format!("{:.0e}", steps.max(1.0)).parse().unwrap_or(steps);
    if rounded < 1e7 { format!("{rounded:.0}") } else { number(rounded) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ParameterRecord, StepRecord};
    use crate::rules::fixture::Bench;
    use crate::statistics::Moments;

    /// A run whose gradients have ln|dW| = `log_norm(step)` at every tenth of 400 steps.
    fn run(recipe: &str, log_norm: fn(f64) -> f64) -> Bench {
        let mut bench = Bench::new(recipe);
        bench.finish((0..400).map(|_| std::f64::consts::LN_10));
        let parameters: Vec<ParameterRecord> = bench.start.parameters.clone();
        let at = |step: u64| {
            let norm = log_norm(step as f64).exp();
            let gradient = Moments { count: 1, sum_of_squares: norm * norm, ..Moments::default() };
            StepRecord {
                step,
                loss: 2.3,
                learning_rate: 0.05,
                joints: Vec::new(),
                parameters: parameters
                    .iter()
                    .map(|parameter| ParameterRecord { gradient, ..parameter.clone() })
                    .collect(),
                clip: None,
                scaling: None,
                snapshot: None,
                histograms: Vec::new(),
            }
        };
        bench.history = (0..40).map(|tenth| at(10 * tenth)).collect();
        bench
    }

    const PLAIN: &str = "[network]\ndepth = 3\nwidth = 16\nactivation = \"tanh\"\n";

    /// |dW|^(-2/3) of four matrices falls to zero at step 1000.
    fn grows(step: f64) -> f64 {
        -1.5 * (1000.0 - step).ln()
    }

    #[test]
    fn a_plateau_that_ends_and_one_that_does_not() {
        let ends = run(PLAIN, grows);
        let Some(Forecast::Ends { steps, .. }) = forecast(&ends.case()) else { panic!("{:?}", forecast(&ends.case())) };
        assert!((steps - 610.0).abs() < 1.0, "{steps}");
        let finding = ends.ask("loss-at-chance").unwrap();
        assert!(
            finding.message.ends_with("its gradients grow: expect some 600 more flat steps, by order of magnitude")
        );
        assert!(finding.evidence.iter().any(|evidence| evidence.name.starts_with("flat steps still to come")));
        let far = run(PLAIN, |step| 1e-4 * step).ask("loss-at-chance").unwrap();
        assert!(far.message.ends_with("no end within ten times this run"), "{}", far.message);
        let dead = run(PLAIN, |step| -9.0 + 0.1 * step.sin());
        let finding = dead.ask("loss-at-chance").unwrap();
        assert!(
            finding.message.ends_with("its gradients do not grow: it will not leave by itself"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn elsewhere_there_is_no_such_law() {
        for other in [
            "[network]\ndepth = 3\nwidth = 16\nnorm = \"batch\"\n",
            "[network]\ndepth = 3\nwidth = 16\nkind = \"residual\"\n",
            "[network]\ndepth = 3\nwidth = 16\nactivation = \"sigmoid\"\n",
            "[network]\ndepth = 3\nwidth = 16\n[optimizer]\nname = \"adam\"\n",
            "[network]\ndepth = 3\nwidth = 16\n[schedule]\nkind = \"cosine\"\n",
            // Two matrices grow exponentially.
            "[network]\ndepth = 1\nwidth = 16\n",
        ] {
            assert_eq!(forecast(&run(other, grows).case()), None, "{other}");
        }
    }

    #[test]
    fn one_digit_is_enough() {
        assert_eq!([0.2, 7.4, 612.0, 15_400.0, 3.2e9].map(about), ["1", "7", "600", "20000", "3.0e9"]);
    }
}
