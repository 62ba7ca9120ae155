//! The changes remedies make: on a network by shape and on its explicit list they give the same network.

#![cfg(test)]

use isogain_core::network::{Network, NormKind, Op, OpKind, Shape};
use isogain_core::recipe::edit::{self, CannotApply};
use isogain_core::recipe::{BranchScale, NamedScale, NetworkKind, NetworkRecipe, Recipe, expand, parse, validate};
use isogain_core::theory::{Activation, Initializer};

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
    expand::network(&recipe, &Shape::vector(64), 10).unwrap()
}

/// What the operations do, without their names, which differ where a list numbers what a shape does not.
fn anonymous(network: &NetworkRecipe) -> Vec<String> {
    let kind = |op: &Op| match &op.kind {
        OpKind::Residual(block) => format!("{} {} {}", block.scale, block.learnable, block.branch.len()),
        other => format!("{other:?}"),
    };
    expanded(network).walk().into_iter().map(kind).collect()
}

type Change = fn(&mut NetworkRecipe) -> Result<(), CannotApply>;

#[test]
fn a_shape_and_its_list_change_alike() {
    let changes: [(&str, Change); 8] = [
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
    for (network, change, why) in cases {
        let mut changed = network.clone();
        let error = change(&mut changed).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert_eq!(&changed, network, "{why}");
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
