//! Same seed, same machine: the same bytes.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain_core::recipe::parse;
use isogain_core::render::json;
use isogain_core::summary::CheckReport;

/// The report of `check` as the command line writes it.
fn report(toml: &str) -> String {
    let recipe = parse(toml, "test").unwrap();
    let subject = support::alone(|| Subject::load(&recipe, Path::new(".")).unwrap().with_sharpness());
    let findings = subject.findings();
    json::of(&CheckReport::new(subject.recipe, findings, subject.start.flow, subject.limits)).unwrap()
}

#[test]
fn check_writes_the_same_bytes_again() {
    for toml in [
        "[network]\n",
        "[network]\ndepth = 8\nactivation = \"gelu\"\nnorm = \"batch\"\n",
        "[network]\nkind = \"residual\"\ndepth = 8\nbranch_scale = \"depth\"\nnorm = \"layer\"\n[run]\nseed = 7\n",
    ] {
        let first = report(toml);
        assert_eq!(first, report(toml));
        // Also while others compute beside it.
        let beside: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..2).map(|_| scope.spawn(|| report(toml))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(beside.iter().all(|again| *again == first));
    }
}

#[test]
fn another_seed_is_another_network() {
    let of = |seed: u64| report(&format!("[network]\ndepth = 4\ninit = \"he-normal\"\n[run]\nseed = {seed}\n"));
    assert_ne!(of(0), of(1));
}
