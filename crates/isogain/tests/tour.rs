//! The tour: every claim that holds is measured to hold, and those that do not are known.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogain::experiment::Lab;
use isogain::tour::{TABLE, named};
use isogain_allocator as _;

/// Runs a stop; `contradicted` are the numbers that are not what the account says.
#[track_caller]
fn measured(name: &str, contradicted: &[&str]) {
    let stop = AtomicBool::new(false);
    let found = named(name).unwrap().run(&Lab { stop: &stop, progress: &|_| {} }).unwrap();
    println!("{name}: {:.1} s", found.seconds);
    for row in &found.rows {
        println!("  {}: {:?}, should be {:?}: {}", row.what, row.ours, row.theirs, row.passes);
    }
    let wrong: Vec<_> = found.rows.iter().filter(|row| !row.passes).map(|row| row.what.as_str()).collect();
    assert_eq!(wrong, contradicted, "{name}");
    assert!(!found.rows.is_empty() && !found.figures.is_empty() && found.disproof.is_some(), "{name}");
    assert!(wrong.is_empty() || !found.notes.is_empty(), "{name}: a contradiction that no note explains");
}

/// One test for each, so that they run side by side.
macro_rules! stops {
    ($($test:ident: $name:literal, but not $contradicted:expr;)*) => {
        $(#[test]
        fn $test() {
            measured($name, &$contradicted);
        })*

        const TESTED: &[&str] = &[$($name),*];
    };
}

stops! {
    chain_product: "chain-product", but not [];
    three_terms: "three-terms", but not [
        "weight of layer 1 at its most saturated unit: gradient at scale 0.1, over that at scale 1",
    ];
    saturation: "saturation", but not [];
    dead_units: "dead-units", but not ["ReLU, SGD at 1: dead units of 192 after 300 steps"];
    skip_adds_one: "skip-adds-one", but not [];
    start_scales: "start-scales", but not [
        "tanh, 5 layers, Glorot: gradients, first over last",
        "tanh, 50 layers, Glorot: activations, last over first",
        "tanh, 50 layers, Glorot: gradients, first over last",
        "tanh, 4 layers of 2500 units, deviation 0.02: gradients, first over last",
    ];
    batch_norm: "batch-norm", but not [
        "Glorot's weights: share with minus without batch norm, at the start",
        "Glorot's weights: share with minus without batch norm, after training",
    ];
    batch_size: "batch-size", but not [];
    explosion: "explosion", but not [];
    clipping: "clipping", but not [];
    no_free_trick: "no-free-trick", but not [];
}

/// A file that is in no table would never run, and its name on the command line is that of the file.
#[test]
fn the_table_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tour");
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let table: BTreeSet<String> =
        TABLE.iter().map(|one| one.name.replace('-', "_")).chain(["mod".to_owned()]).collect();
    assert_eq!(files, table);
    assert_eq!(TABLE.map(|one| one.name), TESTED);
}
