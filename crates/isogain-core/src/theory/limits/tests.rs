use super::*;

fn net(activation: &str, weight_variance: f64, bias_variance: f64) -> LimitsInput {
    LimitsInput {
        activation: Activation::named(activation).unwrap(),
        weight_variance,
        bias_variance,
        first_variance: 1.0,
        widths: vec![64; 30],
        padding_factor: 1.0,
        dropout_noise: 1.0,
        norm: Norm::None,
        branch_scale: None,
        supervision: None,
        past: 1.0,
        widening: None,
        head_gradient_rms: 1e-3,
        precision: Precision::F32,
        adam_epsilon: None,
        tolerated_gradient_ratio: 1e4,
        recurrence: None,
    }
}

fn depth(limits: &Limits, ceiling: Ceiling) -> Option<f64> {
    limits.ceilings.iter().find(|estimate| estimate.ceiling == ceiling).unwrap().depth
}

#[test]
fn correlation_is_six_depth_scales() {
    for (sw2, expected) in
        [(0.5, 7.15), (0.8, 13.77), (1.0, 21.76), (1.3, 47.00), (1.5, 94.75), (2.5, 70.77), (4.0, 41.88)]
    {
        let limits = Limits::of(&net("tanh", sw2, 0.05));
        let correlation = depth(&limits, Ceiling::Correlation).unwrap();
        assert!((correlation - expected).abs() < 0.006, "sw2 {sw2}: {correlation}");
        if sw2 < 1.4 {
            assert_eq!(limits.binding, Some(Ceiling::Correlation));
            assert_eq!(limits.trainable_depth, Some(correlation));
        }
    }
}

#[test]
fn the_edge_of_chaos_is_only_limited_by_its_width() {
    let limits = Limits::of(&net("tanh", 1.760_954_64, 0.05));
    assert_eq!(limits.binding, Some(Ceiling::Fluctuation), "{limits:?}");
    assert!(limits.trainable_depth.unwrap() > 40.0);
    assert!((limits.gradient_rms_per_layer.unwrap() - 1.0).abs() < 1e-6);
}

#[test]
fn library_default_relu_is_limited_several_times_over() {
    let mut input = net("relu", 1.0 / 3.0, 1.0 / 192.0);
    input.precision = Precision::F16;
    let limits = Limits::of(&input);
    assert!((limits.gradient_rms_per_layer.unwrap() - 0.40825).abs() < 1e-5);
    assert!((depth(&limits, Ceiling::Correlation).unwrap() - 3.35).abs() < 0.005);
    assert!((depth(&limits, Ceiling::GradientScale).unwrap() - 2.0 * 1e4f64.ln() / 6f64.ln()).abs() < 1e-9);
    assert!((depth(&limits, Ceiling::Numerics).unwrap() - 11.632057).abs() < 1e-6);
    input.adam_epsilon = Some(1e-5);
    let with_adam = Limits::of(&input);
    assert!(depth(&with_adam, Ceiling::Numerics).unwrap() < 5.2);
    assert!(with_adam.ceilings[3].why.contains("Adam's epsilon"));
}

#[test]
fn he_relu_is_limited_by_fluctuations_and_dies_when_narrow() {
    let mut input = net("relu", 2.0, 0.0);
    input.widths = vec![1000; 10];
    let wide = Limits::of(&input);
    assert_eq!(depth(&wide, Ceiling::Correlation), None);
    assert_eq!(depth(&wide, Ceiling::GradientScale), None);
    // 4 n / 5 to leading order.
    assert!((depth(&wide, Ceiling::Fluctuation).unwrap() / 800.0 - 1.0).abs() < 0.01);
    input.widths = vec![4; 10];
    let narrow = Limits::of(&input);
    assert_eq!(narrow.binding, Some(Ceiling::Death));
    assert!((narrow.trainable_depth.unwrap() - 0.95f64.ln() / (15.0f64 / 16.0).ln()).abs() < 1e-12);
}

