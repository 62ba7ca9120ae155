//! Trainings by Burn's own operations, as on a GPU, are those by ours: what is seen of every step, and where it ends.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain::train::Trainer;
use isogain_core::recipe::{Device, parse};
use isogain_core::record::{Detail, StepRecord};

const TOKENS: &str = "[data]\nsource = \"temporal-order\"\nlength = 10\nsamples = 100\nbatch = 8\n";
const NUMBERS: &str = "[data]\nsource = \"adding\"\nlength = 12\nsamples = 100\ntask = \"regression\"\nbatch = 8\n";
const IMAGES: &str = "[data]\nbatch = 8\n";

/// Every kind of network, and every operation that a recipe can ask for.
const RECIPES: [(&str, &str); 26] = [
    (IMAGES, "depth = 5\nwidth = 16\ninit = \"he-normal\""),
    (IMAGES, "depth = 4\nwidth = 16\nnorm = \"batch\"\ndropout = 0.3\nactivation = \"elu\""),
    (IMAGES, "depth = 4\nwidth = 16\nnorm = \"batch-renorm\"\nnorm_ramp = 3\nactivation = \"softplus\""),
    (IMAGES, "depth = 4\nwidth = 16\nnorm = \"batch\"\nghost_batch = 4\nactivation = \"hard-tanh\""),
    (IMAGES, "depth = 4\nwidth = 16\nnorm = \"group\"\nnorm_groups = 4\nweight_norm = \"orthogonal\""),
    (
        IMAGES,
        "depth = 4\nwidth = 16\nsupervise_every = 2\nactivation = \"leaky-relu\"\noutput_activation = \"softmax\"",
    ),
    (
        IMAGES,
        "kind = \"residual\"\ndepth = 5\nwidth = 16\nnorm = \"layer\"\nstochastic_depth = 0.4\nlearnable_scale = true",
    ),
    (
        IMAGES,
        "kind = \"residual\"\ndepth = 4\nwidth = 16\nnorm = \"rms\"\nlearnable_scale = true\nscale_per_channel = true",
    ),
    (IMAGES, "kind = \"residual\"\ndepth = 4\nwidth = 16\ngate_bias = -1.0\nactivation = \"silu\""),
    (IMAGES, "kind = \"residual\"\ndepth = 4\nwidth = 16\ngrowth = 5\nactivation = \"gelu\""),
    (IMAGES, "kind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 6\nnorm = \"batch\""),
    (IMAGES, "kind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 6\npool = \"average\"\nhead = \"flatten\""),
    (IMAGES, "kind = \"resnet\"\ndepth = 8\nwidth = 4"),
    (
        IMAGES,
        "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\nqk_norm = true\npositions = \"rotary\"\nhead = \"mean\"",
    ),
    (
        TOKENS,
        "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\ncausal = true\nhead = \"last\"\nlogit_cap = 2.0",
    ),
    (TOKENS, "kind = \"transformer\"\ndepth = 2\nwidth = 12\nheads = 2\nhead = \"mean\"\nnorm_placement = \"post\""),
    (TOKENS, "kind = \"lstm\"\nwidth = 8\ndepth = 2\ndropout = 0.2"),
    (TOKENS, "kind = \"gru\"\nwidth = 8\ndepth = 2\nhead = \"mean\""),
    (NUMBERS, "kind = \"rnn\"\nwidth = 8\ndepth = 2\nactivation = \"relu\""),
    (NUMBERS, "kind = \"rnn\"\nwidth = 8\nhidden_init = \"orthogonal\"\nweight_norm = \"orthogonal\""),
    (NUMBERS, "kind = \"rnn\"\nwidth = 8\nantisymmetric_step = 0.1"),
    (NUMBERS, "kind = \"rnn\"\nwidth = 8\ndiagonal = true"),
    (NUMBERS, "kind = \"rnn\"\nwidth = 8\noscillator = { step = 0.3, damping = 0.5 }"),
    (IMAGES, "depth = 3\nwidth = 16\nactivation = { name = \"shaped-tanh\", slope = 1.1 }"),
    // Signals that vanish, each compared with its own size.
    (IMAGES, "depth = 10\nwidth = 16\nactivation = \"elu\"\ninit = { name = \"fixed-variance\", std = 0.02 }"),
    (IMAGES, "depth = 10\nwidth = 16\nactivation = \"tanh\"\ninit = { name = \"fixed-variance\", std = 0.02 }"),
];

const STEPS: usize = 4;

/// What is seen of some steps, parameters after them, and the losses of evaluation.
struct Course {
    records: Vec<StepRecord>,
    parameters: Vec<(String, Vec<f64>)>,
    outcome: [f64; 2],
}

