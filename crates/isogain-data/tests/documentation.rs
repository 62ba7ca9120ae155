//! Every recipe of `docs/data.md` is read and loads what the page says.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::fs;
use std::path::Path;

use isogain_core::recipe::{Format, parse};
use isogain_data::Dataset;
use support::{Folder, idx, npy, npz, png, safetensors};

/// A folder with every file that the page names.
fn folder() -> Folder {
    let folder = Folder::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.put("diabetes.csv", fs::read(here.join("../../recipes/data/diabetes.csv")).unwrap());
    folder.put("table.parquet", fs::read(here.join("tests/parquet/usual.parquet")).unwrap());
    let rows: String = (0..20).map(|n| format!("{n},{},{},{}\n", n % 3, n % 5, n % 7)).collect();
    folder.put("table.csv", format!("a,b,y,z\n{rows}").into_bytes());
    let (x, y): (Vec<u8>, Vec<u8>) = ((0..60).collect(), (0..20).map(|n| n % 2).collect());
    let (inputs, answers) = (npy("|u1", &[20, 3], &x), npy("|u1", &[20], &y));
    folder.put("arrays.npz", npz(&[("anything", inputs.clone()), ("answers", answers.clone())], true));
    folder.put("tensors.safetensors", safetensors(&[("x", "U8", &[20, 3], &x), ("y", "U8", &[20], &y)]));
    folder.put("x.npy", inputs);
    folder.put("y.npy", answers);
    for part in ["train", "t10k"] {
        folder.put(&format!("mnist/{part}-images-idx3-ubyte"), idx(8, &[20, 1, 3], &x));
        folder.put(&format!("mnist/{part}-labels-idx1-ubyte"), idx(8, &[20], &y));
    }
    let records = |labels: usize| -> Vec<u8> {
        (0..10_u8).flat_map(|n| std::iter::repeat_n(n % 2, labels).chain(std::iter::repeat_n(n, 3072))).collect()
    };
    (1..=5).for_each(|batch| folder.put(&format!("cifar/data_batch_{batch}.bin"), records(1)));
    folder.put("cifar/test_batch.bin", records(1));
    folder.put("cifar-100/train.bin", records(2));
    folder.put("cifar-100/test.bin", records(2));
    for class in 0..2_u8 {
        (0..5).for_each(|n| folder.put(&format!("pictures/{class}/{n}.png"), png(2, 2, 1, &[class, n, 3, 4])));
    }
    let series: String = (0..8).map(|n| format!("1,{n},2:{}\n", n % 2)).collect();
    for part in ["TRAIN", "TEST"] {
        folder.put(&format!("vowels_{part}.ts"), format!("@classLabel true 0 1\n@data\n{series}").into_bytes());
    }
    folder.put("book.txt", "Call me Ishmael. ".repeat(100).into_bytes());
    folder
}

#[test]
fn every_recipe_of_the_page_loads() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md")).unwrap();
    let folder = folder();
    let recipes: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(recipes.len() >= 18, "{}", recipes.len());
    for text in &recipes {
        let recipe = parse(&format!("{text}\n[network]\n"), "data.md").unwrap();
        let data = Dataset::load(&recipe.data, &folder.path("")).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(data.train.all().inputs.iter().all(|value| value.is_finite()), "{text}");
    }
    // The page speaks of every format by the name that the recipe gives it.
    for format in [Format::Csv, Format::Idx, Format::Npy, Format::Npz, Format::Parquet, Format::Ts, Format::Safetensors]
    {
        let name = format!("{format:?}").to_lowercase();
        assert!(page.to_lowercase().contains(&format!("**{name}**")), "{name}");
    }
}
