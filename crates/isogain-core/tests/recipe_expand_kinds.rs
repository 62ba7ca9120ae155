//! Convolutional, recurrent and attention networks from recipes: names, shapes, parameter counts.

#![cfg(test)]

use isogain_core::network::{Cell, Convolution, ForgetBias, Network, OpKind, Oscillator, PoolKind, Residual, Shape};
use isogain_core::recipe::expand::{self, Inputs};
use isogain_core::recipe::{RecipeError, parse};

const CIFAR: fn() -> Inputs = || Shape::image(32, 32, 3).into();

fn text_of(steps: usize, vocabulary: usize) -> Inputs {
    Inputs { shape: Shape::sequence(steps, 1), vocabulary: Some(vocabulary) }
}

fn try_network(text: &str, inputs: impl Into<Inputs>, outputs: usize) -> Result<Network, RecipeError> {
    let text = format!("[network]\n{text}");
    let recipe = parse(&text, "net.toml").unwrap_or_else(|error| panic!("{error}"));
    expand::network(&recipe, inputs, outputs).map_err(|error| error.in_text(&text, "net.toml"))
}

fn network(text: &str, inputs: impl Into<Inputs>, outputs: usize) -> Network {
    try_network(text, inputs, outputs).unwrap_or_else(|error| panic!("{error}"))
}

fn names(network: &Network) -> Vec<&str> {
    network.walk().into_iter().map(|op| op.name.as_str()).collect()
}

fn count(network: &Network) -> u64 {
    expand::parameter_count(network)
}

fn kind<'n>(network: &'n Network, name: &str) -> &'n OpKind {
    &network.op(name).unwrap_or_else(|| panic!("no {name} in {:?}", names(network))).kind
}

fn convolution<'n>(network: &'n Network, name: &str) -> &'n Convolution {
    let OpKind::Convolution(convolution) = kind(network, name) else { panic!("{name} is no convolution") };
    convolution
}

fn residual<'n>(network: &'n Network, name: &str) -> &'n Residual {
    let OpKind::Residual(residual) = kind(network, name) else { panic!("{name} is no residual") };
    residual
}

/// Nine branches of two layers: L^(-1/2) = 1/3 on the first, the second zero; of one layer, that is zero. Stem, shortcuts and
/// head are as they were.
#[test]
fn fixup_scales_the_first_and_zeroes_the_last_layer_of_a_branch() {
    let text = "kind = \"resnet\"\ndepth = 20\nwidth = 8\ninit = \"he-normal\"\nfixup = true";
    let deviation = |network: &Network, name: &str| {
        let linear = match kind(network, name) {
            OpKind::Linear(linear) => linear,
            _ => &convolution(network, name).linear,
        };
        let he = (2.0 / linear.fan_in as f64).sqrt();
        linear.init.weight_variance(linear.fan_in, linear.fan_out, linear.activation).sqrt() / he
    };
    for block in ["basic", "pre-activation"] {
        let network = network(&format!("{text}\nblock = \"{block}\""), Shape::image(8, 8, 1), 10);
        for (name, expected) in [
            ("conv1", 1.0),
            ("block1.conv1", 1.0 / 3.0),
            ("block9.conv1", 1.0 / 3.0),
            ("block1.conv2", 0.0),
            ("block9.conv2", 0.0),
            ("block4.shortcut.conv", 1.0),
        ] {
            assert!((deviation(&network, name) - expected).abs() < 1e-12, "{block} {name}");
        }
    }
    let text = "kind = \"residual\"\ndepth = 3\nwidth = 8\ninit = \"he-normal\"\nfixup = true";
    let network = network(text, Shape::vector(8), 10);
    for (name, expected) in [("fc1", 1.0), ("block2.fc", 0.0), ("block3.fc", 0.0)] {
        assert!((deviation(&network, name) - expected).abs() < 1e-12, "{name}");
    }
}

#[test]
fn convolutions_in_stages() {
    let text = "kind = \"convnet\"\ndepth = 4\nstages = 2\nwidth = 8\npool = \"average\"\nnorm = \"group\"\nnorm_groups = 4\ndropout = 0.1";
    let network = network(text, Shape::image(8, 8, 1), 10);
    assert_eq!(
        names(&network),
        [
            "conv1", "norm1", "relu1", "dropout1", "conv2", "norm2", "relu2", "dropout2", "pool1", "conv3", "norm3",
            "relu3", "dropout3", "conv4", "norm4", "relu4", "dropout4", "mean", "head"
        ]
    );
    let (first, third) = (convolution(&network, "conv1"), convolution(&network, "conv3"));
    assert_eq!((first.linear.fan_in, first.linear.fan_out), (9, 8));
    assert_eq!((third.linear.fan_in, third.linear.fan_out), (9 * 8, 16));
    let window = third.window.unwrap();
    assert_eq!((window.grid, window.size, window.stride, window.padding), ([4, 4], [3, 3], [1, 1], [1, 1]));
    let OpKind::Pool(pool) = kind(&network, "pool1") else { panic!("no pool") };
    assert_eq!((pool.pool, pool.positions, pool.window.unwrap().output()), (PoolKind::Average, 64, [4, 4]));
    let OpKind::Pool(mean) = kind(&network, "mean") else { panic!("no mean") };
    assert_eq!((mean.pool, mean.positions, mean.window), (PoolKind::Average, 16, None));
    let norms = 2 * (8 + 8 + 16 + 16);
    assert_eq!(count(&network), 80 + 584 + 1168 + 2320 + 170 + norms);
    assert_eq!(network.input, Shape::image(8, 8, 1));
}

