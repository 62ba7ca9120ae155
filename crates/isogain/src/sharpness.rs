//! Whether the recipe's learning rate suits a network that has not been trained yet.
//!
//! Two measurements, each with its own blind spot, so that both must agree: the largest eigenvalue of the Gauss-Newton
//! matrix (a gradient step is stable up to 2 / lambda, and recovers up to about 4 / lambda), and a rehearsal: a copy of
//! the network takes some steps on one batch again and again, on which a usable learning rate only goes down.
//! The Hessian itself is of no use at kinked activations: its finite differences change sign from step to step.

use burn::tensor::{DType, Tensor, activation};
use isogain_core::network::{Loss, Network};
use isogain_core::recipe::Recipe;
use isogain_core::record::Sharpness;
use isogain_core::statistics::median;

use crate::data::{Dataset, Samples};
use crate::direction::{Direction, flat, moved, norm, scaled};
use crate::model::{Mode, Model};
use crate::train::Trainer;

/// Power iterations; the estimate is a lower bound that settles within a few per cent.
const ITERATIONS: usize = 10;
/// Length of the finite-difference step, as a part of the parameters' norm.
const STEP: f64 = 1e-6;
/// Steps of a rehearsal.
const REHEARSAL: usize = 40;
/// Longest climb of the learning rate that is rehearsed; a longer one is made in as many steps.
const LONGEST_CLIMB: usize = 160;
/// Initialisations: whether a learning rate suits is a matter of luck near its limit.
const SEEDS: usize = 5;
/// Samples in the batch that both measurements use, where the data has as many.
const SAMPLES: usize = 256;
/// Samples below which less is not worth the noise: products of small matrices save no more time.
const FEWEST_SAMPLES: usize = 64;
/// The same of samples with many positions.
const FEWEST_SEQUENCES: usize = 8;
/// Products for a sample from which on less is measured: 7 seconds of a processor core.
const LARGE: f64 = 1e6;

/// Medians over initialisations, from the recipe's seed on.
pub fn sharpness(recipe: &Recipe, network: &Network, data: &Dataset) -> Sharpness {
    let Effort { samples, seeds } = Effort::of(network);
    let rows: Vec<usize> = (0..data.train.len().min(samples)).collect();
    let batch = data.train.select(&rows);
    let recipe = &rehearsed(recipe);
    let trainers = || (0..seeds as u64).map(|offset| Trainer::new(recipe, network, data, recipe.run.seed + offset));
    let curvatures = || trainers().map(|trainer| gauss_newton(&trainer.model, &batch)).collect::<Vec<f64>>();
    let rehearsals = || trainers().map(|mut trainer| rehearse(&mut trainer, &batch)).collect::<Vec<Rehearsal>>();
    let (curvatures, rehearsals) = side_by_side(curvatures, rehearsals);
    // What is not a number counts as the largest one.
    let largest = |value: f64| if value.is_nan() { f64::INFINITY } else { value };
    let middle = |values: Vec<f64>| median(values.into_iter().map(largest)).unwrap_or(f64::NAN);
    let of = |part: fn(&Rehearsal) -> f64| middle(rehearsals.iter().map(part).collect());
    let known = |value: f64| value.is_finite().then_some(value);
    Sharpness {
        gauss_newton: middle(curvatures),
        rehearsal_rise: known(of(|rehearsal| rehearsal.rise)),
        rehearsal_first: of(|rehearsal| rehearsal.first),
        rehearsal_last: known(of(|rehearsal| rehearsal.last)),
        seeds,
    }
}

/// What became of the loss of one batch.
struct Rehearsal {
    /// Before the first step.
    first: f64,
    /// Largest rise above the running minimum.
    rise: f64,
    /// After the last step.
    last: f64,
}

/// How much is measured: the cost is that of parameters times samples times seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effort {
    samples: usize,
    seeds: usize,
}

