//! Runs made of statistics, well and ill.

use super::describe::{Description, LossKind, Operation, OperationKind, OptimizerSeen};
use super::{Observed, Online};
use crate::network::{NormKind, Other};
use crate::recipe::{Level, OptimizerName};
use crate::record::{JointRecord, ParameterRecord, StepRecord, UnitRecord};
use crate::rules::Finding;
use crate::statistics::{Moments, NumberFormat};

/// Moments of values whose RMS is this.
fn sized(rms: f64) -> Moments {
    let count = 4096;
    Moments {
        count,
        sum: 0.0,
        sum_of_squares: rms * rms * count as f64,
        min: Some(-3.0 * rms),
        max: Some(3.0 * rms),
        abs_max: 3.0 * rms,
        zeros: if rms == 0.0 { count } else { 0 },
        non_finite: 0,
    }
}

fn linear(name: &str, reads_previous: bool) -> Operation {
    let weight = sized((1.0_f64 / 64.0).sqrt());
    Operation { name: name.into(), kind: OperationKind::Linear { fan_in: 64, fan_out: 64, weight }, reads_previous }
}

fn relu(name: &str) -> Operation {
    let kind = OperationKind::Activation { activation: "relu".into(), parameter: None };
    Operation { name: name.into(), kind, reads_previous: true }
}

fn sgd() -> OptimizerSeen {
    OptimizerSeen { name: OptimizerName::Sgd, learning_rate: 0.05, momentum: 0.0, eps: 0.0 }
}

/// `layers` linear operations; a chain with activations, or loose ones.
fn described(layers: usize, chain: bool) -> Description {
    let mut operations = Vec::new();
    for layer in 0..layers {
        operations.push(linear(&format!("fc{layer}"), chain));
        if chain {
            operations.push(relu(&format!("relu{layer}")));
        }
    }
    operations.push(linear("head", chain));
    Description {
        operations,
        batch: 64,
        optimizer: Some(sgd()),
        baseline: Some(2.3),
        loss: LossKind::CrossEntropy,
        ..Description::default()
    }
}

/// A step in which the operation at each place has the cotangent that `cotangent` says, and every weight a gradient of
/// that size.
fn step(description: &Description, at: u64, cotangent: impl Fn(usize) -> f64) -> StepRecord {
    let joints = description.operations.iter().enumerate().map(|(place, operation)| JointRecord {
        name: operation.name.clone(),
        activation: sized(1.0),
        cotangent: sized(cotangent(place)),
        detail: None,
    });
    let weights = description.operations.iter().enumerate().filter_map(|(place, operation)| match operation.kind {
        OperationKind::Linear { weight, .. } => Some(ParameterRecord {
            name: format!("{}.weight", operation.name),
            weight,
            gradient: sized(cotangent(place)),
            update: Moments::default(),
        }),
        _ => None,
    });
    StepRecord {
        step: at,
        loss: 2.3,
        learning_rate: 0.05,
        joints: joints.collect(),
        parameters: weights.collect(),
        clip: None,
        scaling: None,
        snapshot: None,
        histograms: Vec::new(),
    }
}

fn watch(description: &Description, steps: u64, record: impl Fn(u64) -> StepRecord) -> Vec<Finding> {
    let mut online = Online::new(description.clone());
    let mut found = Vec::new();
    for at in 0..steps {
        let record = record(at);
        online.loss(at, record.loss);
        found.extend(online.observe(&Observed { record: Some(record), loss_scale: 1.0, ..Observed::default() }));
    }
    found
}

#[test]
fn a_healthy_chain_is_silent() {
    let description = described(10, true);
    assert_eq!(watch(&description, 40, |at| step(&description, at, |_| 1e-3)), []);
}

#[test]
fn what_lasts_is_found_once_and_what_passes_is_not() {
    let description = described(10, true);
    let shrinks = |place: usize| 10_f64.powi(place as i32 - 22);
    let found = watch(&description, 40, |at| step(&description, at, shrinks));
    assert_eq!(found.len(), 1);
    let finding = &found[0];
    assert_eq!((finding.rule.as_str(), finding.step, finding.level), ("vanishing-gradient", 4, Level::Deny));
    assert_eq!(finding.layers, ["fc0", "fc9"]);
    assert!(finding.theory.is_some());
    // Every other step only.
    let passes = |at: u64| step(&description, at, |place| if at.is_multiple_of(2) { shrinks(place) } else { 1e-3 });
    assert_eq!(watch(&description, 40, passes), []);
}

