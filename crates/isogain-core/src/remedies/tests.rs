use std::collections::BTreeSet;
use std::path::Path;

use super::prediction::{Expectation, Prediction};
use super::prescriptions::{MOST, prescriptions};
use super::{Prescription, TABLE, named};
use crate::network::Shape;
use crate::recipe::{BranchScale, Level, NetworkKind, OptimizerName};
use crate::recipe::{Recipe, edit, parse, to_toml};
use crate::rules::fixture::Bench;
use crate::rules::{self, Finding};

/// Headings of a page, in order.
const SECTIONS: [&str; 7] =
    ["What it does", "Formula", "When it helps", "When it hurts", "In a recipe", "In PyTorch", "References"];

fn network(depth: usize, activation: &str, rest: &str) -> String {
    format!("[network]\nkind = \"mlp\"\ndepth = {depth}\nwidth = 64\nactivation = \"{activation}\"\n{rest}\n")
}

fn plain(depth: usize, activation: &str, init: &str) -> Bench {
    Bench::new(&network(depth, activation, &format!("init = {init}")))
}

fn prescribe(remedy: &str, bench: &Bench) -> Vec<Prescription> {
    (named(remedy).unwrap().prescribe)(&bench.case(), &bench.recipe)
}

fn parameters(remedy: &str, bench: &Bench) -> Vec<String> {
    prescribe(remedy, bench).into_iter().map(|prescription| prescription.parameters).collect()
}

#[test]
fn the_table_is_the_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remedies");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".md").map(str::to_owned))
        .collect();
    let table: BTreeSet<String> = TABLE.iter().map(|remedy| remedy.name.to_owned()).collect();
    assert_eq!(table, pages);
    assert_eq!(table.len(), TABLE.len());
}

#[test]
fn every_remedy_that_a_rule_names_exists() {
    for rule in rules::TABLE {
        let section = rule.page.split("## Remedies").nth(1).unwrap_or_default();
        let section = section.split("\n## ").next().unwrap_or_default();
        for name in section.split('`').skip(1).step_by(2).filter(|name| name.contains('-')) {
            let is_rule = rules::TABLE.iter().any(|other| other.name == name);
            let is_code = name.contains([' ', '=', '_', '"', '.']);
            assert!(named(name).is_some() || is_rule || is_code, "{}: `{name}` is no remedy", rule.name);
        }
    }
}

#[test]
fn every_page_has_its_sections_and_recipes_that_parse() {
    for remedy in TABLE {
        let page = remedy.page;
        assert!(page.starts_with(&format!("# {}: ", remedy.name)), "{}", remedy.name);
        let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, SECTIONS, "{}", remedy.name);
        for block in page.split("```toml").skip(1) {
            let text = block.split_once('\n').unwrap().1.split("```").next().unwrap();
            // What a snippet leaves out is the default.
            let whole = if text.contains("[network]") { text.to_owned() } else { format!("{text}\n[network]\n") };
            parse(&whole, remedy.name).unwrap_or_else(|error| panic!("{}: {error}", remedy.name));
        }
        assert_eq!(page.matches("```toml reference\n").count(), 1, "{}", remedy.name);
        assert!(page.contains("```python\n"), "{}", remedy.name);
        assert!(!remedy.summary.is_empty() && !remedy.summary.ends_with('.'), "{}", remedy.name);
    }
}

/// The shape of a sample of a recipe's data, as far as these pages' recipes go.
fn input_of(recipe: &Recipe) -> Shape {
    match recipe.data.source.as_str() {
        "adding" => Shape::sequence(recipe.data.length, 2),
        "temporal-order" => Shape::sequence(recipe.data.length, 6),
        _ if recipe.network.kind == NetworkKind::Convnet => Shape::image(8, 8, 1),
        _ => Shape::vector(64),
    }
}

/// The reference recipe as far as the core's own engine runs it: no dropout, whose noise it does not draw.
fn measured(recipe: &Recipe) -> Bench {
    let mut plain = recipe.clone();
    plain.network.dropout = 0.0;
    Bench::new(&to_toml(&plain))
}

/// The remedy applies to its own reference recipe, and what it prescribes can be written, read and expanded.
#[test]
fn every_remedy_treats_its_reference_recipe() {
    for remedy in TABLE {
        let recipe = parse(super::reference_recipe(remedy), remedy.name).unwrap();
        // The core's own engine runs no recurrent layers and no attention; their remedies read the recipe alone.
        let input = input_of(&recipe);
        let bench = if input.grid.is_empty() { measured(&recipe) } else { Bench::new("[network]\n") };
        let variants = (remedy.prescribe)(&bench.case(), &recipe);
        assert!(!variants.is_empty(), "{}", remedy.name);
        for variant in variants {
            assert_eq!(variant.remedies, [remedy.name]);
            assert_ne!(variant.recipe, recipe, "{}: {}", remedy.name, variant.parameters);
            let text = to_toml(&variant.recipe);
            assert_eq!(parse(&text, "treated").unwrap(), variant.recipe, "{}: {}", remedy.name, variant.parameters);
            crate::recipe::expand::network(&variant.recipe, input.clone(), 10).unwrap();
        }
    }
}

