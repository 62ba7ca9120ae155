//! One training: steps, what is watched, and how it is judged.

use isogain_core::network::{Loss, Network};
use isogain_core::recipe::{ClipKind, LossScale, Recipe};
use isogain_core::record::{
    Healed, HistogramRecord, NonFinite, Outcome, ParameterRecord, ScalingRecord, Snapshot, StepRecord,
};
use isogain_core::statistics::Moments;

use crate::Error;
use crate::clip::Clipper;
use crate::data::{Dataset, EpochOrder, Part, Samples, Targets, batch_rows};
use crate::device::device;
use crate::model::{Mode, Model, Value, dtype, to_f64};
use crate::ops::{Arithmetic, Narrow};
use crate::optimizer::{Optimizer, Turn};
use crate::probe::{Keep, Probes};
use crate::scaler::Scaler;
use crate::snapshot::{Gradients, joint_records, loss_and_gradients, scalar, value_moments, with_histograms};

/// A training in progress. Everything that a later step depends on is in `model`, `optimizer` and `step`.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// The network with its parameters.
    pub model: Model,
    /// The update rule with its state.
    pub optimizer: Optimizer,
    /// Steps done, those left out for an overflow included.
    pub step: usize,
    /// Loss of each step's batch so far.
    pub losses: Vec<f64>,
    /// What clips gradients, with what it remembers.
    pub clipper: Clipper,
    /// What the loss is multiplied with.
    pub scaler: Scaler,
    /// Where the first non-finite value appeared.
    pub first_non_finite: Option<NonFinite>,
    /// What was done about findings while it went on; `None` where nobody wants anything done.
    pub healed: Option<Vec<Healed>>,
    /// The loss that is told.
    told: Loss,
    recipe: Recipe,
    seed: u64,
    order: EpochOrder,
}

impl Trainer {
    /// A fresh network, initialised from the seed.
    ///
    /// # Panics
    /// When the recipe's device is not there: [`device`] says so before.
    pub fn new(recipe: &Recipe, network: &Network, data: &Dataset, seed: u64) -> Self {
        Self::with_first_batch(recipe, network, &first_batch(recipe, data, seed), seed)
    }

