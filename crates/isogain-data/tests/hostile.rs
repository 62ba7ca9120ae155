//! Files that cannot be used, each with the whole message it must give. Small enough to be written here, byte by byte.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::fs;
use std::io::Write;

use isogain_core::recipe::{Data, Format, Task};
use support::{Folder, idx, npy, npy_with, npz, png, png_with, safetensors};

type Change = fn(&mut Data);

/// A file, what the recipe says beside its name, and the message.
fn refused(name: &str, bytes: Vec<u8>, change: Change, expected: &str) {
    let folder = Folder::new();
    folder.put("labels", idx(8, &[4], &[0, 1, 0, 1]));
    folder.put("y.npy", npy("|u1", &[4], &[0, 1, 0, 1]));
    folder.put(name, bytes);
    let found = folder.load(|data| {
        data.source = name.into();
        change(data);
    });
    assert_eq!(found.map(|_| "no error".to_owned()).unwrap_or_else(|error| error), expected, "{name}");
}

fn with_labels(data: &mut Data) {
    data.labels = "labels".into();
}

fn with_npy(data: &mut Data) {
    data.labels = "y.npy".into();
}

fn plain(_: &mut Data) {}

#[test]
fn idx_images() {
    let images = || idx(8, &[4, 2, 2], &[7; 16]);
    refused("a.idx", images(), plain, "data.labels: missing: images in IDX have their labels in a file of their own");
    refused("a.idx", vec![], with_labels, "a.idx: byte 0: the file ends inside the header, which has 4 bytes");
    refused("a.idx", vec![0, 0, 8], with_labels, "a.idx: byte 3: the file ends inside the header, which has 4 bytes");
    refused(
        "a.idx",
        images()[..10].to_vec(),
        with_labels,
        "a.idx: byte 10: the file ends inside the header, which has 16 bytes",
    );
    refused(
        "a.idx",
        vec![0x50, 0x4b, 8, 1, 0, 0],
        with_labels,
        "a.idx: byte 0: 50 4b: not an IDX file, which begins with 00 00",
    );
    refused(
        "a.idx",
        idx(0x0a, &[4], &[0; 4]),
        with_labels,
        "a.idx: byte 2: 0a: not a type of IDX; must be 08, 09, 0b, 0c, 0d or 0e",
    );
    refused("a.idx", idx(8, &[], &[]), with_labels, "a.idx: byte 3: 00 dimensions; at least 1 is needed");
    refused(
        "a.idx",
        images()[..30].to_vec(),
        with_labels,
        "a.idx: byte 16: the header says 4 x 2 x 2 numbers of 1 bytes, 16 bytes; the file has 14 after the header",
    );
    let long = [images(), vec![0; 3]].concat();
    refused(
        "a.idx",
        long,
        with_labels,
        "a.idx: byte 16: the header says 4 x 2 x 2 numbers of 1 bytes, 16 bytes; the file has 19 after the header",
    );
    // More than any memory; more than 64 bits.
    let most = u32::MAX;
    refused(
        "a.idx",
        idx(8, &[most, most], &[7; 16]),
        with_labels,
        "a.idx: byte 12: the header says 4294967295 x 4294967295 numbers of 1 bytes, 18446744065119617025 bytes; the \
         file has 16 after the header",
    );
    refused(
        "a.idx",
        idx(8, &[most, most, most], &[7; 16]),
        with_labels,
        "a.idx: byte 16: the header says 4294967295 x 4294967295 x 4294967295 numbers of 1 bytes, more bytes than any \
         file has; the file has 16 after the header",
    );
    refused("a.idx", idx(8, &[5, 1], &[7; 5]), with_labels, "labels: 4 labels; a.idx has 5 samples");
    refused(
        "a.idx",
        idx(8, &[4], &[7; 4]),
        with_labels,
        "a.idx: byte 3: 1 dimension; samples with at least one number each need 2",
    );
    let nan = [1.0_f32, 2.0, f32::NAN, 4.0].map(f32::to_be_bytes).concat();
    refused(
        "a.idx",
        idx(0x0d, &[4, 1], &nan),
        with_labels,
        "a.idx: row 2, value 0: NaN: expected a number (at most 3.4e38 in size)",
    );
    refused(
        "a.idx",
        images(),
        |data| data.labels = "nowhere".into(),
        "data.labels = \"nowhere\": cannot read nowhere: No such file or directory (os error 2); must be the path of a \
         file",
    );
}