#[test]
fn convolutions_over_a_sequence_and_a_flattened_head() {
    let network =
        network("kind = \"convnet\"\ndepth = 1\nwidth = 4\nkernel = 5\nhead = \"flatten\"", Shape::sequence(50, 3), 2);
    assert_eq!(names(&network), ["conv1", "relu1", "flatten", "head"]);
    let window = convolution(&network, "conv1").window.unwrap();
    assert_eq!((window.grid, window.size, window.padding, window.output()), ([1, 50], [1, 5], [0, 2], [1, 50]));
    assert_eq!(count(&network), 5 * 3 * 4 + 4 + 50 * 4 * 2 + 2);
}

/// 272 474 parameters of ResNet-20 with option B, whose convolutions have no biases: stem 432; stages 6 x 2304, 4608 + 5 x
/// 9216, 18432 + 5 x 36864; shortcuts 512 + 2048; batch norms 2 x (7 x 16 + 7 x 32 + 7 x 64); head 650. Here each
/// convolution has a bias: 7 x 16 + 7 x 32 + 7 x 64 more.
#[test]
fn resnet_20_has_the_published_number_of_parameters() {
    let network = network("kind = \"resnet\"\ndepth = 20\nwidth = 16\nnorm = \"batch\"", CIFAR(), 10);
    let biases = 7 * (16 + 32 + 64);
    assert_eq!(count(&network) - biases, 272_474);
    assert_eq!(
        names(&network)[..11],
        [
            "conv1",
            "norm1",
            "relu1",
            "block1",
            "block1.conv1",
            "block1.norm1",
            "block1.relu1",
            "block1.conv2",
            "block1.norm2",
            "relu2",
            "block2"
        ]
    );
    let block = residual(&network, "block4");
    let shortcut: Vec<&str> = block.shortcut.iter().map(|op| op.name.as_str()).collect();
    assert_eq!(shortcut, ["block4.shortcut.conv", "block4.shortcut.norm"]);
    let window = convolution(&network, "block4.shortcut.conv").window.unwrap();
    assert_eq!((window.grid, window.size, window.stride, window.output()), ([32, 32], [1, 1], [2, 2], [16, 16]));
    assert_eq!(convolution(&network, "block4.conv1").window.unwrap().output(), [16, 16]);
    assert_eq!(convolution(&network, "block9.conv2").window.unwrap().grid, [8, 8]);
    assert!(residual(&network, "block5").shortcut.is_empty());
    assert_eq!(names(&network)[names(&network).len() - 3..], ["relu10", "mean", "head"]);
    // 20 layers with weights on the way, two projections beside it.
    assert_eq!(network.linears().count(), 20 + 2);
}

#[test]
fn the_plain_twin_of_a_resnet_has_its_layers() {
    let plain = network("kind = \"resnet\"\ndepth = 20\nskip = false\nnorm = \"batch\"", CIFAR(), 10);
    assert_eq!(names(&plain)[..7], ["conv1", "norm1", "relu1", "conv2", "norm2", "relu2", "conv3"]);
    assert_eq!(plain.linears().count(), 20);
    // Option A, whose shortcuts have no parameters: 269 722 and the biases of 19 convolutions.
    assert_eq!(count(&plain), 269_722 + 7 * 16 + 6 * 32 + 6 * 64);
}

#[test]
fn pre_activation_ends_in_a_norm() {
    let text = "kind = \"resnet\"\ndepth = 8\nwidth = 4\nnorm = \"batch\"\nblock = \"pre-activation\"\nbranch_scale = \"depth\"";
    let network = network(text, CIFAR(), 10);
    assert_eq!(
        names(&network)[..8],
        [
            "conv1",
            "block1",
            "block1.norm1",
            "block1.relu1",
            "block1.conv1",
            "block1.norm2",
            "block1.relu2",
            "block1.conv2"
        ]
    );
    assert_eq!(names(&network)[names(&network).len() - 4..], ["norm", "relu", "mean", "head"]);
    assert_eq!(residual(&network, "block2").shortcut.len(), 1, "a projection is not normalised");
    assert!((residual(&network, "block2").scale - 3_f64.sqrt().recip()).abs() < 1e-15);
}

/// `nn.RNN(28, 128)`, `nn.LSTM(28, 128)`, `nn.GRU(28, 128)`: gates x 128 x (28 + 128 + 2).
#[test]
fn recurrent_layers_have_pytorchs_parameters() {
    for (name, cell, layer) in [("rnn", Cell::Rnn, 20_224), ("lstm", Cell::Lstm, 80_896), ("gru", Cell::Gru, 60_672)] {
        let network = network(&format!("kind = \"{name}\"\nwidth = 128"), Shape::sequence(28, 28), 10);
        assert_eq!(names(&network), [&format!("{name}1"), "last", "head"]);
        assert_eq!(count(&network), layer + 1290);
        let OpKind::Recurrent(recurrent) = kind(&network, &format!("{name}1")) else { panic!("no {name}") };
        assert_eq!((recurrent.cell, recurrent.inputs, recurrent.units, recurrent.steps), (cell, 28, 128, 28));
        assert_eq!(recurrent.activation.name(), "tanh");
    }
}

