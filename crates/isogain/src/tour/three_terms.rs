//! dL/dw = dL/dy * phi'(z) * x of one weight, and what becomes of each term when earlier layers' weights are small.

use burn::tensor::DType;
use isogain_core::summary::reproduction::{Expected, Figure, Mark, Scale};

use super::bench::{Sampler, init, model, pass, phi, set, stack, values};
use super::{Experiment, Found, Lab};
use crate::Error;
use crate::probe::Keep;

pub(super) const EXPERIMENT: Experiment = Experiment {
    name: "three-terms",
    title: "A weight's gradient is dL/dy times phi'(z) times its input x, and small weights before it make x small",
    source: "the chain rule; LeCun, Bottou, Orr & Müller 1998",
    setting: "5 tanh layers of width 32 with Glorot's weights, one sample: the three terms of one weight of layer 4, while the \
              weights of layers 1 to 3 are multiplied by a scale; and those of one weight of layer 1 for comparison",
    disproof: Some(
        "the three terms did not multiply to the gradient, or dL/dy or phi'(z) of layer 4 were what made its gradient small",
    ),
    seconds: 1,
    run,
};

const WIDTH: usize = 32;
const DEPTH: usize = 5;
/// The layers whose weights are scaled.
const SCALED: usize = 3;
const SCALES: [f64; 7] = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
/// The scale at which numbers are compared with those at 1.
const SMALL: f64 = 0.1;

/// The terms of one weight, without their signs.
struct Terms {
    input: f64,
    slope: f64,
    from_behind: f64,
    gradient: f64,
}

/// A layer on one sample: inputs, slopes, dL/dy and the gradient of the weights.
struct Layer {
    inputs: Vec<f64>,
    slopes: Vec<f64>,
    from_behind: Vec<f64>,
    gradient: Vec<f64>,
}

impl Layer {
    fn of(layer: usize, scale: f64) -> Result<Self, Error> {
        let tanh = phi("tanh")?;
        let mut model = model(&stack(WIDTH, DEPTH, init("glorot-normal", &[])?, tanh, None), 0, DType::F64);
        for layer in 1..=SCALED {
            let name = format!("fc{layer}.weight");
            let weight: Vec<f64> = model.parameters[&name].to_f64().iter().map(|weight| scale * weight).collect();
            set(&mut model, &name, &weight);
        }
        let mut sampler = Sampler::new(0);
        let (inputs, cotangent) = (sampler.normals(WIDTH, 1.0), sampler.normals(WIDTH, 1.0));
        let passed = pass(&model, &inputs, &cotangent, Keep::Values);
        let before = if layer == 1 { "input".to_owned() } else { format!("act{}", layer - 1) };
        let z = values(&passed.seen.forward, &format!("fc{layer}"));
        Ok(Self {
            inputs: values(&passed.seen.forward, &before),
            slopes: z.iter().map(|z| tanh.derivative(*z)).collect(),
            from_behind: values(&passed.seen.backward, &format!("act{layer}")),
            gradient: passed.gradients[&format!("fc{layer}.weight")].to_f64(),
        })
    }

    fn terms(&self, [from, to]: [usize; 2]) -> Terms {
        Terms {
            input: self.inputs[from].abs(),
            slope: self.slopes[to],
            from_behind: self.from_behind[to].abs(),
            gradient: self.gradient[from * WIDTH + to].abs(),
        }
    }

    /// From the largest input to the unit whose slope is in the middle.
    fn chosen(&self) -> [usize; 2] {
        [self.strongest(), self.by_slope()[WIDTH / 2]]
    }

    fn strongest(&self) -> usize {
        (0..WIDTH).max_by(|a, b| self.inputs[*a].abs().total_cmp(&self.inputs[*b].abs())).unwrap_or(0)
    }

    /// The units, the most saturated first.
    fn by_slope(&self) -> Vec<usize> {
        let mut units: Vec<usize> = (0..WIDTH).collect();
        units.sort_by(|a, b| self.slopes[*a].total_cmp(&self.slopes[*b]));
        units
    }
}

fn run(lab: &Lab<'_>) -> Result<Found, Error> {
    let mut found = Found::default();
    for (index, layer) in [4, 1].into_iter().enumerate() {
        lab.at(index, 2)?;
        let whole = Layer::of(layer, 1.0)?;
        let weight = whole.chosen();
        let (whole, small) = (whole.terms(weight), Layer::of(layer, SMALL)?.terms(weight));
        let at = |what: &str| format!("weight of layer {layer}: {what}");
        let product = whole.input * whole.slope * whole.from_behind / whole.gradient;
        let exactly = Expected::Near { value: 1.0, tolerance: 1e-9 };
        found.exact(at("product of the three terms over the gradient"), product, exactly);
        let ratio = |of: fn(&Terms) -> f64| of(&small) / of(&whole);
        let (input, slope, back) = (ratio(|one| one.input), ratio(|one| one.slope), ratio(|one| one.from_behind));
        let gradient = ratio(|one| one.gradient);
        if layer == 1 {
            found.exact(at("x at scale 0.1, over x at scale 1"), input, exactly);
            found.claimed(at("dL/dy at scale 0.1, over dL/dy at scale 1"), back, Expected::Below { limit: 0.1 });
        } else {
            found.claimed(at("x at scale 0.1, over x at scale 1"), input, Expected::Below { limit: 0.02 });
            found.claimed(
                at("dL/dy at scale 0.1, over dL/dy at scale 1"),
                back,
                Expected::Between { low: 0.3, high: 3.0 },
            );
        }
        found.claimed(at("phi'(z) at scale 0.1, over phi'(z) at scale 1"), slope, Expected::Above { limit: 1.0 });
        found.claimed(at("gradient at scale 0.1, over that at scale 1"), gradient, Expected::Below { limit: 0.1 });

        let mut lines: [Vec<(f64, f64)>; 4] = Default::default();
        for scale in SCALES {
            let Terms { input, slope, from_behind, gradient } = Layer::of(layer, scale)?.terms(weight);
            for (line, value) in lines.iter_mut().zip([input, slope, from_behind, gradient]) {
                line.push((scale, value));
            }
        }
        let title = format!("The three terms of one weight of layer {layer}");
        let figure = Figure::new(&title, Scale::log("scale of the weights of layers 1 to 3"), Scale::log("size"));
        let names = ["x", "phi'(z)", "dL/dy", "gradient, their product"];
        let draw = |figure: Figure, (name, line)| figure.with(name, Mark::Line, line);
        found.figures.push(names.into_iter().zip(lines).fold(figure, draw));
    }
    let (whole, small) = (Layer::of(1, 1.0)?, Layer::of(1, SMALL)?);
    let saturated = [whole.strongest(), whole.by_slope()[0]];
    let (whole, small) = (whole.terms(saturated), small.terms(saturated));
    let what = "weight of layer 1 at its most saturated unit: gradient at scale 0.1, over that at scale 1";
    found.claimed(what, small.gradient / whole.gradient, Expected::Below { limit: 0.1 });
    found.notes.push(format!(
        "Small weights have one good side: phi'(z) rises towards its largest value, 1, because z comes near 0. At the most \
         saturated unit of layer 1 it rises {:.0} times at scale 0.1, which makes up for all that dL/dy loses. In layer 1 the input \
         is the data and stays as it is; dL/dy shrinks because the way back leads through the small weights of layers 2 and 3.",
        small.slope / whole.slope
    ));
    Ok(found)
}
