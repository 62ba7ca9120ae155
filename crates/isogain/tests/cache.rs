//! Trainings of earlier searches are not run again, change no result, and are no answer to another question.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use isogain::cache::Cache;
use isogain::cure::{Options, Search, Watch, search};
use isogain::trials::Runner;
use isogain_core::recipe::{Recipe, parse};

fn recipe(rest: &str) -> Recipe {
    let text = format!(
        "[network]\ndepth = 12\nwidth = 16\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.05\n[run]\nsteps = 50\n{rest}"
    );
    parse(&text, "test").unwrap()
}

/// A search with this cache: what it found, and how many trainings it ran. Stops itself after `most` of them.
fn searched(recipe: &Recipe, seeds: usize, cache: Option<&Cache>, most: usize) -> (Option<Search>, usize) {
    let (stop, run) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begun = |_: &str, _: &isogain_core::trial::Job| {
        if run.fetch_add(1, Ordering::Relaxed) + 1 >= most {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let runner = Runner { threads: 1, stop: &stop, progress: &|_, _| {} };
    let watch = Watch { stage: &|_| {}, begin: &|_| Ok(()), trial: &|_| {} };
    let options = Options { begun: &begun, cache, ..seeds.into() };
    let found = support::alone(|| search(recipe, Path::new("."), options, runner, watch));
    (found.ok(), run.load(Ordering::Relaxed))
}

#[test]
fn a_second_search_runs_nothing_and_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let ill = recipe("");
    let (plain, all) = searched(&ill, 3, None, usize::MAX);
    let first = Cache::new(folder.path());
    let (kept, ran) = searched(&ill, 3, Some(&first), usize::MAX);
    assert!(all > 50 && ran <= all && first.failure().is_none());
    let second = Cache::new(folder.path());
    let (again, none) = searched(&ill, 3, Some(&second), usize::MAX);
    assert_eq!(none, 0);
    assert!(second.found() >= ran);
    let report = |found: Option<Search>| found.unwrap().report;
    let plain = report(plain);
    assert_eq!(report(kept), plain);
    assert_eq!(report(again), plain);

    // Another seed of the recipe is another question, and so is another program's answer, or half a file.
    let (_, ran) = searched(&recipe("seed = 100\n"), 3, Some(&second), usize::MAX);
    assert!(ran > all / 2, "{ran}");
    for entry in folder.path().read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(
            &path,
            if text.len() % 2 == 0 { text[..text.len() / 2].to_owned() } else { text.replace("0.1.", "9.1.") },
        )
        .unwrap();
    }
    let (damaged, ran) = searched(&ill, 3, Some(&Cache::new(folder.path())), usize::MAX);
    assert!(ran > all / 2, "{ran}");
    assert_eq!(report(damaged), plain);
}

#[test]
fn a_search_that_was_stopped_goes_on_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let ill = recipe("");
    let (plain, all) = searched(&ill, 3, None, usize::MAX);
    let half = all / 2;
    searched(&ill, 3, Some(&Cache::new(folder.path())), half);
    let (found, rest) = searched(&ill, 3, Some(&Cache::new(folder.path())), usize::MAX);
    assert!(rest <= all - half + 1, "{rest} of {all}");
    assert_eq!(found.unwrap().report, plain.unwrap().report);
    // On more seeds only those are new that were not asked before.
    let (fresh, all) = searched(&ill, 4, None, usize::MAX);
    let (known, more) = searched(&ill, 4, Some(&Cache::new(folder.path())), usize::MAX);
    assert!(more < all, "{more} of {all}");
    assert_eq!(known.unwrap().report, fresh.unwrap().report);
}

#[test]
fn a_folder_that_cannot_be_written_ends_no_search() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let cache = Cache::new(&file);
    let (found, _) = searched(&recipe(""), 3, Some(&cache), usize::MAX);
    assert!(found.is_some());
    assert!(cache.failure().unwrap().contains("file"), "{:?}", cache.failure());
}