/// A weight of the input, a bias and a decay for each unit: 28 x 128 + 2 x 128.
#[test]
fn a_diagonal_recurrence_has_no_weights_from_state_to_state() {
    let network = network("kind = \"rnn\"\nwidth = 128\ndiagonal = true", Shape::sequence(28, 28), 10);
    assert_eq!(names(&network), ["rnn1", "last", "head"]);
    assert_eq!(count(&network), 3840 + 1290);
    let parameters = kind(&network, "rnn1").parameters().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(parameters, ["weight", "bias", "log_decay"]);
    // It reads the data; only the head multiplies what another layer gave.
    assert_eq!(network.weights_between_layers(), [("head.weight".to_owned(), [128, 10])]);
}

/// 28 x 128 for the input, 2 x 128 x 128 for positions and velocities, one bias.
#[test]
fn oscillators_read_positions_and_velocities() {
    let network = network("kind = \"rnn\"\nwidth = 128\noscillator = { step = 0.2 }", Shape::sequence(28, 28), 10);
    assert_eq!(names(&network), ["rnn1", "last", "head"]);
    assert_eq!(count(&network), 28 * 128 + 2 * 128 * 128 + 128 + 1290);
    let weights = [("rnn1.hidden_weight".to_owned(), [256, 128]), ("head.weight".to_owned(), [128, 10])];
    assert_eq!(network.weights_between_layers(), weights);
    let OpKind::Recurrent(recurrent) = kind(&network, "rnn1") else { panic!("no layer") };
    assert_eq!(recurrent.oscillator, Some(Oscillator { step: 0.2, ..Oscillator::default() }));
}

/// Behind layers 3 and 6 of 7, like the last head; there is none behind the last layer, which has that one.
#[test]
fn auxiliary_heads_stand_behind_every_few_layers() {
    let text = "depth = 7\nwidth = 8\nhead_init = \"lecun-normal\"\nsupervise_every = 3\nsupervise_share = 0.3";
    let network = network(text, Shape::vector(64), 10);
    let around = |at: usize| ["fc", "relu"].map(|what| format!("{what}{at}")).to_vec();
    let expected = [around(1), around(2), around(3), vec!["aux3".into(), "aux3.head".into()]].concat();
    assert_eq!(names(&network)[..8], expected);
    let found: Vec<(&str, f64)> =
        network.auxiliary_heads().map(|(op, auxiliary)| (op.name.as_str(), auxiliary.share)).collect();
    assert_eq!(found, [("aux3", 0.3), ("aux6", 0.3)]);
    assert_eq!(kind(&network, "aux6.head"), kind(&network, "head"));
    // 64 x 8 + 8, six layers of 8 x 8 + 8, three heads of 8 x 10 + 10.
    assert_eq!(count(&network), 520 + 6 * 72 + 3 * 90);
    // They are beside the body: no hidden layers, and what is computed does not go through them.
    assert!(network.body().iter().all(|op| !op.name.starts_with("aux")));
    assert_eq!(network.linears().count(), 8);
    let heads: Vec<&str> = network.heads().into_iter().map(|op| op.name.as_str()).collect();
    assert_eq!(heads, ["aux3.head", "aux6.head", "head"]);
    let hidden: Vec<String> = network.hidden_weights().into_iter().map(|(name, _)| name).collect();
    assert_eq!(hidden, ["fc2.weight", "fc3.weight", "fc4.weight", "fc5.weight", "fc6.weight", "fc7.weight"]);
    assert_eq!(network.weights_between_layers().len(), 9);
    assert_eq!(network.products(), (64 * 8 + 6 * 64 + 3 * 80) as f64);
    let written: Network = serde_json::from_str(&serde_json::to_string(&network).unwrap()).unwrap();
    assert_eq!(written, network);

    // What follows the head follows them too; over positions they read the mean.
    let squashed = try_network(&format!("{text}\noutput_activation = \"tanh\""), Shape::vector(64), 10).unwrap();
    assert_eq!(names(&squashed)[6..9], ["aux3", "aux3.head", "aux3.output"]);
    let convnet = "kind = \"convnet\"\ndepth = 4\nwidth = 8\nstages = 2\nhead = \"flatten\"\nsupervise_every = 2";
    let convnet = try_network(convnet, Shape::image(8, 8, 1), 10).unwrap();
    let (_, auxiliary) = convnet.auxiliary_heads().next().unwrap();
    let inside: Vec<&str> = auxiliary.head.iter().map(|op| op.name.as_str()).collect();
    assert_eq!((inside.as_slice(), auxiliary.share), (["aux2.mean", "aux2.head"].as_slice(), 1.0));
    assert_eq!(convnet.products(), (64 * 9 * 8 + 64 * 72 * 8 + 80 + 16 * (72 * 16 + 144 * 16) + 16 * 16 * 10) as f64);

    // Looks-linear weights pair the units of an activation, those of auxiliary heads too.
    let paired =
        try_network("depth = 4\nwidth = 8\ninit = \"looks-linear\"\nsupervise_every = 2", Shape::vector(64), 10);
    let paired = paired.unwrap();
    assert_eq!(kind(&paired, "aux2.head"), kind(&paired, "head"));
    let OpKind::Linear(after) = kind(&paired, "fc3") else { panic!("no layer") };
    assert!(after.init.pairs_units());
}