#[test]
fn idx_labels() {
    let folder = Folder::new();
    folder.put("a.idx", idx(8, &[4, 1], &[1, 2, 3, 4]));
    let error = |labels: Vec<u8>| {
        folder.put("l.idx", labels);
        folder.load(|data| (data.source, data.labels) = ("a.idx".into(), "l.idx".into())).unwrap_err()
    };
    assert_eq!(
        error(idx(8, &[4], &[0, 1, 3, 1])),
        "l.idx: byte 10: label = 3: no sample has class 2; the 3 classes are numbered from 0 to 2 without a gap (or \
         named)"
    );
    assert_eq!(
        error(idx(9, &[4], &[0, 1, 255, 1])),
        "l.idx: byte 10: label = -1: not a class; labels are whole numbers from 0 to 999 (or names). For a number to \
         predict, set data.task = \"regression\""
    );
    assert_eq!(error(idx(8, &[2, 2], &[0, 1, 2, 1])), "l.idx: byte 3: 2 dimensions; labels have 1");
}

#[test]
fn gzip_that_is_cut_or_damaged() {
    let packed = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = packed(&idx(8, &[4, 1000], &noise));
    let folder = Folder::new();
    folder.put("labels", idx(8, &[4], &[0, 1, 0, 1]));
    let error = |bytes: Vec<u8>| {
        folder.put("a.idx.gz", bytes);
        folder.load(|data| (data.source, data.labels) = ("a.idx.gz".into(), "labels".into())).unwrap_err()
    };
    let cut = error(whole[..whole.len() / 2].to_vec());
    assert!(cut.starts_with("a.idx.gz: the gzip stream is cut off ("), "{cut}");
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 0xff;
    let damaged = error(changed);
    assert!(damaged.starts_with("a.idx.gz: "), "{damaged}");
    // A header that claims more than is there, packed.
    let claims = error(packed(&idx(8, &[u32::MAX, u32::MAX], &[1; 9])));
    assert_eq!(
        claims,
        "a.idx.gz: byte 12: the header says 4294967295 x 4294967295 numbers of 1 bytes, 18446744065119617025 bytes; \
         the file has 9 after the header"
    );
}

#[test]
fn cifar() {
    let ten: Change = |data| data.format = Some(Format::Cifar10);
    refused("a.bin", vec![0; 3000], ten, "a.bin: 3000 bytes: not a multiple of 3073 (a label and 32 x 32 x 3 pixels)");
    refused("a.bin", vec![], ten, "a.bin: 0 bytes: not a multiple of 3073 (a label and 32 x 32 x 3 pixels)");
    let mut bytes = vec![0; 3073 * 3];
    bytes[3073] = 77;
    refused("a.bin", bytes.clone(), ten, "a.bin: byte 3073: label 77: must be below 10; is it a file of CIFAR?");
    refused(
        "a.bin",
        bytes,
        |data| data.format = Some(Format::Cifar100),
        "a.bin: 9219 bytes: not a multiple of 3074 (two labels and 32 x 32 x 3 pixels)",
    );
    let folder = Folder::new();
    folder.put("c/data_batch_1.bin", vec![0; 3073]);
    let error = folder.load(|data| data.source = "c".into()).unwrap_err();
    assert!(error.contains("cannot read c/data_batch_2.bin: No such file"), "{error}");
}

#[test]
fn numpy() {
    let eight = |number: f64| [number; 8].map(f64::to_le_bytes).concat();
    let with = |header: &str| npy_with(header, &eight(1.0));
    refused(
        "a.npy",
        npy("<f8", &[4, 2], &eight(1.0)),
        plain,
        "data.labels: missing: one npy file holds the inputs, another one the targets (or both in one npz)",
    );
    refused("a.npy", vec![], with_npy, "a.npy: byte 0: not an npy file, which begins with 93 and NUMPY");
    refused("a.npy", b"\x93NUMPY\x01".to_vec(), with_npy, "a.npy: byte 7: the file ends inside the header");
    refused(
        "a.npy",
        b"\x93NUMPY\x09\x00\x10\x00".to_vec(),
        with_npy,
        "a.npy: byte 6: version 9 of the format; 1 to 3 are known",
    );
    refused(
        "a.npy",
        with("{'descr': '<U5', 'fortran_order': False, 'shape': (4, 2), }"),
        with_npy,
        "a.npy: byte 10: dtype '<U5': must be bool, an integer, float16, float32 or float64 (array.astype)",
    );
    refused(
        "a.npy",
        with("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (4, 2), }"),
        with_npy,
        "a.npy: byte 10: dtype [('a', '<f8')]: must be bool, an integer, float16, float32 or float64 (array.astype)",
    );
    refused(
        "a.npy",
        with("{'descr': '<f8', 'fortran_order': True, 'shape': (4, 2), }"),
        with_npy,
        "a.npy: byte 10: stored column by column (Fortran order); save np.ascontiguousarray(array) instead",
    );
    refused(
        "a.npy",
        with("{'descr': '<f8', 'fortran_order': False, 'shape': (), }"),
        with_npy,
        "a.npy: byte 10: a single number; samples need at least one dimension",
    );
    refused(
        "a.npy",
        npy("<f8", &[4_000_000_000, 4_000_000_000], &eight(1.0)),
        with_npy,
        "a.npy: byte 128: the header says 4000000000 x 4000000000 numbers of 8 bytes, more bytes than any file has; \
         the file has 64 after the header",
    );
    refused(
        "a.npy",
        npy("<f8", &[4, 2], &eight(f64::INFINITY)),
        with_npy,
        "a.npy: row 0, value 0: inf: expected a number (at most 3.4e38 in size)",
    );
    refused(
        "a.npy",
        npy("<f8", &[8], &eight(1.0)),
        |data| (data.labels, data.task) = ("a.npy".into(), Task::Regression),
        "a.npy: the target is the same on every training sample (6; 2 more are kept for testing); there is nothing to \
         learn",
    );
}

