//! A gradient too small for the number format.

use std::collections::{BTreeMap, HashMap};
use std::f64::consts::SQRT_2;

use super::finding::{factor, number};
use super::measure::{is_zero, min_normal, precision_name};
use super::{Case, Finding, Rule};
use crate::flow::profile::Profile;
use crate::recipe::{Level, LossScale};
use crate::record::JointRecord;
use crate::statistics::NumberFormat;

pub(crate) static RULE: Rule = Rule {
    name: "gradient-underflow",
    code: "G013",
    summary: "the gradient falls below the smallest number of the format",
    page: include_str!("gradient-underflow.md"),
    explains: &["gradient-below-eps", "exactly-zero-gradient", "learning-rate-too-low", "frozen-layer"],
    check,
};

/// An exact zero counts as underflow when the last cotangent before it was this many nepers (a factor of 1e8) above
/// the smallest normal number or nearer: one layer does not take more than that away without being exactly zero
/// itself.
const NEAR: f64 = 18.4;

fn check(case: &Case<'_>) -> Option<Finding> {
    let precision = case.recipe.run.precision;
    if let Some(format) = precision.narrow() {
        let formats = case.start.joints.iter().map(|joint| (joint.name.clone(), format)).collect();
        return in_format(case, &formats, case.recipe.run.loss_scale.map_or(1.0, LossScale::first), 1);
    }
    // The cotangents in the record are those of the mean loss, as the format holds them.
    let joints: HashMap<&str, &JointRecord> =
        case.start.joints.iter().map(|joint| (joint.name.as_str(), joint)).collect();
    let layers = Profile::of(&case.start.flow).layers;
    let mut after: Option<(&str, f64)> = None;
    for layer in layers.iter().rev() {
        let cotangent = &joints.get(layer.name.as_str())?.cotangent;
        let rms = cotangent.rms()?;
        let small = rms < min_normal(precision);
        let vanished = is_zero(cotangent);
        if small || vanished {
            let (from, before) = after?;
            let fell = (before / min_normal(precision)).ln();
            if vanished && fell > NEAR {
                return None;
            }
            let lost = cotangent.zero_fraction();
            let message = format!(
                "the gradient at {} has RMS {}, below the smallest normal {} ({}): {} % of it is exactly zero",
                layer.name,
                number(rms),
                precision_name(precision),
                number(min_normal(precision)),
                number(100.0 * lost)
            );
            let mut finding = Finding::new(RULE.name, Level::Deny, [&layers[0].name, &layer.name], message)
                .against(
                    format!("RMS of the gradient at {}", layer.name),
                    rms,
                    min_normal(precision),
                    format!("smallest normal {}", precision_name(precision)),
                )
                .with(format!("RMS of the gradient at {from}, the layer after"), before)
                .with("share of exact zeros", lost)
                .remedies(&["rescale-init", "add-skip", "swap-activation", "insert-batch-norm"]);
            finding.theory =
                Some(format!("what is left before rounding is {} of the smallest normal number", factor(fell)));
            return Some(finding);
        }
        after = Some((&layer.name, rms));
    }
    None
}

/// Smallest steps of the format in the RMS of a cotangent below which it is called lost: a typical value then keeps
/// fewer than four bits, and a bell curve of that RMS has a twentieth of its values flushed to zero.
const STEPS: f64 = 16.0;

