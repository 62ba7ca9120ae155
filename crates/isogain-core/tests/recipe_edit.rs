//! The changes remedies make: on a network by shape and on its explicit list they give the same network.

#![cfg(test)]

use isogain_core::network::{Network, NormKind, Op, OpKind, Shape};
use isogain_core::recipe::edit::{self, CannotApply};
use isogain_core::recipe::{BranchScale, NamedScale, NetworkKind, NetworkRecipe, Recipe, expand, parse, validate};
use isogain_core::theory::{Activation, Initializer};
use isogain_core::weight_norm::WeightNorm;

const DEPTH: BranchScale = BranchScale::Named(NamedScale::Depth);

fn relu() -> Activation {
    Activation::relu()
}

fn init(name: &str) -> Initializer {
    Initializer::named(name).unwrap()
}

fn shaped() -> NetworkRecipe {
    read("depth = 4\nwidth = 8\nactivation = \"tanh\"\nhead_init = \"lecun-normal\"\noutput_activation = \"sigmoid\"")
}

/// The same network as `shaped`, written out.
fn listed() -> NetworkRecipe {
    let layer = "{ linear = 8 }, { activation = \"tanh\" }, ";
    let head = "{ linear = 10, init = \"lecun-normal\" }, { activation = \"sigmoid\" }";
    read(&format!("kind = \"layers\"\nlayers = [{}{head}]", layer.repeat(4)))
}

fn read(network: &str) -> NetworkRecipe {
    parse(&format!("[network]\n{network}"), "net.toml").unwrap_or_else(|error| panic!("{error}")).network
}

fn expanded(network: &NetworkRecipe) -> Network {
    let recipe = Recipe { network: network.clone(), ..Recipe::default() };
    validate(&recipe).unwrap();
    expand::network(&recipe, Shape::vector(64), 10).unwrap()
}

/// What the operations do, without their names, which differ where a list numbers what a shape does not.
fn anonymous(network: &NetworkRecipe) -> Vec<String> {
    let kind = |op: &Op| match &op.kind {
        OpKind::Residual(block) => {
            format!("{} {} {} {}", block.scale, block.learnable, block.channels, block.branch.len())
        }
        other => format!("{other:?}"),
    };
    expanded(network).walk().into_iter().map(kind).collect()
}

type Change = fn(&mut NetworkRecipe) -> Result<(), CannotApply>;

#[test]
fn a_shape_and_its_list_change_alike() {
    let changes: [(&str, Change); 10] = [
        ("nothing", |_| Ok(())),
        ("init", |net| edit::set_init(net, init("he-normal"))),
        ("activation", |net| edit::set_activation(net, relu())),
        ("norm", |net| edit::insert_norm(net, NormKind::Layer)),
        ("skip", |net| edit::add_skip(net, DEPTH, true)),
        ("skip, then norm", |net| edit::add_skip(net, DEPTH, false).and(edit::insert_norm(net, NormKind::Batch))),
        ("skip, then scale", |net| {
            edit::add_skip(net, BranchScale::Number(1.0), false)?;
            edit::set_skip_scale(net, BranchScale::Number(0.0), true)
        }),
        ("skip, then a scale for each channel", |net| {
            edit::add_skip(net, DEPTH, false)?;
            edit::set_channel_scale(net, 0.1)
        }),
        ("weights computed from others", |net| edit::set_weight_norm(net, WeightNorm::Standardised)),
        ("no output activation", edit::remove_output_activation),
    ];
    let mut seen = Vec::new();
    for (what, change) in changes {
        let (mut by_shape, mut by_list) = (shaped(), listed());
        change(&mut by_shape).unwrap();
        change(&mut by_list).unwrap();
        assert_eq!(anonymous(&by_shape), anonymous(&by_list), "{what}");
        assert_eq!(edit::has_norm(&by_shape), edit::has_norm(&by_list), "{what}");
        assert_eq!(edit::has_skip(&by_shape), edit::has_skip(&by_list), "{what}");
        assert_eq!(edit::activations(&by_shape), edit::activations(&by_list), "{what}");
        assert_eq!(edit::initializers(&by_shape), edit::initializers(&by_list), "{what}");
        assert!(!seen.contains(&by_shape), "{what} changed nothing");
        seen.push(by_shape);
    }
}

