use proptest::prelude::*;
use serde_json::Value;

use super::super::samples::{finding, full_step, header, healed, moments, outcome, step};
use super::*;
use crate::record::{ClipRecord, JointRecord, Sharpness};

/// One line of each kind.
fn every_kind() -> Vec<Line> {
    let job = Job { id: 1, arm: 2, learning_rate: 0.05, seed: 3, steps: 100 };
    let score = Score { loss: Some(0.5), train_accuracy: Some(0.25), test_accuracy: None, test_loss: None };
    vec![
        Line::Header(Box::new(header())),
        Line::Step(Box::new(full_step())),
        Line::Finding(finding(3)),
        Line::Trial(TrialRecord {
            remedies: vec!["rescale-init".into()],
            parameters: "init = he-normal".into(),
            job,
            score,
        }),
        Line::Outcome(outcome()),
        Line::Note(Note { text: "a\nnote".into() }),
        Line::Resumed(Resumed { step: 400 }),
        Line::Healed(Box::new(healed())),
    ]
}

fn again(line: &Line) -> Line {
    let bytes = line.to_bytes().unwrap();
    assert_eq!(bytes.iter().position(|&byte| byte == b'\n'), Some(bytes.len() - 1));
    Line::parse(&bytes).unwrap()
}

#[test]
fn every_kind_reads_back() {
    for line in every_kind() {
        assert_eq!(again(&line), line);
    }
}

