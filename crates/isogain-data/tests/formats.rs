//! Arrays, images, series and text: what a file holds is what a batch holds.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::fs;

use isogain_core::network::Shape;
use isogain_core::recipe::{Data, Task};
use isogain_data::{Dataset, Targets};
use support::{Folder, npy, npz, png, safetensors};

/// Everything, in the order of the file.
fn in_order(data: &Dataset) -> Vec<(Vec<f64>, usize)> {
    let width = data.shape().values();
    let mut rows = Vec::new();
    for part in [&data.train, &data.test] {
        let all = part.all();
        let Targets::Classes { labels, .. } = &all.targets else { panic!("classes") };
        rows.extend(all.inputs.chunks_exact(width).map(<[f64]>::to_vec).zip(labels.iter().copied()));
    }
    rows.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
    rows
}

#[test]
fn npy_of_every_type_is_read() {
    let folder = Folder::new();
    folder.put("y.npy", npy("<i8", &[4], &[0_i64, 1, 0, 1].map(i64::to_le_bytes).concat()));
    let expected: Vec<(Vec<f64>, usize)> =
        (0..4).map(|row| (vec![f64::from(2 * row), f64::from(2 * row + 1)], (row % 2) as usize)).collect();
    let numbers = 0..8_u8;
    let types: Vec<(&str, Vec<u8>)> = vec![
        ("|u1", numbers.clone().collect()),
        ("|i1", numbers.clone().collect()),
        ("<u2", numbers.clone().flat_map(|n| u16::from(n).to_le_bytes()).collect()),
        (">u2", numbers.clone().flat_map(|n| u16::from(n).to_be_bytes()).collect()),
        ("<i4", numbers.clone().flat_map(|n| i32::from(n).to_le_bytes()).collect()),
        (">i8", numbers.clone().flat_map(|n| i64::from(n).to_be_bytes()).collect()),
        ("<f4", numbers.clone().flat_map(|n| f32::from(n).to_le_bytes()).collect()),
        (">f8", numbers.clone().flat_map(|n| f64::from(n).to_be_bytes()).collect()),
        // 0 to 7 in half precision.
        ("<f2", [0x0000_u16, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700].map(u16::to_le_bytes).concat()),
    ];
    for (dtype, bytes) in types {
        folder.put("x.npy", npy(dtype, &[4, 2], &bytes));
        let data = folder.load(|data| (data.source, data.labels) = ("x.npy".into(), "y.npy".into())).unwrap();
        assert_eq!(data.shape(), Shape::vector(2));
        assert_eq!(in_order(&data), expected, "{dtype}");
    }
}

#[test]
fn dimensions_become_a_shape() {
    let folder = Folder::new();
    folder.put("y.npy", npy("|u1", &[4], &[0, 1, 0, 1]));
    let cases: [(&str, &[usize], Shape); 6] = [
        ("|u1", &[4], Shape::vector(1)),
        ("|u1", &[4, 4, 5], Shape::image(4, 5, 1)),
        ("|i1", &[4, 4, 5], Shape::sequence(4, 5)),
        ("|u1", &[4, 4, 5, 3], Shape::image(4, 5, 3)),
        ("|u1", &[4, 3, 8, 9], Shape::image(8, 9, 3)),
        ("|u1", &[4, 1, 8, 9], Shape::image(8, 9, 1)),
    ];
    for (dtype, dims, shape) in cases {
        let count: usize = dims.iter().product();
        folder.put("x.npy", npy(dtype, dims, &(0..count).map(|n| n as u8 % 100).collect::<Vec<_>>()));
        let with = |data: &mut Data| (data.source, data.labels, data.batch) = ("x.npy".into(), "y.npy".into(), 1);
        assert_eq!(folder.load(with).unwrap().shape(), shape, "{dims:?}");
    }
    // Channels first are turned round: pixel (0, 1) of channel 2.
    folder.put(
        "x.npy",
        npy("|u1", &[4, 3, 8, 9], &(0..864).map(|n| (n / 72) as u8 * 20 + (n % 9) as u8).collect::<Vec<_>>()),
    );
    let data =
        folder.load(|data| (data.source, data.labels, data.batch) = ("x.npy".into(), "y.npy".into(), 1)).unwrap();
    let all = data.train.all();
    let base = all.inputs[0];
    assert_eq!(all.inputs[..6], [base, base + 20.0, base + 40.0, base + 1.0, base + 21.0, base + 41.0]);
}

