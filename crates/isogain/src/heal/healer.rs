//! When to repair, what to try, and whether it helped: every repair that applies is tried on a copy of the training over
//! the very batches that come next, beside a copy that nothing was done to.
//!
//! A short rehearsal can be wrong about the long run: a smaller learning rate lowers the loss at once wherever steps are
//! noisy. So nothing is tried without a finding, and what does not lower the loss by a tenth is not applied.

use std::collections::VecDeque;

use isogain_core::recipe::{Level, to_toml};
use isogain_core::record::Healed;
use isogain_core::record::healed::Attempt;
use isogain_core::rules::{Case, Finding};

use super::{Situation, TABLE, Treated};
use crate::Error;
use crate::check::Subject;
use crate::train::Trainer;

/// Share of the run's updates that a rehearsal takes, at least and at most so many.
const SHARE: usize = 10;
const FEWEST: usize = 20;
const MOST: usize = 200;

/// Rehearsals at most, each as long as all before it together.
const ROUNDS: usize = 4;

/// Copies that go on where none helped yet.
const KEPT_ON: usize = 3;

/// Share of the untreated copy's loss that a repair must stay below: a tenth is the margin of trials too.
const MARGIN: f64 = 0.9;

/// Times that one rule's finding is answered.
const MOST_PER_RULE: usize = 3;

/// Something that happens while a run is repaired, for people who wait.
#[derive(Clone, Copy, Debug)]
pub enum Healing<'a> {
    /// Repairs are being tried: the finding, how many copies, and how many updates each at most.
    Begins {
        /// What is wrong.
        finding: &'a Finding,
        /// Copies, the untreated one not counted.
        copies: usize,
        /// Updates of each.
        steps: usize,
    },
    /// What came of it.
    Ended(&'a Healed),
}

/// Repairs a training as it goes on.
#[derive(Clone, Debug)]
pub struct Healer {
    /// Updates of a rehearsal.
    steps: usize,
    /// Updates of the whole run.
    end: usize,
    /// The last two states that were kept, the older first: where the newer one already carries what broke the run, the
    /// older does not.
    kept: VecDeque<Trainer>,
}

/// What a repair needs from whoever drives the run.
pub(crate) struct Surroundings<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) case: Case<'a>,
    pub(crate) stopped: &'a dyn Fn() -> bool,
    pub(crate) told: &'a (dyn Fn(Healing<'_>) + Sync),
}

impl Healer {
    /// For a run of so many updates.
    pub fn new(end: usize) -> Self {
        Self { steps: (end / SHARE).clamp(FEWEST, MOST), end, kept: VecDeque::new() }
    }

    /// With the states that an earlier part of the run kept.
    #[must_use]
    pub(crate) fn with_kept(mut self, kept: impl IntoIterator<Item = Trainer>) -> Self {
        self.kept.extend(kept);
        self
    }

    /// The states that are kept, the older first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Trainer> {
        self.kept.iter()
    }

    /// Called before each step: keeps a state now and then.
    pub(crate) fn watch(&mut self, trainer: &Trainer) {
        let is_due = trainer.step.is_multiple_of(self.steps / 2);
        if is_due && !trainer.is_broken() && self.kept.back().is_none_or(|last| last.step < trainer.step) {
            self.kept.push_back(trainer.clone());
            if self.kept.len() > 2 {
                self.kept.pop_front();
            }
        }
    }

    /// Forgets the states of a later step than the one that the run goes on from.
    pub(crate) fn back(&mut self, step: usize) {
        self.kept.retain(|kept| kept.step < step);
    }

    /// Answers a finding: the training as it goes on, with one more entry in what was done to it. `None` where nothing
    /// can be tried: the finding is only a remark, one of its kind was just answered, the run is nearly over, or no
    /// repair applies.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when stopped in the middle; then nothing has changed.
    pub(crate) fn answer(
        &self,
        trainer: &Trainer,
        finding: &Finding,
        around: &Surroundings<'_>,
    ) -> Result<Option<Trainer>, Error> {
        let Some(so_far) = &trainer.healed else { return Ok(None) };
        let mut until = (trainer.step + self.steps).min(self.end);
        let answered = so_far.iter().filter(|healed| healed.rule == finding.rule).count();
        let is_busy = so_far.last().is_some_and(|last| last.applied.is_some() && trainer.step < last.until as usize);
        let is_late = until < trainer.step + FEWEST;
        if finding.level < Level::Warn || answered >= MOST_PER_RULE || is_late || (is_busy && !trainer.is_broken()) {
            return Ok(None);
        }
        let treated = self.treated(trainer, finding, around);
        if treated.is_empty() {
            return Ok(None);
        }
        (around.told)(Healing::Begins { finding, copies: treated.len(), steps: until - trainer.step });
        let mut race = Race::new(trainer, treated, around);
        let best = loop {
            race.run(until)?;
            let best = race.best();
            if best.is_some() || until == self.end || race.rounds == ROUNDS {
                break best;
            }
            // A plateau takes longer to leave: what is ahead goes on, each time as long again.
            race.narrow();
            until = (until + (until - trainer.step)).min(self.end);
        };
        let mut next = best.map_or_else(|| trainer.clone(), |index| race.entries[index].treated.trainer.clone());
        let changed = next.recipe() != trainer.recipe();
        let healed = Healed {
            rule: finding.rule.clone(),
            found: trainer.step as u64,
            step: next.step as u64,
            until: until as u64,
            over: race.over as u64,
            untreated: race.untreated.loss,
            tried: race.entries.iter().map(Entry::attempt).collect(),
            applied: best,
            recipe: changed.then(|| to_toml(next.recipe())),
        };
        (around.told)(Healing::Ended(&healed));
        next.healed = Some(so_far.iter().cloned().chain([healed]).collect());
        Ok(Some(next))
    }

    /// Every repair that applies, on a copy of the training as it is, and of the older state that is kept where what was
    /// found came up on the way: from there it may be avoided.
    fn treated(&self, trainer: &Trainer, finding: &Finding, around: &Surroundings<'_>) -> Vec<Treated> {
        let situation = Situation { subject: around.subject, case: around.case, finding };
        let rules = || std::iter::once(finding).chain(&finding.consequences).map(|finding| finding.rule.as_str());
        let answers =
            TABLE.iter().filter(|repair| repair.answers.is_none_or(|to| rules().any(|rule| to.contains(&rule))));
        let of = |trainer: &Trainer| answers.clone().flat_map(|repair| (repair.treat)(trainer, &situation)).collect();
        let now: Vec<Treated> = if trainer.is_broken() { Vec::new() } else { of(trainer) };
        let came_up = finding.step > 0 || trainer.is_broken();
        let kept = self.kept.iter().find(|kept| came_up && kept.step < trainer.step);
        let earlier: Vec<Treated> = kept.map_or_else(Vec::new, |kept| {
            let mut kept = kept.clone();
            kept.change_settings(trainer.recipe());
            of(&kept)
        });
        now.into_iter().chain(earlier).collect()
    }
}