#[test]
fn a_network_that_has_learned_may_have_small_gradients() {
    let description = described(10, true);
    let shrinks = |place: usize| 10_f64.powi(place as i32 - 22);
    let learned = |at: u64| StepRecord { loss: 2.3 / (1 + at) as f64, ..step(&description, at, shrinks) };
    let mut online = Online::new(description.clone());
    for at in 0..20 {
        online.loss(at, 2.3 / (1 + at) as f64);
    }
    for at in 20..40 {
        online.loss(at, 0.1);
        let observed = Observed { record: Some(learned(at)), loss_scale: 1.0, ..Observed::default() };
        assert_eq!(online.observe(&observed), []);
    }
}

#[test]
fn a_branch_with_a_small_cotangent_is_no_vanishing_gradient() {
    let description = described(12, false);
    // Every third layer is a query projection.
    let branches = |place: usize| if place % 3 == 1 { 1e-9 } else { 1e-3 };
    assert_eq!(watch(&description, 20, |at| step(&description, at, branches)), []);
    // But a loose network whose gradient shrinks all the way does vanish.
    let both = |place: usize| branches(place) * 10_f64.powi(place as i32 - 12);
    let found = watch(&description, 20, |at| step(&description, at, both));
    assert_eq!(found[0].rule, "vanishing-gradient");
    assert_eq!(found[0].layers[0], "fc0");
    assert_eq!(found[0].theory, None, "theory speaks of chains");
}

#[test]
fn branches_of_a_transformer_are_no_vanishing_gradient() {
    // Within each branch the cotangent is a fortieth of that of the stream, which the last layer of a branch has; nothing
    // but the embedding shows that the stream's arrives.
    let mut description = described(8, false);
    let other = Other { operation: "Embedding".into(), weighted: true, homogeneous: false };
    let embedding = Operation { name: "tokens".into(), kind: OperationKind::Other(other), reads_previous: false };
    description.operations.insert(0, embedding);
    let stream = |place: usize| if place.is_multiple_of(4) || place == 9 { 1e-3 } else { 2.5e-5 };
    assert_eq!(watch(&description, 20, |at| step(&description, at, stream)), []);
    let vanishes = |place: usize| stream(place) * 100_f64.powi((place / 4) as i32 - 3);
    let found = watch(&description, 20, |at| step(&description, at, vanishes));
    assert_eq!(found[0].rule, "vanishing-gradient", "{found:#?}");
}

#[test]
fn a_last_layer_off_the_path_is_no_exploding_gradient() {
    let description = described(12, false);
    let auxiliary = |place: usize| if place == 11 { 1e-9 } else { 1e-3 };
    assert_eq!(watch(&description, 20, |at| step(&description, at, auxiliary)), []);
    let grows = |place: usize| 1e-3 * 10_f64.powi(12 - place as i32);
    let found = watch(&description, 20, |at| step(&description, at, grows));
    assert_eq!(found[0].rule, "exploding-gradient", "{found:#?}");
}

#[test]
fn a_first_non_finite_value_is_found_at_once_and_alone() {
    let description = described(4, true);
    let found = watch(&description, 12, |at| {
        let mut record = step(&description, at, |_| 1e-3);
        if at >= 7 {
            for joint in &mut record.joints[3..] {
                joint.activation.non_finite = 5;
            }
            record.loss = f64::NAN;
        }
        record
    });
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule.as_str(), found[0].step, found[0].layers[0].as_str()), ("non-finite", 7, "relu1"));
}

