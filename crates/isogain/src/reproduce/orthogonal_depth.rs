//! T9: depth costs nothing where every layer is an isometry: looks-linear ReLU networks at initialisation (Balduzzi et al.
//! 2017), orthogonal tanh networks of 200 layers in training (Saxe et al. 2014; Pennington et al. 2017; Xiao et al. 2018),
//! and the plateau of a deep linear network (Saxe et al. 2014).

use burn::tensor::DType;
use isogain_core::network::{Network, Shape};
use isogain_core::summary::reproduction::{Basis, Expected, Figure, Mark, Row, Scale};
use isogain_core::theory::edge_of_chaos::critical_at;
use isogain_core::weights::singular_values;

use super::bench::{Sampler, activation, init, jacobian, linear, mean, model, network, normal, phi, set};
use super::training::{Ended, Subject};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::data::{Samples, Targets};
use crate::snapshot::loss_and_gradients;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "orthogonal-depth",
    title: "Where every layer is an isometry, 200 plain layers learn",
    source: "Saxe et al. 2014; Balduzzi et al. 2017; Pennington et al. 2017; Xiao et al. 2018",
    setting: "a looks-linear ReLU network of 200 layers at initialisation; digits, 200 layers of width 64, SGD 0.01, 500 \
              steps; linear networks of one unit",
    disproof: None,
    seconds: 40,
    run,
};

/// Parts of the whole: the isometry, three trainings, two plateaus.
const PARTS: usize = 6;
const DEPTH: usize = 200;
const WIDTH: usize = 64;

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    lab.at(0, PARTS)?;
    let [low, high] = looks_linear()?;
    for (what, value) in [("smallest", low), ("largest", high)] {
        let what = format!("looks-linear ReLU, 200 layers: {what} singular value of the Jacobian");
        found.rows.push(Row::new(what, value, Expected::Near { value: 1.0, tolerance: 1e-10 }, Basis::Exact));
    }
    let mut figure = Figure::new(
        "200 plain layers while training",
        Scale::linear("step"),
        Scale::log("loss on the batch, mean of 20"),
    );
    let learned = Expected::Above { limit: 0.9 };
    let stuck = Expected::Below { limit: 0.2 };
    for (index, (what, q, expected)) in [
        ("tanh, orthogonal, q = 1/16", Some(1.0 / 16.0), learned),
        ("tanh, orthogonal, q = 1/200", Some(1.0 / DEPTH as f64), learned),
        ("ReLU, He", None, stuck),
    ]
    .into_iter()
    .enumerate()
    {
        lab.at(1 + index, PARTS)?;
        let ended = train(q, lab)?;
        let what = format!("{what}, 200 layers: accuracy");
        found.rows.push(Row::new(&what, ended.accuracy, expected, Basis::Measured));
        let smooth = ended.losses.chunks(20).enumerate();
        let smooth = smooth.map(|(index, losses)| (index as f64 * 20.0 + 10.0, mean(losses.iter().copied())));
        figure = figure.with(what.trim_end_matches(": accuracy"), Mark::Line, smooth.collect());
    }
    found.figures.push(figure);
    for (index, (depth, start)) in [(4, 0.2), (8, 0.5)].into_iter().enumerate() {
        lab.at(4 + index, PARTS)?;
        let time = escape_time(depth, start, lab)?;
        let what = format!("linear network of {depth} weights {start}: time to half of the target");
        // The step of the descent is the error: 0.002 of a time of about 12 is far below.
        let exact = Expected::within(exact_escape_time(depth, start), 0.002);
        found.rows.push(Row::new(&what, time, exact, Basis::Exact));
        let plateau = start.powi(2 - depth as i32) / (depth as f64 - 2.0);
        let what = format!("{what}, against the plateau w^(2-L)/(L-2)");
        found.rows.push(Row::new(what, time, Expected::within(plateau, 0.03), Basis::Exact));
    }
    Ok(found)
}

/// Layers of pairs (M x, -M x), of which ReLU keeps what makes (M x)+ - (-M x)+ = M x: weights [[M, -M], [-M, M]].
fn looks_linear() -> Result<[f64; 2], Error> {
    let relu = phi("relu")?;
    let orthogonal = init("orthogonal", &[])?;
    let (single, paired) = (WIDTH, 2 * WIDTH);
    let fans = |layer: usize| [if layer == 1 { single } else { paired }, if layer == DEPTH { single } else { paired }];
    let ops = (1..=DEPTH).flat_map(|layer| {
        let weights = linear(format!("fc{layer}"), fans(layer), orthogonal, relu);
        std::iter::once(weights).chain((layer < DEPTH).then(|| activation(format!("act{layer}"), relu)))
    });
    let network: Network = network(Shape::vector(WIDTH), WIDTH, ops.collect());
    let mut mirrored = model(&network, 0, DType::F64);
    let square = stack_of_orthogonal()?;
    for layer in 1..=DEPTH {
        let m = square(layer);
        let [rows, columns] = fans(layer);
        let entry = |at: usize| {
            let (row, column) = (at / columns, at % columns);
            let sign = if (row < WIDTH) == (column < WIDTH) { 1.0 } else { -1.0 };
            sign * m[row % WIDTH * WIDTH + column % WIDTH]
        };
        set(&mut mirrored, &format!("fc{layer}.weight"), &(0..rows * columns).map(entry).collect::<Vec<f64>>());
    }
    let jacobian = jacobian(&mirrored, &Sampler::new(1).normals(WIDTH, 1.0));
    let found = singular_values(&jacobian, WIDTH, WIDTH);
    Ok([found[0], found[WIDTH - 1]])
}