/// Of every remedy on the networks of all pages that the core's own engine runs.
#[test]
fn what_is_prescribed_reads_back_as_the_same_recipe() {
    let mut prescribed = 0;
    for page in TABLE {
        let recipe = parse(super::reference_recipe(page), page.name).unwrap();
        let input = input_of(&recipe);
        if !input.grid.is_empty() {
            continue;
        }
        let bench = measured(&recipe);
        for variant in TABLE.iter().flat_map(|remedy| (remedy.prescribe)(&bench.case(), &recipe)) {
            let told = format!("{:?} on the network of {}: {}", variant.remedies, page.name, variant.parameters);
            let read = parse(&to_toml(&variant.recipe), "treated").unwrap_or_else(|error| panic!("{told}: {error}"));
            assert_eq!(read, variant.recipe, "{told}");
            crate::recipe::expand::network(&read, input.clone(), 10).unwrap_or_else(|error| panic!("{told}: {error}"));
            prescribed += 1;
        }
    }
    assert!(prescribed > 200, "{prescribed}");
}

#[test]
fn norms_move_into_the_branches_and_to_both_ends() {
    let bench = Bench::new("[network]\ndepth = 2\nwidth = 8\n");
    let ask = |text: &str| {
        let recipe = parse(&format!("[network]\nkind = \"transformer\"\n{text}"), "test").unwrap();
        let variants = (named("move-norm").unwrap().prescribe)(&bench.case(), &recipe);
        for variant in &variants {
            assert_eq!(parse(&to_toml(&variant.recipe), "treated").unwrap(), variant.recipe, "{text}");
        }
        variants.into_iter().map(|variant| variant.parameters).collect::<Vec<_>>()
    };
    let (pre, sandwich) = ("norm_placement = pre", "norm_placement = sandwich");
    assert_eq!(ask("norm_placement = \"post\"\nresidual_init = \"depth\""), [pre]);
    assert_eq!(ask("residual_init = \"depth\""), [sandwich]);
    for other in
        ["norm_placement = \"sandwich\"", "norm_placement = \"sub\"", "norm_placement = \"deepnorm\"", "fixup = true"]
    {
        assert!(ask(other).is_empty(), "{other}");
    }
}

/// Heads in between help deep plain stacks whose signal arrives, and those alone.
#[test]
fn layers_are_supervised_where_samples_can_be_told_apart() {
    let variants = |network: &str| parameters("supervise-layers", &Bench::new(&format!("[network]\n{network}\n")));
    let every_fifth = ["supervise_every = 5"];
    assert_eq!(variants("depth = 30\ninit = \"he-normal\""), every_fifth);
    assert_eq!(variants("depth = 30\ninit = \"he-normal\"\nactivation = \"gelu\""), every_fifth);
    // Small activations still differ between samples; a bias that outgrows them hides that.
    assert_eq!(variants("depth = 30\ninit = \"glorot-normal\""), every_fifth);
    for none in [
        "depth = 30",
        "depth = 30\nactivation = \"sigmoid\"\ninit = \"glorot-normal\"",
        "depth = 5\ninit = \"he-normal\"",
        "depth = 30\ninit = \"he-normal\"\nsupervise_every = 10",
        "kind = \"residual\"\ndepth = 30\ninit = \"he-normal\"",
    ] {
        assert!(variants(none).is_empty(), "{none}");
    }
}

/// Gated cells, orthogonal weights, an antisymmetric, a diagonal and an oscillating recurrence have no use for the penalty of a plain
/// one, nor for one another; and it is not prescribed where it is idle.
#[test]
fn a_penalty_goes_where_it_would_have_no_effect() {
    let bench = Bench::new("[network]\ndepth = 2\nwidth = 8\n");
    let ask = |name: &str, text: &str| {
        let recipe = parse(&format!("[data]\nsource = \"adding\"\ntask = \"regression\"\n{text}"), "test").unwrap();
        (named(name).unwrap().prescribe)(&bench.case(), &recipe)
    };
    let penalised = "[network]\nkind = \"rnn\"\nvanishing_penalty = 2.0\n";
    let antisymmetric = "[network]\nkind = \"rnn\"\nantisymmetric_step = 0.1\n";
    let orthogonal = "[network]\nkind = \"rnn\"\nweight_norm = \"orthogonal\"\n";
    let diagonal = "[network]\nkind = \"rnn\"\nactivation = \"relu\"\ndiagonal = true\n";
    let swinging = "[network]\nkind = \"rnn\"\noscillator = { step = 0.2 }\n";
    let gated = "[network]\nkind = \"lstm\"\nhidden_init = \"orthogonal\"\nforget_bias = \"chrono\"\n";
    for (name, texts) in [
        ("gated-cell", vec![penalised, antisymmetric, diagonal, swinging]),
        ("keep-orthogonal", vec![penalised, antisymmetric]),
        ("antisymmetric-recurrence", vec![penalised, orthogonal, swinging]),
        ("oscillator-recurrence", vec![penalised, orthogonal, antisymmetric]),
        ("diagonal-recurrence", vec![penalised, orthogonal, antisymmetric, gated, swinging]),
    ] {
        for text in texts {
            let variants = ask(name, text);
            assert!(!variants.is_empty(), "{name}: {text}");
            for variant in variants {
                assert_eq!(variant.recipe.network.vanishing_penalty, None);
                assert_eq!(parse(&to_toml(&variant.recipe), "treated").unwrap(), variant.recipe);
            }
        }
    }
    assert!(ask("antisymmetric-recurrence", antisymmetric).is_empty());
    // Where no weights go from state to state none are kept, started or penalised, and where they only couple neither.
    for name in
        ["diagonal-recurrence", "antisymmetric-recurrence", "hidden-init", "keep-orthogonal", "oscillator-recurrence"]
    {
        assert!(ask(name, diagonal).is_empty(), "{name}");
    }
    for name in ["oscillator-recurrence", "hidden-init", "keep-orthogonal"] {
        assert!(ask(name, swinging).is_empty(), "{name}");
    }
    // Its start is not that of weights which carry a state.
    let identity = "[network]\nkind = \"rnn\"\nactivation = \"relu\"\nhidden_init = \"identity\"\n";
    assert!(ask("oscillator-recurrence", identity).iter().all(|one| one.recipe.network.hidden_init.is_none()));
    assert!(ask("diagonal-recurrence", "[network]\ndepth = 2\n").is_empty());
    assert_eq!(ask("penalise-vanishing", "[network]\nkind = \"rnn\"\n").len(), 2);
    for idle in [
        penalised,
        "[network]\nkind = \"lstm\"\n",
        orthogonal,
        antisymmetric,
        diagonal,
        swinging,
        "[network]\nkind = \"rnn\"\n[run]\nprecision = \"fp16\"\n",
    ] {
        assert!(ask("penalise-vanishing", idle).is_empty(), "{idle}");
    }
}