    /// The same where data comes from elsewhere: some initialisers look at the first batch.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_first_batch(recipe: &Recipe, network: &Network, first: &Samples, seed: u64) -> Self {
        let mut model = Model::new(network, seed, dtype(recipe.run.precision), first);
        let scaler = Scaler::new(recipe.run.loss_scale);
        let narrow = Narrow::of(recipe.run.precision);
        model.arithmetic = Arithmetic { narrow, loss_scale: scaler.scale, ..Arithmetic::default() };
        let device = device(recipe.run.device).unwrap_or_else(|error| panic!("{error}"));
        Self {
            model: model.passing_on(device),
            optimizer: Optimizer::new(&recipe.optimizer).of(network),
            clipper: Clipper::new(&recipe.clip).of(network),
            step: 0,
            losses: Vec::new(),
            scaler,
            first_non_finite: None,
            healed: None,
            told: network.loss,
            recipe: recipe.clone(),
            seed,
            order: EpochOrder::default(),
        }
    }

    /// Tells another loss than the one that is trained, where that is possible: the squared error of the probabilities that a
    /// cross-entropy trains.
    #[must_use]
    pub fn telling(self, told: Loss) -> Self {
        Self { told, ..self }
    }

    /// Goes on with other settings of the same network on the same data: what remembers something keeps it where its own
    /// settings stay.
    pub fn change_settings(&mut self, recipe: &Recipe) {
        self.optimizer.change_settings(&recipe.optimizer, &self.model.network);
        if recipe.clip != self.recipe.clip {
            self.clipper = Clipper::new(&recipe.clip).of(&self.model.network);
        }
        if recipe.run.loss_scale != self.recipe.run.loss_scale {
            self.scaler = self.scaler.changed(recipe.run.loss_scale);
        }
        self.recipe = recipe.clone();
    }

    /// The batch of the next step.
    pub fn next_batch(&mut self, data: &Dataset) -> Samples {
        let rows = batch_rows(data.train.len(), self.recipe.data.batch, self.seed, self.step, &mut self.order);
        data.train.select(&rows)
    }

    /// One update on the next batch; what was seen, when watched. Watching changes no number.
    pub fn advance(&mut self, data: &Dataset, watched: bool) -> Option<StepRecord> {
        let batch = self.next_batch(data);
        self.advance_on(&batch, watched).1
    }

    /// One update on this batch: its loss, and what was seen, when watched.
    pub fn advance_on(&mut self, batch: &Samples, watched: bool) -> (f64, Option<StepRecord>) {
        let probes = watched.then(|| Probes::new(Keep::Moments));
        self.model.arithmetic.loss_scale = self.scaler.scale;
        let mut pass = self.model.tracked(probes.as_ref()).with_noise(self.noise()).with_penalties();
        let outputs = self.model.forward(&mut pass, self.model.inputs(batch));
        let told = self.model.told_loss(&outputs, &batch.targets, self.told);
        let loss_tensor = self.model.loss(outputs, &batch.targets);
        let mut gradients = pass.gradients(&pass.objective(loss_tensor.clone(), &batch.targets));
        let loss = told.unwrap_or_else(|| scalar(loss_tensor));
        let statistics = pass.statistics();

        // What a clipped gradient was before; of others the optimizer tells.
        let measured: Vec<Moments> = if watched && self.recipe.clip.kind != ClipKind::None {
            gradients.values().map(value_moments).collect()
        } else {
            Vec::new()
        };
        let clipped = self.clipper.clip(&mut gradients, &self.model.parameters);
        let turn = Turn { rate: self.recipe.learning_rate(self.step), updates: self.step - self.scaler.skipped };
        let scaling = ScalingRecord { loss_scale: self.scaler.scale, skipped: self.scaler.overflows(&gradients) };
        let mut parameters = if scaling.skipped {
            if watched { unmoved(&self.model, &gradients) } else { Vec::new() }
        } else {
            self.optimizer.step(&mut self.model.parameters, gradients, turn, watched)
        };
        self.scaler.update(scaling.skipped);
        for (parameter, before) in parameters.iter_mut().zip(measured) {
            parameter.gradient = before;
        }
        self.model.follow(statistics);
        let record = probes.map(|probes| StepRecord {
            step: self.step as u64,
            loss,
            learning_rate: turn.rate,
            joints: joint_records(&self.model, &probes.take()),
            parameters,
            clip: clipped,
            scaling: self.recipe.run.loss_scale.map(|_| scaling),
            snapshot: None,
            histograms: Vec::new(),
        });
        self.note_non_finite(loss, record.as_ref());
        self.losses.push(loss);
        self.step += 1;
        (loss, record)
    }

    /// Seed of the next step's dropout: a function of seed and step alone, so that a resumed run drops the same values.
    fn noise(&self) -> u64 {
        self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.step as u64
    }

    /// Whether a value stopped being finite, after which nothing can be learned.
    pub fn is_broken(&self) -> bool {
        self.first_non_finite.is_some()
    }

    fn note_non_finite(&mut self, loss: f64, record: Option<&StepRecord>) {
        if self.first_non_finite.is_some() {
            return;
        }
        let step = self.step as u64;
        let found = |name: &str, phase: &str| Some(NonFinite { step, name: name.into(), phase: phase.into() });
        if let Some(record) = record {
            let forward = record.joints.iter().find(|joint| joint.activation.non_finite > 0);
            let skipped = record.scaling.is_some_and(|scaling| scaling.skipped);
            let backward = record.joints.iter().rev().find(|joint| joint.cotangent.non_finite > 0);
            let gradient = record.parameters.iter().find(|parameter| parameter.gradient.non_finite > 0);
            let update = record.parameters.iter().find(|parameter| parameter.update.non_finite > 0);
            self.first_non_finite = match (forward, backward, gradient, update) {
                (Some(joint), ..) => found(&joint.name, "forward"),
                _ if !loss.is_finite() => found("loss", "loss"),
                // What overflowed on the way back went no further.
                _ if skipped => None,
                (_, Some(joint), ..) => found(&joint.name, "backward"),
                (_, _, Some(parameter), _) => found(&parameter.name, "backward"),
                (.., Some(parameter)) => found(&parameter.name, "update"),
                _ => None,
            };
        } else if !loss.is_finite() {
            self.first_non_finite = found("loss", "loss");
        }
    }

    /// What a batch shows before the next step. A loss scale that changes is first brought down to where the batch has
    /// a gradient, as its first steps would.
    ///
    /// # Errors
    /// When the captured buffers do not fit together.
    pub fn snapshot(&self, batch: &Samples) -> Result<Snapshot, Error> {
        self.taken_apart(batch).map(|(snapshot, _)| snapshot)
    }

    /// The same, and the orders of magnitude of what was seen.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn taken_apart(&self, batch: &Samples) -> Result<(Snapshot, Vec<HistogramRecord>), Error> {
        with_histograms(&self.with_usable_scale(batch), batch, self.step as u64)
    }

    /// The model with a loss scale at which this batch has a gradient, where the scale changes.
    pub(crate) fn with_usable_scale(&self, batch: &Samples) -> Model {
        let (mut model, mut scaler) = (self.model.clone(), self.scaler.clone());
        loop {
            model.arithmetic.loss_scale = scaler.scale;
            if self.recipe.run.loss_scale != Some(LossScale::DYNAMIC) || scaler.scale < SMALLEST_SCALE {
                break;
            }
            let (loss, gradients) = loss_and_gradients(&model, batch, None);
            if !(loss.is_finite() && scaler.overflows(&gradients)) {
                break;
            }
            scaler.update(true);
        }
        model
    }

    /// Judges in evaluation mode on the whole training and test part.
    pub fn outcome(&self, data: &Dataset) -> Outcome {
        let (loss, train_accuracy) = judge_as(&self.model, &data.train, self.told);
        let (test_loss, test_accuracy) = judge_as(&self.model, &data.test, self.told);
        Outcome {
            seed: self.seed,
            steps: self.step as u64,
            losses: self.losses.iter().map(|&loss| finite(loss)).collect(),
            loss: finite(loss),
            test_loss: finite(test_loss),
            train_accuracy,
            test_accuracy,
            first_non_finite: self.first_non_finite.clone(),
        }
    }

    /// The seed of this training.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The recipe of this training.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }
}

