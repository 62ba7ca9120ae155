//! Activations and gradients by layer under the scales of Glorot, of He, and of a fixed deviation as in GPT-2.

use burn::tensor::DType;
use isogain_core::network::{Network, NormKind, Shape};
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{Sampler, activation, linear, mean, model, network, norm, normal, pass, phi, residual, rms, stack};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "start-scales",
    title: "Glorot's and He's scales keep activations and gradients level; a fixed deviation does so only where it happens to fit",
    source: "Glorot & Bengio 2010; He, Zhang, Ren & Sun 2015; Radford et al. 2019",
    setting: "plain networks of 256 units, inputs N(0, 1), 5 networks of each kind, geometric mean: rms of activations and of dL/dz \
              by layer. GPT-2's deviation of 0.02: in the same ReLU network, in 4 tanh layers of 2500 units, and in 24 blocks of \
              layer norm, linear, GELU, linear with skips, whose last weights are divided by sqrt(24)",
    disproof: Some(
        "the rms of the last layer were not within a factor of 2 of the first, where it is claimed to be level",
    ),
    seconds: 4,
    run,
};

const WIDTH: usize = 256;
const BATCH: usize = 16;
const NETWORKS: u64 = 5;
/// GPT-2's.
const FIXED: f64 = 0.02;
const BLOCKS: usize = 24;

/// Logarithms of rms by layer: activations, over the first layer's; gradients, over the last's.
struct Profile {
    forward: Vec<f64>,
    backward: Vec<f64>,
}

impl Profile {
    /// Of joints `activations` and `gradients` by the number of the layer, geometric mean over networks.
    fn of(network: &Network, depth: usize, joints: [&str; 2], networks: u64, dtype: DType) -> Self {
        let width = network.input.features;
        let passed = (0..networks).map(|seed| {
            let mut sampler = Sampler::new(seed);
            let (inputs, cotangent) = (sampler.normals(BATCH * width, 1.0), sampler.normals(BATCH * width, 1.0));
            let seen = pass(&model(network, seed, dtype), &inputs, &cotangent, Keep::Moments).seen;
            let at = |side, joint: &str, layer: usize| rms(side, &format!("{joint}{layer}")).ln();
            let forward = (1..=depth).map(|layer| at(&seen.forward, joints[0], layer)).collect::<Vec<f64>>();
            let backward = (1..=depth).map(|layer| at(&seen.backward, joints[1], layer)).collect::<Vec<f64>>();
            (forward, backward)
        });
        let (forward, backward): (Vec<_>, Vec<_>) = passed.unzip();
        let level = |all: &[Vec<f64>], from: usize| {
            (0..depth).map(|layer| mean(all.iter().map(|one| one[layer] - one[from]))).collect()
        };
        Self { forward: level(&forward, 0), backward: level(&backward, depth - 1) }
    }

    fn activations(&self) -> f64 {
        self.forward.last().copied().unwrap_or(f64::NAN).exp()
    }

    fn gradients(&self) -> f64 {
        self.backward.first().copied().unwrap_or(f64::NAN).exp()
    }
}

/// Blocks as in a transformer's feed-forward part.
fn pre_norm() -> Result<Network, Error> {
    let gelu = phi("gelu")?;
    let variance = FIXED * FIXED;
    let mut ops = Vec::new();
    for block in 1..=BLOCKS {
        let name = format!("block{block}");
        let inner = 4 * WIDTH;
        let first = normal(WIDTH as f64 * variance, 0.0)?;
        let last = normal(inner as f64 * variance / BLOCKS as f64, 0.0)?;
        let branch = vec![
            norm(format!("{name}.norm"), NormKind::Layer, WIDTH, 1e-5),
            linear(format!("{name}.fc1"), [WIDTH, inner], first, phi("linear")?),
            activation(format!("{name}.act"), gelu),
            linear(format!("{name}.fc2"), [inner, WIDTH], last, gelu),
        ];
        ops.push(residual(name, 1.0, branch));
    }
    Ok(network(Shape::vector(WIDTH), WIDTH, ops))
}

