//! What clipping did: how often it acted, how much of the gradient it left, and whether it turned it.

use isogain_core::record::ClipRecord;
use isogain_core::render::numbers::{number, percent};

use super::by_step::{ByStep, Line};
use crate::chart::Axis;
use crate::digest::Digest;

/// The chart; `None` of a run that does not clip.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let clipped: Vec<(u64, ClipRecord)> =
        run.columns().iter().filter_map(|column| Some((column.step, column.clip?))).collect();
    if clipped.is_empty() {
        return None;
    }
    let steps: Vec<u64> = clipped.iter().map(|(step, _)| *step).collect();
    let values = |tell: fn(&ClipRecord) -> f64| clipped.iter().map(|(_, clip)| Some(tell(clip))).collect();
    let acted = clipped.iter().filter(|(_, clip)| clip.acted).count();
    let turned = clipped.iter().map(|(_, clip)| clip.cosine).filter(|cosine| cosine.is_finite()).fold(1.0, f64::min);
    let lines = [
        Line { class: "before", name: "norm before".to_owned(), values: values(|clip| clip.norm_before) },
        Line { class: "after", name: "norm after".to_owned(), values: values(|clip| clip.norm_after) },
        Line { class: "c3", name: "cosine before and after".to_owned(), values: values(|clip| clip.cosine) },
    ];
    let norms = clipped.iter().flat_map(|(_, clip)| [clip.norm_before, clip.norm_after, clip.cosine]);
    let chart = ByStep {
        id: "clipping",
        title: "Clipping",
        summary: format!(
            "The threshold acted at {acted} of {} recorded steps ({}); the smallest cosine between the gradient before and after is {}.",
            clipped.len(),
            percent(acted as f64 / clipped.len() as f64),
            number(turned)
        ),
        below: "recorded step",
        quantity: "L2 norm of all gradients; cosine (log scale)",
        y: Axis::log(norms, 1.0),
        steps: &steps,
        lines: &lines,
        dots: steps.len() <= 80,
    };
    Some(with_words(
        &chart.figure(),
        &format!(
            "acted at {acted} of {} recorded steps ({}); smallest cosine {}",
            clipped.len(),
            percent(acted as f64 / clipped.len() as f64),
            number(turned)
        ),
    ))
}

/// The numbers that a picture of lines does not say, in its caption.
fn with_words(figure: &str, words: &str) -> String {
    figure.replacen("</h3>", &format!("</h3><p class=\"scale\">{words}</p>"), 1)
}
