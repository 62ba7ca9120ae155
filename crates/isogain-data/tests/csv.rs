//! Data that cannot be used: one error with the file, the line, the value and what would be right.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::fs;

use isogain_core::network::Shape;
use isogain_core::recipe::{Data, Task};
use isogain_data::{Dataset, Error, Targets};

/// The data of a file with this content; the error as the user reads it, the folder left out.
fn load(content: &[u8], change: impl FnOnce(&mut Data)) -> Result<Dataset, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.csv"), content).unwrap();
    let mut recipe = Data { source: "data.csv".into(), batch: 2, ..Data::default() };
    change(&mut recipe);
    let shown = |error: Error| {
        error.to_string().replace(&format!("{}{}", folder.path().display(), std::path::MAIN_SEPARATOR), "")
    };
    Dataset::load(&recipe, folder.path()).map_err(shown)
}

fn refused(content: &str, change: impl FnOnce(&mut Data)) -> String {
    load(content.as_bytes(), change).expect_err("data that cannot be used")
}

fn unchanged(_: &mut Data) {}

fn regression(data: &mut Data) {
    data.task = Task::Regression;
}

const GOOD: &str = "a,b,kind\n1,2,0\n3,4,1\n5,6,0\n7,9,1\n8,0,2\n";

#[test]
fn good_data_is_read() {
    let data = load(GOOD.as_bytes(), unchanged).unwrap();
    assert_eq!((data.shape(), data.outputs()), (Shape::vector(2), 3));
    assert_eq!(data.train.len() + data.test.len(), 5);
    assert!(data.train.all().inputs.iter().chain(&data.test.all().inputs).all(|value| value.is_finite()));
    // Any column can be the target, and words can be classes.
    let data = load(b"kind,a\nred,1\ngreen,2\nred,3\nblue,5\n", |data| data.target = vec!["kind".into()]).unwrap();
    assert_eq!((data.shape(), data.outputs()), (Shape::vector(1), 3));
    let data = load(GOOD.as_bytes(), regression).unwrap();
    assert_eq!(data.outputs(), 1);
    assert!(matches!(data.train.all().targets, Targets::Values { outputs: 1, .. }));
}

#[test]
fn values_that_are_no_numbers_are_named_with_their_line() {
    for value in ["NaN", "nan", "inf", "-inf", "1e400", "", "two"] {
        let error = refused(&format!("a,b,kind\n1,2,0\n3,{value},1\n5,6,0\n"), unchanged);
        assert_eq!(error, format!("data.csv:3: column 'b' = '{value}': expected a number (at most 3.4e38 in size)"));
    }
    for value in ["NaN", "inf", "", "high"] {
        let error = refused(&format!("a,b,y\n1,2,0.5\n3,4,1.5\n5,6,{value}\n"), regression);
        assert_eq!(error, format!("data.csv:4: target 'y' = '{value}': expected a number (at most 3.4e38 in size)"));
    }
}

#[test]
fn labels_out_of_range_are_named_with_their_line() {
    for value in ["-1", "1.5", "1000", "1e9"] {
        let error = refused(&format!("a,b,kind\n1,2,0\n3,4,1\n5,6,{value}\n"), unchanged);
        assert!(error.starts_with(&format!("data.csv:4: target 'kind' = {value}: not a class")), "{error}");
        assert!(error.contains("0 to 999") && error.contains("data.task = \"regression\""), "{error}");
    }
    for value in ["NaN", ""] {
        let error = refused(&format!("a,b,kind\n1,2,0\n3,4,{value}\n5,6,1\n"), unchanged);
        assert_eq!(error, format!("data.csv:3: target 'kind' = '{value}': expected a class"));
    }
}

#[test]
fn classes_leave_no_number_out() {
    let error = refused("a,b,kind\n1,2,0\n3,4,3\n5,6,1\n", unchanged);
    assert!(error.starts_with("data.csv:3: target 'kind' = 3: no sample has class 2"), "{error}");
}