#[test]
fn stacked_recurrent_layers_over_the_pixels_of_an_image() {
    let text = "kind = \"rnn\"\ndepth = 2\nwidth = 16\nactivation = \"relu\"\ninit = \"he-normal\"\n\
                hidden_init = { name = \"identity\", gain = 0.5 }\nhead = \"every\"\ndropout = 0.2";
    let network = network(text, Shape::image(8, 8, 3), 10);
    assert_eq!(network.input, Shape::sequence(64, 3));
    assert_eq!(names(&network), ["rnn1", "dropout1", "rnn2", "dropout2", "head"]);
    let OpKind::Recurrent(second) = kind(&network, "rnn2") else { panic!("no layer") };
    assert_eq!((second.inputs, second.steps, second.activation.name()), (16, 64, "relu"));
    assert_eq!(second.hidden_init.to_string(), "identity(gain = 0.5)");
    assert_eq!(second.init.name(), "he-normal");
}

#[test]
fn tokens_are_embedded_first() {
    let network = network("kind = \"lstm\"\nwidth = 32\nforget_bias = \"chrono\"", text_of(100, 65), 65);
    assert_eq!(names(&network), ["embedding", "lstm1", "last", "head"]);
    let OpKind::Embedding(embedding) = kind(&network, "embedding") else { panic!("no embedding") };
    assert_eq!((embedding.vocabulary, embedding.features, embedding.positions), (65, 32, false));
    assert_eq!(embedding.init.to_string(), "fixed-variance(std = 1)");
    let OpKind::Recurrent(lstm) = kind(&network, "lstm1") else { panic!("no lstm") };
    assert!(matches!(lstm.forget_bias, Some(ForgetBias::Named(_))));
}

/// Four blocks of width 128 over 64 steps of 65 tokens: tables 65 x 128 + 64 x 128; a block 2 x 256 + 49 536 + 16 512 +
/// 66 048 + 65 664; the last norm 256; the head 8385, of which 65 remain where it shares the table.
#[test]
fn a_small_gpt_has_the_parameters_counted_by_hand() {
    let text = "kind = \"transformer\"\ndepth = 4\nwidth = 128\ninit = \"fixed-variance\"\nresidual_init = \"depth\"";
    let gpt = network(text, text_of(64, 65), 65);
    assert_eq!(count(&gpt), 8320 + 8192 + 4 * 198_272 + 256 + 8385);
    assert_eq!(
        names(&gpt)[..11],
        [
            "embedding",
            "block1.attention",
            "block1.attention.norm",
            "block1.attention.qkv",
            "block1.attention.attention",
            "block1.attention.proj",
            "block1.mlp",
            "block1.mlp.norm",
            "block1.mlp.fc",
            "block1.mlp.gelu",
            "block1.mlp.proj"
        ]
    );
    assert_eq!(names(&gpt)[names(&gpt).len() - 2..], ["norm", "head"]);
    let OpKind::Attention(attention) = kind(&gpt, "block3.attention.attention") else { panic!("no attention") };
    assert_eq!((attention.features, attention.heads, attention.steps), (128, 4, 64));
    assert!(attention.causal && !attention.rotary);
    let std = |name: &str| {
        let OpKind::Linear(linear) = kind(&gpt, name) else { panic!("no {name}") };
        linear.init.parameters().next().unwrap().1
    };
    assert_eq!(std("block1.mlp.fc"), 0.02);
    assert!((std("block1.mlp.proj") - 0.02 / 8_f64.sqrt()).abs() < 1e-16);
    assert!((std("block1.attention.proj") - 0.02 / 8_f64.sqrt()).abs() < 1e-16);

    let tied = network(&format!("{text}\ntied = true"), text_of(64, 65), 65);
    assert_eq!(count(&tied), count(&gpt) - 8320);
    let OpKind::Linear(head) = kind(&tied, "head") else { panic!("no head") };
    assert_eq!(head.tied.as_deref(), Some("embedding"));
}

