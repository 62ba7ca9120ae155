//! Whatever a recipe can say is written and read back unchanged.

#![cfg(test)]

use isogain_core::network::NormKind;
use isogain_core::recipe::{
    BranchScale, Clip, ClipKind, Data, LayerRecipe, Level, LossName, LossScale, NamedScale, NetworkKind, NetworkRecipe,
    Optimizer, OptimizerName, OutputActivation, Precision, Recipe, Run, Schedule, ScheduleKind, Task, parse, to_toml,
    validate, validate::MAX_SEED,
};
use isogain_core::theory::{Activation, Initializer};
use proptest::prelude::*;
use proptest::{collection, option, sample};

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), Just(0.05), Just(f64::MIN_POSITIVE), Just(f64::MAX), 1e-12..1e6]
}

fn activation() -> impl Strategy<Value = Activation> {
    (sample::select(Activation::all().collect::<Vec<_>>()), positive()).prop_map(|(activation, value)| {
        // The default stays where there is no parameter, or where it must not have this value.
        let key = activation.parameter().map_or("none", |(key, _)| key);
        activation.with_parameter(key, value).unwrap_or(activation)
    })
}

fn initializer() -> impl Strategy<Value = Initializer> {
    (sample::select(Initializer::all().collect::<Vec<_>>()), [positive(), positive()]).prop_map(|(init, values)| {
        init.parameters()
            .zip(values)
            .fold(init, |init, ((key, _), value)| init.with_parameter(key, value).unwrap_or(init))
    })
}

fn norm() -> impl Strategy<Value = NormKind> {
    sample::select(vec![NormKind::Batch, NormKind::Layer, NormKind::Rms])
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(-2.5), -1e9..1e9]
}

fn branch_scale() -> impl Strategy<Value = BranchScale> {
    prop_oneof![finite().prop_map(BranchScale::Number), Just(BranchScale::Named(NamedScale::Depth))]
}

/// Layers that keep a width of 8, which any list of them does.
fn layers() -> impl Strategy<Value = Vec<LayerRecipe>> {
    let leaf = prop_oneof![
        option::of(initializer()).prop_map(|init| LayerRecipe { linear: Some(8), init, ..LayerRecipe::default() }),
        activation().prop_map(|phi| LayerRecipe { activation: Some(phi), ..LayerRecipe::default() }),
        norm().prop_map(|norm| LayerRecipe { norm: Some(norm), ..LayerRecipe::default() }),
    ];
    let layer = leaf.prop_recursive(4, 24, 4, |inner| {
        (collection::vec(inner, 1..4), option::of(finite()), any::<bool>()).prop_map(|(branch, scale, learnable)| {
            LayerRecipe { residual: Some(branch), scale, learnable, ..LayerRecipe::default() }
        })
    });
    (collection::vec(layer, 0..6), activation()).prop_map(|(mut layers, phi)| {
        layers.push(LayerRecipe { linear: Some(8), ..LayerRecipe::default() });
        layers.push(LayerRecipe { activation: Some(phi), ..LayerRecipe::default() });
        layers
    })
}

fn output() -> impl Strategy<Value = OutputActivation> {
    prop_oneof![Just(OutputActivation::SOFTMAX), activation().prop_map(OutputActivation::from)]
}

fn loss() -> impl Strategy<Value = LossName> {
    sample::select(vec![LossName::CrossEntropy, LossName::MeanSquaredError, LossName::BinaryCrossEntropy])
}

fn network() -> impl Strategy<Value = NetworkRecipe> {
    let common = (activation(), initializer(), option::of(initializer()), option::of(norm()), 0.0..1.0);
    let shape = (2..50_usize, 1..500_usize, branch_scale(), any::<bool>(), option::of(output()));
    let kind = sample::select(vec![NetworkKind::Mlp, NetworkKind::Residual, NetworkKind::Layers]);
    (kind, common, shape, layers()).prop_map(|(kind, common, shape, layers)| {
        let default = NetworkRecipe::default();
        let (activation, init, head_init, norm, norm_eps) = common;
        let (depth, width, branch_scale, learnable_scale, output_activation) = shape;
        let shaped = NetworkRecipe { kind, init, head_init, norm_eps, ..default.clone() };
        match kind {
            NetworkKind::Layers => NetworkRecipe { layers, ..shaped },
            NetworkKind::Mlp => NetworkRecipe { depth, width, activation, norm, output_activation, ..shaped },
            NetworkKind::Residual => NetworkRecipe {
                depth,
                width,
                activation,
                norm,
                output_activation,
                branch_scale,
                learnable_scale,
                ..shaped
            },
        }
    })
}

