//! A head whose own weights are so large that the softmax starts with its mind made up.

use super::finding::number;
use super::measure::by_name;
use super::{Case, Finding, Rule};
use crate::network::{Loss, OpKind};
use crate::recipe::Level;
use crate::statistics::median;

pub(super) static RULE: Rule = Rule {
    name: "saturated-head",
    code: "G025",
    summary: "the head is so large that the softmax starts saturated",
    page: include_str!("saturated-head.md"),
    explains: &[
        "exploding-activation",
        "exploding-gradient",
        "learning-rate-too-high",
        "dead-units",
        "clipping-dominates",
        "diverging-loss",
        "loss-at-chance",
        "non-finite",
    ],
    check,
};

/// First loss over that of knowing nothing where the softmax freezes: the mean of `ln sum exp z` over logits of deviation
/// s is ln C + s^2/2, which at the transition s^2 = 2 ln C is 2 ln C.
const FROZEN: f64 = 2.0;
/// The same from which on training fails. Of 42 networks of 30 layers, those that train start below 2, those that fail by
/// too large outputs above 50.
const FAILS: f64 = 10.0;
/// fan_in Var W of the head over that of the other layers, from which on it is the head that is too large: twice their
/// deviation.
const LARGER: f64 = 4.0;

fn check(case: &Case<'_>) -> Option<Finding> {
    let head = case.network.head()?;
    // An activation behind the head has ranges of its own: another rule's.
    let plain =
        case.network.ops[head..].iter().all(|op| !matches!(op.kind, OpKind::Activation { .. } | OpKind::Softmax));
    if case.network.loss != Loss::CrossEntropy || case.network.outputs < 2 || !plain {
        return None;
    }
    let name = case.network.ops[head].name.as_str();
    let flow = &case.start.flow;
    let transition = (2.0 * (case.network.outputs as f64).ln()).sqrt();
    // Inputs that are large by themselves are the body's or the data's fault.
    let input = flow.joints.last().map_or_else(|| case.data.input.rms().unwrap_or(1.0), |joint| joint.activation_rms);
    let output = flow.head.output_rms;
    let gain = output / input.max(1.0);
    let loss = flow.head.loss / case.data.baseline_loss;
    let frozen = gain > transition && loss > FROZEN && loss.is_finite();
    let larger = larger(case, name)?;
    if !frozen || larger < LARGER {
        return None;
    }
    let level = if loss > FAILS { Level::Deny } else { Level::Warn };
    let message = format!(
        "{name} makes logits of RMS {} from inputs of RMS {}: the softmax starts saturated, the loss at {} where knowing \
         nothing costs {}",
        number(output),
        number(input),
        number(flow.head.loss),
        number(case.data.baseline_loss)
    );
    Some(
        Finding::new(RULE.name, level, [name, name], message)
            .against(
                "logits from inputs of RMS 1",
                gain,
                transition,
                "sqrt(2 ln C): beyond it one of C random logits takes the softmax for itself (Derrida 1981)",
            )
            .against(
                "first loss over the loss of knowing nothing",
                loss,
                FAILS,
                "2 where the softmax freezes; networks that train start below 2, those that fail above 50",
            )
            .against("fan_in Var W of the head, over that of the other layers", larger, LARGER, "twice the deviation")
            .remedies(&["rescale-init", "change-learning-rate"]),
    )
}

/// fan_in Var W of the head over the median of the body's; of the table that it shares, if it does. Infinite where the
/// body has no weights.
fn larger(case: &Case<'_>, head: &str) -> Option<f64> {
    let records = by_name(&case.start.parameters);
    let scale = |name: &str, fan_in: usize| {
        Some(fan_in as f64 * records.get(format!("{name}.weight").as_str())?.weight.mean_square()?)
    };
    let (own, body): (Vec<_>, Vec<_>) = case.network.linears().partition(|(op, _)| op.name == head);
    let (op, linear) = own.first()?;
    let own = scale(linear.tied.as_deref().unwrap_or(&op.name), linear.fan_in)?;
    let body = median(body.iter().filter_map(|(op, linear)| scale(&op.name, linear.fan_in)));
    Some(body.map_or(f64::INFINITY, |body| own / body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn bench(variance: f64) -> Bench {
        let head = format!("head_init = {{ name = \"normal\", weight_variance = {variance:?} }}");
        Bench::new(&format!("[network]\ndepth = 3\nwidth = 64\ninit = \"he-normal\"\n{head}\n"))
    }

    #[test]
    fn the_size_of_the_head_decides() {
        let level = |variance| bench(variance).ask("saturated-head").map(|finding| finding.level);
        assert_eq!(level(1.0), None);
        // sqrt 2 ln 10 = 2.15: He's head of twice the variance starts at 1.4.
        assert_eq!(level(2.0), None);
        assert_eq!(level(30.0), Some(Level::Warn));
        assert_eq!(level(2000.0), Some(Level::Deny));
    }

    #[test]
    fn a_body_that_explodes_is_not_the_heads_fault() {
        let recipe = "[network]\ndepth = 30\nwidth = 64\ninit = { name = \"normal\", weight_variance = 3.0 }\n";
        let bench = Bench::new(recipe);
        assert!(bench.start.flow.head.loss > 50.0 && bench.ask("saturated-head").is_none());
    }

    #[test]
    fn explains_the_large_first_loss() {
        let found = bench(2000.0).diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "saturated-head"), "{found:#?}");
    }

    #[test]
    fn regression_has_no_softmax() {
        let recipe = "[data]\ntask = \"regression\"\n[network]\ndepth = 2\nwidth = 64\ninit = \"he-normal\"\nhead_init = { name = \"normal\", weight_variance = 2000.0 }\n";
        assert_eq!(Bench::new(recipe).ask("saturated-head"), None);
    }
}