#[test]
fn norms_after_the_sums_and_deepnorm() {
    let post = network(
        "kind = \"transformer\"\ndepth = 1\nwidth = 8\nnorm_placement = \"post\"\nhead = \"mean\"",
        text_of(5, 7),
        3,
    );
    assert_eq!(
        names(&post),
        [
            "embedding",
            "block1.attention",
            "block1.attention.qkv",
            "block1.attention.attention",
            "block1.attention.proj",
            "block1.norm1",
            "block1.mlp",
            "block1.mlp.fc",
            "block1.mlp.gelu",
            "block1.mlp.proj",
            "block1.norm2",
            "mean",
            "head"
        ]
    );
    let OpKind::Attention(attention) = kind(&post, "block1.attention.attention") else { panic!("no attention") };
    assert!(!attention.causal, "one answer for all steps may look everywhere");

    let text = "kind = \"transformer\"\ndepth = 2\nwidth = 8\nnorm_placement = \"deepnorm\"\ninit = \"glorot-normal\"";
    let deep = network(text, text_of(5, 7), 7);
    // alpha = (2 x 2)^(1/4), beta = (8 x 2)^(-1/4) = 1/2
    assert!((residual(&deep, "block2.mlp").scale - 4_f64.powf(-0.25)).abs() < 1e-15);
    let linear = |name: &str| {
        let OpKind::Linear(linear) = kind(&deep, name) else { panic!("no {name}") };
        (linear.init.parameters().next().unwrap().1, linear.value_gain)
    };
    assert_eq!(linear("block1.attention.qkv"), (1.0, Some(0.5)));
    assert_eq!(linear("block1.attention.proj"), (0.5, None));
    assert_eq!(linear("block1.mlp.fc"), (0.5, None));
    assert_eq!(linear("block1.mlp.proj"), (0.5, None));
}

#[test]
fn norms_twice_in_every_branch() {
    let text = "kind = \"transformer\"\ndepth = 1\nwidth = 8\nnorm_placement = \"sandwich\"\ndropout = 0.1\n\
                stochastic_depth = 0.1\nhead = \"mean\"";
    let sandwich = network(text, text_of(5, 7), 3);
    let names: Vec<&str> = residual(&sandwich, "block1.mlp").branch.iter().map(|op| op.name.as_str()).collect();
    // What leaves samples out stays last: a norm behind it would scale up what it scaled up.
    let parts = ["norm", "fc", "gelu", "proj", "dropout", "out_norm", "drop"];
    assert_eq!(names, parts.map(|part| format!("block1.mlp.{part}")));
    let ends: Vec<&str> = sandwich.ops.iter().map(|op| op.name.as_str()).collect();
    assert_eq!(ends, ["embedding", "dropout", "block1.attention", "block1.mlp", "norm", "mean", "head"]);

    let sub = network(&text.replace("sandwich", "sub"), text_of(5, 7), 3);
    let names: Vec<&str> = residual(&sub, "block1.attention").branch.iter().map(|op| op.name.as_str()).collect();
    let parts = ["norm", "qkv", "attention", "inner_norm", "proj", "dropout", "drop"];
    assert_eq!(names, parts.map(|part| format!("block1.attention.{part}")));
    assert_eq!(sub.ops.iter().map(|op| op.name.as_str()).collect::<Vec<_>>(), ends);
}

#[test]
fn the_values_of_an_attention_start_smaller_under_deepnorm() {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;
    let text = "kind = \"transformer\"\ndepth = 2\nwidth = 8\nnorm_placement = \"deepnorm\"\ninit = \"glorot-normal\"";
    let network = network(text, text_of(5, 7), 7);
    let OpKind::Linear(qkv) = kind(&network, "block1.attention.qkv") else { panic!("no qkv") };
    let mut plain = qkv.clone();
    plain.value_gain = None;
    let draw = |linear: &isogain_core::network::Linear| linear.sample(1, &mut ChaCha8Rng::seed_from_u64(3)).0;
    for (index, (scaled, plain)) in draw(qkv).iter().zip(draw(&plain)).enumerate() {
        let factor = if index % 24 >= 16 { 0.5 } else { 1.0 };
        assert_eq!(*scaled, factor * plain, "{index}");
    }
}

/// Sixteen blocks: 0.67 x 16^(-1/4) = 0.335 on values, outputs and feed-forward layers, (9 x 16)^(-1/4) on what goes into the
/// blocks. Glorot's variance of a layer of values alone is 2/(8 + 8), as the last third of 24 units it is 2/(8 + 24).
#[test]
fn t_fixup_scales_what_a_transformer_without_norms_starts_with() {
    let text = "kind = \"transformer\"\ndepth = 16\nwidth = 8\nfixup = true\ninit = \"glorot-normal\"";
    let gain = |network: &Network, name: &str| {
        let OpKind::Linear(linear) = kind(network, name) else { panic!("no {name}") };
        linear.init.parameters().next().unwrap().1
    };
    let words = network(text, text_of(5, 7), 7);
    assert_eq!(names(&words).into_iter().filter(|name| name.contains("norm")).count(), 0);
    for name in ["block1.attention.proj", "block16.mlp.fc", "block16.mlp.proj"] {
        assert!((gain(&words, name) - 0.335).abs() < 1e-15, "{name}");
    }
    assert_eq!((gain(&words, "block1.attention.qkv"), gain(&words, "head")), (1.0, 1.0));
    let OpKind::Linear(qkv) = kind(&words, "block3.attention.qkv") else { panic!("no qkv") };
    assert!((qkv.value_gain.unwrap() - 0.335 * 2_f64.sqrt()).abs() < 1e-15);
    assert_eq!(residual(&words, "block2.mlp").scale, 1.0);
    let OpKind::Embedding(embedding) = kind(&words, "embedding") else { panic!("no embedding") };
    let input = 144_f64.powf(-0.25);
    assert!((embedding.init.parameters().next().unwrap().1 - input).abs() < 1e-15);
    let numbers = network(text, Shape::sequence(20, 3), 2);
    assert!((gain(&numbers, "fc_in") - input).abs() < 1e-15);
}

