//! What a whole search says, as plain data: the parts of the cure's JSON that the trial decides.

use serde::{Deserialize, Serialize};

use super::left_out::LeftOut;
use super::paired::{Effect, Paired, log_loss};
use super::random_search::RandomSearch;
use super::schedule::{Configuration, Schedule};
use super::verdict::Judge;
use super::{SeedScore, Verdict};
use crate::recipe::Recipe;
use crate::remedies::Prescription;
use crate::remedies::prediction::Prediction;
use crate::statistics::median;
use crate::summary::median_loss;

/// Baseline, random search, every prescription, the cure, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// The untreated network.
    pub baseline: Baseline,
    /// Random search over the same space with the same number of steps; `None` when nothing fitted the budget.
    pub random_search: Option<RandomSearchResult>,
    /// The prescriptions in the order given.
    pub prescriptions: Vec<PrescriptionResult>,
    /// The prescription to take; `None` when none improves.
    pub cure: Option<Cure>,
    /// What it cost.
    pub spent: Spent,
    /// What was not done, and why; known to the caller only.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<LeftOut>,
    /// How far predictions were off; known to the caller only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prediction_error: Option<PredictionError>,
    /// What ended the search before it was through: then this is what was known by then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<Stopped>,
}

impl TrialReport {
    /// What a prescription is compared with: the untreated network's learning rate and its runs. That is its best rate,
    /// but the recipe's for a prescription that is nothing but another rate.
    pub fn reference(&self, tried: &PrescriptionResult) -> (f64, &[SeedScore]) {
        let rate = tried.against_learning_rate.unwrap_or(self.baseline.learning_rate);
        let of_rate = self.baseline.learning_rates.iter().find(|result| result.learning_rate == rate);
        (rate, of_rate.map_or(&self.baseline.seeds, |result| &result.seeds))
    }

    /// The same of the cure; without one the untreated network at its best rate.
    pub fn before(&self) -> (f64, &[SeedScore]) {
        let cure = self.cure.as_ref().and_then(|cure| self.prescriptions.get(cure.prescription));
        cure.map_or((self.baseline.learning_rate, &self.baseline.seeds), |tried| self.reference(tried))
    }
}

/// How far the predicted gradient was off before training, on seeds that the prediction had not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PredictionError {
    /// Mean over networks of |ln(measured / predicted)| of the factor per layer, of recurrent networks per time step, nepers.
    pub mean: f64,
    /// Networks: what was trained to the end, on each other seed.
    pub networks: usize,
}

/// What ended a search before it was through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// Somebody stopped it.
    Interrupted,
    /// Its time was over.
    Budget,
}

/// The untreated network at its best learning rate, and at the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Its best learning rate by median loss.
    pub learning_rate: f64,
    /// Its runs at that rate.
    pub seeds: Vec<SeedScore>,
    /// Its runs at every rate of the search, rates ascending.
    pub learning_rates: Vec<RateResult>,
}

/// The untreated network at one learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateResult {
    /// The rate.
    pub learning_rate: f64,
    /// Median loss over seeds; `None` when most diverged.
    pub median_loss: Option<f64>,
    /// Each seed.
    pub seeds: Vec<SeedScore>,
}

/// The best that random search found, judged as a prescription is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomSearchResult {
    /// Its remedies; empty for the untreated network.
    pub remedies: Vec<String>,
    /// What was chosen.
    pub parameters: String,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Its runs.
    pub seeds: Vec<SeedScore>,
    /// Against the untreated network.
    pub verdict: Verdict,
    /// Against the untreated network.
    pub effect: Effect,
    /// Trainings.
    pub trials: usize,
    /// Optimizer updates.
    pub steps: usize,
}

