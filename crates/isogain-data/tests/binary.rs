//! IDX and CIFAR: what they hold, in memory and on disk, and what is said of damaged files.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::fs;
use std::io::Write;
use std::path::Path;

use isogain_core::network::Shape;
use isogain_core::recipe::{Data, Format};
use isogain_data::{Dataset, Targets};

fn idx(kind: u8, dims: &[u32], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, kind, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(numbers);
    bytes
}

fn load(folder: &Path, change: impl FnOnce(&mut Data)) -> Result<Dataset, String> {
    let mut recipe = Data { batch: 2, standardize: false, ..Data::default() };
    change(&mut recipe);
    let prefix = format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR);
    Dataset::load(&recipe, folder).map_err(|error| error.to_string().replace(&prefix, ""))
}

#[test]
fn idx_images_keep_their_pixels_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..6 * 2 * 3).collect();
    fs::write(folder.path().join("images"), idx(8, &[6, 2, 3], &pixels)).unwrap();
    fs::write(folder.path().join("labels.idx"), idx(8, &[6], &[0, 1, 2, 0, 1, 2])).unwrap();
    let with = |data: &mut Data| (data.source, data.labels) = ("images".into(), "labels.idx".into());
    let data = load(folder.path(), with).unwrap();
    assert_eq!((data.shape(), data.outputs()), (Shape::image(2, 3, 1), 3));
    for part in [&data.train, &data.test] {
        let Targets::Classes { labels, classes: 3 } = part.all().targets else { panic!("classes") };
        for (sample, label) in part.all().inputs.chunks_exact(6).zip(labels) {
            let row = sample[0] as usize / 6;
            assert_eq!(label, row % 3);
            assert!(sample.iter().enumerate().all(|(index, value)| *value == (row * 6 + index) as f64));
        }
    }
    assert_eq!(data.train.len() + data.test.len(), 6);
    // Packed, it is the same.
    let packed = |name: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&fs::read(folder.path().join(name)).unwrap()).unwrap();
        fs::write(folder.path().join(format!("{name}.gz")), encoder.finish().unwrap()).unwrap();
    };
    packed("images");
    packed("labels.idx");
    let gz = load(folder.path(), |data| (data.source, data.labels) = ("images.gz".into(), "labels.idx.gz".into()));
    assert_eq!(gz.unwrap().train.all(), data.train.all());
}

#[test]
fn a_folder_of_mnist_has_its_own_test_part() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes| fs::write(folder.path().join(name), bytes).unwrap();
    put("train-images-idx3-ubyte", idx(8, &[4, 1, 1], &[10, 11, 12, 13]));
    put("train-labels-idx1-ubyte", idx(8, &[4], &[0, 1, 0, 1]));
    put("t10k-images-idx3-ubyte", idx(8, &[2, 1, 1], &[20, 21]));
    put("t10k-labels-idx1-ubyte", idx(8, &[2], &[1, 0]));
    let data = load(folder.path(), |data| data.source = ".".into()).unwrap();
    assert_eq!(data.train.all().inputs, [10.0, 11.0, 12.0, 13.0]);
    assert_eq!(data.test.all().inputs, [20.0, 21.0]);
    let few = load(folder.path(), |data| (data.source, data.samples) = (".".into(), 5)).unwrap();
    assert_eq!((few.train.len(), few.test.len()), (3, 2));
    let error = load(folder.path(), |data| (data.source, data.samples) = (".".into(), 7)).unwrap_err();
    assert_eq!(error, "data.samples = 7: must be at most 6, the samples of .");
}

#[test]
fn cifar_batches_become_images_with_channels_last() {
    let folder = tempfile::tempdir().unwrap();
    let record = |label: u8, colour: u8| {
        let planes = (0..3 * 1024).map(move |index| colour + (index / 1024) as u8 * 10 + (index % 1024 % 7) as u8);
        std::iter::once(label).chain(planes).collect::<Vec<u8>>()
    };
    for batch in 1..=5 {
        let bytes = [record(batch, 3), record(batch + 1, 4)].concat();
        fs::write(folder.path().join(format!("data_batch_{batch}.bin")), bytes).unwrap();
    }
    fs::write(folder.path().join("test_batch.bin"), record(9, 5)).unwrap();
    let data = load(folder.path(), |data| data.source = ".".into()).unwrap();
    assert_eq!((data.shape(), data.outputs(), data.train.len()), (Shape::image(32, 32, 3), 10, 10));
    let batch = data.train.select(&[3]);
    assert_eq!(batch.targets, Targets::Classes { labels: vec![3], classes: 10 });
    assert_eq!(batch.inputs[..6], [4.0, 14.0, 24.0, 5.0, 15.0, 25.0]);
    // One file alone is divided by the seed; two labels are CIFAR-100's.
    fs::write(folder.path().join("one.bin"), [record(1, 0), record(2, 0), record(1, 1)].concat()).unwrap();
    let data = load(folder.path(), |data| data.source = "one.bin".into()).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (2, 1));
    let two = |coarse: u8, fine: u8| [vec![coarse], record(fine, 0)].concat();
    fs::write(folder.path().join("two.bin"), [two(3, 97), two(4, 98), two(5, 97)].concat()).unwrap();
    let of = |target: &str| {
        let target = target.to_owned();
        load(folder.path(), |data| {
            (data.source, data.format) = ("two.bin".into(), Some(Format::Cifar100));
            data.target = vec![target];
        })
    };
    assert_eq!((of("fine").unwrap().outputs(), of("coarse").unwrap().outputs()), (100, 20));
    assert_eq!(of("corse").unwrap_err(), "data.target = \"corse\": must be coarse or fine; did you mean 'coarse'?");
}