#[test]
fn the_scale_that_fits_the_activation_comes_first() {
    let first = |activation: &str| parameters("rescale-init", &plain(30, activation, "\"pytorch-default\""))[0].clone();
    assert_eq!(first("relu"), "init = he-normal");
    assert_eq!(first("leaky-relu"), "init = he-normal");
    assert_eq!(first("tanh"), "init = edge-of-chaos");
    assert_eq!(first("gelu"), "init = edge-of-chaos");
    assert_eq!(first("silu"), "init = edge-of-chaos");
    // Against the critical sw2 = 1.76: 2 is slightly chaotic, 1 lets the signal decay like 1/sqrt(2n), 2.54 is the
    // forward gain at q = 1 and chaotic.
    let tanh = parameters("rescale-init", &plain(30, "tanh", "\"pytorch-default\""));
    assert_eq!(tanh[1..], ["init = he-normal", "init = glorot-normal", "init = quadrature-gain"]);
    // For ReLU He, quadrature gain and edge of chaos are one scale; Glorot and LeCun are one for equal widths.
    let relu = parameters("rescale-init", &plain(30, "relu", "\"pytorch-default\""));
    assert_eq!(relu, ["init = he-normal", "init = glorot-normal"]);
    assert!(!parameters("rescale-init", &plain(30, "relu", "\"he-normal\"")).contains(&"init = he-normal".to_owned()));
}

#[test]
fn the_orthogonal_gain_fits_the_activation() {
    let relu = parameters("orthogonal-init", &plain(30, "relu", "\"pytorch-default\""));
    assert_eq!(relu, ["init = orthogonal(gain = 1.4142)"]);
    let selu = parameters("orthogonal-init", &plain(30, "selu", "\"pytorch-default\""));
    assert_eq!(selu.len(), 1);
    // tanh at q = 0.01: sw2 = 1.01971076 (L = 100).
    let tanh = parameters("orthogonal-init", &plain(100, "tanh", "\"pytorch-default\""));
    assert_eq!(tanh, [format!("init = orthogonal(gain = {:.4})", 1.01971076_f64.sqrt())]);
}

#[test]
fn the_tailored_slope_is_the_one_for_the_depth() {
    // Zhang et al. 2022 at eta = 0.9: 0.18138028 for 20 layers, 0.43052295 for 50.
    for (depth, slope) in [(20, "0.18138"), (50, "0.43052")] {
        let variants = parameters("swap-activation", &plain(depth, "relu", "\"pytorch-default\""));
        assert!(variants[0].starts_with(&format!("activation = tailored-relu(slope = {slope})")), "{variants:?}");
        assert!(!variants.iter().any(|variant| variant.contains("activation = relu")));
    }
    // The initialiser is the one for the new activation.
    let variants = parameters("swap-activation", &plain(20, "sigmoid", "\"pytorch-default\""));
    assert!(variants.contains(&"activation = tanh, init = edge-of-chaos".to_owned()), "{variants:?}");
    assert!(variants.contains(&"activation = relu, init = he-normal".to_owned()), "{variants:?}");
    assert!(variants.contains(&"activation = selu, init = edge-of-chaos".to_owned()), "{variants:?}");
}

#[test]
fn an_output_activation_is_taken_away_first() {
    let bench = Bench::new(&network(3, "relu", "output_activation = \"sigmoid\""));
    assert_eq!(parameters("swap-activation", &bench)[0], "output_activation = none");
}

#[test]
fn the_loss_is_swapped_where_a_bounded_output_squares_its_error_against_classes() {
    let losses = |data: &str, output: &str| {
        let text = format!("[data]\n{data}\n[network]\ndepth = 2\nwidth = 16\noutput_activation = \"{output}\"\n");
        parameters("swap-loss", &Bench::new(&text))
    };
    let named = |loss: &str| format!("loss = {loss}, output_activation = none");
    let squared = "loss = \"mean-squared-error\"";
    assert_eq!(losses(squared, "softmax"), [named("cross-entropy")]);
    assert_eq!(losses(squared, "sigmoid"), [named("binary-cross-entropy"), named("cross-entropy")]);
    assert_eq!(losses(squared, "leaky-relu"), [] as [&str; 0]);
    assert_eq!(losses("loss = \"cross-entropy\"", "softmax"), [] as [&str; 0]);
    assert_eq!(losses("task = \"regression\"", "sigmoid"), [] as [&str; 0]);
}