#[test]
fn norm_comes_before_the_activation_also_when_the_skip_comes_second() {
    let (mut by_shape, mut by_list) = (shaped(), listed());
    for net in [&mut by_shape, &mut by_list] {
        edit::insert_norm(net, NormKind::Layer).unwrap();
        edit::add_skip(net, DEPTH, false).unwrap();
    }
    let first = |net: &NetworkRecipe| expanded(net).walk()[2..5].iter().map(|op| op.name.clone()).collect::<Vec<_>>();
    assert_eq!(first(&by_shape), ["block2.norm", "block2.tanh", "block2.fc"]);
    assert_eq!(first(&by_list), first(&by_shape));
    // A list keeps the norm before its last activation, which belongs to no branch.
    assert_eq!(by_list.layers.iter().filter(|layer| layer.norm.is_some()).count(), 1);
}

#[test]
fn changes_that_cannot_be_made_say_why_and_change_nothing() {
    let skipped = read("kind = \"residual\"\ndepth = 3\nnorm = \"layer\"");
    let single = read("depth = 1");
    let narrowing = read(
        "kind = \"layers\"\nlayers = [{ linear = 8 }, { activation = \"relu\" }, { linear = 4 }, \
         { activation = \"relu\" }, { linear = 10 }]",
    );
    let linear = read("kind = \"layers\"\nlayers = [{ linear = 8 }, { linear = 10 }]");
    let add_skip: Change = |net| edit::add_skip(net, DEPTH, false);
    let insert_norm: Change = |net| edit::insert_norm(net, NormKind::Rms);
    let set_scale: Change = |net| edit::set_skip_scale(net, DEPTH, false);
    let cases: [(&NetworkRecipe, Change, &str); 8] = [
        (&skipped, add_skip, "already has skip connections"),
        (&single, add_skip, "one hidden layer has nothing to skip"),
        (&narrowing, add_skip, "keep the width"),
        (&narrowing, set_scale, "no skip connections"),
        (&skipped, insert_norm, "already has a normalisation"),
        (&linear, insert_norm, "no linear layer that an activation follows"),
        (&linear, |net| edit::set_activation(net, relu()), "no hidden activation"),
        (&linear, edit::remove_output_activation, "no activation after its head"),
    ];
    each_is_refused(&cases);
}

/// Each change says why it cannot be made, and leaves the network as it is.
fn each_is_refused(cases: &[(&NetworkRecipe, Change, &str)]) {
    for (network, change, why) in cases {
        let mut changed = (*network).clone();
        let error = change(&mut changed).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(&&changed, network, "{why}");
    }
}

#[test]
fn a_new_init_reaches_branches_and_spares_the_head() {
    let mut net = read(
        "kind = \"layers\"\ninit = \"he-normal\"\nlayers = [{ linear = 8, init = \"zeros\" }, \
         { residual = [{ linear = 8, init = \"orthogonal\" }] }, { linear = 10, init = \"lecun-normal\" }]",
    );
    let names = |net: &NetworkRecipe| edit::initializers(net).iter().map(|init| init.name()).collect::<Vec<_>>();
    assert_eq!(names(&net), ["zeros", "orthogonal", "lecun-normal"]);
    edit::set_init(&mut net, init("glorot-uniform")).unwrap();
    assert_eq!(names(&net), ["glorot-uniform", "lecun-normal"]);
}

#[test]
fn skips_are_added_only_where_the_width_stays() {
    let mut net = read(
        "kind = \"layers\"\nlayers = [{ linear = 8 }, { activation = \"relu\" }, { linear = 8 }, \
         { activation = \"relu\" }, { linear = 4 }, { norm = \"layer\" }, { activation = \"relu\" }, { linear = 4 }, \
         { activation = \"relu\" }, { linear = 4 }, { activation = \"relu\" }, { linear = 10 }]",
    );
    edit::add_skip(&mut net, DEPTH, false).unwrap();
    assert_eq!(net.kind, NetworkKind::Layers);
    let network = expanded(&net);
    let blocks: Vec<_> =
        network.ops.iter().map(|op| op.name.as_str()).filter(|name| name.starts_with("block")).collect();
    assert_eq!(blocks, ["block2", "block4", "block5"]);
    assert!(net.layers.iter().filter_map(|layer| layer.scale).all(|scale| scale == 3_f64.sqrt().recip()));
}

