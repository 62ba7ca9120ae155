//! A run in long format: one number a row, in one order, whatever the file it goes into.

use crate::record::{Run, StepRecord};
use crate::statistics::Moments;

/// One number of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Optimizer updates done before.
    pub step: u64,
    /// The operation or parameter, or `run`.
    pub name: &'a str,
    /// `activation`, `cotangent`, `weight`, `gradient`, `update`, `clip`, `flow` (log-gains in nepers) or `step`.
    pub kind: &'static str,
    /// Which number of it. `exponent_-7` counts the values whose magnitude is at least 2^-7 and less than 2^-6, where a
    /// histogram was recorded.
    pub statistic: &'a str,
    /// The number; NaN and the infinities are themselves, `None` is what does not exist (the mean of nothing, the log of
    /// zero).
    pub value: Option<f64>,
}

/// Names of the columns.
pub const COLUMNS: [&str; 5] = ["step", "name", "kind", "statistic", "value"];

/// Calls `row` for each number of the run, by step, until it fails. The loss is there for every step of a run that ended,
/// and for the written steps otherwise.
///
/// # Errors
/// The first that `row` returns.
pub fn rows<E>(run: &Run, mut row: impl FnMut(Row<'_>) -> Result<(), E>) -> Result<(), E> {
    let losses = run.outcome.as_ref().map_or(&[][..], |outcome| &outcome.losses);
    let of_run = |step, kind, statistic, value| Row { step, name: "run", kind, statistic, value };
    for (step, loss) in (0..).zip(losses) {
        row(of_run(step, "step", "loss", Some(loss.unwrap_or(f64::NAN))))?;
    }
    for record in &run.steps {
        if losses.is_empty() {
            row(of_run(record.step, "step", "loss", Some(record.loss)))?;
        }
        of_step(record, &mut row)?;
    }
    Ok(())
}

fn of_step<E>(record: &StepRecord, row: &mut impl FnMut(Row<'_>) -> Result<(), E>) -> Result<(), E> {
    let step = record.step;
    let of_run = |kind, statistic, value| Row { step, name: "run", kind, statistic, value: Some(value) };
    row(of_run("step", "learning_rate", record.learning_rate))?;
    if let Some(scaling) = &record.scaling {
        row(of_run("step", "loss_scale", scaling.loss_scale))?;
        row(of_run("step", "skipped", f64::from(u8::from(scaling.skipped))))?;
    }
    if let Some(clip) = &record.clip {
        row(of_run("clip", "norm_before", clip.norm_before))?;
        row(of_run("clip", "norm_after", clip.norm_after))?;
        row(of_run("clip", "cosine", clip.cosine))?;
        row(of_run("clip", "acted", f64::from(u8::from(clip.acted))))?;
    }
    for joint in &record.joints {
        of_moments(step, &joint.name, "activation", &joint.activation, row)?;
        of_moments(step, &joint.name, "cotangent", &joint.cotangent, row)?;
    }
    for parameter in &record.parameters {
        of_moments(step, &parameter.name, "weight", &parameter.weight, row)?;
        of_moments(step, &parameter.name, "gradient", &parameter.gradient, row)?;
        of_moments(step, &parameter.name, "update", &parameter.update, row)?;
    }
    for of in &record.histograms {
        // The first and the last bin are no powers of two; their counts stand among the moments.
        for (bin, &count) in of.histogram.counts().iter().enumerate().take(255).skip(1).filter(|(_, count)| **count > 0)
        {
            let statistic = format!("exponent_{}", bin as i32 - 127);
            let (name, kind) = (of.name.as_str(), of.kind.word());
            row(Row { step, name, kind, statistic: &statistic, value: Some(count as f64) })?;
        }
    }
    for joint in record.snapshot.iter().flat_map(|snapshot| &snapshot.flow.joints) {
        row(Row { step, name: &joint.name, kind: "flow", statistic: "log_gain", value: joint.log_gain })?;
    }
    Ok(())
}

fn of_moments<E>(
    step: u64,
    name: &str,
    kind: &'static str,
    moments: &Moments,
    row: &mut impl FnMut(Row<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let statistics = [
        ("count", Some(moments.count as f64)),
        ("mean", moments.mean()),
        ("rms", moments.rms()),
        ("norm", Some(moments.norm())),
        ("min", moments.min),
        ("max", moments.max),
        ("abs_max", Some(moments.abs_max)),
        ("zeros", Some(moments.zeros as f64)),
        ("non_finite", Some(moments.non_finite as f64)),
    ];
    statistics.into_iter().try_for_each(|(statistic, value)| row(Row { step, name, kind, statistic, value }))
}
