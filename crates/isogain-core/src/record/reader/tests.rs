use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::super::line::{Note, Resumed};
use super::super::samples::{finding, header, outcome, step};
use super::*;

fn note(text: &str) -> Line {
    Line::Note(Note { text: text.into() })
}

fn bytes(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.to_bytes().unwrap()).collect()
}

fn head() -> Line {
    Line::Header(Box::new(header()))
}

fn watched(number: u64) -> Line {
    Line::Step(Box::new(step(number)))
}

/// A run in a folder that lives as long as the guard.
fn folder(content: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(RUN_FILE), content).unwrap();
    folder
}

fn read_bytes(content: &[u8]) -> Result<Run, String> {
    let folder = folder(content);
    read(folder.path()).map_err(|error| {
        let text = error.to_string();
        let (_, from_name) = text.split_once(RUN_FILE).unwrap();
        format!("{RUN_FILE}{from_name}")
    })
}

#[test]
fn a_whole_run() {
    let lines = [head(), watched(0), Line::Finding(finding(1)), watched(1), note("hello"), Line::Outcome(outcome())];
    let run = read_bytes(&bytes(&lines)).unwrap();
    assert_eq!(run.header, header());
    assert_eq!(run.steps, [step(0), step(1)]);
    assert_eq!(run.findings, [finding(1)]);
    assert_eq!(run.notes, ["hello"]);
    assert_eq!(run.outcome, Some(outcome()));
    assert!(!run.truncated);
}

#[test]
fn a_file_of_its_own_is_read_like_a_folder() {
    let folder = folder(&bytes(&[head(), watched(0)]));
    assert_eq!(read(&folder.path().join(RUN_FILE)).unwrap(), read(folder.path()).unwrap());
}

#[test]
fn steps_of_the_flight_recorder_are_put_in_order() {
    let run = read_bytes(&bytes(&[head(), watched(100), watched(98), watched(99), watched(101)])).unwrap();
    assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [98, 99, 100, 101]);
}

#[test]
fn what_a_resumed_run_left_behind_is_left_out() {
    let lines = [
        head(),
        watched(0),
        Line::Finding(finding(0)),
        watched(5),
        watched(6),
        Line::Finding(finding(6)),
        Line::Outcome(outcome()),
        Line::Resumed(Resumed { step: 5 }),
        watched(5),
    ];
    let run = read_bytes(&bytes(&lines)).unwrap();
    assert_eq!(run.steps.iter().map(|step| step.step).collect::<Vec<_>>(), [0, 5]);
    assert_eq!(run.findings, [finding(0)]);
    assert_eq!((run.outcome, run.resumed), (None, vec![5]));
}

#[test]
fn cut_anywhere_after_the_header_it_reads_what_is_whole() {
    let lines = [head(), watched(0), note("one"), Line::Outcome(outcome())];
    let whole = bytes(&lines);
    let ends: Vec<usize> = (1..=lines.len()).map(|count| bytes(&lines[..count]).len()).collect();
    let folder = folder(b"");
    for cut in ends[0] - 1..=whole.len() {
        std::fs::write(folder.path().join(RUN_FILE), &whole[..cut]).unwrap();
        let run = read(folder.path()).unwrap();
        // A line that lacks nothing but its newline counts.
        let complete = ends.iter().filter(|&&end| end <= cut + 1).count();
        let between = !ends.iter().any(|&end| end == cut || end == cut + 1);
        assert_eq!(1 + run.steps.len() + run.notes.len() + usize::from(run.outcome.is_some()), complete, "{cut}");
        assert_eq!(run.truncated, between, "{cut}");
    }
}

#[test]
fn a_header_cut_short_is_an_error() {
    let whole = bytes(&[head()]);
    for cut in 1..whole.len() - 1 {
        let error = read_bytes(&whole[..cut]).unwrap_err();
        assert!(error.starts_with("run.jsonl:1: not JSON: "), "{cut}: {error}");
    }
}