#[test]
fn a_missing_column_names_the_nearest() {
    let error = refused(GOOD, |data| data.target = vec!["kidn".into()]);
    assert_eq!(error, "data.csv:1: no column 'kidn' (data.target); did you mean 'kind'?");
    let error = refused(GOOD, |data| data.target = vec!["temperature".into()]);
    assert_eq!(error, "data.csv:1: no column 'temperature' (data.target); the last one is 'kind'");
}

#[test]
fn ragged_lines_are_named() {
    for (line, fields) in [("3,4", 2), ("3,4,1,9", 4)] {
        let error = refused(&format!("a,b,kind\n1,2,0\n{line}\n5,6,0\n"), unchanged);
        assert_eq!(error, format!("data.csv:3: {fields} fields; the header line has 3"));
    }
}

#[test]
fn files_without_samples_are_refused() {
    let error = refused("", unchanged);
    assert!(error.starts_with("data.csv:1: the file is empty; expected a header line"), "{error}");
    let error = refused("kind\n0\n1\n", unchanged);
    assert!(error.starts_with("data.csv:1: 1 column; expected a header line"), "{error}");
    let error = refused("a;b;kind\n1;2;0\n", unchanged);
    assert!(error.ends_with("separated by commas (not by ';')"), "{error}");
    for content in ["a,b,kind\n", "a,b,kind\n1,2,0\n"] {
        let error = refused(content, unchanged);
        assert!(error.starts_with("data.csv: ") && error.contains("at least 2 are needed"), "{error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let error = load(b"a,b,kind\n1,2,0\n\xff\xfe,4,1\n5,6,0\n", unchanged).expect_err("not UTF-8");
    assert_eq!(error, "data.csv:3: field 1: not UTF-8 text");
}

#[test]
fn data_from_which_nothing_can_be_learned_is_refused() {
    let error = refused("a,b,kind\n1,2,0\n1,2,1\n1,2,0\n", unchanged);
    assert!(error.contains("all samples have the same inputs"), "{error}");
    let error = refused("a,b,kind\n1,2,0\n3,4,0\n5,6,0\n", unchanged);
    assert!(error.contains("target 'kind' is 0 on every sample"), "{error}");
    // Also where it is written in several ways.
    for task in [unchanged, regression] {
        let error = refused("a,b,kind\n1,2,1\n3,4,1.0\n5,6,01\n", task);
        assert_eq!(error, "data.csv: target 'kind' is 1 on every sample; there is nothing to learn");
    }
    // Or where the only other value is kept for testing.
    let rows = |odd: usize| (0..5).map(|row| format!("{row},{}\n", u8::from(row == odd))).collect::<String>();
    let refusals = (0..5).filter_map(|odd| load(format!("a,kind\n{}", rows(odd)).as_bytes(), unchanged).err());
    let expected = "data.csv: the target is the same on every training sample (4; 1 more are kept for testing); there is \
                    nothing to learn";
    assert_eq!(refusals.collect::<Vec<_>>(), [expected]);
    let error = refused("a,b,y\n1,2,7\n3,4,7\n5,6,7\n", regression);
    assert!(error.contains("target 'y' is 7 on every sample"), "{error}");
}

#[test]
fn a_batch_larger_than_the_data_says_how_much_there_is() {
    let error = refused(GOOD, |data| data.batch = 64);
    assert!(error.contains("data.batch") && error.contains("64") && error.contains("must be at most 4"), "{error}");
    let digits =
        |batch: usize| Dataset::load(&Data { batch, ..Data::default() }, std::path::Path::new(".")).map(|_| ());
    digits(1438).unwrap();
    let error = digits(1439).unwrap_err().to_string();
    assert!(error.contains("data.batch") && error.contains("must be at most 1438"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = refused(GOOD, |data| data.source = "dta.csv".into());
    assert!(error.contains("data.source") && error.contains("cannot read dta.csv"), "{error}");
    let error = refused(GOOD, |data| data.source = ".".into());
    assert!(error.contains("data.source") && error.contains("cannot read"), "{error}");
}

#[test]
fn digits_have_classes() {
    let recipe = Data { task: Task::Regression, ..Data::default() };
    let error = Dataset::load(&recipe, std::path::Path::new(".")).unwrap_err().to_string();
    assert!(error.contains("data.task") && error.contains("classification"), "{error}");
}
