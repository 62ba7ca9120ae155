//! Whatever a recipe can say is written and read back unchanged.

#![cfg(test)]

use isogain_core::network::{Cell, ForgetBias, NamedBias, NormKind, Oscillator};
use isogain_core::recipe::{
    AdjustLr, Block, BranchScale, Clip, ClipKind, Data, Device, Format, Head, LayerRecipe, Level, LossName, LossScale,
    NamedPadding, NamedScale, NetworkKind, NetworkRecipe, NormPlacement, Optimizer, OptimizerName, OutputActivation,
    Padding, Pooling, Positions, Precision, Recipe, Run, Schedule, ScheduleKind, Task, parse, to_toml, validate,
    validate::MAX_SEED,
};
use isogain_core::theory::{Activation, Initializer};
use isogain_core::weight_norm::WeightNorm;
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
    sample::select(vec![NormKind::Batch, NormKind::BatchRenorm, NormKind::Layer, NormKind::Rms, NormKind::Group])
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(-2.5), -1e9..1e9]
}

fn branch_scale() -> impl Strategy<Value = BranchScale> {
    prop_oneof![finite().prop_map(BranchScale::Number), Just(BranchScale::Named(NamedScale::Depth))]
}

fn output() -> impl Strategy<Value = OutputActivation> {
    prop_oneof![Just(OutputActivation::SOFTMAX), activation().prop_map(OutputActivation::from)]
}

fn loss() -> impl Strategy<Value = LossName> {
    sample::select(vec![LossName::CrossEntropy, LossName::MeanSquaredError, LossName::BinaryCrossEntropy])
}

fn cell() -> impl Strategy<Value = Cell> {
    sample::select(vec![Cell::Rnn, Cell::Lstm, Cell::Gru])
}

fn forget_bias() -> impl Strategy<Value = Option<ForgetBias>> {
    option::of(prop_oneof![finite().prop_map(ForgetBias::Number), Just(ForgetBias::Named(NamedBias::Chrono))])
}

/// Initialisers that need no data and have a gain.
fn scalable() -> impl Strategy<Value = Initializer> {
    initializer().prop_filter("has no gain", |init| init.scaled(1.0).is_some() && !init.is_data_dependent())
}

fn padding() -> impl Strategy<Value = Option<Padding>> {
    option::of(prop_oneof![(0..3_usize).prop_map(Padding::Number), Just(Padding::Named(NamedPadding::Same))])
}

fn layer_of(set: impl FnOnce(&mut LayerRecipe)) -> LayerRecipe {
    let mut layer = LayerRecipe::default();
    set(&mut layer);
    layer
}

/// A recurrent layer that keeps a width of 8.
fn recurrent() -> impl Strategy<Value = LayerRecipe> {
    (cell(), option::of(scalable()), forget_bias(), option::of(activation())).prop_map(|(cell, init, bias, phi)| {
        layer_of(|layer| {
            (layer.recurrent, layer.units, layer.init) = (Some(cell), Some(8), init);
            layer.hidden_init = init;
            layer.forget_bias = bias.filter(|_| cell != Cell::Rnn);
            layer.activation = phi.filter(|_| cell == Cell::Rnn);
        })
    })
}