fn course(recipe: &str, device: Device, change: impl FnOnce(Trainer) -> Trainer + Send) -> Course {
    let mut recipe = parse(recipe, "test.toml").unwrap();
    support::alone(|| {
        // Measured before training by the processor.
        let Subject { network, data, .. } = Subject::load(&recipe, Path::new(".")).unwrap();
        recipe.run.device = device;
        let mut trainer = change(Trainer::new(&recipe, &network, &data, 3));
        let mut unwatched = trainer.clone();
        let records = (0..STEPS).map(|_| trainer.advance(&data, true).unwrap()).collect();
        (0..STEPS).for_each(|_| drop(unwatched.advance(&data, false)));
        for (name, value) in &trainer.model.parameters {
            assert_eq!(value.to_f64(), unwatched.model.parameters[name].to_f64(), "watching changes {name}");
        }
        let outcome = trainer.outcome(&data);
        let parameters = trainer.model.parameters.iter();
        Course {
            records,
            parameters: parameters.map(|(name, value)| (name.clone(), value.to_f64())).collect(),
            outcome: [outcome.loss, outcome.test_loss].map(|loss| loss.unwrap()),
        }
    })
}

/// That no number is off by more than this part of the largest of its kind.
fn compare(what: &str, ours: &Course, theirs: &Course, tolerance: f64) {
    let close = |what: &str, a: f64, b: f64, scale: f64| {
        assert!((a - b).abs() <= tolerance * scale.max(1e-30), "{what}: {b:e} is not {a:e}");
    };
    for (ours, theirs) in ours.records.iter().zip(&theirs.records) {
        let at = |name: &str, side: &str| format!("{what}, step {}: {side} of {name}", ours.step);
        close(&at("all", "loss"), ours.loss, theirs.loss, ours.loss.abs());
        assert_eq!(ours.joints.len(), theirs.joints.len());
        for (a, b) in ours.joints.iter().zip(&theirs.joints) {
            let sides = [("activation", &a.activation, &b.activation), ("cotangent", &a.cotangent, &b.cotangent)];
            for (side, ours, theirs) in sides {
                let at = at(&a.name, side);
                assert_eq!((ours.count, ours.non_finite), (theirs.count, theirs.non_finite), "{at}");
                let size = ours.rms().unwrap_or(0.0);
                close(&at, size, theirs.rms().unwrap_or(0.0), size);
            }
            match (&a.detail, &b.detail) {
                (Some(Detail::Attention(a)), Some(Detail::Attention(b))) => {
                    close(what, a.entropy, b.entropy, 1.0);
                    close(what, a.logit_rms, b.logit_rms, a.logit_rms);
                    close(what, a.largest_logit, b.largest_logit, a.largest_logit);
                }
                (Some(Detail::Gates(a)), Some(Detail::Gates(b))) => {
                    for (a, b) in a.iter().zip(b) {
                        assert_eq!(a.gate, b.gate);
                        close(what, a.mean, b.mean, 1.0);
                        close(what, a.saturated_fraction, b.saturated_fraction, 1.0);
                    }
                }
                (a, b) => assert_eq!(a.is_some(), b.is_some(), "{what}: detail"),
            }
        }
    }
    for ((name, ours), (_, theirs)) in ours.parameters.iter().zip(&theirs.parameters) {
        let scale = ours.iter().fold(0.0_f64, |scale, value| scale.max(value.abs()));
        ours.iter().zip(theirs).for_each(|(a, b)| close(&format!("{what}: {name}"), *a, *b, scale));
    }
    for (ours, theirs) in ours.outcome.iter().zip(theirs.outcome) {
        close(&format!("{what}: outcome"), *ours, theirs, ours.abs());
    }
}

#[test]
fn a_training_by_burns_operations_is_the_one_by_ours() {
    for (data, network) in RECIPES {
        let recipe = format!("{data}[network]\n{network}\n[run]\nprecision = \"f64\"\n");
        let ours = course(&recipe, Device::Cpu, |trainer| trainer);
        let theirs = course(&recipe, Device::Cpu, |mut trainer| {
            trainer.model = trainer.model.by_burns_operations();
            trainer
        });
        compare(network, &ours, &theirs, 1e-9);
    }
}

/// What this program was not built for, or what is not there, is said before anything is trained.
#[test]
fn a_device_that_is_not_there_is_told() {
    for (name, is_built_in) in [("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))] {
        let recipe = parse(&format!("[network]\ndepth = 2\n[run]\ndevice = \"{name}\"\n"), "test.toml").unwrap();
        let Err(error) = Subject::load(&recipe, Path::new(".")) else {
            assert!(is_built_in, "{name} is there");
            continue;
        };
        let text = error.to_string();
        let told = ["this isogain was built without it", "there is no GPU"][usize::from(is_built_in)];
        assert!(text.starts_with(&format!("run.device = \"{name}\": {told}")), "{text}");
        assert!(text.ends_with("device = \"cpu\" trains on the processor"), "{text}");
    }
}

/// On the GPU that is here, in f32: what is rounded in another order is 1e-7 apart at first, and a thousand times that after some
/// steps. `cargo nextest run --release -p isogain --features wgpu --test devices`.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
#[test]
fn a_training_on_a_gpu_is_the_one_on_the_processor() {
    let device = if cfg!(feature = "cuda") { Device::Cuda } else { Device::Wgpu };
    if let Err(why) = isogain::device::device(device) {
        eprintln!("skipped: {why}");
        return;
    }
    for (data, network) in RECIPES {
        let recipe = format!("{data}[network]\n{network}\n");
        let ours = course(&recipe, Device::Cpu, |trainer| trainer);
        compare(network, &ours, &course(&recipe, device, |trainer| trainer), 1e-4);
    }
}