/// Where neither would keep what the network has, it is not prescribed.
#[test]
fn gates_and_dense_connections_keep_groups_and_pairs() {
    let given = |remedy: &str, more: &str| {
        let text = format!("[network]\ndepth = 20\nwidth = 64\n{more}\n");
        parameters(remedy, &Bench::new(&text))
    };
    assert_eq!(given("add-gated-skip", ""), ["gate_bias = -3.0"]);
    assert_eq!(given("connect-densely", ""), ["growth = 8"]);
    assert_eq!(given("connect-densely", "norm = \"group\"\nnorm_groups = 16"), ["growth = 16"]);
    for remedy in ["add-gated-skip", "connect-densely"] {
        assert!(given(remedy, "init = \"looks-linear\"").is_empty(), "{remedy}");
        assert!(given(remedy, "init = \"he-normal\"\nhead_init = \"looks-linear\"").is_empty(), "{remedy}");
        assert!(given(remedy, "kind = \"residual\"").is_empty(), "{remedy}");
    }
    for joined in ["gate_bias = -1.0", "growth = 8"] {
        let bench = Bench::new(&format!("[network]\nkind = \"residual\"\ndepth = 8\nwidth = 16\n{joined}\n"));
        for remedy in ["looks-linear-init", "scale-branches", "drop-branches", "fixup-init", "add-skip"] {
            assert!(parameters(remedy, &bench).is_empty(), "{remedy} {joined}");
        }
    }
}

/// One branch for a sample on average, or four; less where a factor makes the branches smaller.
#[test]
fn branches_are_dropped_where_their_sum_grows() {
    let bench = plain(2, "relu", "\"he-normal\"");
    let treated = |network: &str| {
        let recipe = parse(&format!("[network]\n{network}\n"), "net.toml").unwrap();
        (named("drop-branches").unwrap().prescribe)(&bench.case(), &recipe)
    };
    let given =
        |network: &str| -> Vec<String> { treated(network).into_iter().map(|variant| variant.parameters).collect() };
    let residual = "kind = \"residual\"\ndepth = 21\ninit = \"he-normal\"\n";
    assert_eq!(given(residual), ["stochastic_depth = 0.95", "stochastic_depth = 0.8"]);
    assert_eq!(given(&format!("{residual}branch_scale = 0.5")), ["stochastic_depth = 0.8", "stochastic_depth = 0.2"]);
    let has_nothing_to_drop = [
        "depth = 20",
        "kind = \"residual\"\ndepth = 2",
        &format!("{residual}branch_scale = \"depth\""),
        &format!("{residual}norm = \"layer\""),
        &format!("{residual}stochastic_depth = 0.1"),
    ];
    for network in has_nothing_to_drop {
        assert!(given(network).is_empty(), "{network}");
    }
    let block = "{ residual = [{ activation = \"relu\" }, { linear = 16 }] }";
    let list = format!("[{{ linear = 16 }}, {block}, {block}, {block}, {{ linear = 10 }}]");
    let list = format!("kind = \"layers\"\nlayers = {list}");
    assert_eq!(given(&list), ["stochastic_depth = 0.667"]);
    assert_eq!(to_toml(&treated(&list)[0].recipe).matches("{ stochastic_depth = 0.667 }").count(), 3);
}

#[test]
fn skips_are_added_or_scaled() {
    let bench = plain(30, "relu", "\"he-normal\"");
    assert_eq!(prescribe("add-skip", &bench).len(), 3);
    assert!(prescribe("add-skip", &bench).iter().all(|variant| edit::has_skip(&variant.recipe.network)));
    let residual = Bench::new("[network]\nkind = \"residual\"\ndepth = 8\nwidth = 16\ninit = \"he-normal\"\n");
    assert!(prescribe("add-skip", &residual).is_empty());
    assert!(prescribe("scale-branches", &bench).is_empty());
    let variants = parameters("scale-branches", &residual);
    let per_channel = "branch_scale = 0.1, learnable_scale = true, scale_per_channel = true";
    assert_eq!(variants, ["branch_scale = depth", "branch_scale = 0.0, learnable_scale = true", per_channel]);
    // The published starts: 0.1 to 18 blocks, 1e-5 to 24, 1e-6 beyond; a transformer's block has two branches.
    let start = |network: &str| {
        let recipe = parse(&format!("[network]\n{network}\n"), "net.toml").unwrap();
        (named("scale-branches").unwrap().prescribe)(&bench.case(), &recipe)[2].recipe.network.branch_scale
    };
    let number = BranchScale::Number;
    assert_eq!(start("kind = \"residual\"\ndepth = 24"), number(1e-5));
    assert_eq!(start("kind = \"residual\"\ndepth = 100"), number(1e-6));
    assert_eq!(start("kind = \"transformer\"\ndepth = 18"), number(0.1));
    assert_eq!(start("kind = \"resnet\"\ndepth = 62"), number(1e-6));
}