impl Effort {
    /// All of it, unless the network is so large that it would take minutes: then first fewer samples, then fewer seeds.
    fn of(network: &Network) -> Self {
        let times_too_large = network.products() / LARGE;
        // A sample of many positions is many rows of every product.
        let fewest = (FEWEST_SAMPLES / network.input.positions().max(1)).max(FEWEST_SEQUENCES);
        let samples = (SAMPLES as f64 / times_too_large) as usize;
        let seeds = SEEDS as f64 * SAMPLES as f64 / (times_too_large * fewest as f64);
        Self { samples: samples.clamp(fewest, SAMPLES), seeds: (seeds as usize).clamp(1, SEEDS) }
    }
}

/// Both at the same time, each on one thread of its own, so that neither changes the order of the other's sums.
fn side_by_side<A, B: Send>(one: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(1).build() else { return (one(), other()) };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| pool.install(other));
        let one = one();
        (one, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// The recipe with a climb of the learning rate short enough to be rehearsed.
fn rehearsed(recipe: &Recipe) -> Recipe {
    let mut recipe = recipe.clone();
    recipe.schedule.warm_up = recipe.schedule.warm_up.min(LONGEST_CLIMB);
    recipe
}

/// The climb of the learning rate and some steps at its full size.
fn rehearse(trainer: &mut Trainer, batch: &Samples) -> Rehearsal {
    let (mut lowest, mut found) = (f64::INFINITY, Rehearsal { first: f64::NAN, rise: 0.0, last: f64::NAN });
    for step in 0..=trainer.recipe().schedule.warm_up + REHEARSAL {
        let loss = trainer.advance_on(batch, false).0;
        if step == 0 {
            found.first = loss;
        }
        if !loss.is_finite() {
            return Rehearsal { rise: f64::INFINITY, last: f64::INFINITY, ..found };
        }
        lowest = lowest.min(loss);
        found = Rehearsal { rise: found.rise.max(loss - lowest), last: loss, ..found };
    }
    found
}

/// Largest eigenvalue of G = J^T (d2 loss / d output2) J by power iteration, in f64; J v by a central difference of
/// outputs, J^T by the tape. G has no negative eigenvalue. Auxiliary heads add theirs, with the factors on their losses.
fn gauss_newton(model: &Model, batch: &Samples) -> f64 {
    let model = model.cast(DType::F64);
    let inputs = model.inputs(batch);
    let outputs = |model: &Model| {
        let mut pass = model.plain(Mode::Train, None);
        let last = model.forward(&mut pass, inputs.clone());
        pass.every_head(last)
    };
    let origin = flat(&model.parameters);
    let size = norm(&origin).max(1.0);
    let here = outputs(&model);
    let mut direction = start(&model);
    let mut largest = f64::NAN;
    for _ in 0..ITERATIONS {
        let step = STEP * size;
        let ahead = outputs(&moved(&model, &origin, &direction, step));
        let behind = outputs(&moved(&model, &origin, &direction, -step));
        let mut pass = model.tracked(None);
        let last = model.forward(&mut pass, inputs.clone());
        let moved = here.iter().zip(ahead.into_iter().zip(behind));
        let images = moved.map(|((share, here), ((_, ahead), (_, behind)))| {
            curved(&model, here.clone(), (ahead - behind) / (2.0 * step)) * *share
        });
        let heads = pass.every_head(last).into_iter().zip(images);
        let products = heads.map(|((_, tracked), image)| (tracked * image.autodiff()).sum());
        let Some(product) = products.reduce(|sum, product| sum + product) else { return 0.0 };
        let image = flat(&pass.gradients(&product));
        let length = norm(&image);
        if !(length > 0.0 && length.is_finite()) {
            return if length == 0.0 { 0.0 } else { f64::INFINITY };
        }
        largest = length;
        direction = scaled(&image, 1.0 / length);
    }
    largest
}

/// (d2 loss / d output2) u for the mean loss over the batch.
fn curved(model: &Model, outputs: Tensor<2>, u: Tensor<2>) -> Tensor<2> {
    let [batch, columns] = outputs.dims();
    match model.network.loss {
        Loss::CrossEntropy => {
            let p = activation::softmax(outputs, 1);
            let mean = (p.clone() * u.clone()).sum_dim(1);
            p * (u - mean) / batch as f64
        }
        Loss::BinaryCrossEntropy => {
            let p = activation::sigmoid(outputs);
            (p.clone() - p.clone() * p) * u / (batch * columns) as f64
        }
        // No recipe has another loss.
        Loss::MeanSquaredError | Loss::Other => u * (2.0 / (batch * columns) as f64),
    }
}

/// A fixed direction with every parameter in it: alternating signs, unit length.
fn start(model: &Model) -> Direction {
    let signs = |count: usize| (0..count).map(|index| if index * 7 % 5 < 2 { 1.0 } else { -1.0 }).collect();
    let direction: Direction =
        model.parameters.iter().map(|(name, value)| (name.clone(), signs(value.count()))).collect();
    let length = norm(&direction);
    scaled(&direction, 1.0 / length)
}

#[cfg(test)]
mod tests {
    use isogain_core::network::Shape;
    use isogain_core::recipe::{expand, parse};

    use super::*;

    /// Auxiliary heads add their curvature: against the whole matrix, from differences of all outputs.
    #[test]
    fn every_head_counts_with_its_share() {
        let text = "[data]\nloss = \"mean-squared-error\"\n[network]\ndepth = 3\nwidth = 3\nactivation = \"tanh\"\n\
                    init = \"lecun-normal\"\nsupervise_every = 2\nsupervise_share = 0.7\n";
        let crate::experiment::training::Subject { network, data, .. } =
            crate::experiment::training::Subject::new(text).unwrap();
        let batch = data.train.select(&(0..12).collect::<Vec<usize>>());
        let model = Model::new(&network, 0, DType::F64, &batch);
        let outputs = |model: &Model| -> Vec<f64> {
            let mut pass = model.plain(Mode::Train, None);
            let last = model.forward(&mut pass, model.inputs(&batch));
            let each = pass.every_head(last).into_iter();
            each.flat_map(|(share, outputs)| (outputs * share.sqrt()).into_data().iter::<f64>().collect::<Vec<_>>())
                .collect()
        };
        let origin = flat(&model.parameters);
        let mut columns: Vec<Vec<f64>> = Vec::new();
        for (name, values) in &origin {
            for at in 0..values.len() {
                let mut direction: Direction =
                    origin.iter().map(|(name, values)| (name.clone(), vec![0.0; values.len()])).collect();
                direction.get_mut(name).unwrap()[at] = 1.0;
                let ends = [1e-5, -1e-5].map(|step| outputs(&moved(&model, &origin, &direction, step)));
                columns.push(ends[0].iter().zip(&ends[1]).map(|(a, b)| (a - b) / 2e-5).collect());
            }
        }
        // The largest eigenvalue of J^T H J by power iteration, H = 2 / numbers of one head's outputs.
        let numbers = (12 * network.outputs) as f64;
        let mut v = vec![1.0; columns.len()];
        let mut largest = 0.0;
        for _ in 0..200 {
            let mut image = vec![0.0; columns[0].len()];
            for (column, v) in columns.iter().zip(&v) {
                image.iter_mut().zip(column).for_each(|(sum, j)| *sum += j * v);
            }
            let back = |column: &Vec<f64>| column.iter().zip(&image).map(|(j, y)| j * y).sum::<f64>() * 2.0 / numbers;
            let next: Vec<f64> = columns.iter().map(back).collect();
            largest = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            v = next.iter().map(|x| x / largest).collect();
        }
        let found = gauss_newton(&model, &batch);
        assert!((found / largest - 1.0).abs() < 0.02, "{found} {largest}");
    }

    #[test]
    fn the_effort_does_not_grow_with_a_large_network() {
        let effort = |depth: usize| {
            let recipe = parse(&format!("[network]\ndepth = {depth}\n"), "test").unwrap();
            Effort::of(&expand::network(&recipe, Shape::vector(64), 10).unwrap())
        };
        assert_eq!(effort(30), Effort { samples: SAMPLES, seeds: SEEDS });
        assert_eq!(effort(240), Effort { samples: SAMPLES, seeds: SEEDS });
        assert_eq!(effort(10_000), Effort { samples: FEWEST_SAMPLES, seeds: 1 });
        let work = |depth: usize| (depth * effort(depth).samples * effort(depth).seeds) as f64;
        for depth in [500, 1000, 2000, 4000] {
            assert!(work(depth) <= 1.05 * work(240), "{depth}: {:?}", effort(depth));
        }
    }
}