/// Square orthogonal matrices, one for each layer.
fn stack_of_orthogonal() -> Result<impl Fn(usize) -> Vec<f64>, Error> {
    let (orthogonal, phi) = (init("orthogonal", &[])?, phi("linear")?);
    let ops = (1..=DEPTH).map(|layer| linear(format!("fc{layer}"), [WIDTH; 2], orthogonal, phi)).collect();
    let drawn = model(&network(Shape::vector(WIDTH), WIDTH, ops), 7, DType::F64);
    Ok(move |layer: usize| drawn.parameters[format!("fc{layer}.weight").as_str()].to_f64())
}

/// Trains 200 tanh layers with orthogonal weights that hold this variance q, or ReLU layers with He weights.
fn train(q: Option<f64>, lab: &Lab<'_>) -> Result<Ended, Error> {
    let (weight_variance, bias_variance) = match q {
        Some(q) => critical_at(phi("tanh")?, q),
        None => (2.0, 0.0),
    };
    let (activation, weights) = match q {
        Some(_) => ("tanh", format!("{{ name = \"orthogonal\", gain = {} }}", weight_variance.sqrt())),
        None => ("relu", "\"he-normal\"".to_owned()),
    };
    let recipe = format!(
        "[network]\nkind = \"mlp\"\ndepth = {DEPTH}\nwidth = {WIDTH}\nactivation = \"{activation}\"\ninit = {weights}\n\
         head_init = \"lecun-normal\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.01\n[run]\nsteps = 500\n"
    );
    let subject = Subject::new(&recipe)?;
    let mut trainer = subject.trainer(0);
    let mut sampler = Sampler::new(0);
    for layer in 1..=DEPTH {
        // The initialiser has weights alone; q is held by biases too.
        set(&mut trainer.model, &format!("fc{layer}.bias"), &sampler.normals(WIDTH, bias_variance.sqrt()));
    }
    subject.finish(trainer, lab)
}

/// Gradient flow of (w_1 ... w_L - 1)^2 / 2 from equal weights: time until the product is 1/2, by small steps on the
/// engine's own gradient.
fn escape_time(depth: usize, start: f64, lab: &Lab<'_>) -> Result<f64, Error> {
    const STEP: f64 = 0.004;
    const MOST: usize = 10_000;
    let phi = phi("linear")?;
    let ops = (1..=depth).map(|layer| Ok(linear(format!("fc{layer}"), [1, 1], normal(1.0, 0.0)?, phi)));
    let network = network(Shape::vector(1), 1, ops.collect::<Result<Vec<_>, Error>>()?);
    let mut model = model(&network, 0, DType::F64);
    let names: Vec<String> = (1..=depth).map(|layer| format!("fc{layer}.weight")).collect();
    names.iter().for_each(|name| set(&mut model, name, &[start]));
    let targets = Targets::Values { values: vec![1.0], outputs: 1 };
    let sample = Samples { shape: network.input.clone(), inputs: vec![1.0], targets };
    for step in 0..MOST {
        lab.stopped()?;
        // The engine's squared error has no half.
        let (loss, gradients) = loss_and_gradients(&model, &sample, None);
        if loss.sqrt() <= 0.5 {
            return Ok(step as f64 * STEP);
        }
        for name in &names {
            let weight = model.parameters[name].to_f64()[0] - 0.5 * STEP * gradients[name].to_f64()[0];
            set(&mut model, name, &[weight]);
        }
    }
    Ok(f64::NAN)
}

/// The integral of dw / (w^(L-1) (1 - w^L)) from the start to w^L = 1/2, by Simpson's rule.
fn exact_escape_time(depth: usize, start: f64) -> f64 {
    const PANELS: usize = 20_000;
    let power = depth as i32;
    let end = 0.5_f64.powf(1.0 / depth as f64);
    let width = (end - start) / PANELS as f64;
    let slowness = |w: f64| 1.0 / (w.powi(power - 1) * (1.0 - w.powi(power)));
    let panel = |index: usize| {
        let (left, right) = (start + index as f64 * width, start + (index + 1) as f64 * width);
        width / 6.0 * (slowness(left) + 4.0 * slowness(0.5 * (left + right)) + slowness(right))
    };
    (0..PANELS).map(panel).sum()
}