/// Layers that keep a width of 8, which any list of them does.
fn layers() -> impl Strategy<Value = Vec<LayerRecipe>> {
    let pooling = sample::select(vec![Pooling::Max, Pooling::Average, Pooling::Mean, Pooling::Last]);
    let leaf = prop_oneof![
        option::of(initializer()).prop_map(|init| LayerRecipe { linear: Some(8), init, ..LayerRecipe::default() }),
        activation().prop_map(|phi| LayerRecipe { activation: Some(phi), ..LayerRecipe::default() }),
        norm().prop_map(|norm| LayerRecipe { norm: Some(norm), ..LayerRecipe::default() }),
        (option::of(Just(5_usize)), option::of(1..3_usize), padding()).prop_map(|(kernel, stride, padding)| layer_of(
            |layer| (layer.convolution, layer.kernel, layer.stride, layer.padding) = (Some(8), kernel, stride, padding)
        )),
        (pooling, option::of(1..4_usize)).prop_map(|(pool, size)| layer_of(|layer| {
            layer.pool = Some(pool);
            layer.size = size.filter(|_| matches!(pool, Pooling::Max | Pooling::Average));
            layer.stride = layer.size;
        })),
        recurrent(),
        attention(),
        (0.0..1.0).prop_map(|fraction| LayerRecipe { dropout: Some(fraction), ..LayerRecipe::default() }),
    ];
    let layer = leaf.prop_recursive(4, 24, 4, |inner| {
        let list = || collection::vec(inner.clone(), 1..4);
        let gate_bias = option::weighted(0.2, -50.0..=50.0);
        (list(), option::of(list()), option::of(finite()), any::<bool>(), any::<bool>(), gate_bias).prop_map(
            |(branch, shortcut, scale, learnable, per_channel, gate_bias)| {
                let adds = gate_bias.is_none();
                LayerRecipe {
                    residual: Some(branch),
                    shortcut: shortcut.filter(|_| adds),
                    scale: scale.filter(|_| adds),
                    learnable: learnable && adds,
                    per_channel: learnable && per_channel && adds,
                    gate_bias,
                    ..LayerRecipe::default()
                }
            },
        )
    });
    let embedding = (any::<bool>(), option::of(initializer())).prop_map(|(is_learned, init)| {
        layer_of(|layer| {
            (layer.embedding, layer.init) = (Some(8), init);
            layer.positions = is_learned.then_some(Positions::Learned);
        })
    });
    let end = (any::<bool>(), activation());
    (option::of(embedding), collection::vec(layer, 0..6), end).prop_map(|(embedding, mut layers, (flattens, phi))| {
        layers.splice(0..0, embedding);
        if flattens {
            layers.push(LayerRecipe { flatten: true, ..LayerRecipe::default() });
        }
        layers.push(LayerRecipe { linear: Some(8), ..LayerRecipe::default() });
        layers.push(LayerRecipe { activation: Some(phi), ..LayerRecipe::default() });
        layers
    })
}

fn weight_norm() -> impl Strategy<Value = WeightNorm> {
    sample::select(vec![
        WeightNorm::Standardised,
        WeightNorm::Norm,
        WeightNorm::Normalised,
        WeightNorm::Spectral,
        WeightNorm::Orthogonal,
    ])
}

fn attention() -> impl Strategy<Value = LayerRecipe> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (sample::select(vec![1_usize, 2, 4]), flags).prop_map(|(heads, (causal, is_rotary, qk_norm))| {
        layer_of(|layer| {
            (layer.attention, layer.causal, layer.qk_norm) = (Some(heads), causal, qk_norm);
            layer.positions = is_rotary.then_some(Positions::Rotary);
        })
    })
}

