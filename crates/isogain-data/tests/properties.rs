//! Whatever is written is read back; whatever is cut off is an error and not a panic.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use isogain_core::recipe::Task;
use isogain_data::{Dataset, Targets};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{Folder, idx, npy, npz, png, safetensors};

/// Every sample with its target, sorted.
fn rows(data: &Dataset) -> Vec<Vec<f64>> {
    let width = data.shape().values();
    let mut rows = Vec::new();
    for part in [&data.train, &data.test] {
        let all = part.all();
        let targets: Vec<f64> = match &all.targets {
            Targets::Classes { labels, .. } => labels.iter().map(|&label| label as f64).collect(),
            Targets::Values { values, .. } => values.clone(),
        };
        rows.extend(all.inputs.chunks_exact(width).zip(targets).map(|(inputs, target)| [inputs, &[target]].concat()));
    }
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

/// A table of numbers, and its rows sorted.
fn table() -> impl Strategy<Value = (usize, Vec<f32>, Vec<Vec<f64>>)> {
    (1..5_usize, 4..20_usize).prop_flat_map(|(features, samples)| {
        vec(-1e6_f32..1e6, (features + 1) * samples).prop_map(move |values| {
            let mut rows: Vec<Vec<f64>> =
                values.chunks_exact(features + 1).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
            rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
            (features, values, rows)
        })
    })
}

fn numbers(data: &mut isogain_core::recipe::Data) {
    (data.task, data.standardize_target, data.batch) = (Task::Regression, false, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn csv_round_trip((features, values, expected) in table()) {
        let folder = Folder::new();
        let header: String = (0..features).map(|column| format!("x{column},")).collect();
        let lines: String = values
            .chunks_exact(features + 1)
            .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + "\n")
            .collect();
        folder.put("d.csv", format!("{header}y\n{lines}").into_bytes());
        let found = folder.load(|data| { data.source = "d.csv".into(); numbers(data) }).unwrap();
        // A number in text is read as f64, which is the f32 that was written only to its last bit.
        let rounded: Vec<Vec<f64>> =
            rows(&found).iter().map(|row| row.iter().map(|&x| f64::from(x as f32)).collect()).collect();
        prop_assert_eq!(rounded, expected);
    }

    #[test]
    fn npy_round_trip((features, values, expected) in table()) {
        let folder = Folder::new();
        let samples = values.len() / (features + 1);
        let split = |from: usize, to: usize| -> Vec<u8> {
            values.chunks_exact(features + 1).flat_map(|row| &row[from..to]).flat_map(|x| x.to_le_bytes()).collect()
        };
        folder.put("x.npy", npy("<f4", &[samples, features], &split(0, features)));
        folder.put("y.npy", npy("<f4", &[samples], &split(features, features + 1)));
        let found = folder.load(|data| {
            (data.source, data.labels) = ("x.npy".into(), "y.npy".into());
            numbers(data);
        });
        prop_assert_eq!(rows(&found.unwrap()), expected);
    }

    #[test]
    fn idx_round_trip(samples in 4..30_usize, height in 1..5_usize, width in 1..5_usize, seed in any::<u8>()) {
        let folder = Folder::new();
        let pixels: Vec<u8> = (0..samples * height * width).map(|n| (n as u8).wrapping_mul(37) ^ seed).collect();
        let labels: Vec<u8> = (0..samples).map(|n| (n % 3) as u8).collect();
        folder.put("x.idx", idx(8, &[samples as u32, height as u32, width as u32], &pixels));
        folder.put("y.idx", idx(8, &[samples as u32], &labels));
        let found = folder.load(|data| (data.source, data.labels) = ("x.idx".into(), "y.idx".into()));
        let mut expected: Vec<Vec<f64>> = pixels
            .chunks_exact(height * width)
            .zip(&labels)
            .map(|(image, label)| image.iter().chain([label]).map(|&x| f64::from(x)).collect())
            .collect();
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        prop_assert_eq!(rows(&found.unwrap()), expected);
    }

    #[test]
    fn a_file_that_is_cut_or_changed_never_panics(cut in 0.0..1.0_f64, at in 0.0..1.0_f64, to in any::<u8>()) {
        let folder = Folder::new();
        let x: Vec<u8> = (0..12_u8).map(|n| n * 20).collect();
        let (inputs, labels) = (npy("|u1", &[4, 3], &x), npy("|u1", &[4], &[0, 1, 0, 1]));
        folder.put("labels.npy", labels.clone());
        folder.put("labels.idx", idx(8, &[4], &[0, 1, 0, 1]));
        let series = b"@classLabel true a b\n@data\n1,2:3,4:a\n5:6:b\n7,8:9,1:a\n".to_vec();
        let members = [("x", inputs.clone()), ("y", labels)];
        let files = [
            ("d.csv", b"a,b,kind\n1,2,0\n3,4,1\n5,6,0\n".to_vec(), ""),
            ("d.idx", idx(8, &[4, 3], &x), "labels.idx"),
            ("d.npy", inputs, "labels.npy"),
            ("stored.npz", npz(&members, false), ""),
            ("packed.npz", npz(&members, true), ""),
            ("d.safetensors", safetensors(&[("x", "U8", &[4, 3], &x), ("y", "U8", &[4], &[0, 1, 0, 1])]), ""),
            ("d.ts", series, ""),
            ("images/a/1.png", png(3, 4, 1, &x), ""),
        ];
        folder.put("images/b/1.png", png(3, 4, 1, &x));
        for (name, whole, labels) in files {
            let mut changed = whole.clone();
            changed[(at * whole.len() as f64) as usize] = to;
            for bytes in [whole[..(cut * whole.len() as f64) as usize].to_vec(), changed] {
                folder.put(name, bytes);
                let source = name.split('/').next().unwrap();
                // Some damage leaves a file that is whole again; none may be more than an error.
                let _ = folder.load(|data| (data.source, data.labels) = (source.into(), labels.into()));
            }
        }
    }
}
