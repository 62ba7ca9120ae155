//! A training does not depend on the number of threads it runs on, to the last bit of what is seen of every step.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use std::path::Path;

use isogain::check::Subject;
use isogain::train::Trainer;
use isogain_core::recipe::parse;
use isogain_core::record::StepRecord;

const IMAGES: &str = "[data]\nbatch = 128\n";
const TOKENS: &str = "[data]\nsource = \"temporal-order\"\nlength = 48\nsamples = 100\nbatch = 48\n";

/// Networks so large that threads share their work, of every kind of operation that can be shared.
const RECIPES: [(&str, &str, &str); 9] = [
    (IMAGES, "depth = 3\nwidth = 768\nnorm = \"layer\"\nactivation = \"gelu\"", "[optimizer]\nname = \"adam\""),
    (IMAGES, "depth = 3\nwidth = 768\nnorm = \"rms\"\nactivation = \"leaky-relu\"", "[run]\nprecision = \"f64\""),
    (IMAGES, "kind = \"residual\"\ndepth = 4\nwidth = 1024\nnorm = \"batch\"", "[optimizer]\nname = \"muon\""),
    (IMAGES, "kind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 32\nnorm = \"batch\"", ""),
    (IMAGES, "kind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 24\npool = \"average\"", "[run]\nprecision = \"f64\""),
    (IMAGES, "kind = \"resnet\"\ndepth = 8\nwidth = 32", "[optimizer]\nname = \"momentum\"\nweight_decay = 0.01"),
    (TOKENS, "kind = \"transformer\"\ndepth = 2\nwidth = 64\nheads = 2\ncausal = true\nhead = \"last\"", ""),
    (TOKENS, "kind = \"transformer\"\ndepth = 2\nwidth = 66\nheads = 3\nlogit_cap = 2.0\nhead = \"mean\"", ""),
    (TOKENS, "kind = \"lstm\"\nwidth = 96", "[clip]\nkind = \"global-norm\"\nthreshold = 0.1"),
];

/// What is seen of three steps, and the bits of every parameter after them.
fn course(recipe: &str, threads: usize) -> (Vec<StepRecord>, Vec<Vec<u64>>) {
    let recipe = parse(recipe, "test.toml").unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let Subject { network, data, .. } = Subject::load(&recipe, Path::new(".")).unwrap();
        let mut trainer = Trainer::new(&recipe, &network, &data, 0);
        let records = (0..3).map(|_| trainer.advance(&data, true).unwrap()).collect();
        let bits = |value: Vec<f64>| value.into_iter().map(f64::to_bits).collect();
        (records, trainer.model.parameters.values().map(|value| bits(value.to_f64())).collect())
    })
}

#[test]
fn a_training_does_not_depend_on_the_number_of_threads() {
    for (data, network, rest) in RECIPES {
        let recipe = format!("{data}[network]\n{network}\n{rest}\n");
        let alone = course(&recipe, 1);
        for threads in [2, 3, 7] {
            let found = course(&recipe, threads);
            for (alone, found) in alone.0.iter().zip(&found.0) {
                assert_eq!(alone, found, "{recipe}by {threads} threads");
            }
            assert!(alone.1 == found.1, "{recipe}by {threads} threads: other parameters");
        }
    }
}