/// What all shapes have, and the numbers that most have.
/// Boxed: strategies of strategies of so many keys by value would not fit on a test's stack.
fn shaped(kind: NetworkKind) -> BoxedStrategy<NetworkRecipe> {
    let common = (activation(), initializer(), option::of(initializer()), option::of(norm()), 0.0..1.0);
    let factor = (branch_scale(), any::<bool>(), any::<bool>(), option::of(weight_norm()), 0.0..1.0);
    let shape = (2..50_usize, 1..50_usize, factor, option::of(output()));
    (common, shape, 0.0..1.0, 1..9_usize)
        .prop_map(move |(common, shape, dropout, norm_groups)| {
            let (activation, init, head_init, norm, norm_eps) = common;
            let (depth, width, (branch_scale, learnable_scale, per_channel, weight_norm, drop), output_activation) =
                shape;
            let width = width * norm_groups;
            let norm_ramp = if norm == Some(NormKind::BatchRenorm) { 10 * norm_groups } else { 100 };
            let norm_groups = if norm == Some(NormKind::Group) { norm_groups } else { 8 };
            let default = NetworkRecipe::of(kind);
            let has_branches = matches!(kind, NetworkKind::Residual | NetworkKind::Resnet | NetworkKind::Transformer);
            let (branch_scale, learnable_scale) =
                if has_branches { (branch_scale, learnable_scale) } else { (default.branch_scale, false) };
            let may_be_fixed_up = kind == NetworkKind::Residual && norm.is_none() && !init.is_data_dependent();
            let has_factor = learnable_scale && branch_scale != BranchScale::Number(0.0);
            let is_supervised = matches!(kind, NetworkKind::Mlp | NetworkKind::Convnet) && drop < 0.5;
            NetworkRecipe {
                supervise_every: is_supervised.then(|| 1 + (2.0 * drop * (depth - 1) as f64) as usize),
                supervise_share: if is_supervised { 0.75 + drop } else { default.supervise_share },
                fixup: may_be_fixed_up && weight_norm.is_none() && has_factor,
                depth,
                width,
                activation,
                init,
                head_init,
                norm,
                norm_groups,
                norm_ramp,
                ghost_batch: (norm == Some(NormKind::Batch)).then_some(2),
                norm_eps,
                weight_norm,
                stochastic_depth: if has_branches { drop } else { 0.0 },
                stochastic_depth_uniform: has_branches && drop > 0.0 && per_channel,
                branch_scale,
                learnable_scale,
                scale_per_channel: learnable_scale && per_channel,
                output_activation,
                dropout,
                ..default
            }
        })
        .boxed()
}

/// Residual networks that do not add.
fn joined() -> BoxedStrategy<NetworkRecipe> {
    let plain = NetworkRecipe::of(NetworkKind::Residual);
    let joined = move |(net, bias, growth): (NetworkRecipe, f64, Option<usize>)| NetworkRecipe {
        gate_bias: growth.is_none().then_some(bias),
        growth: growth.map(|blocks| if net.norm == Some(NormKind::Group) { blocks * net.norm_groups } else { blocks }),
        branch_scale: plain.branch_scale,
        learnable_scale: false,
        scale_per_channel: false,
        fixup: false,
        ..net
    };
    let net = shaped(NetworkKind::Residual).prop_filter("pairs units", |net| {
        !net.init.pairs_units() && !net.head_init.is_some_and(Initializer::pairs_units)
    });
    (net, -5.0..5.0, option::of(1..20_usize)).prop_map(joined).boxed()
}

fn convnet() -> impl Strategy<Value = NetworkRecipe> {
    let pool = sample::select(vec![Pooling::Max, Pooling::Average]);
    let head = option::of(sample::select(vec![Head::Mean, Head::Flatten]));
    (shaped(NetworkKind::Convnet), 1..5_usize, 1..4_usize, pool, head).prop_map(|(net, stages, half, pool, head)| {
        let pool = if stages == 1 { Pooling::Max } else { pool };
        NetworkRecipe { depth: stages * net.depth, stages, kernel: 2 * half - 1, pool, head, ..net }
    })
}

fn resnet() -> impl Strategy<Value = NetworkRecipe> {
    let block = sample::select(vec![Block::Basic, Block::PreActivation]);
    (shaped(NetworkKind::Resnet), any::<bool>(), block).prop_map(|(net, skip, block)| {
        let depth = 6 * net.depth + 2;
        if skip {
            return NetworkRecipe { depth, block, ..net };
        }
        let branch_scale = BranchScale::Number(1.0);
        NetworkRecipe {
            depth,
            skip,
            branch_scale,
            learnable_scale: false,
            scale_per_channel: false,
            stochastic_depth: 0.0,
            stochastic_depth_uniform: false,
            ..net
        }
    })
}