#[test]
fn a_transformer_over_numbers_knows_its_steps_by_rotation() {
    let text = "kind = \"transformer\"\ndepth = 1\nwidth = 8\nnorm = \"rms\"\nhead = \"last\"\ndropout = 0.1";
    let network = network(text, Shape::sequence(20, 3), 2);
    assert_eq!(names(&network)[..3], ["fc_in", "dropout", "block1.attention"]);
    assert!(names(&network).contains(&"block1.mlp.dropout"));
    let OpKind::Attention(attention) = kind(&network, "block1.attention.attention") else { panic!("no attention") };
    assert!(attention.rotary && !attention.causal);
}

/// LeNet-5 on 28x28: 156 + 2416 + 48 120 + 10 164 + 850 = 61 706.
#[test]
fn a_listed_lenet_has_61706_parameters() {
    let text = r#"
        kind = "layers"
        layers = [
            { convolution = 6, kernel = 5 },
            { activation = "tanh" },
            { pool = "average", size = 2, stride = 2 },
            { convolution = 16, kernel = 5, padding = 0 },
            { activation = "tanh" },
            { pool = "max" },
            { flatten = true },
            { linear = 120 },
            { dropout = 0.5 },
            { activation = "tanh" },
            { linear = 84 },
            { activation = "tanh" },
            { linear = 10 },
        ]"#;
    let network = network(text, Shape::image(28, 28, 1), 10);
    assert_eq!(count(&network), 61_706);
    assert_eq!(
        names(&network),
        [
            "conv1", "tanh1", "pool1", "conv2", "tanh2", "pool2", "flatten2", "fc3", "dropout3", "tanh3", "fc4",
            "tanh4", "head"
        ]
    );
    assert_eq!(convolution(&network, "conv2").linear.activation.name(), "tanh");
}

#[test]
fn a_listed_block_may_change_the_shape_with_a_shortcut() {
    let block = "{ residual = [{ convolution = 8, stride = 2 }, { activation = \"relu\" }, { convolution = 8 }], \
                 shortcut = [{ convolution = 8, kernel = 1, stride = 2, padding = 0 }], scale = 0.5 }";
    let list = |block: &str| {
        format!(
            "kind = \"layers\"\nlayers = [{{ convolution = 4 }}, {block}, {{ pool = \"mean\" }}, {{ linear = 10 }}]"
        )
    };
    let network = network(&list(block), Shape::image(9, 9, 1), 10);
    assert_eq!(
        names(&network),
        ["conv1", "block2", "block2.conv1", "block2.relu1", "block2.conv2", "block2.shortcut.conv", "mean3", "head"]
            .map(|name| if name == "block2.relu1" { "block2.relu" } else { name })
    );
    assert_eq!(convolution(&network, "block2.shortcut.conv").window.unwrap().output(), [5, 5]);
    let without = "{ residual = [{ convolution = 4, stride = 2 }] }";
    let error = try_network(&list(without), Shape::image(9, 9, 1), 10).unwrap_err().to_string();
    assert!(
        error.ends_with("must keep the positions of its input, or have a shortcut: x is 9x9x4, F(x) is 5x5x4"),
        "{error}"
    );
}

#[test]
fn a_listed_sequence_model() {
    let text = r#"
        kind = "layers"
        init = "lecun-normal"
        layers = [
            { embedding = 12, positions = "learned" },
            { residual = [{ norm = "layer" }, { attention = 3, causal = true }] },
            { recurrent = "gru", units = 6, forget_bias = 1.0, hidden_init = "orthogonal" },
            { recurrent = "rnn", units = 5, activation = "relu", hidden_init = "identity" },
            { pool = "last" },
            { linear = 4 },
        ]"#;
    let network = network(text, text_of(9, 20), 4);
    assert_eq!(
        names(&network),
        [
            "embedding",
            "block1",
            "block1.norm",
            "block1.qkv",
            "block1.attention",
            "block1.proj",
            "gru2",
            "rnn3",
            "last3",
            "head"
        ]
    );
    let OpKind::Embedding(embedding) = kind(&network, "embedding") else { panic!("no embedding") };
    assert!(embedding.positions);
    let OpKind::Recurrent(gru) = kind(&network, "gru2") else { panic!("no gru") };
    assert_eq!((gru.inputs, gru.units, gru.forget_bias), (12, 6, Some(ForgetBias::Number(1.0))));
    let OpKind::Recurrent(rnn) = kind(&network, "rnn3") else { panic!("no rnn") };
    assert_eq!((rnn.inputs, rnn.activation.name(), rnn.hidden_init.name()), (6, "relu", "identity"));
}