#[test]
fn the_kind_stands_in_the_key_line() {
    let kinds: Vec<String> = every_kind()
        .iter()
        .map(|line| serde_json::to_value(line).unwrap()["line"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["header", "step", "finding", "trial", "outcome", "note", "resumed", "healed"]);
}

/// Paths of all floating-point numbers in a JSON value.
fn floats(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(number) if number.is_f64() => found.push(path.to_owned()),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                floats(item, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(items) => {
            for (key, item) in items {
                floats(item, &format!("{path}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// Numbers that are finite by construction: settings, which a recipe checks, the largest of finite magnitudes, the causes
/// of a log-gain, of which there are none when it is not finite, and laws, which are looked at where both sides are.
fn is_always_finite(path: &str) -> bool {
    path.starts_with("/network")
        || path.starts_with("/job")
        || path.ends_with("/abs_max")
        || path.contains("/broken_laws/")
        || (path.contains("/split/") && path.ends_with("/log_gain"))
}

#[test]
fn a_null_in_place_of_any_number_reads_back() {
    let mut tried = 0;
    for line in every_kind() {
        let value = serde_json::to_value(&line).unwrap();
        let mut paths = Vec::new();
        floats(&value, "", &mut paths);
        for path in paths.into_iter().filter(|path| !is_always_finite(path)) {
            let mut broken = value.clone();
            *broken.pointer_mut(&path).unwrap() = Value::Null;
            let bytes = serde_json::to_vec(&broken).unwrap();
            assert!(Line::parse(&bytes).is_ok(), "{path}: {:?}", Line::parse(&bytes));
            tried += 1;
        }
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn non_finite_numbers_read_back_exactly() {
    for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 8.0] {
        let mut record = full_step();
        record.loss = special;
        record.learning_rate = special;
        record.clip = Some(ClipRecord { norm_before: special, norm_after: special, cosine: special, acted: true });
        let snapshot = record.snapshot.as_mut().unwrap();
        snapshot.units[0].saturated_fraction = special;
        snapshot.units[0].signal_fraction = special;
        snapshot.sharpness = Some(Sharpness {
            gauss_newton: special,
            rehearsal_rise: None,
            rehearsal_first: special,
            rehearsal_last: None,
            seeds: 1,
        });
        let Line::Step(read) = again(&Line::Step(Box::new(record))) else { panic!("another kind of line") };
        let clip = read.clip.unwrap();
        let snapshot = read.snapshot.unwrap();
        let sharpness = snapshot.sharpness.unwrap();
        for value in [
            read.loss,
            read.learning_rate,
            clip.norm_before,
            clip.norm_after,
            clip.cosine,
            snapshot.units[0].saturated_fraction,
            snapshot.units[0].signal_fraction,
            sharpness.gauss_newton,
            sharpness.rehearsal_first,
        ] {
            assert!(value.to_bits() == special.to_bits() || (value.is_nan() && special.is_nan()), "{value} {special}");
        }

        let mut head = header();
        head.data.feature_rms_ratio = special;
        head.data.baseline_loss = special;
        let Line::Header(read) = again(&Line::Header(Box::new(head))) else { panic!("another kind of line") };
        for value in [read.data.feature_rms_ratio, read.data.baseline_loss] {
            assert!(value.to_bits() == special.to_bits() || (value.is_nan() && special.is_nan()), "{value} {special}");
        }
    }
}

#[test]
fn non_finite_values_inside_a_tensor_stay_counted() {
    let mut record = step(0);
    let broken = crate::statistics::Moments { count: 4, non_finite: 4, ..Default::default() };
    record.joints = vec![JointRecord { name: "fc1".into(), activation: broken, cotangent: moments(), detail: None }];
    let line = Line::Step(Box::new(record));
    assert_eq!(again(&line), line);
}

#[test]
fn a_newer_schema_is_refused_before_anything_else_is_read() {
    let error = Line::parse(br#"{"line":"header","schema":2,"network":"unlike ours"}"#).unwrap_err();
    insta::assert_snapshot!(error, @"written by a newer version of isogain (schema 2; this one reads up to 1); update isogain to read it");
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    let error = |text: &str| Line::parse(text.as_bytes()).unwrap_err();
    insta::assert_snapshot!(error(r#"{"line":"resumed","step":-1}"#), @"not a resumed line: invalid value: integer `-1`, expected u64 (column 27)");
    insta::assert_snapshot!(error(r#"{"line":"resumed"}"#), @"not a resumed line: missing field `step` (column 18)");
    insta::assert_snapshot!(error(r#"{"line":"reboot"}"#), @r#"unknown kind of line "reboot"; known are header, step, finding, trial, outcome, note, resumed and healed"#);
    insta::assert_snapshot!(error(r#"{"line":"note","text""#), @"not JSON: EOF while parsing an object (column 21)");
    insta::assert_snapshot!(error(r#"{"line":"step","step":0,"loss":"inf"}"#), @r#"not a step line: expected a number, null, "Infinity" or "-Infinity", found "inf" (column 37)"#);
    insta::assert_snapshot!(error(r#"{"line":"step","step":0,"loss":[1]}"#), @r#"not a step line: expected a number, null, "Infinity" or "-Infinity" (column 35)"#);
}

#[test]
fn keys_of_later_versions_are_passed_over() {
    let line = Line::parse(br#"{"line":"note","colour":"red","text":"x"}"#).unwrap();
    assert_eq!(line, Line::Note(Note { text: "x".into() }));
}

proptest! {
    #[test]
    fn numbers_keep_every_bit(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let mut record = step(0);
        record.loss = value;
        let Line::Step(read) = again(&Line::Step(Box::new(record))) else { panic!("another kind of line") };
        prop_assert!(read.loss.to_bits() == bits || (read.loss.is_nan() && value.is_nan()));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // A random object of a known kind would have to be a whole line by chance.
        prop_assert!(Line::parse(&bytes).is_err());
    }

    #[test]
    fn damaged_lines_never_panic(kind in 0_usize..7, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = every_kind()[kind].to_bytes().unwrap();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            // Only the newline may be missing.
            prop_assert_eq!(Line::parse(&bytes).is_ok(), at + 1 == every_kind()[kind].to_bytes().unwrap().len());
        } else {
            bytes[at] = byte;
            Line::parse(&bytes).ok();
        }
    }
}
