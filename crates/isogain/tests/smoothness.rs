//! The loss along the gradient, where it is known: linear regression, whose Hessian is constant.
#![allow(clippy::unwrap_used, reason = "a test stops where it finds what it did not expect")]

use burn::tensor::DType;
use isogain::data::{Samples, Targets};
use isogain::model::Model;
use isogain::smoothness::along_the_gradient;
use isogain_core::network::{Linear, Loss, Network, Op, OpKind, Shape};
use isogain_core::summary::smoothness::MULTIPLES;
use isogain_core::theory::{Activation, Initializer};

/// One weight w and one bias b: L = mean (w x + b - t)^2, Hessian 2 mean [[x^2, x], [x, 1]].
#[test]
fn of_a_parabola_beta_is_the_curvature_along_the_gradient() {
    let head = Linear::new(1, 1, Initializer::pytorch_default(), Activation::linear());
    let network = Network {
        input: Shape::vector(1),
        outputs: 1,
        ops: vec![Op { name: "head".into(), kind: OpKind::Linear(head) }],
        loss: Loss::MeanSquaredError,
    };
    let (x, t) = ([1.0, 2.0, 4.0], [0.5, -1.0, 3.0]);
    let targets = Targets::Values { values: t.to_vec(), outputs: 1 };
    let batch = Samples { shape: Shape::vector(1), inputs: x.to_vec(), targets };
    let model = Model::new(&network, 3, DType::F64, &batch);
    let number = |name: &str| model.parameters[name].to_f64()[0];
    let (w, b) = (number("head.weight"), number("head.bias"));

    let mean = |of: &dyn Fn(f64, f64) -> f64| x.iter().zip(t).map(|(x, t)| of(*x, t)).sum::<f64>() / 3.0;
    let loss = |w: f64, b: f64| mean(&|x, t| (w * x + b - t).powi(2));
    let gradient = [mean(&|x, t| 2.0 * (w * x + b - t) * x), mean(&|x, t| 2.0 * (w * x + b - t))];
    let (squares, sum) = (2.0 * mean(&|x, _| x * x), 2.0 * mean(&|x, _| x));
    let curved = [squares * gradient[0] + sum * gradient[1], sum * gradient[0] + 2.0 * gradient[1]];
    let length = |v: [f64; 2]| v[0].hypot(v[1]);
    let beta = length(curved) / length(gradient);

    let rate = 0.03;
    let found = along_the_gradient(&model, &batch, rate, 7);
    let close = |found: Option<f64>, expected: f64| {
        let found = found.unwrap();
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    };
    assert_eq!(found.step, 7);
    close(found.loss, loss(w, b));
    close(found.gradient_norm, length(gradient));
    close(found.smoothness, beta);
    close(found.gradient_change, 4.0 * rate * beta);
    let losses = MULTIPLES.map(|m| loss(w - m * rate * gradient[0], b - m * rate * gradient[1]));
    close(found.lowest, losses.iter().copied().fold(f64::INFINITY, f64::min));
    close(found.highest, losses.iter().copied().fold(f64::NEG_INFINITY, f64::max));
}
