//! Public data sets as they are: their published numbers, read from what `cargo xtask data` fetched.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::path::{Path, PathBuf};

use isogain_core::network::Shape;
use isogain_core::recipe::Data;
use isogain_data::{Dataset, Part, Targets};

/// The folder of a data set; `None`, with a word, where it was not fetched. Under CI that fails.
fn fetched(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/data").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let skipped = format!("skipped: not fetched: cargo xtask data {name}");
    assert!(std::env::var_os("CI").is_none(), "{skipped}");
    eprintln!("{skipped}");
    None
}

fn load(folder: &Path, change: impl FnOnce(&mut Data)) -> Dataset {
    let mut recipe = Data { source: ".".into(), standardize: false, ..Data::default() };
    change(&mut recipe);
    Dataset::load(&recipe, folder).unwrap()
}

fn labels(part: &Part, rows: std::ops::Range<usize>) -> Vec<usize> {
    match part.select(&rows.collect::<Vec<_>>()).targets {
        Targets::Classes { labels, .. } => labels,
        Targets::Values { .. } => panic!("classes"),
    }
}

fn counts(part: &Part, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for piece in part.pieces(1000) {
        let Targets::Classes { labels, .. } = piece.targets else { panic!("classes") };
        labels.into_iter().for_each(|label| counts[label] += 1);
    }
    counts
}

/// Mean and deviation of each channel, pixels scaled to [0, 1].
fn channels(part: &Part) -> Vec<(f64, f64)> {
    let channels = part.shape().features;
    let (mut sum, mut square, mut count) = (vec![0.0; channels], vec![0.0; channels], 0.0);
    for piece in part.pieces(1000) {
        for pixel in piece.inputs.chunks_exact(channels) {
            count += 1.0;
            for (channel, value) in pixel.iter().enumerate() {
                sum[channel] += value / 255.0;
                square[channel] += (value / 255.0).powi(2);
            }
        }
    }
    sum.iter().zip(&square).map(|(s, q)| (s / count, (q / count - (s / count).powi(2)).sqrt())).collect()
}

/// Published to four digits.
fn published(found: &[(f64, f64)], expected: &[(f64, f64)]) {
    for ((mean, deviation), (m, d)) in found.iter().zip(expected) {
        assert!((mean - m).abs() < 6e-5 && (deviation - d).abs() < 6e-5, "{mean} {deviation}, published {m} {d}");
    }
}

#[test]
fn fashion_mnist() {
    let Some(folder) = fetched("fashion-mnist") else { return };
    let data = load(&folder, |_| ());
    assert_eq!((data.shape(), data.outputs()), (Shape::image(28, 28, 1), 10));
    assert_eq!((counts(&data.train, 10), counts(&data.test, 10)), (vec![6000; 10], vec![1000; 10]));
    assert_eq!(labels(&data.train, 0..5), [9, 0, 0, 3, 0]);
    published(&channels(&data.train), &[(0.2860, 0.3530)]);
}

#[test]
fn mnist() {
    // Not among the data that the tests fetch: looked at where it is.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/data/mnist");
    if !folder.is_dir() {
        return eprintln!("skipped: not fetched: cargo xtask data mnist");
    }
    let data = load(&folder, |_| ());
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!(labels(&data.train, 0..5), [5, 0, 4, 1, 9]);
    published(&channels(&data.train), &[(0.1307, 0.3081)]);
}

#[test]
fn cifar_10() {
    let Some(folder) = fetched("cifar-10") else { return };
    let data = load(&folder, |_| ());
    assert_eq!((data.shape(), data.outputs()), (Shape::image(32, 32, 3), 10));
    assert_eq!((counts(&data.train, 10), counts(&data.test, 10)), (vec![5000; 10], vec![1000; 10]));
    published(&channels(&data.train), &[(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)]);
    // Standardised by channel.
    let data = load(&folder, |data| (data.standardize, data.samples) = (true, 6000));
    assert_eq!((data.train.len(), data.test.len()), (5000, 1000));
    let scaled = channels(&data.train);
    assert!(scaled.iter().all(|(mean, deviation)| mean.abs() < 1e-9 && (deviation * 255.0 - 1.0).abs() < 1e-9));
}

#[test]
fn japanese_vowels() {
    let Some(folder) = fetched("japanese-vowels") else { return };
    let data = load(&folder, |data| {
        (data.source, data.test_source) = ("JapaneseVowels_TRAIN.ts".into(), "JapaneseVowels_TEST.ts".into());
    });
    assert_eq!((data.shape(), data.outputs()), (Shape::sequence(29, 12), 9));
    assert_eq!((data.train.len(), data.test.len()), (270, 370));
    assert_eq!(counts(&data.train, 9), [30; 9]);
    assert_eq!(counts(&data.test, 9), [31, 35, 88, 44, 29, 24, 40, 50, 29]);
}

#[test]
fn moby_dick() {
    let Some(folder) = fetched("moby-dick") else { return };
    let data =
        load(&folder, |data| (data.source, data.length, data.test_fraction) = ("moby-dick.txt".into(), 100, 0.1));
    assert_eq!((data.shape(), data.vocabulary(), data.outputs()), (Shape::sequence(100, 1), Some(83), 83));
    // 1,190,317 characters: a tenth from the end for testing.
    assert_eq!((data.train.len(), data.test.len()), (10_712, 1_190));
    let first = data.train.select(&[0]);
    let Targets::Classes { labels, .. } = &first.targets else { panic!("characters") };
    let next: Vec<f64> = labels[..99].iter().map(|&label| label as f64).collect();
    assert_eq!(first.inputs[1..], next);
}
