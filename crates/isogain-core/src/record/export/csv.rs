//! A run as CSV in long format: one number a row, ready for a data frame.

use std::io::{self, Write};

use crate::record::{Run, StepRecord};
use crate::statistics::Moments;

/// Writes `step,name,kind,statistic,value` and a row for each number of the run, by step.
///
/// `name` is the operation or parameter, or `run`; `kind` is `activation`, `cotangent`, `weight`, `gradient`, `update`,
/// `clip`, `flow` (log-gains in nepers) or `step`. The statistic `exponent_-7` counts the values whose magnitude is at
/// least 2^-7 and less than 2^-6, where a histogram was recorded. A value that is not finite is `NaN`, `inf` or `-inf`; one that does
/// not exist (the mean of nothing, the log of zero) is empty. The loss is there for every step of a run that ended, and
/// for the written steps otherwise.
///
/// # Errors
/// When `output` cannot be written.
pub fn to_csv(run: &Run, mut output: impl Write) -> io::Result<()> {
    writeln!(output, "step,name,kind,statistic,value")?;
    let losses = run.outcome.as_ref().map_or(&[][..], |outcome| &outcome.losses);
    for (step, loss) in (0..).zip(losses) {
        row(&mut output, step, "run", "step", "loss", Some(loss.unwrap_or(f64::NAN)))?;
    }
    for step in &run.steps {
        if losses.is_empty() {
            row(&mut output, step.step, "run", "step", "loss", Some(step.loss))?;
        }
        step_rows(&mut output, step)?;
    }
    output.flush()
}

fn step_rows(output: &mut impl Write, record: &StepRecord) -> io::Result<()> {
    let step = record.step;
    row(output, step, "run", "step", "learning_rate", Some(record.learning_rate))?;
    if let Some(scaling) = &record.scaling {
        row(output, step, "run", "step", "loss_scale", Some(scaling.loss_scale))?;
        row(output, step, "run", "step", "skipped", Some(f64::from(u8::from(scaling.skipped))))?;
    }
    if let Some(clip) = &record.clip {
        row(output, step, "run", "clip", "norm_before", Some(clip.norm_before))?;
        row(output, step, "run", "clip", "norm_after", Some(clip.norm_after))?;
        row(output, step, "run", "clip", "cosine", Some(clip.cosine))?;
        row(output, step, "run", "clip", "acted", Some(f64::from(u8::from(clip.acted))))?;
    }
    for joint in &record.joints {
        moments_rows(output, step, &joint.name, "activation", &joint.activation)?;
        moments_rows(output, step, &joint.name, "cotangent", &joint.cotangent)?;
    }
    for parameter in &record.parameters {
        moments_rows(output, step, &parameter.name, "weight", &parameter.weight)?;
        moments_rows(output, step, &parameter.name, "gradient", &parameter.gradient)?;
        moments_rows(output, step, &parameter.name, "update", &parameter.update)?;
    }
    for of in &record.histograms {
        // The first and the last bin are no powers of two; their counts stand among the moments.
        for (bin, &count) in of.histogram.counts().iter().enumerate().take(255).skip(1).filter(|(_, count)| **count > 0)
        {
            let statistic = format!("exponent_{}", bin as i32 - 127);
            row(output, step, &of.name, of.kind.word(), &statistic, Some(count as f64))?;
        }
    }
    for joint in record.snapshot.iter().flat_map(|snapshot| &snapshot.flow.joints) {
        row(output, step, &joint.name, "flow", "log_gain", joint.log_gain)?;
    }
    Ok(())
}

fn moments_rows(output: &mut impl Write, step: u64, name: &str, kind: &str, moments: &Moments) -> io::Result<()> {
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
    statistics.into_iter().try_for_each(|(statistic, value)| row(output, step, name, kind, statistic, value))
}

fn row(
    output: &mut impl Write,
    step: u64,
    name: &str,
    kind: &str,
    statistic: &str,
    value: Option<f64>,
) -> io::Result<()> {
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    writeln!(output, "{step},{},{kind},{statistic},{value}", quoted(name))
}

/// A field as RFC 4180 has it: in quotes when it would be taken for several fields or lines otherwise.
fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.into() }
}

#[cfg(test)]
mod tests;