fn recurrent_network() -> impl Strategy<Value = NetworkRecipe> {
    let kind = sample::select(vec![NetworkKind::Rnn, NetworkKind::Lstm, NetworkKind::Gru]);
    let head = option::of(sample::select(vec![Head::Last, Head::Mean, Head::Every]));
    let oscillator = (0.01..1.0_f64, 0.0..2.0_f64, 0.0..1.0_f64).prop_map(|(step, stiffness, damping)| Oscillator {
        step,
        stiffness,
        damping,
    });
    let plain = (option::of(0.1..8.0_f64), option::of(0.01..1.0_f64), any::<bool>(), option::of(oscillator));
    (kind, shaped(NetworkKind::Rnn), scalable(), option::of(scalable()), forget_bias(), plain, head).prop_map(
        |(kind, net, init, hidden_init, forget_bias, (penalty, step, diagonal, oscillator), head)| {
            let default = NetworkRecipe::of(kind);
            let is_plain = kind == NetworkKind::Rnn;
            let diagonal = diagonal && is_plain;
            let hidden_init = hidden_init.filter(|_| !diagonal);
            let oscillator = oscillator.filter(|_| is_plain && !diagonal);
            let antisymmetric_step = step.filter(|_| is_plain && !diagonal && oscillator.is_none());
            let is_free = antisymmetric_step.is_none() && !diagonal && oscillator.is_none();
            let weight_norm = net.weight_norm.filter(|_| is_free);
            let weight_norm = weight_norm.map(|_| WeightNorm::Orthogonal);
            let may_be_penalised = is_plain && is_free && weight_norm.is_none();
            NetworkRecipe {
                kind,
                init,
                hidden_init,
                head,
                forget_bias: forget_bias.filter(|_| !is_plain),
                vanishing_penalty: penalty.filter(|_| may_be_penalised),
                antisymmetric_step,
                diagonal,
                oscillator,
                activation: if is_plain { net.activation } else { default.activation },
                norm: None,
                weight_norm,
                norm_groups: default.norm_groups,
                norm_ramp: default.norm_ramp,
                ghost_batch: None,
                norm_eps: default.norm_eps,
                ..net
            }
        },
    )
}