#[test]
fn npz_and_safetensors_hold_inputs_and_targets_by_key() {
    let folder = Folder::new();
    let x: Vec<u8> = (0..6).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let y = vec![0, 1, 1];
    for is_packed in [false, true] {
        let members = [("x", npy("<f4", &[3, 2], &x)), ("y", npy("|u1", &[3], &y))];
        folder.put("d.npz", npz(&members, is_packed));
        let data = folder.load(|data| data.source = "d.npz".into()).unwrap();
        let expected = [(vec![0.0, 1.0], 0), (vec![2.0, 3.0], 1), (vec![4.0, 5.0], 1)];
        assert_eq!(in_order(&data), expected);
    }
    folder.put("d.safetensors", safetensors(&[("x", "F32", &[3, 2], &x), ("y", "U8", &[3], &y)]));
    let tensors = folder.load(|data| data.source = "d.safetensors".into()).unwrap();
    assert_eq!(in_order(&tensors)[2], (vec![4.0, 5.0], 1));
    // Any key can be the target, and two numbers a sample are two outputs.
    folder.put("e.npz", npz(&[("a", npy("<f4", &[3, 2], &x)), ("b", npy("|u1", &[3], &y))], true));
    let data = folder
        .load(|data| {
            (data.source, data.target, data.task) = ("e.npz".into(), vec!["a".into()], Task::Regression);
            data.standardize_target = false;
        })
        .unwrap();
    assert_eq!((data.outputs(), data.shape()), (2, Shape::vector(1)));
    // A test part of its own.
    let parts = ["x_train", "y_train", "x_test", "y_test"];
    let part = |name: &str| if name.starts_with('x') { npy("<f4", &[3, 2], &x) } else { npy("|u1", &[3], &y) };
    folder.put("f.npz", npz(&parts.map(|name| (name, part(name))), false));
    let data = folder.load(|data| data.source = "f.npz".into()).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (3, 3));
}

#[test]
fn csv_with_two_targets_has_two_outputs() {
    let folder = Folder::new();
    folder.put("d.csv", b"a,u,b,v\n1,2,3,4\n5,6,7,9\n9,1,0,5\n3,3,3,3\n".to_vec());
    let data = folder
        .load(|data| {
            (data.source, data.task) = ("d.csv".into(), Task::Regression);
            data.target = vec!["v".into(), "u".into()];
            data.standardize_target = false;
        })
        .unwrap();
    assert_eq!((data.outputs(), data.shape()), (2, Shape::vector(2)));
    let all = data.train.all();
    let Targets::Values { values, outputs: 2 } = &all.targets else { panic!("two outputs") };
    let rows = all.inputs.chunks_exact(2).zip(values.chunks_exact(2));
    let known =
        [([1.0, 3.0], [4.0, 2.0]), ([5.0, 7.0], [9.0, 6.0]), ([9.0, 0.0], [5.0, 1.0]), ([3.0, 3.0], [3.0, 3.0])];
    assert!(rows.clone().all(|(x, y)| known.contains(&([x[0], x[1]], [y[0], y[1]]))), "{:?}", rows.collect::<Vec<_>>());
    // Each output is standardised by its own mean and deviation.
    let data = folder
        .load(|data| {
            (data.source, data.task) = ("d.csv".into(), Task::Regression);
            data.target = vec!["v".into(), "u".into()];
        })
        .unwrap();
    let Targets::Values { values, .. } = data.train.all().targets else { panic!("numbers") };
    for output in 0..2 {
        let sum: f64 = values.iter().skip(output).step_by(2).sum();
        assert!(sum.abs() < 1e-12, "{sum}");
    }
    assert!((data.summary.baseline_loss - 1.0).abs() < 1e-12);
}

#[test]
fn a_test_file_has_the_classes_of_the_training_file() {
    let folder = Folder::new();
    folder.put("a.csv", b"x,kind\n1,red\n2,blue\n3,red\n".to_vec());
    folder.put("b.csv", b"x,kind\n4,red\n5,blue\n".to_vec());
    let data = folder.load(|data| (data.source, data.test_source) = ("a.csv".into(), "b.csv".into())).unwrap();
    let labels = |part: &isogain_data::Part| match part.all().targets {
        Targets::Classes { labels, .. } => labels,
        Targets::Values { .. } => panic!("classes"),
    };
    assert_eq!((labels(&data.train), labels(&data.test)), (vec![1, 0, 1], vec![1, 0]));
    folder.put("b.csv", b"x,y,kind\n4,1,red\n5,2,blue\n".to_vec());
    let error = folder.load(|data| (data.source, data.test_source) = ("a.csv".into(), "b.csv".into())).unwrap_err();
    assert_eq!(error, "b.csv: samples of 2 numbers; those for training are 1 numbers");
}

