//! `isogain smooth`: how smooth the loss is along the gradient.

use crate::desk::{Desk, TINY};

#[test]
fn batch_norm_smooths_a_deep_network() {
    let desk = Desk::new();
    let deep = TINY.replace("depth = 4", "depth = 8").replace("steps = 40", "steps = 120");
    desk.write("plain.toml", &deep);
    desk.write("normed.toml", deep.replace("width = 16", "width = 16\nnorm = \"batch\""));
    let ran = desk.isogain(&["smooth", "plain.toml", "normed.toml", "--quiet", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let steps = |network: usize| report["networks"][network]["steps"].as_array().unwrap().clone();
    assert_eq!((steps(0).len(), steps(1).len()), (20, 20));
    // Past the first half, when both have left the plateau.
    let band = |network: usize| {
        let widths = steps(network)
            .into_iter()
            .skip(10)
            .map(|step| step["highest"].as_f64().unwrap_or(f64::INFINITY) - step["lowest"].as_f64().unwrap_or(0.0));
        let mut widths: Vec<f64> = widths.collect();
        widths.sort_by(f64::total_cmp);
        widths[widths.len() / 2]
    };
    assert!(band(1) < 0.5 * band(0), "{} {}", band(0), band(1));

    let ran = desk.isogain(&["smooth", "plain.toml", "--quiet", "--points", "3"]);
    assert!(ran.stdout.contains("medians") && ran.stdout.contains("plain.toml"), "{}", ran.stdout);
}