/// Where the search for a loss scale ends: a gradient that overflows at less is not of a number's size.
const SMALLEST_SCALE: f64 = 1e-12;

/// What a step that was left out met: parameters and gradients, and updates of zero.
fn unmoved(model: &Model, gradients: &Gradients) -> Vec<ParameterRecord> {
    let record = |(name, value): (&String, &Value)| {
        let weight = value_moments(value);
        let nothing =
            Moments { count: weight.count, zeros: weight.count, min: Some(0.0), max: Some(0.0), ..Moments::default() };
        let gradient = gradients.get(name).map(value_moments).unwrap_or_default();
        ParameterRecord { name: name.clone(), weight, gradient, update: nothing }
    };
    model.parameters.iter().map(record).collect()
}

/// The batch of step 0.
pub fn first_batch(recipe: &Recipe, data: &Dataset, seed: u64) -> Samples {
    let rows = batch_rows(data.train.len(), recipe.data.batch, seed, 0, &mut EpochOrder::default());
    data.train.select(&rows)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Values of one layer that judging holds at once, if no layer has more than 64 features at a position.
const VALUES_AT_ONCE: usize = 1 << 22;

/// Mean loss and accuracy in evaluation mode, over pieces of bounded size.
pub fn judge(model: &Model, part: &Part) -> (f64, Option<f64>) {
    judge_as(model, part, model.network.loss)
}

/// The same by another loss, as [`Trainer::telling`].
fn judge_as(model: &Model, part: &Part, told: Loss) -> (f64, Option<f64>) {
    let shape = part.shape();
    let rows = VALUES_AT_ONCE / (shape.positions() * shape.features.max(64)).max(1);
    let (mut loss, mut right, mut answered, mut judged) = (0.0, 0, 0, 0);
    for piece in part.pieces(rows) {
        let outputs = model.forward(&mut model.plain(Mode::Evaluate, None), model.inputs(&piece));
        let mean = model
            .told_loss(&outputs, &piece.targets, told)
            .unwrap_or_else(|| scalar(model.loss(outputs.clone(), &piece.targets)));
        judged += piece.len();
        // A running mean: of one piece it is the very number.
        loss += (mean - loss) * (piece.len() as f64 / judged as f64);
        if let Targets::Classes { labels, classes } = &piece.targets {
            let outputs = to_f64(outputs.into_data());
            let rows = outputs.chunks_exact(model.network.outputs.min(*classes)).zip(labels);
            right += rows.filter(|(row, label)| chosen(row) == Some(**label)).count();
            answered += labels.len();
        }
    }
    (loss, (answered > 0).then(|| right as f64 / answered as f64))
}

/// Index of the largest value; of a single one, which stands for two classes, whether it is above zero. `None` when one
/// of them is not a number.
fn chosen(row: &[f64]) -> Option<usize> {
    if row.iter().any(|value| value.is_nan()) {
        return None;
    }
    if let [logit] = row {
        return Some(usize::from(*logit > 0.0));
    }
    row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index)
}