/// The gradient of a plain network grows by sqrt(E phi'^2 / Var phi) per layer: 1.211 for ReLU, 1.085 for tanh.
#[test]
fn weights_are_standardised_where_the_gradient_stands_it() {
    let given = |depth: usize, activation: &str| {
        parameters("standardise-weights", &plain(depth, activation, "\"pytorch-default\""))
    };
    assert_eq!(given(30, "tanh"), ["weight_norm = standardised"]);
    assert_eq!(given(10, "relu"), ["weight_norm = standardised"]);
    assert!(given(30, "relu").is_empty());
    assert!(given(60, "tanh").is_empty());
    let skips = Bench::new("[network]\nkind = \"residual\"\ndepth = 30\nwidth = 16\n");
    assert_eq!(parameters("standardise-weights", &skips).len(), 1);
    let normed = Bench::new(&network(5, "tanh", "norm = \"layer\""));
    assert!(parameters("standardise-weights", &normed).is_empty());
}

/// One name for what divides weights by their largest singular value where positions are compared, and one where they are not.
#[test]
fn a_transformers_weights_are_divided_beside_its_norms() {
    let given = |text: &str| {
        let recipe =
            parse(&format!("[data]\nsource = \"temporal-order\"\nlength = 8\n[network]\n{text}\n"), "net.toml")
                .unwrap();
        let mut bench = plain(5, "tanh", "\"pytorch-default\"");
        bench.network = crate::recipe::expand::network(&recipe, Shape::sequence(8, 6), 4).unwrap();
        let names = ["sigma-reparam", "spectral-norm"];
        let found = names.map(|name| (named(name).unwrap().prescribe)(&bench.case(), &recipe));
        found
            .into_iter()
            .flatten()
            .map(|variant| {
                assert_eq!(parse(&to_toml(&variant.recipe), "treated").unwrap(), variant.recipe);
                variant.remedies.concat()
            })
            .collect::<Vec<String>>()
    };
    let attending =
        "kind = \"layers\"\nlayers = [{ linear = 8 }, { attention = 2 }, { pool = \"mean\" }, { linear = 4 }]";
    for text in ["kind = \"transformer\"", "kind = \"transformer\"\nnorm_placement = \"post\"", attending] {
        assert_eq!(given(text), ["sigma-reparam"], "{text}");
    }
    for text in ["norm_placement = \"deepnorm\"", "fixup = true", "weight_norm = \"spectral\""] {
        assert!(given(&format!("kind = \"transformer\"\n{text}")).is_empty(), "{text}");
    }
    assert_eq!(given("depth = 3"), ["spectral-norm"]);
    assert!(given("depth = 3\nnorm = \"layer\"").is_empty());
}

/// A gated state is multiplied by its gates; and through layers that differ an orthogonal start does as much.
#[test]
fn matrices_are_kept_orthogonal_where_the_same_one_acts_at_every_step() {
    let mut bench = plain(5, "tanh", "\"pytorch-default\"");
    assert!(prescribe("keep-orthogonal", &bench).is_empty());
    let given = |bench: &Bench, network: &str| {
        let recipe = parse(&format!("[network]\n{network}\n"), "net.toml").unwrap();
        let found = (named("keep-orthogonal").unwrap().prescribe)(&bench.case(), &recipe);
        found.into_iter().map(|variant| variant.parameters).collect::<Vec<String>>()
    };
    assert_eq!(given(&bench, "kind = \"rnn\""), ["weight_norm = orthogonal"]);
    for network in [
        "kind = \"rnn\"\nweight_norm = \"orthogonal\"",
        "kind = \"lstm\"",
        "kind = \"gru\"",
        "kind = \"transformer\"",
        "depth = 5",
    ] {
        assert!(given(&bench, network).is_empty(), "{network}");
    }
    // A recurrent layer in a list, or in a model of another framework.
    let listed =
        "kind = \"layers\"\nlayers = [{ recurrent = \"rnn\", units = 8 }, { pool = \"last\" }, { linear = 3 }]";
    for (kind, variants) in [("rnn", 1), ("gru", 0)] {
        let listed = listed.replace("\"rnn\"", &format!("\"{kind}\""));
        let recipe = parse(&format!("[network]\n{listed}\n"), "net.toml").unwrap();
        bench.network = crate::recipe::expand::network(&recipe, Shape::sequence(6, 2), 3).unwrap();
        assert_eq!(given(&bench, &listed).len(), variants, "{kind}");
    }
}

#[test]
fn batch_norm_is_not_for_small_batches_and_layer_norm_replaces_it_there() {
    let small = Bench::new(&format!("[data]\nbatch = 4\n\n{}", network(5, "relu", "")));
    assert!(prescribe("insert-batch-norm", &small).is_empty());
    assert_eq!(parameters("insert-layer-norm", &small), ["norm = layer"]);
    let normed = Bench::new(&format!("[data]\nbatch = 4\n\n{}", network(5, "relu", "norm = \"batch\"")));
    assert_eq!(parameters("insert-layer-norm", &normed), ["norm = layer"]);
    let listed = "[data]\nbatch = 4\n\n[network]\nkind = \"layers\"\nlayers = [{ linear = 16 }, { norm = \"batch\" }, \
                  { activation = \"relu\" }, { linear = 10 }]\n";
    let treated = prescribe("insert-layer-norm", &Bench::new(listed));
    assert_eq!(treated.len(), 1);
    assert_eq!(treated[0].recipe.network.layers[1].norm, Some(crate::network::NormKind::Layer));
    assert!(prescribe("insert-layer-norm", &Bench::new(&network(5, "relu", "norm = \"layer\""))).is_empty());
}