#[test]
fn a_kind_that_has_no_place_for_a_change_says_so() {
    let (convnet, lstm, rnn) = (read("kind = \"convnet\""), read("kind = \"lstm\""), read("kind = \"rnn\""));
    let (plain, transformer) = (read("kind = \"resnet\"\nskip = false"), read("kind = \"transformer\""));
    let deep = read("kind = \"transformer\"\nnorm_placement = \"deepnorm\"");
    let scaled = read("kind = \"transformer\"\nresidual_init = \"depth\"");
    let listed = read("kind = \"layers\"\nlayers = [{ recurrent = \"gru\", units = 4 }, { linear = 10 }]");
    let add_skip: Change = |net| edit::add_skip(net, DEPTH, false);
    let insert_norm: Change = |net| edit::insert_norm(net, NormKind::Layer);
    let set_scale: Change = |net| edit::set_skip_scale(net, DEPTH, false);
    let lsuv: Change = |net| edit::set_init(net, init("lsuv"));
    let computed = read("kind = \"convnet\"\nweight_norm = \"norm\"");
    let normed = read("kind = \"transformer\"\nqk_norm = true");
    let norm_weights: Change = |net| edit::set_weight_norm(net, WeightNorm::Standardised);
    let divide_weights: Change = |net| edit::set_weight_norm(net, WeightNorm::Spectral);
    let divided = read("kind = \"transformer\"\nnorm_placement = \"post\"\nweight_norm = \"spectral\"");
    let fixed_up = read("kind = \"transformer\"\nfixup = true");
    let without_gain = read("kind = \"transformer\"\nnorm_placement = \"post\"\ninit = \"lsuv\"");
    let cases: [(&NetworkRecipe, Change, &str); 30] = [
        (&fixed_up, insert_norm, "networks without a normalisation"),
        (&fixed_up, set_scale, "Fixup sets how the branches start"),
        (&fixed_up, |net| edit::set_init(net, init("quadrature-gain")), "no gain for"),
        (&deep, edit::set_t_fixup, "no transformer whose norms"),
        (&convnet, edit::set_deep_norm, "no transformer whose norms"),
        (&transformer, edit::set_deep_norm, "no transformer whose norms"),
        (&without_gain, edit::set_deep_norm, "no gain that the depth"),
        (&convnet, edit::set_qk_norm, "no attention"),
        (&convnet, |net| edit::set_logit_cap(net, 50.0), "no attention"),
        (&normed, edit::set_qk_norm, "no attention without"),
        (&transformer, norm_weights, "no hidden linear layer"),
        (&computed, norm_weights, "from others already"),
        (&divided, divide_weights, "from others already"),
        (&deep, divide_weights, "DeepNorm scales weights"),
        (&fixed_up, divide_weights, "Fixup scales weights"),
        (&divided, edit::set_deep_norm, "undoes a scale for the depth"),
        (&divided, edit::set_t_fixup, "undoes a scale for the depth"),
        (&convnet, add_skip, "a convnet has no residual form"),
        (&convnet, set_scale, "no skip connections"),
        (&lstm, add_skip, "a recurrent layer has no residual form"),
        (&lstm, insert_norm, "no place for a normalisation"),
        (&lstm, |net| edit::set_activation(net, relu()), "activations of their own"),
        (&rnn, lsuv, "cannot be scaled on a batch"),
        (&listed, lsuv, "cannot be scaled on a batch"),
        (&plain, set_scale, "no skip connections"),
        (&transformer, insert_norm, "already has a normalisation"),
        (&transformer, add_skip, "already has skip connections"),
        (&deep, set_scale, "DeepNorm sets the scale"),
        (&deep, lsuv, "no gain for"),
        (&scaled, |net| edit::set_init(net, init("quadrature-gain")), "no gain for"),
    ];
    each_is_refused(&cases);
}