#[test]
fn archives_of_numpy() {
    let (x, y) = (npy("|u1", &[3, 2], &[1, 2, 3, 4, 5, 6]), npy("|u1", &[3], &[0, 1, 1]));
    let whole = npz(&[("x", x.clone()), ("y", y.clone())], false);
    refused(
        "a.npz",
        whole[..whole.len() - 30].to_vec(),
        plain,
        &format!("a.npz: byte {}: no table of contents at its end: cut off, or not a zip file", whole.len() - 30),
    );
    refused("a.npz", vec![], plain, "a.npz: byte 0: no table of contents at its end: cut off, or not a zip file");
    refused("a.npz", npz(&[], false), plain, "a.npz: no array (.npy) in this archive");
    let mut changed = whole.clone();
    let at = changed.windows(6).position(|window| window == [1, 2, 3, 4, 5, 6]).unwrap();
    changed[at] = 9;
    refused("a.npz", changed, plain, "a.npz: 'x': damaged: its checksum is wrong");
    let short = npz(&[("x", x[..x.len() - 1].to_vec()), ("y", y.clone())], true);
    refused("a.npz", short, plain, "a.npz: 'x': 5 bytes of numbers; its header says [3, 2]");
    refused(
        "a.npz",
        npz(&[("a", x.clone()), ("b", y.clone())], true),
        plain,
        "a.npz: which array holds the targets? Set data.target to one of a, b",
    );
    refused(
        "a.npz",
        npz(&[("inputs", x.clone()), ("classes", y.clone())], true),
        |data| data.target = vec!["clases".into()],
        "a.npz: no 'clases' (data.target); did you mean 'classes'?",
    );
    refused(
        "a.npz",
        npz(&[("a", x.clone()), ("b", y.clone()), ("c", y)], true),
        |data| data.target = vec!["c".into()],
        "a.npz: 2 arrays beside 'c' (a, b, c); exactly one, the inputs, is needed",
    );
}

#[test]
fn tensors() {
    let whole = safetensors(&[("x", "F32", &[2, 1], &[0; 8]), ("y", "U8", &[2], &[0, 1])]);
    let cut = whole[..whole.len() - 1].to_vec();
    refused(
        "a.safetensors",
        cut,
        plain,
        "a.safetensors: 'y': its numbers end at byte 10 behind the header; the file ends at 9",
    );
    refused(
        "a.safetensors",
        vec![1, 2, 3],
        plain,
        "a.safetensors: byte 0: the file ends at byte 3; 8 bytes are needed from here on",
    );
    refused(
        "a.safetensors",
        u64::MAX.to_le_bytes().to_vec(),
        plain,
        "a.safetensors: byte 0: a header of 18446744073709551615 bytes; not a safetensors file, whose header is shorter",
    );
    // The words are the format's own crate's.
    let wrong = safetensors(&[("x", "F32", &[2, 3], &[0; 8]), ("y", "U8", &[2], &[0, 1])]);
    refused(
        "a.safetensors",
        wrong,
        plain,
        "a.safetensors: byte 8: damaged header: invalid shape, data type, or offset for tensor",
    );
}