#[test]
fn only_a_large_gradient_is_clipped_at_a_measured_norm() {
    for kind in ["clip-by-global-norm", "clip-by-norm", "clip-by-value"] {
        assert!(prescribe(kind, &plain(5, "relu", "\"he-normal\"")).is_empty(), "{kind}");
        let exploding = plain(12, "relu", "{ name = \"normal\", weight_variance = 8.0 }");
        assert_eq!(prescribe(kind, &exploding).len(), 1, "{kind}");
    }
    let exploding = plain(12, "relu", "{ name = \"normal\", weight_variance = 8.0 }");
    let weights: f64 = exploding.start.parameters.iter().map(|p| p.weight.norm().powi(2)).sum::<f64>().sqrt();
    let threshold = prescribe("clip-by-global-norm", &exploding)[0].recipe.clip.threshold;
    let expected = 0.01 * weights / exploding.recipe.optimizer.learning_rate;
    assert!((threshold / expected - 1.0).abs() < 0.05, "{threshold} {expected}");
    // A gradient that is not finite cannot be clipped.
    let mut broken = exploding;
    broken.start.parameters[0].gradient.non_finite = 1;
    assert!(prescribe("clip-by-global-norm", &broken).is_empty());
}

#[test]
fn eps_matters_to_adam_with_a_vanishing_gradient_only() {
    let adam = "\n[optimizer]\nname = \"adam\"\nlearning_rate = 0.001\n";
    let vanishing = network(30, "relu", "init = \"pytorch-default\"");
    let healthy = network(5, "relu", "init = \"he-normal\"");
    assert_eq!(parameters("smaller-eps", &Bench::new(&format!("{vanishing}{adam}"))), ["eps = 1e-30"]);
    assert!(prescribe("smaller-eps", &Bench::new(&format!("{healthy}{adam}"))).is_empty());
    assert!(prescribe("smaller-eps", &Bench::new(&vanishing)).is_empty());
}

#[test]
fn steps_get_a_size_of_their_own_where_theirs_differ() {
    let vanishing = network(30, "relu", "init = \"pytorch-default\"");
    let with = |optimizer: &str| Bench::new(&format!("{vanishing}\n[optimizer]\n{optimizer}\n"));
    let of = |bench: &Bench| ["normalise-updates", "orthogonalise-updates"].map(|remedy| parameters(remedy, bench));
    let [part, sign, muon] = ["trust_ratio = true", "optimizer = sign-sgd", "optimizer = muon"].map(str::to_owned);
    assert_eq!(of(&with("name = \"sgd\"")), [vec![part.clone(), sign], vec![muon.clone()]]);
    // Adam's eps is above the gradients of the first layers; 1e-30 is not.
    assert_eq!(of(&with("name = \"adam\"\nlearning_rate = 0.001")), [vec![part], vec![muon]]);
    let none: [Vec<String>; 2] = [vec![], vec![]];
    assert_eq!(of(&with("name = \"adam\"\nlearning_rate = 0.001\neps = 1e-30")), none);
    assert_eq!(of(&with("name = \"muon\"")), none);
    assert_eq!(of(&plain(5, "relu", "\"he-normal\"")), none);
    // A network of one layer and a head has no matrix between layers but the head's.
    let shallow = Bench::new(&format!("{}\n[optimizer]\nlearning_rate = 1e-9\n", network(1, "relu", "")));
    assert_eq!(of(&shallow)[1], none[1]);
    assert_eq!(of(&shallow)[0].len(), 2);
}

/// What AdamW moves beside the hidden matrices is moved as it was; what Muon has no use for goes.
#[test]
fn settings_that_muon_has_are_kept() {
    let vanishing = network(30, "relu", "init = \"pytorch-default\"");
    let settings = "name = \"adamw\"\nlearning_rate = 0.002\nbetas = [0.8, 0.99]\neps = 1e-7\nweight_decay = 0.03\nclip_update = true";
    let bench = Bench::new(&format!("{vanishing}\n[optimizer]\n{settings}\n"));
    let found = &prescribe("orthogonalise-updates", &bench)[0].recipe.optimizer;
    assert_eq!((found.name, found.learning_rate, found.weight_decay), (OptimizerName::Muon, 0.002, 0.03));
    assert_eq!((found.betas, found.eps, found.momentum, found.clip_update), ([0.8, 0.99], 1e-7, 0.95, false));
    let momentum = Bench::new(&format!("{vanishing}\n[optimizer]\nname = \"nesterov\"\nmomentum = 0.7\n"));
    let sign = &prescribe("normalise-updates", &momentum)[1].recipe.optimizer;
    assert_eq!((sign.name, sign.momentum), (OptimizerName::SignSgd, 0.7));
}

#[test]
fn inputs_and_targets_are_scaled_together_first() {
    let bench = Bench::new(&format!(
        "[data]\nsource = \"x.csv\"\ntask = \"regression\"\nstandardize = false\nstandardize_target = false\n\n{}",
        network(3, "relu", "")
    ));
    let variants = parameters("scale-input", &bench);
    assert_eq!(
        variants,
        ["standardize = true, standardize_target = true", "standardize = true", "standardize_target = true",]
    );
    assert!(prescribe("scale-input", &plain(3, "relu", "\"he-normal\"")).is_empty());
}