#[test]
fn a_list_without_positions_reads_an_image_as_one_vector() {
    let text = "kind = \"layers\"\nlayers = [{ linear = 5 }, { activation = \"relu\" }, { linear = 10 }]";
    for text in [text, "depth = 1\nwidth = 5", "kind = \"residual\"\ndepth = 2\nwidth = 5"] {
        let network = network(text, Shape::image(8, 8, 1), 10);
        assert_eq!(network.input, Shape::vector(64));
    }
}

#[test]
fn what_does_not_fit_the_data_is_refused() {
    let pooled_away = "kind = \"convnet\"\ndepth = 4\nstages = 4\nwidth = 2";
    // 64 samples of 1e5 steps: 4 x 4 heads x 1e5 weights and 64 + 4 x (448 + 704) + 64 numbers a step, and 74 at the end.
    let long = "kind = \"transformer\"\nhead = \"mean\"";
    let cases: [(&str, Inputs, &str); 8] = [
        (
            pooled_away,
            Shape::image(4, 4, 1).into(),
            "net.toml:4: network.stages = 4: patches of 2 do not fit into the 1x1 positions that are left",
        ),
        (
            "depth = 2",
            text_of(8, 20),
            "net.toml:1: network.kind = \"mlp\": cannot read tokens: take \"rnn\", \"lstm\", \"gru\" or \"transformer\", \
             or \"layers\" with an embedding first",
        ),
        (
            "kind = \"transformer\"\npositions = \"learned\"",
            Shape::sequence(8, 2).into(),
            "net.toml:3: network.positions = \"learned\": needs tokens, whose embedding has a row for each step; numbers \
             have \"rotary\" or \"none\"",
        ),
        (
            "kind = \"transformer\"\ntied = true",
            text_of(8, 20),
            "net.toml:3: network.tied = true: needs as many outputs as tokens: 20 tokens, 10 outputs",
        ),
        (
            "kind = \"transformer\"\ntied = true",
            Shape::sequence(8, 2).into(),
            "net.toml:3: network.tied = true: needs tokens: numbers have no embedding to share",
        ),
        (
            "kind = \"lstm\"\nforget_bias = \"chrono\"",
            Shape::sequence(2, 1).into(),
            "net.toml:3: network.forget_bias = \"chrono\": draws memories from 1 to steps - 1: needs 3 steps or more, \
             the data has 2",
        ),
        (
            "kind = \"rnn\"\nactivation = \"softplus\"\ninit = \"he-normal\"\nhidden_init = \"edge-of-chaos\"",
            Shape::sequence(8, 1).into(),
            "net.toml:5: network.hidden_init = \"edge-of-chaos\": is not defined for softplus (rnn1); take another one",
        ),
        (
            long,
            Shape::sequence(100_000, 1).into(),
            "net.toml:1: network.width = 64: this network would keep 10270310404736 numbers of each batch for its way \
             back: must be at most 4000000000; take a smaller data.batch",
        ),
    ];
    for (text, inputs, expected) in cases {
        assert_eq!(try_network(text, inputs, 10).unwrap_err().to_string(), expected);
    }
}

/// As many rows of outputs as the data has targets, whatever became of the positions on the way.
#[test]
fn a_network_answers_as_often_as_its_data_has_targets() {
    let images = || Inputs::from(Shape::image(8, 8, 1));
    let pooled = "kind = \"layers\"\nlayers = [{ convolution = 4, stride = 2 }, { residual = [{ convolution = 4, stride = 2 }], \
                  shortcut = [{ convolution = 4, stride = 2 }] }, { linear = 10 }]";
    let cases: [(&str, Inputs, usize, Option<&str>); 9] = [
        ("depth = 2", images(), 1, None),
        ("kind = \"transformer\"", text_of(8, 20), 8, None),
        ("kind = \"lstm\"\nhead = \"every\"", text_of(8, 20), 8, None),
        ("kind = \"convnet\"\ndepth = 4\nstages = 2\nhead = \"flatten\"", images(), 1, None),
        ("kind = \"resnet\"\ndepth = 8", images(), 1, None),
        (pooled, images(), 4, None),
        (
            "kind = \"transformer\"",
            images(),
            1,
            Some(
                "net.toml:1: network.head = \"every\": gives 64 answers for each sample, and the data has 1 target: take \
                 \"mean\" or \"last\"",
            ),
        ),
        (
            "kind = \"gru\"\nhead = \"mean\"",
            text_of(8, 20),
            8,
            Some(
                "net.toml:3: network.head = \"mean\": gives 1 answer for each sample, and the data has 8 targets: take \
                 \"every\"",
            ),
        ),
        (
            pooled,
            images(),
            1,
            Some(
                "net.toml:3: network.layers: must end with as many answers as there are targets; it gives 4 answers for each \
                 sample, and the data has 1 target",
            ),
        ),
    ];
    for (network, inputs, targets, expected) in cases {
        let text = format!("[network]\n{network}");
        let recipe = parse(&text, "net.toml").unwrap();
        let network = expand::network(&recipe, inputs, 10).unwrap();
        let found = expand::answers(&recipe, &network, targets).map_err(|error| error.in_text(&text, "net.toml"));
        assert_eq!(found.map_err(|error| error.to_string()).err().as_deref(), expected, "{text}");
    }
}

