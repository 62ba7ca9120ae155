//! Results of theory and of the literature, measured again: every number of every experiment is what it should be.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use isogain::experiment::Lab;
use isogain::reproduce::{TABLE, named};
use isogain_allocator as _;

#[track_caller]
fn every_number_is_as_it_should_be(name: &str) {
    let stop = AtomicBool::new(false);
    let found = named(name).unwrap().run(&Lab { stop: &stop, progress: &|_| {} }).unwrap();
    println!("{name}: {:.0} s", found.seconds);
    for row in &found.rows {
        println!("  {}: {:?}, should be {:?}: {}", row.what, row.ours, row.theirs, row.passes);
    }
    let wrong: Vec<_> = found.rows.iter().filter(|row| !row.passes).collect();
    assert!(!found.rows.is_empty() && wrong.is_empty(), "{name}: {wrong:#?}");
}

/// One test for each, so that they run side by side.
macro_rules! experiments {
    ($($test:ident: $name:literal;)*) => {
        $(#[test]
        fn $test() {
            every_number_is_as_it_should_be($name);
        })*

        /// In the order of the table, so that none is forgotten.
        #[test]
        fn every_experiment_is_run() {
            assert_eq!([$($name),*], TABLE.map(|one| one.name));
        }
    };
}

experiments! {
    default_init: "default-init";
    phase_diagram: "phase-diagram";
    depth_scales: "depth-scales";
    gain_audit: "gain-audit";
    glorot_profiles: "glorot-profiles";
    log_normal_gradients: "log-normal-gradients";
    born_dead: "born-dead";
    jacobian_spectrum: "jacobian-spectrum";
    orthogonal_depth: "orthogonal-depth";
    tailored_rescue: "tailored-rescue";
    rescue_table: "rescue-table";
    batch_norm_explosion: "batch-norm-explosion";
    batch_norm_depth: "batch-norm-depth";
    shattered_gradients: "shattered-gradients";
    path_lengths: "path-lengths";
    thousand_layers: "thousand-layers";
    width_transfer: "width-transfer";
    recurrent_memory: "recurrent-memory";
    adding_problem: "adding-problem";
    temporal_order: "temporal-order";
    attention_failure: "attention-failure";
    transformer_depth: "transformer-depth";
    clipping_family: "clipping-family";
    adam_eps: "adam-eps";
    half_precision: "half-precision";
    dormant_units: "dormant-units";
}

/// A file that is in no table would never run, and its name on the command line is that of the file.
#[test]
fn the_table_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/reproduce");
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let tools = ["mod".to_owned()];
    let table: BTreeSet<String> = TABLE.iter().map(|one| one.name.replace('-', "_")).chain(tools).collect();
    assert_eq!(files, table);
    assert_eq!(TABLE.iter().map(|one| one.name).collect::<BTreeSet<_>>().len(), TABLE.len());
}

#[test]
fn what_is_misspelt_is_guessed() {
    let error = named("jacobian-spectrun").unwrap_err().to_string();
    assert!(error.contains("did you mean 'jacobian-spectrum'?"), "{error}");
}

/// The same numbers at every call, and an end as soon as somebody wants it.
#[test]
fn the_same_numbers_again_and_an_end_when_asked() {
    let experiment = named("path-lengths").unwrap();
    let stop = AtomicBool::new(false);
    let lab = Lab { stop: &stop, progress: &|part| assert!((0.0..=1.0).contains(&part)) };
    let [first, second] = [0, 1].map(|_| experiment.run(&lab).unwrap());
    assert_eq!((first.rows, first.figures), (second.rows, second.figures));
    let stop = AtomicBool::new(true);
    let stopped = experiment.run(&Lab { stop: &stop, progress: &|_| {} });
    assert!(matches!(stopped, Err(isogain::Error::Interrupted)));
}
