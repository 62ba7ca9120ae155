use isogain_core::recipe::{Data, Task};

use super::*;
use crate::dataset::Dataset;
use crate::samples::Targets;
use crate::table::Wanted;

fn load(source: &str, change: impl FnOnce(&mut Data)) -> Dataset {
    let mut recipe = Data { source: source.into(), ..Data::default() };
    change(&mut recipe);
    Dataset::load(&recipe, std::path::Path::new(".")).unwrap()
}

#[test]
fn digits_have_the_published_counts() {
    let table = digits::table().unwrap();
    let Wanted::Labels { labels, classes: 10, .. } = &table.wanted else { panic!("digits have 10 classes") };
    let counts: Vec<usize> = (0..10).map(|class| labels.iter().filter(|&&l| l == class).count()).collect();
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    assert_eq!(table.rows(), 1797);
    let mut pixels = Vec::new();
    (0..1797).for_each(|row| table.read(row, &mut pixels).unwrap());
    assert_eq!(pixels.len(), 1797 * 64);
    assert!(pixels.iter().all(|pixel| (0.0..=16.0).contains(pixel)));
}

#[test]
fn adding_sums_the_two_marked_numbers() {
    let data = load("adding", |data| data.task = Task::Regression);
    let all = data.train.all();
    assert_eq!((all.shape.grid.as_slice(), all.shape.features, all.len()), ([100].as_slice(), 2, 8000));
    let Targets::Values { values, outputs: 1 } = &all.targets else { panic!("sums") };
    for (sample, sum) in all.inputs.chunks_exact(200).zip(values) {
        let marked: Vec<usize> = (0..100).filter(|step| sample[2 * step + 1] == 1.0).collect();
        assert!(marked.len() == 2 && marked[0] < 50 && marked[1] >= 50, "{marked:?}");
        assert_eq!(sample[2 * marked[0]] + sample[2 * marked[1]], *sum);
        assert!(sample.iter().all(|value| (0.0..=1.0).contains(value)));
    }
    // The published baseline, 1/6; the variance of 8000 sums has a standard error of 0.0021
    // (their kurtosis is 2.4, so sqrt(1.4 / 8000) / 6).
    assert!((data.summary.baseline_loss - 1.0 / 6.0).abs() < 4.0 * 0.0022, "{}", data.summary.baseline_loss);
}

#[test]
fn temporal_order_has_two_keys_at_their_places() {
    let all = load("temporal-order", |data| data.length = 37).train.all();
    let Targets::Classes { labels, classes: 4 } = &all.targets else { panic!("4 classes") };
    assert!((0..4).all(|class| labels.contains(&class)));
    for (sample, label) in all.inputs.chunks_exact(37 * 6).zip(labels) {
        let symbols: Vec<usize> =
            sample.chunks_exact(6).map(|one_hot| one_hot.iter().position(|&x| x == 1.0).unwrap()).collect();
        assert_eq!(sample.iter().sum::<f64>(), 37.0);
        let keys: Vec<usize> = (0..37).filter(|&step| symbols[step] < 2).collect();
        assert!(keys.len() == 2 && (3..7).contains(&keys[0]) && (14..18).contains(&keys[1]), "{keys:?}");
        assert_eq!(2 * symbols[keys[0]] + symbols[keys[1]], *label);
    }
}

#[test]
fn copy_memory_asks_for_its_symbols_at_the_end() {
    let data = load("copy-memory", |data| (data.length, data.samples) = (30, 100));
    let all = data.train.all();
    assert_eq!((all.shape.grid.as_slice(), all.shape.features), ([50].as_slice(), 10));
    let Targets::Classes { labels, classes: 9 } = &all.targets else { panic!("9 classes") };
    assert_eq!(labels.len(), all.len() * 50);
    for (sample, labels) in all.inputs.chunks_exact(500).zip(labels.chunks_exact(50)) {
        let symbols: Vec<usize> =
            sample.chunks_exact(10).map(|one_hot| one_hot.iter().position(|&x| x == 1.0).unwrap()).collect();
        assert!(symbols[..10].iter().all(|&symbol| symbol < 8));
        assert!(symbols[10..39].iter().chain(&symbols[40..]).all(|&symbol| symbol == 8));
        assert_eq!(symbols[39], 9);
        assert!(labels[..40].iter().all(|&label| label == 8));
        assert_eq!(labels[40..], symbols[..10]);
    }
}