/// A prescription, what was predicted and what happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrescriptionResult {
    /// The remedies in one word: `rescale-init`, `rescale-init + add-skip`.
    pub remedy: String,
    /// The remedies one by one.
    pub remedies: Vec<String>,
    /// What was chosen.
    pub parameters: String,
    /// What one batch said before; `None` where it was not asked.
    pub predicted: Option<Prediction>,
    /// The best learning rate of the last round it took part in.
    pub learning_rate: Option<f64>,
    /// Optimizer updates of each of `seeds`: fewer than a whole training where it was dropped on the way.
    pub steps: usize,
    /// What is claimed; a prescription that was dropped on the way is `inconclusive`.
    pub verdict: Verdict,
    /// Its runs.
    pub seeds: Vec<SeedScore>,
    /// The untreated network's learning rate that it is compared with, where that is not its best one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub against_learning_rate: Option<f64>,
    /// Against the untreated network after as many steps; `None` when it was not run.
    pub effect: Option<Effect>,
}

/// The prescription to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cure {
    /// Index in `prescriptions`.
    pub prescription: usize,
    /// The remedies in the order applied.
    pub remedies: Vec<String>,
    /// The whole cured recipe, its best learning rate included.
    pub recipe: Recipe,
    /// Its runs.
    pub seeds: Vec<SeedScore>,
    /// Against the best of random search; `None` without one.
    pub against_random_search: Option<Effect>,
}

/// What a search cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Wall-clock seconds, random search included; known to the caller only.
    pub seconds: f64,
    /// Trainings.
    pub trials: usize,
    /// Optimizer updates.
    pub steps: usize,
}

/// A search and what it was over. Arm 0 is the untreated network, arm i + 1 is prescription i.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// The search, finished.
    pub schedule: &'a Schedule,
    /// The random search, finished; `None` where it was left out.
    pub random: Option<&'a RandomSearch>,
    /// The prescriptions of the arms after the first; may be more than the arms, when the budget cut some.
    pub prescriptions: &'a [Prescription],
    /// One for each prescription, where it was made.
    pub predictions: &'a [Option<Prediction>],
}