#[test]
fn learning_rates_are_those_of_the_untreated_search() {
    let bench = plain(3, "relu", "\"he-normal\"");
    let grid = crate::trial::learning_rates::grid(bench.recipe.optimizer.learning_rate);
    let variants = prescribe("change-learning-rate", &bench);
    assert_eq!(variants.len(), grid.len() - 1);
    assert!(variants.iter().all(|variant| grid.contains(&variant.recipe.optimizer.learning_rate)));
    assert_eq!(variants[0].parameters, "learning_rate = 0.01");
}

fn finding(remedies: &[&str]) -> Finding {
    Finding {
        rule: "vanishing-gradient".into(),
        level: Level::Deny,
        layers: ["fc1".into(), "fc30".into()],
        step: 0,
        message: String::new(),
        evidence: Vec::new(),
        causes: Vec::new(),
        theory: None,
        remedies: remedies.iter().map(|name| (*name).to_owned()).collect(),
        consequences: Vec::new(),
    }
}

#[test]
fn prescriptions_begin_with_what_the_findings_name() {
    let bench = plain(30, "relu", "\"pytorch-default\"");
    let findings = [finding(&["add-skip", "lsuv-init"]), finding(&["rescale-init"])];
    let all = prescriptions(&bench.case(), &bench.recipe, &findings, |_| true);
    let singles: Vec<&str> =
        all.iter().filter(|p| p.remedies.len() == 1).map(|prescription| prescription.remedies[0].as_str()).collect();
    assert_eq!(singles[..6], ["add-skip", "add-skip", "add-skip", "lsuv-init", "rescale-init", "rescale-init"]);
    assert!(all.len() <= MOST);
    assert!(all.iter().any(|prescription| prescription.remedies == ["rescale-init", "add-skip"]));
    assert!(all.iter().any(|prescription| prescription.remedies == ["rescale-init", "insert-batch-norm"]));
    for (index, prescription) in all.iter().enumerate() {
        assert_ne!(prescription.recipe, bench.recipe);
        assert!(all[..index].iter().all(|earlier| earlier.recipe != prescription.recipe), "{prescription:?}");
        crate::recipe::expand::network(&prescription.recipe, Shape::vector(64), 10).unwrap();
    }
    assert_eq!(all, prescriptions(&bench.case(), &bench.recipe, &findings, |_| true));

    // What is refused leaves its place to others.
    let is_wanted = |prescription: &Prescription| prescription.remedies != ["add-skip"];
    let others = prescriptions(&bench.case(), &bench.recipe, &findings, is_wanted);
    assert!(all.len() == MOST && others.len() == MOST && others.iter().all(is_wanted));
    let kept = all.iter().filter(|prescription| is_wanted(prescription));
    assert!(kept.clone().count() < MOST && kept.clone().all(|prescription| others.contains(prescription)));
}

/// Three illnesses that do not follow from one another: one remedy for each, together.
#[test]
fn several_causes_are_answered_together() {
    let bench = plain(30, "relu", "\"pytorch-default\"");
    let findings = [
        finding(&["rescale-init"]),
        finding(&["smaller-eps", "add-skip"]),
        finding(&["change-learning-rate", "insert-layer-norm"]),
    ];
    let all = prescriptions(&bench.case(), &bench.recipe, &findings, |_| true);
    let three: Vec<&Prescription> = all.iter().filter(|prescription| prescription.remedies.len() == 3).collect();
    // Eps is no matter to SGD, and the rate is searched anyway, so that the next remedies are taken.
    assert_eq!(three.len(), 2);
    for prescription in three {
        assert_eq!(prescription.remedies, ["rescale-init", "add-skip", "insert-layer-norm"]);
        assert_eq!(prescription.parameters.matches("; ").count(), 2);
        assert_eq!(parse(&to_toml(&prescription.recipe), "t").unwrap(), prescription.recipe);
    }
    // One cause alone asks for no such thing, and a remark is no cause.
    let remark = Finding { level: Level::Note, ..finding(&["add-skip"]) };
    let one = prescriptions(&bench.case(), &bench.recipe, &[finding(&["rescale-init"]), remark], |_| true);
    assert!(one.iter().all(|prescription| prescription.remedies.len() < 3));
}

#[test]
fn remedies_work_on_an_explicit_list_of_layers() {
    let mut layers = String::new();
    for _ in 0..12 {
        layers += "{ linear = 64 }, { activation = \"relu\" }, ";
    }
    let bench = Bench::new(&format!("[network]\nkind = \"layers\"\nlayers = [{layers}{{ linear = 10 }}]\n"));
    let all = prescriptions(&bench.case(), &bench.recipe, &[], |_| true);
    for name in ["rescale-init", "add-skip", "insert-batch-norm", "insert-layer-norm", "swap-activation", "lsuv-init"] {
        assert!(all.iter().any(|prescription| prescription.remedies == [name]), "{name}");
    }
}

fn predicted(bench: &Bench) -> Prediction {
    let expectation = Expectation {
        learning_rate: bench.recipe.optimizer.learning_rate,
        learning_rate_ceiling: None,
        trainable_depth: None,
        rehearsal_rise: None,
        potential: None,
    };
    Prediction::new(&bench.start, &expectation)
}