/// The same for cotangents held in formats narrower than the parameters' (fp16), by operation. `loss_scale` is what the
/// loss was multiplied with; the cotangents in the case are without it, and are those of a batch over all `processes`.
pub(crate) fn in_format(
    case: &Case<'_>,
    formats: &BTreeMap<String, NumberFormat>,
    loss_scale: f64,
    processes: usize,
) -> Option<Finding> {
    let held = |joint: &JointRecord| {
        let format = formats.get(&joint.name)?;
        Some((
            joint.cotangent.rms()? * loss_scale * processes.max(1) as f64,
            format.flush_edge * 2.0 * STEPS,
            *format,
            joint.cotangent,
        ))
    };
    let of: Vec<_> = case.start.joints.iter().filter_map(|joint| Some((joint, held(joint)?))).collect();
    // What is exactly zero was lost here only if the operation after it still had something.
    let lost = |at: usize| {
        let (rms, limit, ..) = of[at].1;
        rms < limit && (rms > 0.0 || of[at + 1..].iter().any(|(_, (rms, ..))| *rms > 0.0))
    };
    let layers: Vec<usize> = (0..of.len()).filter(|&at| lost(at)).collect();
    let (first, last) = (of[*layers.first()?].0, of[*layers.last()?].0);
    let (rms, limit, format, cotangent) = of[*layers.last()?].1;
    let scaled = if loss_scale == 1.0 {
        "without loss scaling".to_owned()
    } else {
        format!("at a loss scale of {}", number(loss_scale))
    };
    let message = format!(
        "in {} of {} operations the gradient is lost in {} {scaled}; at {} it has RMS {}, and {} % of it is exactly zero",
        layers.len(),
        of.len(),
        format.name,
        last.name,
        number(rms),
        number(100.0 * cotangent.zero_fraction())
    );
    let mut finding = Finding::new(RULE.name, Level::Deny, [&first.name, &last.name], message)
        .against(
            format!("RMS of the gradient at {}, loss scale included", last.name),
            rms,
            limit,
            format!("16 smallest steps of {}: a typical value keeps fewer than 4 bits", format.name),
        )
        .with("share of exact zeros", cotangent.zero_fraction())
        // erf(half of the smallest number / (sqrt 2 RMS)).
        .with(
            "share of a bell curve of that RMS that is rounded to zero",
            libm::erf(format.flush_edge / (rms * SQRT_2)),
        )
        .remedies(&["loss-scaling", "rescale-init", "add-skip", "insert-batch-norm"]);
    finding.theory = Some(format!(
        "multiply the loss before the backward pass (GradScaler), or use bfloat16: {} flushes what is below {}",
        format.name,
        number(format.flush_edge)
    ));
    Some(finding)
}

#[cfg(test)]
mod tests {
    use crate::rules::fixture::Bench;
    use crate::statistics::kernel::moments_f64;

    #[test]
    fn small_zero_and_cut_off_are_three_things() {
        let sigmoid = |depth: usize| format!("[network]\ndepth = {depth}\nwidth = 16\nactivation = \"sigmoid\"\n");
        assert_eq!(Bench::new(&sigmoid(10)).ask("gradient-underflow"), None);
        let bench = Bench::new(&sigmoid(60));
        let finding = bench.ask("gradient-underflow").unwrap();
        assert!(finding.message.contains("below the smallest normal f32"), "{}", finding.message);
        // The same network in f64 has room to spare.
        let bench = Bench::new(&format!("{}[run]\nprecision = \"f64\"\n", sigmoid(60)));
        assert_eq!(bench.ask("gradient-underflow"), None);
    }

    #[test]
    fn sixteen_bits_lose_it_earlier_and_a_loss_scale_brings_it_back() {
        let ask = |run: &str| {
            let recipe = format!("[network]\ndepth = 12\nwidth = 16\n[run]\n{run}\n");
            Bench::new(&recipe).ask("gradient-underflow")
        };
        assert_eq!(ask("precision = \"f32\""), None);
        assert_eq!(ask("precision = \"bf16\""), None);
        let finding = ask("precision = \"fp16\"").unwrap();
        assert!(finding.message.contains("lost in fp16 without loss scaling"), "{}", finding.message);
        assert_eq!(finding.remedies[0], "loss-scaling");
        assert_eq!(ask("precision = \"fp16\"\nloss_scale = \"dynamic\""), None);
        assert!(ask("precision = \"fp16\"\nloss_scale = 2.0").unwrap().message.contains("at a loss scale of 2"));
    }

    #[test]
    fn a_zero_behind_a_large_cotangent_is_no_underflow() {
        let mut bench = Bench::new("[network]\ndepth = 5\nwidth = 16\ninit = \"he-normal\"\n");
        for name in ["fc1", "fc2", "fc3"] {
            bench.joint(name).cotangent = moments_f64(&[0.0; 64]);
        }
        assert_eq!(bench.ask("gradient-underflow"), None);
    }
}