#[test]
fn a_loss_that_runs_away_must_last_unless_it_ends() {
    let description = described(4, true);
    let course = |losses: fn(u64) -> f64| {
        let record = |at| StepRecord { loss: losses(at), ..step(&described(4, true), at, |_| 1e-3) };
        watch(&description, 30, record)
    };
    assert_eq!(course(|at| if at == 10 { 9.0 } else { 2.0 }), [], "a spike");
    let found = course(|at| 2.0 * 1.2_f64.powi(at as i32));
    assert_eq!(found[0].rule, "diverging-loss");
    let found = course(|at| if at < 9 { 3.0_f64.powi(at as i32) } else { f64::NAN });
    assert_eq!(found[0].rule, "diverging-loss");
    assert_eq!(found[0].consequences[0].rule, "non-finite");
}

#[test]
fn a_loss_of_unknown_kind_may_be_noisy() {
    let description = Description { baseline: None, loss: LossKind::Other, ..described(4, true) };
    let noisy = |at: u64| StepRecord { loss: 0.01 + 0.02 * (at % 3) as f64, ..step(&description, at, |_| 1e-3) };
    assert_eq!(watch(&description, 60, noisy), []);
}

#[test]
fn zeros_behind_a_gate_that_opens_are_healthy_and_others_are_not() {
    let description = described(4, false);
    let cut_off = |gate: bool| {
        watch(&description, 10, |at| {
            let mut record = step(&description, at, |place| if place < 2 { 0.0 } else { 1e-3 });
            if gate {
                let parameter =
                    ParameterRecord { name: "scale".into(), weight: sized(0.0), ..record.parameters[3].clone() };
                record.parameters.push(parameter);
            }
            record
        })
    };
    assert_eq!(cut_off(true), []);
    assert_eq!(cut_off(false)[0].rule, "exactly-zero-gradient");
}

#[test]
fn dead_units_are_told_again_when_they_become_a_wall() {
    let description = described(3, true);
    let mut online = Online::new(description.clone());
    let mut found = Vec::new();
    for at in 0..30 {
        let dead = if at < 15 { 60 } else { 64 };
        let units = vec![UnitRecord {
            name: "relu2".into(),
            units: 64,
            dead,
            duplicates: 0,
            saturated_fraction: f64::NAN,
            signal_fraction: f64::NAN,
        }];
        let record = step(&description, at, |place| if place < 5 && at >= 15 { 0.0 } else { 1e-3 });
        online.loss(at, 2.3);
        let observed = Observed { record: Some(record), units, loss_scale: 1.0, ..Observed::default() };
        found.extend(online.observe(&observed));
    }
    let told: Vec<_> = found.iter().map(|finding| (finding.rule.as_str(), finding.step, finding.level)).collect();
    assert_eq!(told[0], ("dead-units", 4, Level::Warn));
    assert!(told.contains(&("dead-units", 15, Level::Deny)), "{told:?}");
}

#[test]
fn half_precision_is_judged_with_its_loss_scale() {
    let description = described(4, true);
    let with = |scale: f64| {
        let mut online = Online::new(description.clone());
        let mut found = Vec::new();
        for at in 0..8 {
            let narrow = (0..4).map(|layer| (format!("fc{layer}"), NumberFormat::FP16)).collect();
            let record = Some(step(&description, at, |_| 1e-7));
            online.loss(at, 2.3);
            found.extend(online.observe(&Observed { record, narrow, loss_scale: scale, ..Observed::default() }));
        }
        found
    };
    let found = with(1.0);
    assert_eq!(found[0].rule, "gradient-underflow");
    assert!(found[0].message.contains("in fp16 without loss scaling"), "{}", found[0].message);
    assert!(with(65536.0).iter().all(|finding| finding.rule != "gradient-underflow"));
}

#[test]
fn batch_norm_counts_positions_as_samples() {
    let norm = Operation {
        name: "norm".into(),
        kind: OperationKind::Norm { norm: NormKind::Batch, features: 64, eps: 1e-5 },
        reads_previous: true,
    };
    // 4096 values of 64 features are 64 rows: 2 samples of 32 positions, or 32 micro-batches of 2 samples.
    for (passes, wrong) in [(1, false), (32, true)] {
        let mut description = Description { batch: 2, passes, ..described(3, true) };
        description.operations.insert(1, norm.clone());
        let found = watch(&description, 3, |at| step(&description, at, |_| 1e-3));
        assert_eq!(found.iter().any(|finding| finding.rule == "small-batch-norm"), wrong, "{found:#?}");
    }
}