#[test]
fn changes_reach_the_kinds_that_have_a_place_for_them() {
    let mut plain = read("kind = \"resnet\"\nskip = false");
    edit::add_skip(&mut plain, DEPTH, true).unwrap();
    assert_eq!(plain, read("kind = \"resnet\"\nbranch_scale = \"depth\"\nlearnable_scale = true"));
    // How large weights start is nothing to what divides them by it.
    let mut divided = read("kind = \"transformer\"\nresidual_init = \"depth\"");
    edit::set_weight_norm(&mut divided, WeightNorm::Spectral).unwrap();
    assert_eq!(divided, read("kind = \"transformer\"\nweight_norm = \"spectral\""));
    // DeepNorm's factors are the only ones.
    let mut behind = read(
        "kind = \"transformer\"\nnorm_placement = \"post\"\nresidual_init = \"depth\"\nbranch_scale = \"depth\"\n\
         learnable_scale = true\nscale_per_channel = true",
    );
    let mut without = behind.clone();
    edit::set_deep_norm(&mut behind).unwrap();
    assert_eq!(behind, read("kind = \"transformer\"\nnorm_placement = \"deepnorm\""));
    edit::set_t_fixup(&mut without).unwrap();
    assert_eq!(without, read("kind = \"transformer\"\nfixup = true"));
    let mut convnet = read("kind = \"convnet\"");
    edit::insert_norm(&mut convnet, NormKind::Batch).unwrap();
    edit::set_activation(&mut convnet, Activation::named("tanh").unwrap()).unwrap();
    assert_eq!(convnet, read("kind = \"convnet\"\nnorm = \"batch\"\nactivation = \"tanh\""));
    let mut attends = read("kind = \"layers\"\nlayers = [{ residual = [{ attention = 2 }] }, { linear = 10 }]");
    edit::set_qk_norm(&mut attends).unwrap();
    edit::set_logit_cap(&mut attends, 50.0).unwrap();
    let inside = "{ residual = [{ attention = 2, qk_norm = true, logit_cap = 50.0 }] }";
    assert_eq!(attends, read(&format!("kind = \"layers\"\nlayers = [{inside}, {{ linear = 10 }}]")));
    let mut rnn = read("kind = \"rnn\"\nhidden_init = \"identity\"");
    edit::set_activation(&mut rnn, relu()).unwrap();
    edit::set_init(&mut rnn, init("he-normal")).unwrap();
    assert_eq!(rnn, read("kind = \"rnn\"\nhidden_init = \"identity\"\nactivation = \"relu\"\ninit = \"he-normal\""));
    let named = edit::initializers(&rnn).iter().map(|init| init.name()).collect::<Vec<_>>();
    assert_eq!(named, ["he-normal", "identity"]);
    assert!(edit::activations(&read("kind = \"gru\"")).is_empty());
}

#[test]
fn listed_convolutions_are_normalised_and_skipped_where_the_grid_stays() {
    let mut net = read(
        "kind = \"layers\"\nlayers = [{ convolution = 8 }, { activation = \"relu\" }, { convolution = 8 }, \
         { activation = \"relu\" }, { convolution = 8, stride = 2 }, { activation = \"relu\" }, \
         { convolution = 8, kernel = 5 }, { pool = \"mean\" }, { activation = \"relu\" }, { linear = 8 }, \
         { linear = 10 }]",
    );
    edit::insert_norm(&mut net, NormKind::Group).unwrap();
    edit::add_skip(&mut net, DEPTH, false).unwrap();
    let recipe = Recipe { network: net, ..Recipe::default() };
    let network = expand::network(&recipe, Shape::image(6, 6, 1), 10).unwrap();
    let blocks: Vec<_> =
        network.ops.iter().map(|op| op.name.as_str()).filter(|name| name.starts_with("block")).collect();
    assert_eq!(blocks, ["block2", "block4", "block5"]);
    let first: Vec<_> = network.walk()[1..5].iter().map(|op| op.name.as_str()).collect();
    assert_eq!(first, ["block2", "block2.norm", "block2.relu", "block2.conv"]);
}

/// A skip takes the gradient past every layer: a residual network has no auxiliary heads.
#[test]
fn skips_take_the_place_of_auxiliary_heads() {
    let mut network = read("depth = 12\nwidth = 8\nsupervise_every = 5\nsupervise_share = 0.3");
    edit::add_skip(&mut network, DEPTH, false).unwrap();
    assert_eq!(network, read("kind = \"residual\"\ndepth = 12\nwidth = 8\nbranch_scale = \"depth\""));
}
