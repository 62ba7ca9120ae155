//! Repairs of a training in progress: when a rule finds something, what could be done about it without starting anew is
//! tried on copies of the training, and the best one is applied if it helps.
//!
//! A repair is one file and one line in `TABLE`. Some change settings from here on, some change weights and optimizer
//! state together. What nobody asked for is never done, and what is done stands in the record.

pub mod dormant;
mod edit;
pub mod gauge;
mod healer;
mod settings;

use isogain_core::rules::{Case, Finding};

use crate::check::Subject;
use crate::train::Trainer;

pub(crate) use healer::Surroundings;
pub use healer::{Healer, Healing};

/// Something that can be done to a training in progress.
struct Repair {
    /// The rules that it is an answer to; `None` where findings themselves name what to do.
    answers: Option<&'static [&'static str]>,
    /// The copies of this training that it makes, treated: what was chosen, in words, beside each. None where it does
    /// not apply.
    treat: fn(&Trainer, &Situation<'_>) -> Vec<Treated>,
}

/// A copy of a training to which something was done.
struct Treated {
    /// Name of the remedy.
    remedy: &'static str,
    /// What was chosen, for people.
    parameters: String,
    trainer: Trainer,
}

/// What a repair may look at.
struct Situation<'a> {
    /// The network and its data.
    subject: &'a Subject,
    /// What was measured up to now.
    case: Case<'a>,
    /// What is wrong.
    finding: &'a Finding,
}

/// Every repair: settings that remedies change, then what acts on the network itself.
static TABLE: [&Repair; 3] = [&settings::REPAIR, &gauge::REPAIR, &dormant::REPAIR];

#[cfg(test)]
mod tests;
