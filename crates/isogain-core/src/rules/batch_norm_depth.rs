//! A plain network with so many batch norms that their known factors multiply into an explosion.

use super::finding::{factor, number};
use super::measure::backward;
use super::small_batch_norm::rows;
use super::{Case, Finding, Rule};
use crate::network::OpKind;
use crate::recipe::Level;
use crate::theory::activations::Activation;
use crate::theory::batch_norm::gradient_factor;

pub(super) static RULE: Rule = Rule {
    name: "batch-norm-depth",
    code: "G024",
    summary: "more batch norms in a row than a plain network bears",
    page: include_str!("batch-norm-depth.md"),
    explains: &[
        "exploding-gradient",
        "learning-rate-too-high",
        "clipping-dominates",
        "frozen-layer",
        "diverging-loss",
        "stale-statistics",
        "loss-at-chance",
        "non-finite",
        "shattered-gradient",
    ],
    check,
};

/// Growth of the gradient, nepers, from which on training suffers: 30 layers of ReLU at batch 64 (5.8) reach 90 % and
/// more of the digits, 40 of them (7.8) and 80 of tanh (7.0) keep 0.6 of the first loss.
const SUFFERS: f64 = 6.5;
/// Growth beyond which it fails, ln 1e4: 80 layers of ReLU (15.8) stay at chance.
const FAILS: f64 = 9.21;
/// Batch over which the mean squared factor is finite.
const FINITE: usize = 4;

fn check(case: &Case<'_>) -> Option<Finding> {
    let longest = segments(case).into_iter().max_by(|a, b| a.growth.total_cmp(&b.growth))?;
    let (first, last) = (longest.norms.first()?, longest.norms.last()?);
    // The closed form is of unit gammas and layers much wider than the batch is deep; the gradient must show it.
    let measured = backward(case.start, true).map_or(0.0, |span| span.log_gain);
    let growth = longest.growth.min(measured);
    if growth.is_nan() || growth < SUFFERS {
        return None;
    }
    let level = if growth > FAILS { Level::Deny } else { Level::Warn };
    let per_layer = longest.growth / (longest.norms.len() - 1) as f64;
    let message = format!(
        "{} batch norms in a row without a skip: each makes the gradient x{} larger, {} in all",
        longest.norms.len(),
        number(per_layer.exp()),
        factor(longest.growth)
    );
    let mut finding = Finding::new(RULE.name, level, [first, last], message)
        .against("ln of the gradient's growth in closed form", longest.growth, FAILS, SOURCE)
        .against("ln of the gradient's growth, measured", measured, FAILS, SOURCE)
        .with("batch norms in a row that suffer", SUFFERS / per_layer)
        .remedies(&["add-skip", "insert-layer-norm", "swap-activation", "change-learning-rate"]);
    finding.theory = super::expectation::line(case);
    Some(finding)
}

const SOURCE: &str =
    "at batch 64, 30 layers of ReLU (5.8) learn the digits, 40 (7.8) keep 0.6 of the loss, 80 (15.8) all of it";

/// Batch norms that follow each other without a skip around them.
#[derive(Default)]
struct Segment<'a> {
    norms: Vec<&'a str>,
    /// ln of the RMS factor of the gradient from the last norm back to the first.
    growth: f64,
}

fn segments<'a>(case: &Case<'a>) -> Vec<Segment<'a>> {
    let mut found = vec![Segment::default()];
    let mut before: Option<usize> = None;
    let mut activation = Activation::linear();
    for op in &case.network.ops {
        let Some(segment) = found.last_mut() else { break };
        match &op.kind {
            // At the start batch renormalisation is batch norm.
            OpKind::Norm(norm) if norm.norm.is_over_batch() => {
                if let Some(rows) = before {
                    segment.growth += 0.5 * gradient_factor(activation, rows.max(FINITE)).ln();
                }
                segment.norms.push(&op.name);
                before = Some(rows(case, op, norm));
                activation = Activation::linear();
            }
            OpKind::Activation { activation: phi } => activation = *phi,
            OpKind::Linear(_) | OpKind::Convolution(_) | OpKind::Pool(_) | OpKind::Flatten(_) => {}
            OpKind::Dropout(_) | OpKind::StochasticDepth(_) | OpKind::AuxiliaryHead(_) => {}
            // A skip goes around what it holds, another norm undoes the scale, and the rest is beyond the closed form.
            OpKind::Norm(_)
            | OpKind::Residual(_)
            | OpKind::Embedding(_)
            | OpKind::Recurrent(_)
            | OpKind::QkNorm(_)
            | OpKind::Attention(_)
            | OpKind::Softmax
            | OpKind::Other(_) => {
                found.push(Segment::default());
                before = None;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Bench;

    fn ask(depth: usize, more: &str) -> Option<Finding> {
        let recipe =
            format!("[network]\ndepth = {depth}\nwidth = 32\ninit = \"glorot-normal\"\nnorm = \"batch\"\n{more}\n");
        Bench::new(&recipe).ask("batch-norm-depth")
    }

    #[test]
    fn depth_and_activation_decide() {
        assert_eq!(ask(30, ""), None);
        assert_eq!(ask(40, "").unwrap().level, Level::Warn);
        let finding = ask(80, "").unwrap();
        assert_eq!((finding.level, finding.layers), (Level::Deny, ["norm1".into(), "norm80".into()]));
        assert_eq!(ask(60, "activation = \"tanh\""), None);
        // 79 times 1/2 ln 1.4931, of theory alone.
        assert!((finding.evidence[0].value.unwrap() - 15.83).abs() < 0.01, "{:?}", finding.evidence);
    }

    #[test]
    fn skips_and_other_norms_hold_the_scale() {
        assert_eq!(ask(80, "kind = \"residual\""), None);
        let layer = "[network]\ndepth = 80\nwidth = 32\ninit = \"glorot-normal\"\nnorm = \"layer\"\n";
        assert_eq!(Bench::new(layer).ask("batch-norm-depth"), None);
    }

    /// One cause is named: the explosion is its consequence.
    #[test]
    fn explains_the_explosion() {
        let recipe = "[network]\ndepth = 80\nwidth = 32\ninit = \"glorot-normal\"\nnorm = \"batch\"\n";
        let found = Bench::new(recipe).diagnose();
        assert_eq!((found.len(), found[0].rule.as_str()), (1, "batch-norm-depth"), "{found:#?}");
        assert!(found[0].consequences.iter().any(|finding| finding.rule == "exploding-gradient"));
    }
}
