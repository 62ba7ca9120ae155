//! From recipes to networks: names, fans, initialisers, losses.

#![cfg(test)]

use isogain_core::network::{Loss, Network, NormKind, OpKind, Shape};
use isogain_core::recipe::{Recipe, expand, parse};
use isogain_core::theory::{Activation, Initializer};

fn network(text: &str) -> Network {
    expand::network(&recipe(text), Shape::vector(64), 10).unwrap()
}

fn recipe(text: &str) -> Recipe {
    parse(text, "net.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn names(network: &Network) -> Vec<&str> {
    network.walk().into_iter().map(|op| op.name.as_str()).collect()
}

/// Name, fan in, fan out, initialiser and activation of each linear operation.
fn linears(network: &Network) -> Vec<(&str, usize, usize, &str, &str)> {
    network
        .linears()
        .map(|(op, l)| (op.name.as_str(), l.fan_in, l.fan_out, l.init.name(), l.activation.name()))
        .collect()
}

#[test]
fn plain_networks() {
    let network = network("[network]\ndepth = 2\nwidth = 5\ninit = \"he-normal\"\nhead_init = \"lecun-normal\"");
    assert_eq!(names(&network), ["fc1", "relu1", "fc2", "relu2", "head"]);
    assert_eq!(
        linears(&network),
        [
            ("fc1", 64, 5, "he-normal", "relu"),
            ("fc2", 5, 5, "he-normal", "relu"),
            ("head", 5, 10, "lecun-normal", "linear"),
        ]
    );
    assert_eq!((network.input.values(), network.outputs, network.loss), (64, 10, Loss::CrossEntropy));
    assert_eq!(network.head(), Some(4));
    assert_eq!(expand::parameter_count(&network), 64 * 5 + 5 + 5 * 5 + 5 + 5 * 10 + 10);
}

#[test]
fn normalised_networks_with_an_activation_after_the_head() {
    let text = "[data]\nsource = \"a.csv\"\ntask = \"regression\"\n[network]\ndepth = 1\nwidth = 5\nactivation = \"tanh\"\n\
                norm = \"batch\"\nnorm_eps = 0.1\noutput_activation = \"sigmoid\"";
    let network = network(text);
    assert_eq!(names(&network), ["fc1", "norm1", "tanh1", "head", "output"]);
    assert_eq!(network.loss, Loss::MeanSquaredError);
    let Some(OpKind::Norm(norm)) = network.op("norm1").map(|op| &op.kind) else { panic!("no norm") };
    assert_eq!((norm.norm, norm.features, norm.eps), (NormKind::Batch, 5, 0.1));
    assert_eq!(expand::parameter_count(&network), 64 * 5 + 5 + 2 * 5 + 5 * 10 + 10);
}

#[test]
fn residual_networks() {
    let text = "[network]\nkind = \"residual\"\ndepth = 5\nwidth = 8\nnorm = \"rms\"\nbranch_scale = \"depth\"\n\
                learnable_scale = true";
    let network = network(text);
    let names = names(&network);
    assert_eq!(names[..5], ["fc1", "block2", "block2.norm", "block2.relu", "block2.fc"]);
    assert_eq!(names[names.len() - 6..], ["block5", "block5.norm", "block5.relu", "block5.fc", "relu", "head"]);
    let Some(OpKind::Residual(block)) = network.op("block3").map(|op| &op.kind) else { panic!("no block") };
    assert_eq!((block.scale, block.learnable), (0.5, true), "1/sqrt(4 blocks)");
    assert_eq!(expand::parameter_count(&network), 64 * 8 + 8 + 4 * (8 + 8 * 8 + 8 + 1) + 8 * 10 + 10);
}

#[test]
fn explicit_networks() {
    let text = r#"
        [network]
        kind = "layers"
        init = "he-normal"
        head_init = "zeros"
        layers = [
            { linear = 8 },
            { residual = [{ norm = "layer" }, { activation = "relu" }, { linear = 8 }] },
            { residual = [
                { linear = 4, init = "orthogonal" },
                { activation = "tanh" },
                { activation = "relu" },
                { linear = 8 },
                { residual = [{ linear = 8 }], scale = 0.25 },
            ], learnable = true },
            { activation = { name = "leaky-relu", slope = 0.2 } },
            { activation = "relu" },
            { activation = "relu" },
            { linear = 6 },
            { linear = 10 },
            { activation = "sigmoid" },
        ]"#;
    let network = network(text);
    assert_eq!(
        names(&network),
        [
            "fc1",
            "block2",
            "block2.norm",
            "block2.relu",
            "block2.fc",
            "block3",
            "block3.fc1",
            "block3.tanh1",
            "block3.relu1",
            "block3.fc2",
            "block3.block3",
            "block3.block3.fc",
            "leaky-relu5",
            "relu5",
            "relu5-2",
            "fc6",
            "head",
            "output",
        ]
    );
    assert_eq!(
        linears(&network),
        [
            ("fc1", 64, 8, "he-normal", "relu"),
            ("block2.fc", 8, 8, "he-normal", "linear"),
            ("block3.fc1", 8, 4, "orthogonal", "tanh"),
            ("block3.fc2", 4, 8, "he-normal", "linear"),
            ("block3.block3.fc", 8, 8, "he-normal", "leaky-relu"),
            ("fc6", 8, 6, "he-normal", "linear"),
            ("head", 6, 10, "zeros", "linear"),
        ]
    );
}

#[test]
fn names_are_unique() {
    let text = format!(
        "[network]\nkind = \"layers\"\nlayers = [{{ linear = 8 }}, {}{{ linear = 10 }}]",
        "{ activation = \"relu\" }, { norm = \"rms\" }, { residual = [{ activation = \"relu\" }] }, ".repeat(40)
    );
    let network = network(&text);
    let mut names = names(&network);
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn a_listed_network_is_the_same_as_one_by_shape() {
    let shaped = network("[network]\ndepth = 2\nwidth = 5\nnorm = \"layer\"\noutput_activation = \"tanh\"");
    let layer = "{ linear = 5 }, { norm = \"layer\" }, { activation = \"relu\" }, ";
    let listed = network(&format!(
        "[network]\nkind = \"layers\"\nlayers = [{layer}{layer}{{ linear = 10 }}, {{ activation = \"tanh\" }}]"
    ));
    assert_eq!(shaped, listed);
}

#[test]
fn data_without_columns_is_refused() {
    let error = expand::network(&Recipe::default(), Shape::vector(0), 10).unwrap_err();
    assert_eq!(error.to_string(), "data.source: must have input columns, found none");
}

#[test]
fn an_initializer_without_an_answer_for_the_activation_is_refused() {
    let mut recipe = recipe("[network]\nactivation = \"softplus\"\ninit = \"he-normal\"");
    assert!(expand::network(&recipe, Shape::vector(64), 10).is_ok());
    recipe.network.init = Initializer::named("edge-of-chaos").unwrap();
    let error = expand::network(&recipe, Shape::vector(64), 10).unwrap_err().to_string();
    assert_eq!(error, "network.init = \"edge-of-chaos\": is not defined for softplus (fc1); take another one");
    recipe.network.activation = Activation::named("tanh").unwrap();
    assert!(expand::network(&recipe, Shape::vector(64), 10).is_ok());
}
