//! Back through time: the cotangent of a recurrent layer's state after each time step, and the ways by which it came.

use isogain_core::flow::Joint;
use isogain_core::render::numbers::percent;

use super::by_step::{ByStep, Line};
use crate::chart::Axis;
use crate::digest::Digest;
use crate::markup::text;

/// Layers that are drawn.
const MOST_LAYERS: usize = 6;

/// Classes of lines, in order.
const CLASSES: [&str; MOST_LAYERS] = ["c1", "c2", "c3", "c4", "c5", "alone"];

/// The chart, of the last snapshot; `None` where nothing recurrent was taken apart.
pub(crate) fn figure(run: &Digest) -> Option<String> {
    let snapshot = run.last_snapshot()?;
    let flow = &snapshot.flow;
    let all = flow.joints.iter().chain(&flow.head.joints);
    let joints: Vec<&Joint> = all.filter(|joint| joint.states.len() > 1).take(MOST_LAYERS).collect();
    let length = joints.iter().map(|joint| joint.states.len()).max()?;
    let steps: Vec<u64> = (1..=length as u64).collect();
    let lines: Vec<Line> = joints
        .iter()
        .zip(CLASSES)
        .map(|(joint, class)| Line {
            class,
            name: joint.name.clone(),
            values: joint.states.iter().map(|rms| Some(*rms)).collect(),
        })
        .collect();
    let paths: String = joints.iter().map(|joint| paths(joint)).collect();
    let chart = ByStep {
        id: "time",
        title: "Back through time",
        summary: format!(
            "RMS of the cotangent of the state after each of {length} time steps, at step {}.",
            snapshot.step
        ),
        below: "time step",
        quantity: "rms of dL/d(state) (log scale)",
        y: Axis::log(joints.iter().flat_map(|joint| joint.states.iter().copied()), 2.0),
        steps: &steps,
        lines: &lines,
        dots: length <= 60,
    };
    Some(chart.figure().replacen("</h3>", &format!("</h3>{paths}"), 1))
}

fn paths(joint: &Joint) -> String {
    if joint.paths.is_empty() {
        return String::new();
    }
    let shares: Vec<String> =
        joint.paths.iter().map(|path| format!("{} {}", text(&path.path), percent(path.share))).collect();
    format!("<p class=\"scale\"><b>{}</b> by way of {}</p>", text(&joint.name), shares.join(", "))
}
