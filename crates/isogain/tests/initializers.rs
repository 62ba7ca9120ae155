//! What initialisers and Adam's eps do to a 30-layer network on real data.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

mod support;

use std::path::Path;

use isogain::check::Subject;
use isogain::train::Trainer;
use isogain_core::recipe::{Recipe, parse};
use isogain_core::record::{Detail, Outcome};

fn recipe(toml: &str) -> Recipe {
    parse(toml, "test").unwrap()
}

fn train(recipe: &Recipe, seed: u64) -> Outcome {
    support::alone(|| {
        let subject = Subject::load(recipe, Path::new(".")).unwrap();
        let mut trainer = Trainer::new(recipe, &subject.network, &subject.data, seed);
        while trainer.step < recipe.run.steps && !trainer.is_broken() {
            trainer.advance(&subject.data, false);
        }
        trainer.outcome(&subject.data)
    })
}

/// Mishkin & Matas 2016: whatever the scale a layer starts from, its output has unit variance afterwards.
#[test]
fn lsuv_gives_every_layer_unit_variance() {
    for kind in ["relu", "tanh", "sigmoid", "gelu"] {
        for scale in ["0.001", "0.1", "1.0", "10.0", "1000.0"] {
            let toml = format!("[data]\ninput_scale = {scale}\n[network]\nactivation = \"{kind}\"\ninit = \"lsuv\"\n");
            let subject = support::alone(|| Subject::load(&recipe(&toml), Path::new(".")).unwrap());
            let layers: Vec<_> = subject.network.linears().map(|(op, _)| op.name.clone()).collect();
            assert_eq!(layers.len(), 31);
            for joint in subject.start.joints.iter().filter(|joint| layers.contains(&joint.name)) {
                let variance = joint.activation.variance().unwrap();
                assert!((0.9..=1.1).contains(&variance), "{kind}, input x {scale}, {}: {variance}", joint.name);
            }
        }
    }
}

/// Thirty sigmoid layers, which no other start of a plain network lets learn.
#[test]
fn a_unit_jacobian_lets_thirty_sigmoid_layers_learn() {
    let loss = |init: &str| {
        let toml = format!(
            "[network]\nactivation = \"sigmoid\"\ninit = \"{init}\"\n[optimizer]\nname = \"sgd\"\nlearning_rate = 0.01\n"
        );
        train(&recipe(&toml), 0).loss.unwrap()
    };
    let [edge, tuned] = ["edge-of-chaos", "unit-jacobian"].map(loss);
    println!("{edge} at the edge of chaos, {tuned} from unit Jacobians");
    assert!(edge > 2.1 && tuned < 0.5, "{edge} at the edge of chaos, {tuned} from unit Jacobians");
}

/// The network that PyTorch's default leaves stuck at ln 10 learns from this start.
#[test]
fn lsuv_lets_thirty_relu_layers_learn() {
    let outcome = train(&recipe("[network]\ninit = \"lsuv\"\n"), 0);
    println!("loss {:?}, accuracy {:?}", outcome.loss, outcome.train_accuracy);
    assert!(outcome.loss.unwrap() < 2.1, "{:?}", outcome.loss);
}

/// One number decides: gradients of 1e-13 are far below an eps of 1e-8, which then takes Adam's normalisation away.
#[test]
fn adams_eps_alone_keeps_thirty_layers_from_learning() {
    let accuracy = |eps: &str| {
        let toml = format!(
            "[network]\n[optimizer]\nname = \"adam\"\nlearning_rate = 0.001\neps = {eps}\n[run]\nprecision = \"f64\"\n"
        );
        train(&recipe(&toml), 0).train_accuracy.unwrap()
    };
    let (usual, tiny) = (accuracy("1e-8"), accuracy("1e-30"));
    println!("accuracy {usual} with eps 1e-8, {tiny} with 1e-30");
    assert!(usual < 0.15 && tiny - usual > 0.5, "{usual} with eps 1e-8, {tiny} with 1e-30");
}

/// sigma-Reparam at the start, whatever the weights are drawn with: a layer of n inputs and 3 n outputs has the variance
/// 1 / (n (1 + sqrt 3)^2) where the largest singular value is known, and up to a tenth more where 15 power iterations have found all
/// but some percent of it. So large are queries and keys of rows of RMS 1, and so small are the logits that each query looks at
/// all positions.
#[test]
fn weights_divided_by_their_largest_singular_value_start_attention_wide() {
    let start = |rest: &str| {
        let toml = format!(
            "[data]\nsource = \"temporal-order\"\nlength = 16\nsamples = 256\n[network]\nkind = \"transformer\"\ndepth = 1\n\
             width = 128\nhead = \"mean\"\n{rest}"
        );
        let subject = support::alone(|| Subject::load(&recipe(&toml), Path::new(".")).unwrap());
        let joint = |name: &str| subject.start.joints.iter().find(|joint| joint.name == name).unwrap().clone();
        let Some(Detail::Attention(attention)) = joint("block1.attention.attention").detail else {
            panic!("no attention")
        };
        (joint("block1.attention.qkv").activation.mean_square().unwrap(), attention.entropy)
    };
    for variance in ["1e-4", "400.0"] {
        let init = format!("init = {{ name = \"normal\", weight_variance = {variance} }}\n");
        let (square, entropy) = start(&format!("{init}weight_norm = \"spectral\"\n"));
        let ratio = square * (1.0 + 3_f64.sqrt()).powi(2);
        println!("variance {variance}: {ratio} of the predicted mean square, entropy {entropy}");
        assert!((0.97..1.15).contains(&ratio) && entropy > 0.98, "{variance}: {ratio}, {entropy}");
    }
    let (_, entropy) = start("init = { name = \"normal\", weight_variance = 400.0 }\n");
    assert!(entropy < 0.25, "{entropy}");
}