fn data() -> impl Strategy<Value = Data> {
    let texts = ("[a-zäß \"'\\\\\n]{0,12}", "[a-z \"#=.]{0,8}");
    let numbers = (2..100_000_usize, 0.001..0.999, positive());
    (texts, numbers, any::<(bool, bool, bool, bool)>(), option::of(loss())).prop_map(|(texts, numbers, flags, loss)| {
        let default = Data::default();
        let (batch, test_fraction, input_scale) = numbers;
        let (is_file, is_regression, standardize, target_scaled) = flags;
        let loss = if is_regression { loss.map(|_| LossName::MeanSquaredError) } else { loss };
        let shared = Data { loss, batch, test_fraction, input_scale, standardize, ..default.clone() };
        let file = if is_file { (format!("data/{}", texts.0), texts.1) } else { (default.source, default.target) };
        let task = if is_regression { (Task::Regression, target_scaled) } else { (Task::Classification, true) };
        Data { source: file.0, target: file.1, task: task.0, standardize_target: task.1, ..shared }
    })
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    let name = sample::select(OptimizerName::ALL.to_vec());
    let decays = (0.0..1.0, [0.0..1.0, 0.0..1.0], 0.0..1.0);
    (name, positive(), decays, 0.0..1e-3, 0.0..0.1).prop_map(|(name, learning_rate, decays, eps, weight_decay)| {
        let (momentum, betas, alpha) = decays;
        let default = Optimizer { learning_rate, weight_decay, ..Optimizer::named(name) };
        match name {
            OptimizerName::Sgd => default,
            OptimizerName::Momentum | OptimizerName::Nesterov => Optimizer { momentum, ..default },
            OptimizerName::Adam | OptimizerName::AdamW => Optimizer { betas, eps, ..default },
            OptimizerName::RmsProp => Optimizer { alpha, eps, momentum, ..default },
            OptimizerName::AdaGrad => Optimizer { eps, ..default },
        }
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let kinds = [ScheduleKind::Constant, ScheduleKind::WarmUp, ScheduleKind::Cosine, ScheduleKind::Step];
    (sample::select(kinds.to_vec()), 1..5000_usize, 0.0..1.0, 1..5000_usize, positive()).prop_map(
        |(kind, warm_up, final_fraction, every, factor)| {
            let default = Schedule::of(kind);
            match kind {
                ScheduleKind::Constant => default,
                ScheduleKind::WarmUp => Schedule { warm_up, ..default },
                ScheduleKind::Cosine => Schedule { warm_up, final_fraction, ..default },
                ScheduleKind::Step => Schedule { warm_up, every, factor, ..default },
            }
        },
    )
}

fn run() -> impl Strategy<Value = Run> {
    let precision = sample::select(vec![Precision::F32, Precision::F64, Precision::Bf16, Precision::Fp16]);
    let scale = prop_oneof![Just(LossScale::DYNAMIC), positive().prop_map(LossScale::Number)];
    (1..1_000_000_000_usize, 0..=MAX_SEED, precision, option::of(scale))
        .prop_map(|(steps, seed, precision, loss_scale)| Run { steps, seed, precision, loss_scale })
}

fn clip() -> impl Strategy<Value = Clip> {
    let kind = sample::select(vec![ClipKind::Value, ClipKind::Norm, ClipKind::GlobalNorm]);
    let clips = (kind, positive()).prop_map(|(kind, threshold)| Clip { kind, threshold });
    prop_oneof![Just(Clip::default()), clips]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let level = sample::select(vec![Level::Allow, Level::Note, Level::Warn, Level::Deny]);
    let rules = collection::btree_map("[a-z][a-z-]{0,12}|[a-z \"\\\\.é\u{1}]{0,6}", level, 0..4);
    (data(), network(), (optimizer(), schedule()), clip(), run(), rules).prop_map(
        |(data, network, (optimizer, schedule), clip, run, rules)| Recipe {
            data,
            network,
            optimizer,
            schedule,
            clip,
            run,
            rules,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(recipe in recipe()) {
        prop_assert_eq!(validate(&recipe), Ok(()));
        let text = to_toml(&recipe);
        prop_assert_eq!(parse(&text, "net.toml"), Ok(recipe), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "(\\[network\\]\n)?([a-z_]{1,8} ?= ?[-a-z0-9\"{}\\[\\], =.]{0,12}\n|\\PC{0,20}){0,6}") {
        if let Err(error) = parse(&text, "net.toml") {
            prop_assert!(error.to_string().starts_with("net.toml:"), "{}", error);
        }
    }
}

#[test]
fn a_written_recipe_is_what_a_person_would_write() {
    let mut recipe = Recipe::default();
    recipe.network.init = Initializer::named("he-normal").unwrap();
    recipe.network.activation = Activation::named("leaky-relu").unwrap().with_parameter("slope", 0.2).unwrap();
    recipe.run.steps = 200;
    recipe.rules.insert("dead-units".into(), Level::Allow);
    let expected = r#"[network]
kind = "mlp"
depth = 30
width = 64
activation = { name = "leaky-relu", slope = 0.2 }
init = "he-normal"

[optimizer]
name = "sgd"
learning_rate = 0.05

[run]
steps = 200

[rules]
dead-units = "allow"
"#;
    assert_eq!(to_toml(&recipe), expected);
}

#[test]
fn a_written_list_is_indented_by_branch() {
    let text = r#"[network]
kind = "layers"
init = "he-normal"
layers = [
  { linear = 8, init = "zeros" },
  { residual = [
    { activation = "relu" },
    { linear = 8 },
  ], scale = 0.5, learnable = true },
  { linear = 10 },
]

[optimizer]
name = "sgd"
learning_rate = 0.05
"#;
    assert_eq!(to_toml(&parse(text, "net.toml").unwrap()), text);
}
