//! How long a plateau still lasts, told from its first half, against trainings that went on until it ended.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain::run::{Unrecorded, unrecorded};
use isogain_core::recipe::parse;
use isogain_core::rules::Finding;

fn trained(network: &str, steps: usize) -> Unrecorded {
    let recipe = parse(&format!("[network]\nwidth = 32\n{network}\n[run]\nsteps = {steps}\n"), "plateau").unwrap();
    support::alone(|| {
        let subject = Subject::load(&recipe, Path::new(".")).unwrap();
        unrecorded(&subject, &|| false).unwrap().unwrap()
    })
}

/// Steps until the mean loss of twenty steps is below 0.8 of that of knowing nothing.
fn escape(network: &str) -> usize {
    let losses = trained(network, 1500).outcome.losses;
    let below = |window: &[Option<f64>]| window.iter().flatten().sum::<f64>() / 20.0 < 0.8 * 10_f64.ln();
    20 + losses.windows(20).position(below).unwrap()
}

/// Small weights, so that the first layers hardly move until the others have grown.
fn small(depth: usize, activation: &str, variance: f64) -> String {
    let init = format!("{{ name = \"normal\", weight_variance = {variance:?} }}");
    format!("depth = {depth}\nactivation = \"{activation}\"\ninit = {init}")
}

/// What `loss-at-chance` says, alone or under what it follows from.
fn at_chance(findings: &[Finding]) -> Option<Finding> {
    findings.iter().find_map(|finding| match finding.rule.as_str() {
        "loss-at-chance" => Some(finding.clone()),
        _ => at_chance(&finding.consequences),
    })
}

#[test]
fn the_end_of_a_plateau_is_told_from_its_first_part() {
    for network in [small(2, "tanh", 0.005), small(3, "relu", 0.2), small(3, "tanh", 0.08), small(5, "relu", 0.4)] {
        let end = escape(&network);
        let asked = end * 6 / 10;
        let finding = at_chance(&trained(&network, asked).findings).unwrap();
        let told = finding.evidence.iter().find(|evidence| evidence.name.starts_with("flat steps")).unwrap();
        let (told, left) = (told.value.unwrap(), (end - asked) as f64);
        println!("{network:?}: asked at {asked} of {end}, told {told:.0}, left {left}: {:.2}", told / left);
        // An order of magnitude is what is claimed, and a factor of 3 what is asked here.
        assert!((left / 3.0..3.0 * left).contains(&told), "{network}: told {told} at {asked}, and it ended at {end}");
        assert!(finding.message.contains("its gradients grow"), "{}", finding.message);
    }
}

/// The gradient of a network that is too deep for its weights stays what it is.
#[test]
fn a_dead_network_is_told_from_a_slow_one() {
    for network in ["depth = 20", "depth = 20\nactivation = \"tanh\"", "depth = 30\ninit = \"glorot-normal\""] {
        let message = at_chance(&trained(network, 400).findings).unwrap().message;
        println!("{network:?}: {message}");
        assert!(!message.contains("its gradients grow"), "{network}: {message}");
    }
}