#[test]
fn folders_of_images_are_classes() {
    let folder = Folder::new();
    for (class, grey) in [("cat", 10), ("dog", 20)] {
        for index in 0..2 {
            folder.put(&format!("{class}/{index}.png"), png(2, 3, 3, &[grey + index; 18]));
        }
    }
    let data = folder.load(|data| data.source = ".".into()).unwrap();
    assert_eq!((data.shape(), data.outputs()), (Shape::image(3, 2, 3), 2));
    let expected: Vec<(Vec<f64>, usize)> =
        [(10, 0), (11, 0), (20, 1), (21, 1)].map(|(grey, class)| (vec![f64::from(grey); 18], class)).to_vec();
    assert_eq!(in_order(&data), expected);
}

#[test]
fn series_are_padded_at_the_front_and_the_padding_stays_zero() {
    let folder = Folder::new();
    let text = "@problemName Toy\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n7,8:9,10:b\n11,12:13,14:a\n";
    folder.put("toy.ts", text.as_bytes().to_vec());
    let data = folder.load(|data| data.source = "toy.ts".into()).unwrap();
    assert_eq!((data.shape(), data.outputs()), (Shape::sequence(3, 2), 2));
    let expected = [
        (vec![0.0, 0.0, 7.0, 9.0, 8.0, 10.0], 1),
        (vec![0.0, 0.0, 11.0, 13.0, 12.0, 14.0], 0),
        (vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], 0),
    ];
    assert_eq!(in_order(&data), expected);
    let scaled = folder.load(|data| (data.source, data.standardize) = ("toy.ts".into(), true)).unwrap();
    let rows = in_order(&scaled);
    assert_eq!(rows.iter().filter(|(row, _)| row[..2] == [0.0, 0.0]).count(), 2, "{rows:?}");
    // The steps that are there have mean 0 over the training part.
    let all = scaled.train.all();
    let sum: f64 = all.inputs.iter().step_by(2).sum();
    assert!(sum.abs() < 1e-12, "{sum}");
}

#[test]
fn text_becomes_windows_and_its_last_part_is_for_testing() {
    let folder = Folder::new();
    folder.put("t.txt", "abcabcabcaéabcabcabc".as_bytes().to_vec());
    let data = folder
        .load(|data| (data.source, data.length, data.test_fraction, data.standardize) = ("t.txt".into(), 3, 0.25, true))
        .unwrap();
    assert_eq!((data.shape(), data.vocabulary(), data.outputs()), (Shape::sequence(3, 1), Some(4), 4));
    let all = data.train.all();
    // 15 characters for training: four windows of three, each with its successor.
    assert_eq!(all.inputs, [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 3.0, 0.0]);
    assert_eq!(all.targets, Targets::Classes { labels: vec![1, 2, 0, 1, 2, 0, 1, 2, 0, 3, 0, 1], classes: 4 });
    assert_eq!(data.test.all().inputs, [1.0, 2.0, 0.0]);
    assert_eq!(data.summary.classes, Some(4));
    assert_eq!(data.summary.input.rms(), None);
}

#[test]
fn a_file_over_the_limit_is_read_row_by_row() {
    let folder = Folder::new();
    // 2 GiB of zeros with some numbers in it; the file takes a few blocks.
    let rows = 1_u64 << 21;
    let header = npy("|u1", &[rows as usize, 1024], &[]);
    let file = fs::File::create(folder.path("big.npy")).unwrap();
    std::io::Write::write_all(&mut &file, &header).unwrap();
    let length = header.len() as u64 + rows * 1024;
    file.set_len(length).unwrap();
    drop(file);
    folder.put("y.npy", npy("|u1", &[rows as usize], &(0..rows).map(|row| (row % 2) as u8).collect::<Vec<_>>()));
    let load = || {
        folder.load(|data| {
            (data.source, data.labels, data.samples) = ("big.npy".into(), "y.npy".into(), 1000);
            data.standardize = true;
        })
    };
    let data = load().unwrap();
    assert_eq!((data.train.len(), data.test.len()), (800, 200));
    assert!(data.train.select(&[0, 799]).inputs.iter().all(|value| *value == 0.0));
    data.intact().unwrap();
    // Cut short under our hands: what cannot be read is not a number, and the reason is kept.
    fs::OpenOptions::new().write(true).open(folder.path("big.npy")).unwrap().set_len(1000).unwrap();
    assert!(data.train.select(&[0]).inputs.iter().all(|value| value.is_nan()));
    let error = data.intact().unwrap_err().to_string();
    let expected = format!("byte 1000: the file shrank while it was read: {length} bytes before, 1000 now");
    assert!(error.ends_with(&expected), "{error}");
    let error = load().unwrap_err();
    assert!(error.starts_with("big.npy: byte 128: the header says 2097152 x 1024 numbers of 1 bytes"), "{error}");
}