impl Finished<'_> {
    /// The report. `None` when the search is not finished. `seconds` goes into `spent` as it is.
    pub fn report(&self, seconds: f64) -> Option<TrialReport> {
        if self.schedule.is_finished() { self.so_far(seconds) } else { None }
    }

    /// What is known of a search that was stopped, by the same judgement: what lacks seeds is `inconclusive`. `None` while
    /// no whole training of the untreated network has ended.
    pub fn so_far(&self, seconds: f64) -> Option<TrialReport> {
        let schedule = self.schedule;
        let prescriptions: Vec<PrescriptionResult> =
            (0..self.prescriptions.len()).map(|i| self.prescription(i)).collect();
        let random_search = self.random.and_then(|random| self.random_search(random));
        let cure = self.cure(&prescriptions, random_search.as_ref());
        let jobs = schedule.answered().chain(self.random.into_iter().flat_map(RandomSearch::answered));
        let (trials, steps) = jobs.fold((0, 0), |(trials, steps), job| (trials + 1, steps + job.steps));
        Some(TrialReport {
            baseline: self.baseline()?,
            random_search,
            prescriptions,
            cure,
            spent: Spent { seconds, trials, steps },
            left_out: Vec::new(),
            prediction_error: None,
            stopped: None,
        })
    }

    fn judge(&self) -> Judge {
        Judge {
            comparisons: self.schedule.finalists().len(),
            untrained_loss: self.schedule.plan().untrained_loss,
            ..Judge::default()
        }
    }

    fn floor(&self) -> f64 {
        self.schedule.plan().loss_floor
    }

    fn full_steps(&self) -> usize {
        self.schedule.plan().full_steps
    }

    fn baseline(&self) -> Option<Baseline> {
        let best = self.schedule.best_learning_rate(0, self.full_steps())?;
        let rates = &self.schedule.plan().arms.first()?.learning_rates;
        let at = |&learning_rate: &f64| {
            let seeds = self.schedule.scores(Configuration { arm: 0, learning_rate }, self.full_steps());
            let median_loss = median_loss(&seeds);
            RateResult { learning_rate, median_loss, seeds }
        };
        Some(Baseline {
            learning_rate: best.learning_rate,
            seeds: self.schedule.scores(best, self.full_steps()),
            learning_rates: rates.iter().map(at).collect(),
        })
    }

    fn prescription(&self, index: usize) -> PrescriptionResult {
        let Prescription { remedies, parameters, .. } = &self.prescriptions[index];
        let run = self.schedule.longest(index + 1);
        let steps = run.map_or(0, |(_, steps)| steps);
        let seeds = run.map_or_else(Vec::new, |(configuration, steps)| self.schedule.scores(configuration, steps));
        let reference = self.schedule.reference(index + 1, steps);
        let best = self.schedule.best_learning_rate(0, steps);
        let paired = reference
            .map(|reference| Paired::new(&self.schedule.scores(reference, steps), &seeds, self.floor()))
            .filter(|paired| !paired.seeds.is_empty());
        let verdict = match &paired {
            Some(paired) if steps == self.full_steps() && self.schedule.untreated_is_known() => {
                self.judge().verdict(paired)
            }
            _ => Verdict::Inconclusive,
        };
        PrescriptionResult {
            remedy: remedies.join(" + "),
            remedies: remedies.clone(),
            parameters: parameters.clone(),
            predicted: self.predictions.get(index).cloned().flatten(),
            learning_rate: run.map(|(configuration, _)| configuration.learning_rate),
            steps,
            verdict,
            seeds,
            against_learning_rate: reference.filter(|_| reference != best).map(|reference| reference.learning_rate),
            effect: paired.map(|paired| paired.effect()),
        }
    }

    fn random_search(&self, random: &RandomSearch) -> Option<RandomSearchResult> {
        let (best, seeds) = random.best()?;
        let reference = self.schedule.reference(best.arm, self.full_steps())?;
        let paired = Paired::new(&self.schedule.scores(reference, self.full_steps()), &seeds, self.floor());
        let prescription = best.arm.checked_sub(1).and_then(|index| self.prescriptions.get(index));
        Some(RandomSearchResult {
            remedies: prescription.map_or_else(Vec::new, |prescription| prescription.remedies.clone()),
            parameters: prescription.map_or_else(|| "untreated".to_owned(), |p| p.parameters.clone()),
            learning_rate: best.learning_rate,
            verdict: self.judge().verdict(&paired),
            effect: paired.effect(),
            seeds,
            trials: random.jobs().len(),
            steps: random.total_steps(),
        })
    }

    /// Of the prescriptions that improve: the one whose worst seed is best; between equals (below the loss floor all are)
    /// the one with fewer remedies, then the smaller median loss, then the earlier.
    fn cure(&self, results: &[PrescriptionResult], random: Option<&RandomSearchResult>) -> Option<Cure> {
        let key = |result: &PrescriptionResult| {
            let floored: Vec<f64> = result.seeds.iter().map(|run| log_loss(run.score.loss, self.floor())).collect();
            let exact = median(result.seeds.iter().map(|run| log_loss(run.score.loss, 0.0))).unwrap_or(f64::INFINITY);
            (floored.iter().copied().fold(f64::NEG_INFINITY, f64::max), result.remedies.len(), exact)
        };
        let improving = results.iter().enumerate().filter(|(_, result)| result.verdict == Verdict::Improves);
        let (prescription, result) = improving.min_by(|(_, a), (_, b)| {
            let ((worst_a, remedies_a, median_a), (worst_b, remedies_b, median_b)) = (key(a), key(b));
            worst_a.total_cmp(&worst_b).then(remedies_a.cmp(&remedies_b)).then(median_a.total_cmp(&median_b))
        })?;
        let mut recipe = self.prescriptions[prescription].recipe.clone();
        recipe.optimizer.learning_rate = result.learning_rate?;
        Some(Cure {
            prescription,
            remedies: result.remedies.clone(),
            recipe,
            seeds: result.seeds.clone(),
            against_random_search: random
                .map(|random| Paired::new(&random.seeds, &result.seeds, self.floor()).effect()),
        })
    }
}
