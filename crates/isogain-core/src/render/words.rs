//! Causes, verdicts and limits in words: said once, shown by every format and by the page.

use crate::flow::profile::Profile;
use crate::flow::{Cause, Flow};
use crate::recipe::{Level, NetworkKind, Recipe};
use crate::rules::{CauseShare, Finding, about_layers};
use crate::summary::{CheckReport, CureReport, median_loss, median_test_accuracy, median_train_accuracy};
use crate::theory::limits::Ceiling;
use crate::trial::paired::Effect;
use crate::trial::result::{PrescriptionResult, Stopped, TrialReport};
use crate::trial::{SeedScore, Verdict};

use super::numbers::{MISSING, accuracy, factor, loss, number, percent, plural, setting};

/// Causes with a smaller share of the total are not worth a word.
const SMALLEST_SHARE: f64 = 0.01;

/// The factor of the chain rule, in a few words.
pub fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::ActivationSlope => "activation slope",
        Cause::SlopeCorrelation => "slope correlation",
        Cause::WeightScale => "weight scale",
        Cause::Alignment => "alignment",
        Cause::Rescale => "norm rescale",
        Cause::Projection => "norm projection",
        Cause::BranchSum => "branch sum",
        Cause::AuxiliaryHead => "auxiliary heads",
        Cause::ValuePath => "attention's values",
        Cause::QueryPath => "attention's queries",
        Cause::KeyPath => "attention's keys",
        Cause::Whole => "other operations",
    }
}

/// What that factor is, in one sentence.
pub fn cause_meaning(cause: Cause) -> &'static str {
    match cause {
        Cause::ActivationSlope => "the RMS of the activation's derivative on this batch",
        Cause::SlopeCorrelation => "whether large gradients meet steep or flat parts of the activation",
        Cause::WeightScale => "how large the weights are for their number of inputs",
        Cause::Alignment => "whether the gradient lies along strong or weak directions of the weights",
        Cause::Rescale => "the normalisation's factor gamma / sigma",
        Cause::Projection => "what centring and normalising take out of the gradient",
        Cause::BranchSum => "what the residual branches add to the skip connection's gradient",
        Cause::AuxiliaryHead => "what auxiliary heads add to the gradient that comes from behind them",
        Cause::ValuePath => "what the attention's values alone carry back: the mean over what each position looks at",
        Cause::QueryPath => "what goes back through the softmax to the attention's queries",
        Cause::KeyPath => "what goes back through the softmax to the attention's keys",
        Cause::Whole => "operations that are taken whole: pooling, recurrent cells, modules of an unknown kind",
    }
}

/// A cause as a reproach, where it drives what is wrong: `weights too small`.
fn reproach(share: &CauseShare, recipe: &Recipe) -> String {
    let grows = share.log_gain > 0.0;
    match share.cause {
        Cause::WeightScale => if grows { "weights too large" } else { "weights too small" }.to_owned(),
        Cause::ActivationSlope => match (slope_of(recipe), grows) {
            (Some("relu"), false) => "ReLU's zero half".to_owned(),
            (Some(name), true) => format!("{name}'s slope above 1"),
            (Some(name), false) => format!("{name}'s slope below 1"),
            (None, _) => "the activations' slope".to_owned(),
        },
        other => cause(other).to_owned(),
    }
}

/// Name of the activation where the whole network has the same one.
fn slope_of(recipe: &Recipe) -> Option<&'static str> {
    (recipe.network.kind != NetworkKind::Layers).then(|| recipe.network.activation.name())
}

/// The causes of a finding over `layers` layers, largest first: `weights too small x0.577 per layer (61 %)`. Those that
/// act against it come last. `None` where there is none.
pub fn why(finding: &Finding, layers: usize, recipe: &Recipe) -> Option<String> {
    let per_layer = |share: &CauseShare| {
        if layers > 1 {
            format!("{} per layer", factor(share.log_gain / layers as f64))
        } else {
            factor(share.log_gain)
        }
    };
    let total: f64 = finding.causes.iter().map(|share| share.log_gain.abs()).sum();
    let driving = finding.causes.iter().filter(|share| share.share >= SMALLEST_SHARE);
    let against = finding
        .causes
        .iter()
        .filter(|share| share.share == 0.0 && share.log_gain.abs() >= SMALLEST_SHARE * total && share.log_gain != 0.0);
    let driving =
        driving.map(|share| format!("{} {} ({})", reproach(share, recipe), per_layer(share), percent(share.share)));
    let against = against.map(|share| format!("against it: {} {}", cause(share.cause), per_layer(share)));
    let parts: Vec<String> = driving.chain(against).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// `improves`, `no effect`, `harms` or `inconclusive`.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improves => "improves",
        Verdict::NoEffect => "no effect",
        Verdict::Harms => "harms",
        Verdict::Inconclusive => "inconclusive",
    }
}