#[test]
fn images() {
    let folder = Folder::new();
    let good = || png(2, 2, 1, &[1, 2, 3, 4]);
    folder.put("d/a/1.png", good());
    let error = |bytes: Vec<u8>| {
        folder.put("d/b/1.png", bytes);
        folder.load(|data| data.source = "d".into()).unwrap_err()
    };
    assert_eq!(error(vec![]), "d/b/1.png: byte 0: not a PNG file, which begins with 89 50 4e 47");
    assert_eq!(
        error(png(3, 2, 1, &[0; 6])),
        "d/b/1.png: 2 x 3 pixels of 1 channels; d/a/1.png is 2 x 2 pixels of 1 channels. All images must have one size"
    );
    assert_eq!(
        error(png_with(2, 2, 16, 0, &[0; 10])),
        "d/b/1.png: byte 24: 16 bits a channel; only 8 and fewer are read. Convert the image to 8 bits"
    );
    let cut = good();
    assert_eq!(error(cut[..40].to_vec()), "d/b/1.png: byte 40: the file ends before its last part (IEND)");
    let mut changed = good();
    changed[45] ^= 1;
    assert_eq!(error(changed), "d/b/1.png: byte 33: the checksum of part IDAT is wrong");
    assert_eq!(
        error(png_with(70_000, 70_000, 8, 0, &[0; 10])),
        "d/b/1.png: byte 16: 70000 x 70000 pixels; must be 1 to 67108864 in all"
    );
    assert_eq!(error(png_with(2, 2, 8, 0, &[0; 5])), "d/b/1.png: byte 33: 5 bytes of pixels; the header says 6");
    assert_eq!(error(png_with(2, 2, 8, 0, &[9; 6])), "d/b/1.png: byte 33: line 0 has filter 9; there are 0 to 4");
    folder.put("d/b/1.png", good());
    folder.put("d/notes.txt", vec![]);
    let error = folder.load(|data| data.source = "d".into()).unwrap_err();
    assert_eq!(error, "d/notes.txt: a file beside the folders of the classes; move it away");
    fs::remove_file(folder.path("d/notes.txt")).unwrap();
    fs::create_dir(folder.path("d/c")).unwrap();
    let error = folder.load(|data| data.source = "d".into()).unwrap_err();
    assert_eq!(error, "d/c: no image in this folder, which would be a class of its own");
}

#[test]
fn series() {
    let of = |lines: &str| format!("@classLabel true a b\n@data\n{lines}").into_bytes();
    refused("a.ts", vec![], plain, "a.ts: 0 series after @data; at least 2 are needed");
    refused("a.ts", of("1,2:a\n3,?:b\n"), plain, "a.ts:4: dimension 1, step 2 = '?': expected a number");
    refused("a.ts", of("1,2:3,4:a\n1,2:a\n"), plain, "a.ts:4: 1 dimensions; the first series has 2");
    refused("a.ts", of("1,2:3:a\n"), plain, "a.ts:3: dimension 2 has 1 steps; the first one has 2");
    refused(
        "a.ts",
        of("1,2\n"),
        plain,
        "a.ts:3: no answer; expected steps separated by commas, dimensions and the class by colons",
    );
    refused(
        "a.ts",
        b"@timestamps true\n@data\n".to_vec(),
        plain,
        "a.ts:1: series with time stamps are not read; only values, step by step",
    );
    refused("a.ts", b"1,2:a\n".to_vec(), plain, "a.ts:1: expected a line that begins with @, or @data before this one");
    refused("a.ts", b"@data\n1:a\n2:\xff\n".to_vec(), plain, "a.ts:3: not UTF-8 text");
}

#[test]
fn text() {
    refused("a.txt", b"ab\xffcd".to_vec(), plain, "a.txt: byte 2: ff: not UTF-8 text");
    refused("a.txt", vec![], plain, "a.txt: 0 different characters; there is nothing to learn");
    refused(
        "a.txt",
        b"abcdefgh".to_vec(),
        |data| data.length = 7,
        "a.txt: 6 characters for training; windows of 7 need 8 (data.length)",
    );
    refused(
        "a.txt",
        b"abcdefgh".repeat(20),
        |data| (data.length, data.input_scale) = (8, 2.0),
        "data.input_scale = 2.0: must be 1: the inputs are symbols, not numbers",
    );
    refused(
        "a.txt",
        b"abcdefgh".repeat(20),
        |data| data.task = Task::Regression,
        "data.task = \"regression\": the next character is a class: must be \"classification\"",
    );
}

#[test]
fn what_is_no_data_at_all() {
    refused(
        "a",
        vec![],
        plain,
        "a: its format cannot be found from its name or its first bytes; set data.format to csv, idx, cifar-10, \
         cifar-100, images, parquet, npy, npz, ts, text or safetensors",
    );
    refused("a.parquet", vec![], plain, "a.parquet: byte 0: not a Parquet file, which begins and ends with PAR1");
    let folder = Folder::new();
    fs::create_dir(folder.path("f")).unwrap();
    for format in [Format::Csv, Format::Npz, Format::Text, Format::Parquet] {
        let error = folder.load(|data| (data.source, data.format) = ("f".into(), Some(format))).unwrap_err();
        assert!(error.contains("cannot read f: is a folder; must be a file"), "{error}");
    }
    let error = folder.load(|data| data.source = "addin".into()).unwrap_err();
    assert!(error.ends_with("did you mean 'adding'?"), "{error}");
    refused(
        "a.csv",
        b"a,b\n1,2\n".to_vec(),
        |data| data.labels = "y".into(),
        "data.labels = \"y\": has no effect: not for format = \"csv\"",
    );
}