fn transformer() -> impl Strategy<Value = NetworkRecipe> {
    use NormPlacement::{Deepnorm, Post, Pre, Sandwich, Sub};
    let placement = sample::select(vec![Pre, Sandwich, Sub, Post, Deepnorm]);
    let positions = option::of(sample::select(vec![Positions::Learned, Positions::Rotary, Positions::None]));
    let head = option::of(sample::select(vec![Head::Every, Head::Mean, Head::Last]));
    let flags = (option::of(any::<bool>()), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let shape = (1..5_usize, 1..8_usize);
    (shaped(NetworkKind::Transformer), scalable(), placement, positions, head, flags, shape).prop_map(
        |(
            net,
            init,
            norm_placement,
            positions,
            head,
            (causal, tied, scales, is_rms, qk_norm, may_be_fixed_up),
            (heads, mlp_ratio),
        )| {
            let default = NetworkRecipe::of(NetworkKind::Transformer);
            let is_deep = norm_placement == Deepnorm;
            let weight_norm = net.weight_norm.filter(|_| !is_deep).map(|_| WeightNorm::Spectral);
            let fixup = may_be_fixed_up && norm_placement == Pre && weight_norm.is_none();
            let may_be_scaled = matches!(norm_placement, Pre | Sub | Post) && !fixup && weight_norm.is_none();
            NetworkRecipe {
                init,
                width: 2 * heads * net.width,
                heads,
                qk_norm,
                mlp_ratio,
                fixup,
                norm: (!fixup).then_some(if is_rms { NormKind::Rms } else { NormKind::Layer }),
                norm_groups: default.norm_groups,
                norm_ramp: default.norm_ramp,
                ghost_batch: None,
                norm_placement,
                weight_norm,
                positions,
                head,
                causal,
                tied,
                head_init: net.head_init.filter(|_| !tied),
                residual_init: (scales && may_be_scaled).then_some(NamedScale::Depth),
                branch_scale: if is_deep { default.branch_scale } else { net.branch_scale },
                learnable_scale: net.learnable_scale && !is_deep,
                scale_per_channel: net.scale_per_channel && !is_deep,
                ..net
            }
        },
    )
}

fn listed() -> impl Strategy<Value = NetworkRecipe> {
    // Recurrent layers cannot have an initialiser that needs data, and may take the network's.
    // Nor may gates have one that pairs units.
    let init = scalable().prop_filter("pairs units", |init| !init.pairs_units());
    (layers(), init, option::of(initializer()), 0.0..1.0).prop_map(|(layers, init, head_init, norm_eps)| {
        let default = NetworkRecipe::of(NetworkKind::Layers);
        NetworkRecipe { layers, init, head_init, norm_eps, weight_norm: Some(WeightNorm::Norm), ..default }
    })
}

fn network() -> impl Strategy<Value = NetworkRecipe> {
    prop_oneof![
        shaped(NetworkKind::Mlp),
        shaped(NetworkKind::Residual),
        joined(),
        convnet().boxed(),
        resnet().boxed(),
        recurrent_network().boxed(),
        transformer().boxed(),
        listed().boxed(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    "[a-zäß \"'\\\\\n]{0,12}"
}

fn file() -> impl Strategy<Value = Data> {
    let formats = [
        Format::Csv,
        Format::Idx,
        Format::Cifar10,
        Format::Cifar100,
        Format::Images,
        Format::Parquet,
        Format::Npy,
        Format::Npz,
        Format::Ts,
        Format::Text,
        Format::Safetensors,
    ];
    let format = option::of(sample::select(formats.to_vec()));
    let target = collection::btree_set("[a-z \"#=.]{0,8}", 0..4);
    let task = prop_oneof![
        Just((Task::Classification, true)),
        Just((Task::Regression, true)),
        Just((Task::Regression, false))
    ];
    (format, [text(), text(), text(), text()], target, task, 0..9_usize, any::<bool>(), any::<bool>()).prop_map(
        |(format, texts, target, task, length, standardize, has_test)| {
            let [source, labels, test_source, test_labels] = texts;
            let target: Vec<String> = target.into_iter().collect();
            let kept = if task.0 == Task::Regression { target.len() } else { target.len().min(1) };
            let (test_source, test_labels) =
                if has_test { (format!("t{test_source}"), test_labels) } else { Default::default() };
            let length = if matches!(format, None | Some(Format::Text)) { length } else { 0 };
            Data {
                source: format!("data/{source}"),
                format,
                labels,
                target: target[..kept].to_vec(),
                test_source,
                test_labels,
                task: task.0,
                standardize_target: task.1,
                length,
                standardize,
                ..Data::default()
            }
        },
    )
}

fn generated() -> impl Strategy<Value = Data> {
    let source = sample::select(Data::BUILT_IN[1..].to_vec());
    (source, any::<bool>(), 0..9_usize, 0..9_usize, 2..9_usize).prop_map(
        |(source, numbers, length, features, classes)| {
            let task = if numbers { Task::Regression } else { Task::Classification };
            let data = Data { source: source.into(), task, ..Data::default() };
            match source {
                "spirals" => Data { classes, ..data },
                "gaussian" => Data { features, classes: if numbers { 0 } else { classes }, ..data },
                _ => Data { length, ..data },
            }
        },
    )
}

fn data() -> impl Strategy<Value = Data> {
    let numbers = (2..100_000_usize, 0.001..0.999, positive(), 2..1_000_000_usize);
    let source = prop_oneof![Just(Data::default()), file(), generated()];
    (source, numbers, option::of(loss())).prop_map(|(data, (batch, test_fraction, input_scale, samples), loss)| {
        let test_fraction = if data.test_source.is_empty() { test_fraction } else { data.test_fraction };
        let loss = if data.task == Task::Regression { loss.map(|_| LossName::MeanSquaredError) } else { loss };
        Data { loss, batch, test_fraction, input_scale, samples, ..data }
    })
}

fn optimizer() -> impl Strategy<Value = Optimizer> {
    let name = sample::select(OptimizerName::ALL.to_vec());
    let decays = (0.0..1.0, [0.0..1.0, 0.0..1.0], 0.0..1.0);
    let spikes = (any::<bool>(), option::of(positive()), option::of(1..100_000_usize), option::of(1..4096_usize));
    let adjust_lr = sample::select(vec![AdjustLr::MatchRmsAdamw, AdjustLr::Original]);
    let numbers = (positive(), decays, 0.0..1e-3, 0.0..0.1);
    (name, numbers, spikes, any::<bool>(), adjust_lr).prop_map(
        |(name, (learning_rate, decays, eps, weight_decay), spikes, trust, adjust_lr)| {
            let (momentum, betas, alpha) = decays;
            let (clip_update, spike_limit, reset_every, base_width) = spikes;
            let trust_ratio = trust && name.has("trust_ratio");
            let default = Optimizer { learning_rate, weight_decay, trust_ratio, ..Optimizer::named(name) };
            match name {
                OptimizerName::Sgd => default,
                OptimizerName::Momentum | OptimizerName::Nesterov | OptimizerName::SignSgd => {
                    Optimizer { momentum, ..default }
                }
                OptimizerName::Muon => Optimizer { momentum, betas, eps, adjust_lr, ..default },
                OptimizerName::Adam | OptimizerName::AdamW => {
                    Optimizer { betas, eps, clip_update, spike_limit, reset_every, base_width, ..default }
                }
                OptimizerName::RmsProp => Optimizer { alpha, eps, momentum, ..default },
                OptimizerName::AdaGrad => Optimizer { eps, ..default },
            }
        },
    )
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
    let device = sample::select(vec![Device::Cpu, Device::Cuda, Device::Wgpu]);
    (1..1_000_000_000_usize, 0..=MAX_SEED, precision, device, option::of(scale)).prop_map(
        |(steps, seed, precision, device, loss_scale)| Run {
            steps,
            seed,
            precision,
            device: if precision == Precision::F32 { device } else { Device::Cpu },
            loss_scale,
        },
    )
}

fn clip() -> impl Strategy<Value = Clip> {
    let kind = sample::select(ClipKind::ALL.to_vec());
    let settings = (option::of(0.0..=100.0), option::of(0.01..0.99), option::of(1..1000_usize), option::of(positive()));
    let clips = (kind, positive(), settings).prop_map(|(kind, threshold, (percentile, decay, warm_up, start))| {
        let has = |setting| kind.settings().contains(&setting);
        Clip {
            kind,
            threshold: if has("threshold") { threshold } else { Clip::of(kind).threshold },
            percentile: percentile.filter(|_| has("percentile")),
            decay: decay.filter(|_| has("decay")),
            warm_up: warm_up.filter(|_| has("warm_up")),
            start: start.filter(|_| has("start")),
        }
    });
    prop_oneof![Just(Clip::default()), clips]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let level = sample::select(vec![Level::Allow, Level::Note, Level::Warn, Level::Deny]);
    let rules = collection::btree_map("[a-z][a-z-]{0,12}|[a-z \"\\\\.é\u{1}]{0,6}", level, 0..4);
    (data(), network(), (optimizer(), schedule()), clip(), run(), rules).prop_map(
        |(data, network, (optimizer, schedule), clip, run, rules)| {
            let vanishing_penalty =
                network.vanishing_penalty.filter(|_| run.precision != Precision::Fp16 && run.device == Device::Cpu);
            let network = NetworkRecipe { vanishing_penalty, ..network };
            Recipe { data, network, optimizer, schedule, clip, run, rules }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(recipe in recipe()) {
        prop_assert_eq!(validate(&recipe), Ok(()));
        let text = to_toml(&recipe);
        prop_assert_eq!(parse(&text, "net.toml"), Ok(recipe.clone()), "{}", text);
        // The derived reader, which reads recipes out of documents, has the same defaults.
        prop_assert_eq!(toml::from_str::<Recipe>(&text), Ok(recipe), "{}", text);
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