#[test]
fn errors_name_the_line() {
    let error = |lines: &[Line], rest: &[u8]| read_bytes(&[&bytes(lines), rest].concat()).unwrap_err();
    insta::assert_snapshot!(error(&[], b""), @"run.jsonl:1: the file is empty: a run starts with a header line");
    insta::assert_snapshot!(error(&[note("x")], b""), @"run.jsonl:1: a run starts with a header line");
    insta::assert_snapshot!(error(&[head(), note("x"), head()], b""), @"run.jsonl:3: a second header; a run has one, in its first line");
    insta::assert_snapshot!(error(&[head(), note("x")], b"\n\n}\n"), @"run.jsonl:5: not JSON: expected value (column 1)");
}

#[test]
fn a_missing_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(matches!(&error, RecordError::Io { path, .. } if path.ends_with(RUN_FILE)), "{error}");
    assert!(error.to_string().starts_with("cannot open "), "{error}");
}

#[test]
fn a_run_is_followed_while_it_grows() {
    let folder = folder(b"");
    let path = folder.path().join(RUN_FILE);
    let add = |content: &[u8]| OpenOptions::new().append(true).open(&path).unwrap().write_all(content).unwrap();
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(reader.poll().unwrap(), []);

    let (first, second) = (bytes(&[head(), watched(0)]), bytes(&[watched(1)]));
    add(&first);
    add(&second[..10]);
    assert_eq!(reader.poll().unwrap(), [head(), watched(0)]);
    assert_eq!(reader.poll().unwrap(), []);
    add(&second[10..]);
    assert_eq!(reader.poll().unwrap(), [watched(1)]);

    // A killed writer leaves half a line, and its successor cuts it off.
    add(&second[..10]);
    assert_eq!(reader.poll().unwrap(), []);
    let end = (first.len() + second.len()) as u64;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(end).unwrap();
    add(&bytes(&[note("resumed here")]));
    assert_eq!(reader.poll().unwrap(), [note("resumed here")]);
}

#[test]
fn lines_before_a_damaged_one_come_first_and_then_always_the_error() {
    let folder = folder(&[&bytes(&[head(), note("x")]), &b"}\n"[..], &bytes(&[note("y")])].concat());
    let mut reader = Reader::open(folder.path()).unwrap();
    assert_eq!(reader.poll().unwrap(), [head(), note("x")]);
    for _ in 0..2 {
        assert!(matches!(reader.poll(), Err(RecordError::Format { line: 3, .. })));
    }
}

#[test]
fn a_file_that_got_shorter_is_noticed() {
    let folder = folder(&bytes(&[head(), note("x")]));
    let mut reader = Reader::open(folder.path()).unwrap();
    reader.poll().unwrap();
    std::fs::write(folder.path().join(RUN_FILE), b"").unwrap();
    assert!(reader.poll().unwrap_err().to_string().contains("got shorter"));
}

#[test]
fn an_endless_line_is_refused_and_not_held_in_memory() {
    let folder = folder(&bytes(&[head()]));
    let path = folder.path().join(RUN_FILE);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // A hole: a gibibyte of zeros that takes no room on the disk.
    file.set_len(1 << 30).unwrap();
    let error = read(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("run.jsonl:2: longer than 64 MiB, which no line of a run is"), "{error}");
}

#[test]
fn a_million_open_brackets_do_not_overflow_the_stack() {
    for nest in [r#"{"line":"note","text":"#, r#"{"x":"#, "["] {
        let error = read_bytes(&[&bytes(&[head()]), nest.repeat(1_000_000).as_bytes(), b"\n"].concat()).unwrap_err();
        assert!(error.starts_with("run.jsonl:2: not"), "{error}");
    }
    let unknown_key = format!("{{\"line\":\"note\",\"text\":\"x\",\"y\":{}\n", "[".repeat(1_000_000));
    let error = read_bytes(&[&bytes(&[head()]), unknown_key.as_bytes()].concat()).unwrap_err();
    assert!(error.contains("not JSON"), "{error}");
}

proptest! {
    #[test]
    fn random_bytes_after_a_header_never_panic(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
        let content = [&bytes(&[head()]), &garbage[..]].concat();
        match read_bytes(&content) {
            // No newline in it: a line cut short. Blank lines are none.
            Ok(run) => prop_assert!(run.truncated || garbage.iter().all(u8::is_ascii_whitespace) || garbage.contains(&b'\n')),
            Err(error) => prop_assert!(error.starts_with("run.jsonl:"), "{}", error),
        }
    }

    #[test]
    fn random_bytes_alone_never_panic(garbage in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(read_bytes(&garbage).is_err());
    }
}
