//! The kernel of single samples' gradients ([`isogain_core::remedies::tangent_kernel`]).

use burn::tensor::Tensor;
use isogain_core::network::{Loss, Network, Op, OpKind};
use isogain_core::recipe::{OptimizerName, Recipe};
use isogain_core::remedies::tangent_kernel::{Descent, Outputs, SAMPLES, TangentKernel};

use crate::data::{Dataset, Samples};
use crate::model::{Mode, Model, Value, matrix, numbers, to_f64};
use crate::snapshot::Gradients;
use crate::train::Trainer;

/// Most numbers of all samples' gradients together: a quarter of a gigabyte in f32.
const MOST: usize = 1 << 26;

/// The kernel of a fresh network on the first samples of the training part. `None` where a batch norm makes the output of a
/// sample depend on the others, and where the gradients would take too much memory.
pub(crate) fn tangent_kernel(recipe: &Recipe, network: &Network, data: &Dataset) -> Option<TangentKernel> {
    if mixes_samples(network) {
        return None;
    }
    let trainer = Trainer::new(recipe, network, data, recipe.run.seed);
    let model = trainer.model.cast(trainer.model.dtype);
    let samples = data.train.len().min(SAMPLES);
    if samples * model.parameters.values().map(Value::count).sum::<usize>() > MOST {
        return None;
    }
    let each: Vec<Samples> = (0..samples).map(|row| data.train.select(&[row])).collect();
    let gram = gram(&each.iter().map(|sample| gradients(&model, sample)).collect::<Vec<Gradients>>());
    let all = data.train.select(&(0..samples).collect::<Vec<usize>>());
    let outputs = to_f64(model.forward(&mut model.plain(Mode::Train, None), model.inputs(&all)).into_data());
    let count = outputs.len() / samples;
    let is_alone = network.auxiliary_heads().next().is_none();
    let is_descent = is_alone && recipe.optimizer.name == OptimizerName::Sgd && network.loss == Loss::MeanSquaredError;
    let errors: Vec<f64> = if is_descent {
        outputs.iter().zip(numbers(&all.targets, network.outputs)).map(|(output, target)| output - target).collect()
    } else {
        Vec::new()
    };
    let (learning_rate, steps) = (recipe.optimizer.learning_rate, recipe.run.steps);
    let descent = is_descent.then_some(Descent { errors: &errors, learning_rate, steps });
    TangentKernel::new(&gram, Outputs { loss: network.loss, count }, descent)
}

fn mixes_samples(network: &Network) -> bool {
    let is_batch_norm = |op: &&Op| matches!(&op.kind, OpKind::Norm(norm) if norm.norm.is_over_batch());
    network.walk().iter().any(is_batch_norm)
}

/// Gradient of the number that stands for a sample's outputs.
fn gradients(model: &Model, sample: &Samples) -> Gradients {
    let mut pass = model.tracked(None);
    let outputs = model.forward(&mut pass, model.inputs(sample));
    let [rows, columns] = outputs.dims();
    let count = rows * columns;
    let size = 1.0 / (count as f64).sqrt();
    let signs: Vec<f64> = (0..count).map(|index| if index % 2 == 0 { size } else { -size }).collect();
    let signs = matrix(&signs, rows, columns, model.dtype, &model.device);
    pass.gradients(&(outputs * signs.autodiff()).sum())
}

/// Products of every two samples' gradients, over all parameters.
fn gram(gradients: &[Gradients]) -> Vec<Vec<f64>> {
    let samples = gradients.len();
    let mut sum = vec![vec![0.0; samples]; samples];
    let Some(first) = gradients.first() else { return sum };
    for name in first.keys() {
        let rows: Vec<Tensor<2>> = gradients.iter().map(|gradients| row(&gradients[name.as_str()])).collect();
        let rows = Tensor::cat(rows, 0);
        let products = to_f64(rows.clone().matmul(rows.transpose()).into_data());
        for (sum, products) in sum.iter_mut().zip(products.chunks_exact(samples)) {
            sum.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
        }
    }
    sum
}

/// All values side by side, `[1, values]`.
fn row(value: &Value) -> Tensor<2> {
    match value {
        Value::Matrix(tensor) => {
            let [rows, columns] = tensor.dims();
            tensor.clone().reshape([1, rows * columns])
        }
        Value::Vector(tensor) => tensor.clone().unsqueeze(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direction::{flat, moved};
    use crate::experiment::training::Subject;

    fn of(text: &str) -> Option<TangentKernel> {
        let Subject { recipe, network, data } = Subject::new(text).unwrap();
        tangent_kernel(&recipe, &network, &data)
    }

    /// K_ij is the derivative of f_i along the gradient of f_j.
    #[test]
    fn each_entry_is_a_derivative() {
        let Subject { recipe, network, data } =
            Subject::new("[network]\ndepth = 3\nactivation = \"tanh\"\n[run]\nprecision = \"f64\"\n").unwrap();
        let model = Trainer::new(&recipe, &network, &data, 0).model;
        let samples: Vec<Samples> = (0..3).map(|row| data.train.select(&[row])).collect();
        let all: Vec<Gradients> = samples.iter().map(|sample| gradients(&model, sample)).collect();
        let gram = gram(&all);
        let origin = flat(&model.parameters);
        let number = |model: &Model, sample: &Samples| {
            let outputs = to_f64(model.forward(&mut model.plain(Mode::Train, None), model.inputs(sample)).into_data());
            let signed = outputs.iter().enumerate().map(|(index, o)| if index % 2 == 0 { *o } else { -o });
            signed.sum::<f64>() / (outputs.len() as f64).sqrt()
        };
        for (i, sample) in samples.iter().enumerate() {
            for (j, direction) in all.iter().enumerate() {
                let at = |step: f64| number(&moved(&model, &origin, &flat(direction), step), sample);
                let derivative = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((gram[i][j] - derivative).abs() < 1e-7 * gram[i][i], "{i} {j}: {} {derivative}", gram[i][j]);
            }
        }
    }

    /// Behind thirty sigmoids all samples look alike, and so do their gradients.
    #[test]
    fn the_rank_falls_to_one_where_the_signal_is_lost() {
        let rank = |text: &str| of(text).unwrap().effective_rank.unwrap();
        let lost = rank("[network]\ndepth = 30\nactivation = \"sigmoid\"\ninit = \"glorot-normal\"\n");
        let healthy = rank("[network]\ndepth = 3\ninit = \"he-normal\"\n");
        assert!(lost < 1.0001 && healthy > 2.0, "{lost} {healthy}");
    }

    /// The gradient of a penalty is no derivative of the outputs.
    #[test]
    fn a_penalty_counts_in_training_alone() {
        let text = |penalty: &str| {
            format!(
                "[data]\nsource = \"temporal-order\"\nlength = 12\nsamples = 100\n[network]\nkind = \"rnn\"\nwidth = 8\n{penalty}"
            )
        };
        let with = "vanishing_penalty = 2.0\n";
        assert!(of(&text("")).is_some());
        assert_eq!(of(&text("")), of(&text(with)));
        let moved = |penalty: &str| {
            let Subject { recipe, network, data } = Subject::new(&text(penalty)).unwrap();
            let mut trainer = Trainer::new(&recipe, &network, &data, 0);
            trainer.advance(&data, false);
            trainer.model.parameters["rnn1.hidden_weight"].to_f64()
        };
        assert_ne!(moved(""), moved(with));
    }

    #[test]
    fn with_batch_norm_no_sample_has_a_gradient_of_its_own() {
        assert_eq!(of("[network]\ndepth = 3\nnorm = \"batch\"\n"), None);
    }
}