/// The predicted factor per layer, of a recurrent network per time step: `x1.00`, `x0.98 per step`; a dash where nothing was
/// predicted.
pub fn predicted(tried: &PrescriptionResult) -> String {
    let Some(prediction) = &tried.predicted else { return MISSING.to_owned() };
    let is_of_time = prediction.factor_per_time_step.is_some();
    prediction.factor().map_or_else(|| "signal lost".to_owned(), |factor| per_step(factor.ln(), is_of_time))
}

/// What the untreated network's factor is, in the same terms.
pub fn slope(flow: &Flow) -> String {
    let through_time = flow.log_gain_per_time_step();
    let log_gain = through_time.or_else(|| Profile::of(flow).slope());
    log_gain.map_or_else(|| MISSING.to_owned(), |log_gain| per_step(log_gain, through_time.is_some()))
}

fn per_step(log_gain: f64, is_of_time: bool) -> String {
    factor(log_gain) + if is_of_time { " per step" } else { "" }
}

/// The part of the loss of knowing nothing by which one step tells samples apart: `8 %`; a dash where it was not measured.
pub fn first_step(tried: &PrescriptionResult) -> String {
    let potential = tried.predicted.as_ref().and_then(|prediction| prediction.potential);
    potential.map_or_else(|| MISSING.to_owned(), |potential| percent(potential.told_apart_fraction))
}

/// How many directions the gradients of the samples have: `rank 8.2 of 32`; `None` where it was not measured.
pub fn gradient_rank(tried: &PrescriptionResult) -> Option<String> {
    let kernel = tried.predicted.as_ref()?.tangent_kernel?;
    Some(format!("rank {} of {}", number(kernel.effective_rank?), kernel.samples))
}

/// Probability that a run with a remedy ends better than one without: `1.00`; a dash where nothing was compared.
pub fn superiority(effect: Option<&Effect>) -> String {
    effect.map_or_else(|| MISSING.to_owned(), |effect| accuracy(effect.superiority))
}

/// Seeds on which an arm ended with a smaller loss than the reference, and seeds both were run with.
pub fn seeds_won(reference: &[SeedScore], arm: &[SeedScore]) -> (usize, usize) {
    let pairs = arm.iter().filter_map(|run| {
        let paired = reference.iter().find(|reference| reference.seed == run.seed)?;
        Some((paired.score.loss.unwrap_or(f64::INFINITY), run.score.loss.unwrap_or(f64::INFINITY)))
    });
    pairs.fold((0, 0), |(won, all), (reference, arm)| (won + usize::from(arm < reference), all + 1))
}

/// What changed from one group of trainings to another: `loss 2.303 → 0.021, accuracy 0.10 → 1.00`.
pub fn change(before: &[SeedScore], after: &[SeedScore]) -> String {
    let mut text = format!("loss {} → {}", loss(median_loss(before)), loss(median_loss(after)));
    if let (Some(before), Some(after)) = (median_train_accuracy(before), median_train_accuracy(after)) {
        text += &format!(", accuracy {} → {}", accuracy(before), accuracy(after));
    }
    text
}

/// What is known of the gradient as one line, for a network without findings.
pub fn healthy(report: &CheckReport) -> String {
    let profile = Profile::of(&report.flow);
    let Some(slope) = profile.slope() else {
        return format!("too few layers follow one another for a factor per layer; {}", limit(report));
    };
    let count = profile.layers.len();
    // What was measured counts for more than what theory expects of such layers in general.
    let is_beyond = report.limits.binding != Some(Ceiling::Memory)
        && report.limits.trainable_depth.is_some_and(|depth| depth < count as f64);
    let lead = if is_beyond { "this batch shows no harm, though theory has such layers " } else { "" };
    let layers = plural(count, "layer");
    format!("the gradient changes by {} per layer over {layers}; {lead}{}", factor(slope), limit(report))
}

/// As [`trainable_depth`], and where theory sets no limit that it sets none.
pub fn limit(report: &CheckReport) -> String {
    let remembers = report.limits.ceilings.iter().any(|estimate| estimate.ceiling == Ceiling::Memory);
    let none = if remembers { "theory sets no limit to its memory" } else { "theory sets no limit to its depth" };
    trainable_depth(report).unwrap_or_else(|| none.to_owned())
}

/// `trainable to about 12 layers, beyond which the gradient spans ...`; `None` where theory sets no limit.
pub fn trainable_depth(report: &CheckReport) -> Option<String> {
    if let (Some(Ceiling::Memory), Some(steps)) = (report.limits.binding, report.limits.memory_steps()) {
        return Some(format!(
            "remembers about {} time steps, beyond which {}",
            depth_number(steps),
            Ceiling::Memory.beyond()
        ));
    }
    let depth = report.limits.trainable_depth?;
    let has_skips = report.flow.joints.iter().any(|joint| joint.kind == "residual");
    let binding =
        report.limits.binding.map_or_else(String::new, |binding| format!(", beyond which {}", binding.beyond()));
    Some(format!("trainable to {}{binding}", about_layers(depth, has_skips)))
}

