//! What was done about a finding while the run went on.

use serde::{Deserialize, Serialize};

/// One finding's repairs, tried on copies of the training and compared over the same batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Healed {
    /// The rule that found something.
    pub rule: String,
    /// Optimizer updates done when it was found.
    pub found: u64,
    /// Optimizer updates done where the training goes on: fewer where it went back to an earlier state.
    pub step: u64,
    /// Where the comparison ended. Losses are means over the batches of its last updates.
    pub until: u64,
    /// The last updates that losses are means over.
    pub over: u64,
    /// Loss of the copy that nothing was done to; `None` where it broke.
    pub untreated: Option<f64>,
    /// What was tried.
    pub tried: Vec<Attempt>,
    /// Which of them was applied; `None` where none was better, so that nothing was changed.
    pub applied: Option<usize>,
    /// The whole recipe from here on, as TOML; `None` where no setting was changed.
    pub recipe: Option<String>,
}

/// One repair that was tried on a copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Name of the remedy.
    pub remedy: String,
    /// What was chosen, for people.
    pub parameters: String,
    /// Optimizer updates done where the copy began.
    pub step: u64,
    /// Optimizer updates done where its loss was taken; fewer than the others' where it had fallen behind.
    pub until: u64,
    /// Its loss; `None` where it broke.
    pub loss: Option<f64>,
}

impl Attempt {
    /// `clip-by-global-norm (threshold = 0.5)`.
    pub fn name(&self) -> String {
        if self.parameters.is_empty() { self.remedy.clone() } else { format!("{} ({})", self.remedy, self.parameters) }
    }
}

impl Healed {
    /// What was applied.
    pub fn repair(&self) -> Option<&Attempt> {
        self.applied.and_then(|index| self.tried.get(index))
    }

    /// The whole story in a sentence.
    pub fn sentence(&self) -> String {
        let Self { rule, found, step, until, over, untreated, tried, .. } = self;
        let from = until.saturating_sub(*over);
        let number = |loss: Option<f64>| loss.map_or_else(|| "not finite".to_owned(), |loss| format!("{loss:.3}"));
        let copies = if tried.len() == 1 { "1 repair".to_owned() } else { format!("{} repairs", tried.len()) };
        let Some(repair) = self.repair() else {
            return format!(
                "step {found}: {rule}: nothing changed: of {copies} tried on copies until step {until}, none made the \
                 loss of the last {over} batches 10 % smaller than {}",
                number(*untreated)
            );
        };
        let back = if step < found { format!(", back at step {step}") } else { String::new() };
        format!(
            "step {found}: {rule}: {}{back}: loss {} from step {from} to {until}, {} without it ({copies} tried on \
             copies)",
            repair.name(),
            number(repair.loss),
            number(*untreated)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples::healed;

    #[test]
    fn a_sentence_tells_what_was_done_and_what_it_brought() {
        let broke = Healed { untreated: None, ..healed() };
        insta::assert_snapshot!(
            broke.sentence(),
            @"step 40: diverging-loss: clip-by-global-norm (threshold = 0.5), back at step 25: loss 0.250 from step 90 to 140, not finite without it (2 repairs tried on copies)"
        );
        let nothing = Healed { applied: None, untreated: Some(2.3), step: 40, ..healed() };
        insta::assert_snapshot!(
            nothing.sentence(),
            @"step 40: diverging-loss: nothing changed: of 2 repairs tried on copies until step 140, none made the loss of the last 50 batches 10 % smaller than 2.300"
        );
    }
}
