//! When each rule can be trusted while training runs in another framework: one line for each, with the reason.

/// When a rule may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the first step, at once: it is about data, weights or sizes as they are before training.
    Start,
    /// At any step until the network has learned, once it has lasted.
    Lasting,
    /// The same, where every operation is known to read the output of the one before it.
    Chain,
    /// At any step, once it has lasted.
    Always,
    /// Where the number of planned steps is known and the network learns from scratch, once it has lasted.
    Planned,
    /// While the loss runs away: at once where it is not finite, else once it has lasted.
    Loss,
    /// At any step, at once.
    Finite,
    /// Never, for this reason.
    Never(&'static str),
}

/// Every rule. The order is that of the rules' table.
pub static TABLE: [(&str, When); 38] = [
    ("unscaled-input", When::Start),
    ("unscaled-target", When::Start),
    ("symmetric-weights", When::Start),
    ("blocked-output", When::Chain),
    ("fan-mismatch", When::Start),
    ("unscaled-residual", When::Never("statistics of operations do not show which of them are branches")),
    ("small-batch-norm", When::Start),
    ("inconsistent-gradient", When::Never("statistics of weights and of gradients do not show their products")),
    ("norm-placement", When::Never("statistics of operations do not show which of them are branches")),
    ("batch-norm-depth", When::Never("statistics of operations do not show which of them are branches")),
    ("logit-growth", When::Never("statistics of operations do not show logits")),
    ("attention-entropy-collapse", When::Never("statistics of operations do not show attention weights")),
    ("rank-collapse", When::Never("statistics of operations do not show single positions")),
    ("saturated-head", When::Start),
    ("forward-overflow", When::Start),
    ("exploding-through-time", When::Never("statistics of operations do not show single time steps")),
    ("exploding-activation", When::Start),
    ("vanishing-activation", When::Chain),
    ("saturated-units", When::Lasting),
    ("forget-gate-closed", When::Never("statistics of operations do not show gates")),
    ("vanishing-through-time", When::Never("statistics of operations do not show single time steps")),
    ("exploding-gradient", When::Lasting),
    ("vanishing-gradient", When::Lasting),
    ("shattered-gradient", When::Never("it needs a pass over neighbouring inputs")),
    ("gradient-underflow", When::Lasting),
    ("gradient-below-eps", When::Lasting),
    ("learning-rate-too-high", When::Never("it needs the curvature; diverging-loss is its sign while training runs")),
    ("dead-units", When::Always),
    ("exactly-zero-gradient", When::Lasting),
    ("learning-rate-too-low", When::Planned),
    ("clipping-dominates", When::Never("gradients are seen after clipping only")),
    ("frozen-embedding", When::Planned),
    ("frozen-layer", When::Planned),
    ("diverging-loss", When::Loss),
    ("non-finite", When::Finite),
    ("stale-statistics", When::Never("it needs the end of the run")),
    ("loss-at-chance", When::Never("it needs the end of the run")),
    ("too-few-steps", When::Never("it needs the end of the run")),
];

/// When the rule of that name may speak; an unknown one never.
pub fn when(rule: &str) -> When {
    let found = TABLE.iter().find(|(name, _)| *name == rule);
    found.map_or(When::Never("unknown rule"), |(_, when)| *when)
}

#[cfg(test)]
mod tests {
    use crate::rules;

    #[test]
    fn every_rule_has_its_line() {
        let here: Vec<&str> = super::TABLE.iter().map(|(name, _)| *name).collect();
        let rules: Vec<&str> = rules::TABLE.iter().map(|rule| rule.name).collect();
        assert_eq!(here, rules);
    }
}