fn figures(title: &str) -> [Figure; 2] {
    [
        Figure::new(
            &format!("{title}: activations"),
            Scale::linear("layer"),
            Scale::log("rms of the output, of layer 1's"),
        ),
        Figure::new(
            &format!("{title}: gradients"),
            Scale::linear("layer"),
            Scale::log("rms of dL/dz, of the last layer's"),
        ),
    ]
}

fn draw([forward, backward]: [Figure; 2], name: &str, profile: &Profile) -> [Figure; 2] {
    let line = |logs: &[f64]| logs.iter().enumerate().map(|(at, log)| ((at + 1) as f64, log.exp())).collect();
    [forward.with(name, Mark::Line, line(&profile.forward)), backward.with(name, Mark::Line, line(&profile.backward))]
}

fn rows(found: &mut Found, name: &str, profile: &Profile, [forward, backward]: [Expected; 2]) {
    found.claimed(format!("{name}: activations, last over first"), profile.activations(), forward);
    found.claimed(format!("{name}: gradients, first over last"), profile.gradients(), backward);
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    let level = Expected::Between { low: 0.5, high: 2.0 };
    let shrinks = Expected::Below { limit: 0.1 };
    let joints = ["act", "fc"];

    let mut gradients = Vec::new();
    let mut tanh = figures("Tanh");
    for (index, (name, variance, depth, expected)) in [
        ("tanh, 5 layers, uniform within 1/sqrt(n)", 1.0 / 3.0, 5, [Expected::Below { limit: 0.5 }; 2]),
        ("tanh, 5 layers, Glorot", 1.0, 5, [level; 2]),
        ("tanh, 50 layers, Glorot", 1.0, 50, [level; 2]),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(index, 8)?;
        let network = stack(WIDTH, depth, normal(variance, 0.0)?, phi("tanh")?, None);
        let profile = Profile::of(&network, depth, joints, NETWORKS, DType::F64);
        rows(&mut found, name, &profile, expected);
        gradients.push(profile.gradients());
        tanh = draw(tanh, name, &profile);
    }
    let [before, after, _] = gradients[..] else { return Ok(found) };
    let what = "tanh, 5 layers: gradient of layer 1 with Glorot's weights over that within 1/sqrt(n)";
    found.claimed(what, after / before, Expected::Above { limit: 2.0 });
    let mut relu = figures("ReLU, and blocks with skips");
    for (index, (name, variance, expected)) in [
        ("ReLU, 50 layers, Glorot", 1.0, [shrinks; 2]),
        ("ReLU, 50 layers, He", 2.0, [level; 2]),
        ("ReLU, 50 layers, deviation 0.02", FIXED * FIXED * WIDTH as f64, [shrinks; 2]),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(3 + index, 8)?;
        let network = stack(WIDTH, 50, normal(variance, 0.0)?, phi("relu")?, None);
        let profile = Profile::of(&network, 50, joints, NETWORKS, DType::F64);
        rows(&mut found, name, &profile, expected);
        relu = draw(relu, name, &profile);
    }
    lab.at(6, 8)?;
    let (width, depth) = (2500, 4);
    let wide = stack(width, depth, normal(FIXED * FIXED * width as f64, 0.0)?, phi("tanh")?, None);
    let profile = Profile::of(&wide, depth, joints, 1, DType::F32);
    rows(&mut found, "tanh, 4 layers of 2500 units, deviation 0.02", &profile, [level; 2]);
    lab.at(7, 8)?;
    let profile = Profile::of(&pre_norm()?, BLOCKS, ["block"; 2], 2, DType::F64);
    let name = "24 blocks with layer norm and skips, deviation 0.02";
    rows(&mut found, name, &profile, [level; 2]);
    relu = draw(relu, name, &profile);
    found.notes.push(
        "He's scale is exact for ReLU and holds at any depth. Glorot's is exact for a linear layer only: tanh shrinks whatever is not \
         near 0, and so even after 5 layers the gradient is less than half of what it was. But it falls ever more slowly, because \
         small signals pass tanh unchanged, and not by a factor at each layer as before. GPT-2's deviation is Glorot's scale at 2500 \
         units and He's at 5000; with a norm and a skip in each block it need fit no width, because \
         each block adds little to what the skip carries."
            .to_owned(),
    );
    found.figures.extend(tanh.into_iter().chain(relu));
    Ok(found)
}