/// Mean loss of the last batches of a training; of one that has none, infinite.
fn recent(trainer: &Trainer, over: usize) -> f64 {
    let from = trainer.losses.len().saturating_sub(over.max(1));
    let losses = &trainer.losses[from..];
    if losses.is_empty() { f64::INFINITY } else { losses.iter().sum::<f64>() / losses.len() as f64 }
}

/// Copies of a training on their way over the same batches.
struct Race<'a> {
    around: &'a Surroundings<'a>,
    /// Where it began.
    start: &'a Trainer,
    untreated: Runner,
    entries: Vec<Entry>,
    /// Batches that losses are means over.
    over: usize,
    rounds: usize,
}

/// A copy on its way.
struct Runner {
    /// As it stands; dropped once the copy has fallen behind.
    trainer: Option<Trainer>,
    until: usize,
    loss: Option<f64>,
}

struct Entry {
    /// As it was before its first step, to be gone on with.
    treated: Treated,
    runner: Runner,
}

impl<'a> Race<'a> {
    fn new(start: &'a Trainer, treated: Vec<Treated>, around: &'a Surroundings<'a>) -> Self {
        let runner = |trainer: &Trainer| Runner { trainer: Some(trainer.clone()), until: trainer.step, loss: None };
        let entries = treated.into_iter().map(|treated| Entry { runner: runner(&treated.trainer), treated }).collect();
        Self { around, start, untreated: runner(start), entries, over: 1, rounds: 0 }
    }

    /// Trains every copy that is still in it on.
    fn run(&mut self, until: usize) -> Result<(), Error> {
        self.rounds += 1;
        self.over = ((until - self.start.step) / 2).max(1);
        self.untreated.run(until, self.over, self.around)?;
        self.entries.iter_mut().try_for_each(|entry| entry.runner.run(until, self.over, self.around))
    }

    /// The best of those that are a tenth below the untreated copy; where that broke, below where the run came from.
    fn best(&self) -> Option<usize> {
        let chance = self.around.subject.data.summary.baseline_loss;
        let before = chance.max(recent(self.start, self.over));
        let limit = MARGIN * self.untreated.loss.unwrap_or(f64::INFINITY).min(before);
        let ahead = self.entries.iter().enumerate().filter(|(_, entry)| entry.runner.trainer.is_some());
        let better = ahead.filter_map(|(index, entry)| Some((index, entry.runner.loss.filter(|loss| *loss < limit)?)));
        better.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    }

    /// Drops those that fell behind.
    fn narrow(&mut self) {
        let loss =
            |entry: &Entry| entry.runner.loss.filter(|_| entry.runner.trainer.is_some()).unwrap_or(f64::INFINITY);
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by(|a, b| loss(&self.entries[*a]).total_cmp(&loss(&self.entries[*b])));
        for index in order.into_iter().skip(KEPT_ON) {
            self.entries[index].runner.trainer = None;
        }
    }
}

impl Entry {
    fn attempt(&self) -> Attempt {
        Attempt {
            remedy: self.treated.remedy.to_owned(),
            parameters: self.treated.parameters.clone(),
            step: self.treated.trainer.step as u64,
            until: self.runner.until as u64,
            loss: self.runner.loss,
        }
    }
}

impl Runner {
    /// Trains on; the loss is the mean over the last batches, none where it broke.
    fn run(&mut self, until: usize, over: usize, around: &Surroundings<'_>) -> Result<(), Error> {
        let Some(trainer) = &mut self.trainer else { return Ok(()) };
        while trainer.step < until && !trainer.is_broken() {
            if (around.stopped)() {
                return Err(Error::Interrupted);
            }
            trainer.advance(&around.subject.data, false);
        }
        let loss = recent(trainer, over);
        self.loss = (!trainer.is_broken() && loss.is_finite()).then_some(loss);
        self.until = until;
        Ok(())
    }
}