#[test]
fn spirals_have_as_many_arms_as_asked_for() {
    let data = load("spirals", |data| data.classes = 5);
    assert_eq!((data.outputs(), data.shape().features), (5, 2));
    let all = data.train.all();
    assert!(all.inputs.chunks_exact(2).all(|point| point[0].hypot(point[1]) <= 1.0 + 1e-12));
}

#[test]
fn a_linear_teacher_answers_gaussian_inputs() {
    let data = load("gaussian", |data| (data.features, data.samples, data.task) = (5, 4000, Task::Regression));
    let all = data.train.all();
    let count = all.inputs.len() as f64;
    let mean = all.inputs.iter().sum::<f64>() / count;
    let square = all.inputs.iter().map(|x| x * x).sum::<f64>() / count;
    // Four standard errors: 1/sqrt(n), and sqrt(2/n) for the squares.
    assert!(mean.abs() < 4.0 / count.sqrt() && (square - 1.0).abs() < 4.0 * (2.0 / count).sqrt(), "{mean} {square}");
    // Five samples determine the teacher; it answers a sixth.
    let Targets::Values { values, .. } = &all.targets else { panic!("numbers") };
    let teacher = solve(&all.inputs[..25], &values[..5]);
    for (sample, value) in all.inputs.chunks_exact(5).zip(values).take(50) {
        let answer: f64 = teacher.iter().zip(sample).map(|(w, x)| w * x).sum();
        assert!((answer - value).abs() < 1e-9, "{answer} {value}");
    }
    assert_eq!(load("gaussian", |data| (data.features, data.classes) = (4, 7)).outputs(), 7);
}

/// Gaussian elimination with pivots.
fn solve(matrix: &[f64], right: &[f64]) -> Vec<f64> {
    let n = right.len();
    let mut rows: Vec<Vec<f64>> =
        matrix.chunks_exact(n).zip(right).map(|(row, value)| [row, &[*value]].concat()).collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs())).unwrap();
        rows.swap(column, pivot);
        for row in (0..n).filter(|row| *row != column) {
            let factor = rows[row][column] / rows[column][column];
            (column..=n).for_each(|k| rows[row][k] -= factor * rows[column][k]);
        }
    }
    (0..n).map(|row| rows[row][n] / rows[row][row]).collect()
}

#[test]
fn generated_data_is_the_same_at_every_call() {
    for source in &Data::BUILT_IN[1..] {
        let task = if *source == "adding" { Task::Regression } else { Task::Classification };
        let data = || load(source, |data| (data.task, data.samples) = (task, 200));
        assert_eq!(data().train.all(), data().train.all(), "{source}");
        assert_eq!(data().train.len() + data().test.len(), 200, "{source}");
    }
}

#[test]
fn what_a_generator_cannot_make_is_refused() {
    let refused = |source: &str, change: fn(&mut Data)| {
        let mut recipe = Data { source: source.into(), ..Data::default() };
        change(&mut recipe);
        Dataset::load(&recipe, std::path::Path::new(".")).unwrap_err().to_string()
    };
    assert_eq!(refused("adding", |_| ()), "data.task = \"classification\": adding has numbers: must be \"regression\"");
    assert_eq!(
        refused("temporal-order", |data| data.length = 9),
        "data.length = 9: must be 10 or more for temporal-order"
    );
    assert_eq!(
        refused("gaussian", |data| (data.samples, data.features) = (1_000_000, 1000)),
        "data.samples = 1000000: must be at most 268435, with 1000 numbers in each sample"
    );
}
