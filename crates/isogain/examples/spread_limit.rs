//! How the limit on the spread of a gradient's directions does on networks that it was not read from: other activations than
//! ReLU and tanh under SGD, other widths, other data, Adam.
//!
//!     spread_limit [SEED]...
//!
//! Networks with a right scale, each as `check` sees it before training, and the best accuracy of five learning rates after 400
//! steps. Prints a row for each training, and at the end how many stayed under 90 % on either side of the limit. Those whose
//! scale is wrong, which is another illness, are not counted. Seeds 0 and 1 when none is given; some minutes each.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use isogain::check::Subject;
use isogain::data::Dataset;
use isogain::trials::{TrialArm, run_job};
use isogain_core::recipe::parse;
use isogain_core::rules::differential::{Kind, Verdict};
use isogain_core::trial::Job;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Accuracy from which on a network learned.
const LEARNED: f64 = 0.9;
const STEPS: usize = 400;
const RATES_OF_SGD: [f64; 5] = [0.002, 0.01, 0.05, 0.2, 0.5];
const RATES_OF_ADAM: [f64; 5] = [1e-5, 1e-4, 5e-4, 2e-3, 1e-2];

/// One network: its activation and initialiser, its data and optimizer.
struct Setting {
    activation: &'static str,
    init: &'static str,
    source: &'static str,
    optimizer: &'static str,
    depth: usize,
    width: usize,
}

/// Activations, each with initialisers that hold its scale.
const HELD_OUT: [(&str, &str); 6] = [
    ("gelu", "edge-of-chaos"),
    ("silu", "edge-of-chaos"),
    ("elu", "edge-of-chaos"),
    ("leaky-relu", "he-normal"),
    ("softplus", "lsuv"),
    ("hard-tanh", "edge-of-chaos"),
];

fn settings() -> Vec<Setting> {
    let mut all = Vec::new();
    for depth in [8, 16, 30, 60, 100] {
        for width in [32, 96] {
            for (activation, init) in HELD_OUT {
                all.push(Setting { activation, init, source: "digits", optimizer: "sgd", depth, width });
            }
            for (activation, init) in [("relu", "he-normal"), ("tanh", "edge-of-chaos")] {
                all.push(Setting { activation, init, source: "digits", optimizer: "adam", depth, width });
                all.push(Setting { activation, init, source: "gaussian", optimizer: "sgd", depth, width });
            }
        }
    }
    all
}

/// A network before and after training.
struct Seen {
    row: String,
    /// Directions left for each sample, where the scale is right and they can be counted.
    directions: Option<(f64, f64)>,
    accuracy: f64,
}

fn see(setting: &Setting, seed: u64) -> Result<Seen, Failure> {
    let Setting { activation, init, source, optimizer, depth, width } = setting;
    let text = format!(
        "[data]\nsource = \"{source}\"\n[network]\ndepth = {depth}\nwidth = {width}\nactivation = \"{activation}\"\n\
         init = \"{init}\"\n[optimizer]\nname = \"{optimizer}\"\n[run]\nsteps = {STEPS}\nseed = {seed}\n"
    );
    let recipe = parse(&text, "recipe")?;
    let data = Arc::new(Dataset::load(&recipe.data, std::path::Path::new("."))?);
    let subject = Subject::new(&recipe, Arc::clone(&data))?.with_counterfactual()?;
    let told = subject.differential();
    let of = |kind: Kind| told.iter().find(|told| told.kind == kind);
    let has_scale = of(Kind::Scale).is_some_and(|told| told.verdict == Verdict::Clear);
    let spread = of(Kind::Spread).and_then(|told| told.evidence.first());
    let directions = spread.and_then(|evidence| evidence.value.zip(evidence.threshold)).filter(|_| has_scale);
    let arm = TrialArm::new(&subject, &subject);
    let rates = if *optimizer == "adam" { RATES_OF_ADAM } else { RATES_OF_SGD };
    let accuracy = rates.into_iter().filter_map(|learning_rate| {
        run_job(&Job { id: 0, arm: 0, learning_rate, seed, steps: STEPS }, &arm, &|| false)?.train_accuracy
    });
    let accuracy = accuracy.fold(0.0, f64::max);
    let counted = directions.map_or_else(|| "wrong scale".to_owned(), |(directions, _)| format!("{directions:.2}"));
    let row = format!(
        "| {activation} | {init} | {source} | {optimizer} | {depth} | {width} | {seed} | {counted} | {accuracy:.3} |"
    );
    Ok(Seen { row, directions, accuracy })
}

fn main() -> Result<(), Failure> {
    isogain_allocator::keep_freed();
    let seeds: Vec<u64> = std::env::args().skip(1).map(|seed| seed.parse()).collect::<Result<_, _>>()?;
    let seeds = if seeds.is_empty() { vec![0, 1] } else { seeds };
    let all: Vec<(Setting, u64)> =
        seeds.iter().flat_map(|seed| settings().into_iter().map(move |setting| (setting, *seed))).collect();
    println!("| activation | init | data | optimizer | depth | width | seed | directions | accuracy |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((setting, seed)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = see(setting, *seed);
                    if let Ok(found) = &found {
                        println!("{}", found.row);
                    }
                    seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(found);
                }
            });
        }
    });
    let (seen, failed): (Vec<_>, Vec<_>) = seen.into_inner()?.into_iter().partition(Result::is_ok);
    failed.into_iter().filter_map(Result::err).for_each(|error| eprintln!("left out: {error}"));
    let seen: Vec<Seen> = seen.into_iter().flatten().collect();
    let counted: Vec<(bool, f64, bool)> = seen
        .iter()
        .filter_map(|seen| {
            seen.directions.map(|(directions, limit)| (directions < limit, directions, seen.accuracy < LEARNED))
        })
        .collect();
    for (is_below, side) in [(true, "below"), (false, "above")] {
        let on_side = || counted.iter().filter(|(below, ..)| *below == is_below);
        let failed = on_side().filter(|(.., failed)| *failed).count();
        println!("{side} the limit {failed} of {} stayed under {LEARNED}", on_side().count());
    }
    println!("a random one that failed has fewer directions than a random other with probability {:.3}", auc(&counted));
    Ok(())
}

/// Probability that one that failed has fewer directions than one that did not; ties count half.
fn auc(counted: &[(bool, f64, bool)]) -> f64 {
    let of = |wanted: bool| {
        counted.iter().filter(move |(.., failed)| *failed == wanted).map(|(_, directions, _)| *directions)
    };
    let pairs = of(true).flat_map(|failed| of(false).map(move |other| (failed, other)));
    let (mut wins, mut count) = (0.0, 0.0);
    for (failed, other) in pairs {
        wins += if failed < other { 1.0 } else { f64::from(u8::from(failed == other)) / 2.0 };
        count += 1.0;
    }
    wins / count
}