fn prediction(recipe: &Recipe) -> Prediction {
    predicted(&Bench::new(&to_toml(recipe)))
}

/// Thirty layers of width 64 that are known to train or not (see the rules' pages): the score orders them.
#[test]
fn the_score_separates_what_trains_from_what_does_not() {
    let of = |activation: &str, rest: &str| prediction(&parse(&network(30, activation, rest), "t").unwrap());
    let residual = |rest: &str| {
        prediction(&parse(&format!("[network]\nkind = \"residual\"\ndepth = 30\nwidth = 64\n{rest}\n"), "t").unwrap())
    };
    let trains = [
        ("he", of("relu", "init = \"he-normal\"")),
        ("tanh glorot", of("tanh", "init = \"glorot-normal\"")),
        ("tanh edge of chaos", of("tanh", "init = \"edge-of-chaos\"")),
        ("batch norm", of("relu", "init = \"glorot-normal\"\nnorm = \"batch\"")),
        ("1/sqrt(L)", residual("init = \"he-normal\"\nbranch_scale = \"depth\"")),
        ("fixup", residual("init = \"he-normal\"\nfixup = true\nlearnable_scale = true")),
        ("zero skip", residual("init = \"he-normal\"\nbranch_scale = 0.0\nlearnable_scale = true")),
    ];
    let stuck = [
        ("default", of("relu", "init = \"pytorch-default\"")),
        ("relu glorot", of("relu", "init = \"glorot-normal\"")),
        ("relu sw2 = 3", of("relu", "init = { name = \"normal\", weight_variance = 3.0 }")),
        ("tanh default", of("tanh", "init = \"pytorch-default\"")),
        ("sigmoid", of("sigmoid", "init = \"glorot-normal\"")),
        ("plain skip", residual("init = \"he-normal\"")),
    ];
    for (name, prediction) in trains.iter().chain(&stuck) {
        println!("{name:20} {:.4} {}", prediction.score, prediction.headline());
        for part in &prediction.parts {
            println!("    {:.3} {}", part.value, part.question);
        }
    }
    let worst = trains.iter().map(|(_, prediction)| prediction.score).fold(1.0, f64::min);
    let best = stuck.iter().map(|(_, prediction)| prediction.score).fold(0.0, f64::max);
    assert!(worst > best, "{worst} {best}");
}

/// Zeros at the ends of branches are no illness, as they are elsewhere.
#[test]
fn no_rule_refuses_fixup() {
    let network = "[network]\nkind = \"residual\"\ndepth = 30\nwidth = 64\ninit = \"he-normal\"\n";
    let ill = |text: &str| {
        let found = Bench::new(text).diagnose();
        found.into_iter().filter(|finding| finding.level == Level::Deny).collect::<Vec<Finding>>()
    };
    assert!(!ill(network).is_empty());
    let treated = ill(&format!("{network}fixup = true\nlearnable_scale = true\n"));
    assert!(treated.is_empty(), "{treated:#?}");
}

#[test]
fn the_headline_is_the_factor_per_layer() {
    let default = prediction(&parse(&network(30, "relu", "init = \"pytorch-default\""), "t").unwrap());
    // sqrt(1/6) = 0.408 at infinite width.
    assert!((default.factor_per_layer.unwrap() - 0.408).abs() < 0.02, "{}", default.headline());
    let he = prediction(&parse(&network(30, "relu", "init = \"he-normal\""), "t").unwrap());
    assert!((he.factor_per_layer.unwrap() - 1.0).abs() < 0.05, "{}", he.headline());
    assert!(he.headline().starts_with("x1.0") || he.headline().starts_with("x0.9"), "{}", he.headline());
}

/// A recurrent network is as deep as its samples are long: what one batch says of it is the factor of a time step.
#[test]
fn the_headline_of_a_recurrent_network_is_the_factor_per_time_step() {
    let through = |states: &[f64]| {
        let mut bench = plain(3, "tanh", "\"glorot-normal\"");
        bench.start.flow.joints[0].states = states.to_vec();
        predicted(&bench)
    };
    let shrinking: Vec<f64> = (0..20).map(|step| 0.5_f64.powi(19 - step)).collect();
    let level = through(&[0.3; 20]);
    let vanishing = through(&shrinking);
    assert!((vanishing.factor().unwrap() - 0.5).abs() < 1e-12 && (level.factor().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!((vanishing.headline(), level.headline()), ("x0.50 per time step".into(), "x1.00 per time step".into()));
    assert!(vanishing.score < 0.5 * level.score, "{} {}", vanishing.score, level.score);
    // Where nothing arrives at the first steps, the way is that to the first one that something arrives at.
    let cut: Vec<f64> = [0.0; 5].into_iter().chain(shrinking.iter().copied()).collect();
    assert!((through(&cut).factor().unwrap() - 0.5).abs() < 1e-12);
    assert_eq!(through(&[]).factor_per_time_step, None);
}

#[test]
fn a_value_that_is_not_finite_scores_zero() {
    let mut bench = plain(5, "relu", "\"he-normal\"");
    bench.start.joints[4].activation.non_finite = 1;
    let prediction = predicted(&bench);
    assert_eq!((prediction.score, prediction.factor_per_layer), (0.0, None));
    assert_eq!(prediction.headline(), "the signal is lost");
}