#[test]
fn batch_norm_explodes_the_gradient_of_a_plain_net() {
    let mut input = net("relu", 1.0, 0.0);
    input.widths = vec![100_000; 10];
    for (batch, layers) in [(64, 46.0), (8, 31.7)] {
        input.norm = Norm::Batch { batch };
        let limits = Limits::of(&input);
        assert_eq!(limits.binding, Some(Ceiling::GradientScale));
        assert!((limits.trainable_depth.unwrap() - layers).abs() < 0.05, "{limits:?}");
        assert_eq!(depth(&limits, Ceiling::Correlation), None);
    }
    input.norm = Norm::Batch { batch: 2 };
    assert_eq!(Limits::of(&input).trainable_depth, Some(0.0));
    // The skip turns the exponential into a power of the depth.
    input.norm = Norm::Batch { batch: 64 };
    input.branch_scale = Some(1.0);
    let with_skip = Limits::of(&input);
    assert!(depth(&with_skip, Ceiling::GradientScale).is_none_or(|depth| depth > 1e5), "{with_skip:?}");
}

#[test]
fn layer_norm_leaves_the_activations_own_factor() {
    for (name, factor) in [("relu", 1.0), ("tanh", 1.17780723), ("gelu", 1.07203160), ("silu", 1.06663424)] {
        let mut input = net(name, 0.3, 0.0);
        input.norm = Norm::Layer;
        let limits = Limits::of(&input);
        assert!((limits.gradient_rms_per_layer.unwrap().powi(2) - factor).abs() < 1e-8, "{name}");
    }
}

#[test]
fn a_small_branch_scale_removes_the_gradient_ceiling() {
    let mut input = net("relu", 2.0, 0.0);
    input.branch_scale = Some(1.0);
    let unscaled = Limits::of(&input);
    assert_eq!(unscaled.binding, Some(Ceiling::GradientScale));
    assert!((unscaled.trainable_depth.unwrap() - 2.0 * 1e4f64.ln() / 2f64.ln()).abs() < 1e-9);
    input.branch_scale = Some(30f64.sqrt().recip());
    let scaled = Limits::of(&input);
    assert!(scaled.trainable_depth.unwrap() > 10.0 * unscaled.trainable_depth.unwrap(), "{scaled:?}");
    input.branch_scale = Some(0.0);
    assert_eq!(Limits::of(&input).trainable_depth, None);
}

#[test]
fn padding_takes_from_the_weights_where_no_norm_gives_it_back() {
    let mut input = net("relu", 2.0, 0.0);
    input.padding_factor = 0.9212;
    let limits = Limits::of(&input);
    assert!((limits.gradient_rms_per_layer.unwrap() - 0.9212_f64.sqrt()).abs() < 1e-9);
    let scale = limits.ceilings.iter().find(|estimate| estimate.ceiling == Ceiling::GradientScale).unwrap();
    assert!((scale.depth.unwrap() - 2.0 * 1e4_f64.ln() / -0.9212_f64.ln()).abs() < 1e-6);
    assert!(scale.why.contains("zero padding counts as x0.9212"), "{}", scale.why);
    input.norm = Norm::Layer;
    assert!((Limits::of(&input).gradient_rms_per_layer.unwrap() - 1.0).abs() < 1e-8);
}