/// A ceiling of the trainable depth, in a few words.
pub fn ceiling(ceiling: Ceiling) -> &'static str {
    match ceiling {
        Ceiling::Correlation => "correlation",
        Ceiling::GradientScale => "gradient scale",
        Ceiling::Fluctuation => "fluctuation",
        Ceiling::Numerics => "numerics",
        Ceiling::Death => "dead units",
        Ceiling::Memory => "memory, in time steps",
    }
}

/// A depth in layers, without false precision.
pub fn depth_number(depth: f64) -> String {
    if depth >= 1e6 { "a million and more".to_owned() } else { format!("{depth:.0}") }
}

/// How the whole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Something was wrong and a remedy improves.
    Cured,
    /// There was nothing to cure, though a remedy may improve it.
    Healthy,
    /// Something was wrong and nothing that was tried improves.
    NotCured,
}

impl End {
    /// How this report ends.
    pub fn of(report: &CureReport) -> Self {
        let is_ill = report.check.findings.iter().any(|finding| finding.level > Level::Note);
        match &report.trial.cure {
            _ if !is_ill => Self::Healthy,
            Some(_) => Self::Cured,
            None => Self::NotCured,
        }
    }

    /// `cured`, `healthy` or `not cured`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cured => "cured",
            Self::Healthy => "healthy",
            Self::NotCured => "not cured",
        }
    }
}

/// The verdict on the whole in one sentence.
pub fn outcome(report: &CureReport) -> String {
    let (rate, before) = report.trial.before();
    let is_healthy = End::of(report) == End::Healthy;
    let Some((cure, result)) = report.cure() else {
        return if is_healthy {
            format!("nothing to cure; {}", healthy(&report.check))
        } else {
            let loss = loss(median_loss(before));
            match report.trial.stopped {
                Some(_) if report.finished().is_empty() => {
                    format!("it ended before a remedy was trained to its end (untreated network: loss {loss})")
                }
                _ => format!("no remedy that was tried improves on the untreated network (loss {loss})"),
            }
        };
    };
    let (won, seeds) = seeds_won(before, &cure.seeds);
    let change = change(before, &cure.seeds);
    let test = median_test_accuracy(before)
        .zip(median_test_accuracy(&cure.seeds))
        .map_or_else(String::new, |(old, new)| format!(", test accuracy {} → {}", accuracy(old), accuracy(new)));
    let lead = if is_healthy { "nothing to cure; still improved by " } else { "" };
    let name = named(&cure.remedies, &result.parameters);
    let than = result.against_learning_rate.map_or_else(String::new, |_| format!(" than at {}", setting(rate)));
    format!("{lead}{name}: {change}{test}, better{than} on {won} of {seeds} seeds")
}

/// What was not done, a sentence for each reason; and what ended the search before it was through.
pub fn left_out(trial: &TrialReport) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for left_out in &trial.left_out {
        match reasons.iter_mut().find(|(why, _)| *why == left_out.why) {
            Some((_, whats)) => whats.push(&left_out.what),
            None => reasons.push((&left_out.why, vec![&left_out.what])),
        }
    }
    let sentence = |(why, whats): (&str, Vec<&str>)| format!("left out, because {why}: {}", whats.join(", "));
    let stopped = trial.stopped.map(|stopped| match stopped {
        Stopped::Interrupted => "stopped by hand: the best so far",
        Stopped::Budget => "the time was over before the search was: the best so far",
    });
    reasons.into_iter().map(sentence).chain(stopped.map(str::to_owned)).collect()
}

/// How far predictions were off; `None` where that was not measured.
pub fn prediction_error(trial: &TrialReport) -> Option<String> {
    let error = trial.prediction_error?;
    let networks = plural(error.networks, "network");
    let mut predictions = trial.prescriptions.iter().filter_map(|tried| tried.predicted.as_ref());
    let through_time = predictions.any(|prediction| prediction.factor_per_time_step.is_some());
    Some(format!(
        "predicted factors were off by {} nepers per {} on average ({networks} of other seeds, before training)",
        number(error.mean),
        if through_time { "time step" } else { "layer" }
    ))
}

/// A prescription's name with what was chosen: `rescale-init (init = he-normal)`.
pub fn named(remedies: &[String], parameters: &str) -> String {
    match (remedies.join(" + "), parameters) {
        (names, "") => names,
        (names, parameters) if names.is_empty() => parameters.to_owned(),
        (names, parameters) => format!("{names} ({parameters})"),
    }
}