#[test]
fn factors_norms_and_bounds_inside_a_transformer() {
    let text = "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2\nqk_norm = true\nlogit_cap = 50.0\n\
                branch_scale = 0.1\nlearnable_scale = true\nscale_per_channel = true";
    let network = network(text, text_of(5, 7), 7);
    let branch: Vec<&str> =
        residual(&network, "block1.attention").branch.iter().map(|op| op.name.trim_start_matches("block1.")).collect();
    let expected = ["attention.norm", "attention.qkv", "attention.qk_norm", "attention.attention", "attention.proj"];
    assert_eq!(branch, expected);
    let OpKind::QkNorm(norm) = kind(&network, "block2.attention.qk_norm") else { panic!("no norm") };
    assert_eq!((norm.features, norm.heads, norm.head_width(), norm.eps), (8, 2, 4, 1e-5));
    let OpKind::Attention(attention) = kind(&network, "block2.attention.attention") else { panic!("no attention") };
    assert_eq!(attention.logit_cap, Some(50.0));
    assert_eq!((residual(&network, "block2.mlp").channels, residual(&network, "block2.mlp").scale), (8, 0.1));
    // Two gammas of 4 for each attention, 8 factors for each of 4 branches.
    let plain = "kind = \"transformer\"\ndepth = 2\nwidth = 8\nheads = 2";
    assert_eq!(count(&network), count(&self::network(plain, text_of(5, 7), 7)) + 2 * 8 + 4 * 8);

    let listed = "kind = \"layers\"\nlayers = [{ linear = 8 }, { residual = [{ attention = 2, qk_norm = true, \
                  logit_cap = 2.0 }], scale = 0.5, learnable = true, per_channel = true }, { pool = \"mean\" }, \
                  { linear = 3 }]";
    let listed = self::network(listed, Shape::sequence(5, 4), 3);
    assert_eq!(
        names(&listed),
        ["fc1", "block2", "block2.qkv", "block2.qk_norm", "block2.attention", "block2.proj", "mean2", "head"]
    );
    assert_eq!(residual(&listed, "block2").channels, 8);
}

/// A gain for each unit or channel of the hidden layers; the head is trained itself, and so is what attention multiplies by but
/// for the largest singular value (sigma-Reparam).
#[test]
fn weights_are_computed_from_others_but_for_the_head() {
    let gains = |network: &Network| -> Vec<String> {
        let with = |(op, linear): (&isogain_core::network::Op, &isogain_core::network::Linear)| {
            linear.weight_norm.map(|_| op.name.clone())
        };
        network.linears().filter_map(with).collect()
    };
    let convnet = "kind = \"convnet\"\ndepth = 2\nwidth = 8\nweight_norm = \"standardised\"";
    let found = network(convnet, Shape::image(8, 8, 1), 10);
    assert_eq!(gains(&found), ["conv1", "conv2"]);
    assert_eq!(count(&found), (9 * 8 + 8 + 8) + (9 * 8 * 8 + 8 + 8) + (8 * 10 + 10));
    let resnet = network("kind = \"resnet\"\ndepth = 14\nwidth = 4\nweight_norm = \"norm\"", CIFAR(), 10);
    assert!(gains(&resnet).contains(&"block3.shortcut.conv".to_owned()), "{:?}", gains(&resnet));
    assert!(!gains(&resnet).contains(&"head".to_owned()));
    let listed = "kind = \"layers\"\nweight_norm = \"norm\"\nlayers = [{ linear = 8 }, { attention = 2 }, \
                  { pool = \"mean\" }, { linear = 3 }]";
    assert_eq!(gains(&network(listed, Shape::sequence(5, 4), 3)), ["fc1"]);
    let spectral = listed.replace("\"norm\"", "\"spectral\"");
    assert_eq!(gains(&network(&spectral, Shape::sequence(5, 4), 3)), ["fc1", "qkv2", "proj2"]);
    let transformer = "kind = \"transformer\"\ndepth = 1\nwidth = 8\nheads = 2\nweight_norm = \"spectral\"";
    let found = network(transformer, Shape::sequence(5, 4), 3);
    let block = ["block1.attention.qkv", "block1.attention.proj", "block1.mlp.fc", "block1.mlp.proj"];
    assert_eq!(gains(&found), [&["fc_in"], &block[..]].concat());
    let bare = network(&transformer.replace("weight_norm", "# weight_norm"), Shape::sequence(5, 4), 3);
    assert_eq!(count(&found), count(&bare) + 5);
    // Those from state to state have no gain, and are kept orthogonal alone.
    let listed = "kind = \"layers\"\nlayers = [{ linear = 8 }, { recurrent = \"gru\", units = 4 }, { pool = \"last\" }, \
                  { linear = 3 }]\n";
    for norm in ["norm", "orthogonal"] {
        let found = network(&format!("{listed}weight_norm = \"{norm}\""), Shape::sequence(5, 4), 3);
        let recurrent = found.ops.iter().find_map(|op| match &op.kind {
            OpKind::Recurrent(recurrent) => Some(recurrent),
            _ => None,
        });
        assert_eq!(recurrent.map(|recurrent| recurrent.orthogonal), Some(norm == "orthogonal"));
        assert_eq!(gains(&found), ["fc1"]);
    }
}
