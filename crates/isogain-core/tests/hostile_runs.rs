//! Files that are no run, or a damaged one: each ends in one clear error with its line, and none in a panic.

use std::collections::BTreeSet;
use std::path::Path;

use isogain_core::record::{Reader, RecordError, read};

/// File, line and a part of what is said about it.
const EXPECTED: &[(&str, u64, &str)] = &[
    ("array", 2, "not a record line: invalid type: integer `1`, expected a string"),
    ("bare-nan", 2, "not JSON: expected value (column 32)"),
    ("binary", 1, "not UTF-8 text (byte "),
    ("binary-tail", 3, "not UTF-8 text (byte 1 of the line)"),
    ("blank-lines", 4, "the file is empty: a run starts with a header line"),
    ("cut-in-the-middle", 2, "not JSON: "),
    ("deep-findings", 2, "not JSON: recursion limit exceeded"),
    ("deep-nesting", 2, "not JSON: EOF while parsing a list (column 1000022)"),
    ("empty", 1, "the file is empty: a run starts with a header line"),
    ("half-a-surrogate", 2, "not JSON: "),
    ("header-of-wrong-types", 1, "not a header line: invalid type: string \"mlp\", expected struct Network"),
    ("kind-twice", 2, "duplicate field `line`"),
    ("level-is-unknown", 2, "not a finding line: unknown level 'fatal'"),
    ("loss-is-text", 2, "expected a number, null, \"Infinity\" or \"-Infinity\", found \"high\""),
    ("negative-schema", 1, "not a header line: invalid value: integer `-1`, expected u32"),
    ("newer-schema", 1, "written by a newer version of isogain (schema 2; this one reads up to 1)"),
    ("no-header", 1, "a run starts with a header line"),
    ("no-kind", 2, "not a record line: missing field `line`"),
    ("not-json", 1, "not JSON: "),
    ("number", 1, "not a record line: invalid type: integer `42`"),
    ("number-is-huge", 2, "not JSON: number out of range"),
    ("step-is-huge", 2, "not a resumed line: invalid type: floating point"),
    ("step-is-negative", 2, "not a step line: invalid value: integer `-1`, expected u64"),
    ("two-headers", 3, "a second header; a run has one, in its first line"),
    ("unknown-kind", 2, "unknown kind of line \"reboot\""),
    ("zeros-after-power-loss", 3, "not JSON: expected value (column 1)"),
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_runs")
}

#[test]
fn each_ends_in_one_clear_error() {
    for (name, expected_line, expected) in EXPECTED {
        let path = folder().join(format!("{name}.jsonl"));
        match read(&path) {
            Err(RecordError::Format { path: named, line, message }) => {
                assert_eq!((&named, line), (&path, *expected_line), "{name}: {message}");
                assert!(message.contains(expected), "{name}: {message}");
                assert!(message.len() < 400 && !message.contains('\n'), "{name}: {message}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn following_one_ends_in_the_same_error() {
    for (name, expected_line, _) in EXPECTED.iter().filter(|(name, ..)| !matches!(*name, "empty" | "blank-lines")) {
        let path = folder().join(format!("{name}.jsonl"));
        let mut reader = Reader::open(&path).unwrap();
        let before = reader.poll().map_or(0, |lines| lines.len());
        assert_eq!(before as u64, expected_line - 1, "{name}");
        match reader.poll() {
            Err(RecordError::Format { line, .. }) => assert_eq!(line, *expected_line, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn the_table_names_every_file() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let table: BTreeSet<String> = EXPECTED.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(files, table);
}
