//! Parquet files as pyarrow and polars write them (`oracle/make_parquet.py`).
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::path::Path;

use isogain_core::network::Shape;
use isogain_core::recipe::{Data, Task};
use isogain_data::{Dataset, Targets};

fn load(file: &str, change: impl FnOnce(&mut Data)) -> Result<Dataset, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let mut recipe = Data { source: file.into(), batch: 1, standardize: false, ..Data::default() };
    change(&mut recipe);
    let prefix = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
    Dataset::load(&recipe, &folder).map_err(|error| error.to_string().replace(&prefix, ""))
}

/// Row `i` of the script's table, without the target.
fn row(i: usize) -> [f64; 7] {
    let whole = i as f64;
    [
        whole * 0.25,
        (i % 7) as f64 - 3.5,
        whole * 1000.0 - 5.0,
        whole * whole,
        (i % 256) as f64,
        4e9 + whole,
        f64::from(u8::from(i.is_multiple_of(3))),
    ]
}

#[test]
fn every_usual_way_of_writing_is_read() {
    for file in ["usual", "plain", "gzip_v2", "zstd_groups", "required", "polars"] {
        let data = load(&format!("{file}.parquet"), |_| ()).unwrap();
        assert_eq!((data.shape(), data.outputs()), (Shape::vector(7), 3), "{file}");
        let mut seen = Vec::new();
        for part in [&data.train, &data.test] {
            let all = part.all();
            let Targets::Classes { labels, .. } = &all.targets else { panic!("classes") };
            for (values, label) in all.inputs.chunks_exact(7).zip(labels) {
                let index = (values[0] * 4.0) as usize;
                assert_eq!(values, row(index), "{file}");
                // red, green, blue in sorted order.
                assert_eq!(*label, [2, 1, 0][index % 3], "{file}");
                seen.push(index);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..300).collect::<Vec<_>>(), "{file}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_column() {
    let numbers = |data: &mut Data| (data.task, data.target) = (Task::Regression, vec!["f64".into()]);
    let error = |file: &str, change: fn(&mut Data)| load(&format!("{file}.parquet"), change).unwrap_err();
    assert_eq!(
        error("usual", numbers),
        "usual.parquet: 'kind': a column of text; inputs are numbers. Encode it as numbers, or leave it out"
    );
    assert_eq!(
        error("usual", |data| data.target = vec!["knid".into()]),
        "usual.parquet: no column 'knid' (data.target); did you mean 'kind'?"
    );
    assert_eq!(
        error("brotli", |_| ()),
        "brotli.parquet: 'f64': packed by brotli; snappy, gzip, zstd and none are read"
    );
    assert_eq!(
        error("delta", |_| ()),
        "delta.parquet: 'i32': encoding delta-binary-packed; plain and dictionary are read"
    );
    assert_eq!(error("missing", |_| ()), "missing.parquet: column 'a', row 1: missing (null); every value is needed");
    assert_eq!(error("nested", |_| ()), "nested.parquet: 'a': a nested column; only flat tables are read");
    assert_eq!(error("nan", |_| ()), "nan.parquet: column 'a', row 1: NaN: expected a number (at most 3.4e38 in size)");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.parquet");
    for file in ["usual", "gzip_v2", "polars"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/parquet/{file}.parquet"));
        let bytes = std::fs::read(source).unwrap();
        let recipe = Data { source: "d.parquet".into(), batch: 1, ..Data::default() };
        for length in (0..bytes.len()).step_by(97) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Dataset::load(&recipe, folder.path()).is_err(), "{file} cut to {length}");
        }
        // A changed byte may go unnoticed in a number; it must not panic or ask for memory that is not there.
        for at in (0..bytes.len()).step_by(23) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            std::fs::write(&path, &changed).unwrap();
            let _ = Dataset::load(&recipe, folder.path());
        }
    }
}