/// ReLU under dropout of a half: critical at sw2 = 2p = 1, where the gradient keeps its size and two masks of one input make
/// it forgotten within a depth scale of 0.79 layers.
#[test]
fn dropout_moves_the_critical_scale_and_bounds_the_depth_at_it() {
    let mut input = net("relu", 1.0, 0.0);
    input.dropout_noise = 2.0;
    let limits = Limits::of(&input);
    assert!((limits.gradient_rms_per_layer.unwrap() - 1.0).abs() < 1e-9, "{limits:?}");
    assert_eq!(depth(&limits, Ceiling::GradientScale), None);
    assert_eq!(limits.binding, Some(Ceiling::Correlation));
    // The map c -> C(c) / 2 with the ReLU kernel C, iterated, and its slope (1 / 2 + asin(c) / pi) / 2 where it ends.
    let kernel = |c: f64| (c + 2.0 / std::f64::consts::PI * ((1.0 - c * c).sqrt() + c * c.asin())) / 2.0;
    let c = (0..200).fold(0.5, |c, _| kernel(c) / 2.0);
    let slope = (0.5 + c.asin() / std::f64::consts::PI) / 2.0;
    let expected = -6.0 / slope.ln();
    assert!((depth(&limits, Ceiling::Correlation).unwrap() - expected).abs() < 1e-6, "{expected} {limits:?}");
    // Under He's scale the gradient grows by sqrt(2) a layer.
    input.weight_variance = 2.0;
    assert!((Limits::of(&input).gradient_rms_per_layer.unwrap() - 2.0_f64.sqrt()).abs() < 1e-9);
    // A norm takes the noise's length out.
    input.norm = Norm::Layer;
    assert!((Limits::of(&input).gradient_rms_per_layer.unwrap() - 1.0).abs() < 1e-8);
}

#[test]
fn memory_binds_where_it_is_shorter_than_the_sample() {
    let mut input = net("tanh", 1.0, 0.0);
    input.widths.clear();
    assert_eq!(Limits::of(&input).ceilings.len(), 5);
    input.recurrence = Some(Recurrence { steps: 100, carry: Carry::Gate { bias: 1.0 } });
    let limits = Limits::of(&input);
    assert_eq!((limits.ceilings.len(), limits.binding, limits.trainable_depth), (6, Some(Ceiling::Memory), None));
    // ln 1e4 / 0.3133
    assert!((limits.memory_steps().unwrap() - 29.402).abs() < 0.001, "{limits:?}");
    assert!(limits.ceilings[5].why.contains("keep half of a state for 2.21 time steps"), "{}", limits.ceilings[5].why);
    // An identity from state to state loses nothing.
    input.recurrence = Some(Recurrence { steps: 100, carry: Carry::State { chi: 1.0 } });
    assert_eq!((Limits::of(&input).binding, Limits::of(&input).memory_steps()), (None, None));
    // 30 layers, trainable to 10, with a memory of nine tenths of the steps: the layers leave less.
    let mut both = net("relu", 1.0 / 3.0, 0.0);
    both.recurrence = Some(Recurrence { steps: 10, carry: Carry::State { chi: (-2.0 * 1e4_f64.ln() / 9.0).exp() } });
    let limits = Limits::of(&both);
    assert!((limits.memory_steps().unwrap() - 9.0).abs() < 1e-9);
    assert_eq!(limits.binding, Some(Ceiling::GradientScale));
}

#[test]
fn hostile_numbers_give_an_answer() {
    for activation in Activation::all() {
        for (sw2, sb2, first) in [(0.0, 0.0, 0.0), (1e-30, 0.0, 1.0), (100.0, 0.0, 1e9), (1.0, 50.0, 1e-9)] {
            for norm in [Norm::None, Norm::Batch { batch: 3 }, Norm::Layer] {
                let mut input = net(activation.name(), sw2, sb2);
                (input.norm, input.first_variance) = (norm, first);
                let limits = Limits::of(&input);
                assert_eq!(limits.ceilings.len(), 5);
                let text = serde_json::to_string(&limits).unwrap();
                assert_eq!(serde_json::from_str::<Limits>(&text).unwrap().binding, limits.binding);
                assert!(limits.trainable_depth.is_none_or(|depth| depth >= 0.0), "{input:?}: {limits:?}");
            }
        }
    }
    let mut empty = net("relu", 2.0, 0.0);
    empty.widths.clear();
    assert_eq!(Limits::of(&empty).trainable_depth, None);
}

#[test]
fn written_as_plain_data() {
    let input = net("tanh", 1.0, 0.05);
    let text = serde_json::to_string(&input).unwrap();
    assert_eq!(serde_json::from_str::<LimitsInput>(&text).unwrap(), input);
    let json = serde_json::to_value(Limits::of(&input)).unwrap();
    assert_eq!(json["binding"], "correlation");
    assert!((json["trainable_depth"].as_f64().unwrap() - 21.76).abs() < 0.006);
}
