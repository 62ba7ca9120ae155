//! Curves put together to the steps of a run.

use std::collections::BTreeMap;

use super::MOST_VALUES;
use super::place::{Joint, Parameter, Place, place};
use crate::network::{Loss, Network, Op, OpKind, Other, Shape};
use crate::recipe::Precision;
use crate::record::line::SCHEMA;
use crate::record::{ClipRecord, DataSummary, Header, JointRecord, ParameterRecord, Run, StepRecord};
use crate::statistics::Moments;

/// Curves that are named in a note.
const NAMED: usize = 12;

/// A number of a curve, or the moments of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Tensor(Moments),
}

impl Value {
    fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Tensor(_) => None,
        }
    }

    /// As moments: a size alone is one value of that size.
    fn moments(self) -> Moments {
        match self {
            Self::Tensor(moments) => moments,
            Self::Number(size) if size.is_finite() => Moments {
                count: 1,
                sum: 0.0,
                sum_of_squares: size * size,
                min: None,
                max: None,
                abs_max: size.abs(),
                zeros: u64::from(size == 0.0),
                non_finite: 0,
            },
            Self::Number(_) => Moments { count: 1, non_finite: 1, ..Moments::default() },
        }
    }
}

/// One curve.
struct Curve {
    name: String,
    place: Place,
    values: BTreeMap<u64, Value>,
}

/// Everything that was read.
#[derive(Default)]
pub(super) struct Curves {
    curves: Vec<Curve>,
    by_name: BTreeMap<String, usize>,
    values: usize,
    /// What was left out, in sentences.
    pub(super) left_out: Vec<String>,
    /// Whether the file ends in the middle of something.
    pub(super) truncated: bool,
}

impl Curves {
    /// One more value; of two at one step the later one counts. False when there is no room for more.
    pub(super) fn add(&mut self, name: &str, step: u64, value: Value) -> bool {
        let is_histogram = matches!(value, Value::Tensor(_));
        self.add_at(name, step, value, || place(name, is_histogram))
    }

    /// The same, where the place is known.
    pub(super) fn add_at(&mut self, name: &str, step: u64, value: Value, place: impl FnOnce() -> Place) -> bool {
        if self.values >= MOST_VALUES {
            return false;
        }
        let at = match self.by_name.get(name) {
            Some(at) => *at,
            None => {
                self.by_name.insert(name.to_owned(), self.curves.len());
                self.curves.push(Curve { name: name.to_owned(), place: place(), values: BTreeMap::new() });
                self.curves.len() - 1
            }
        };
        self.values += usize::from(self.curves[at].values.insert(step, value).is_none());
        true
    }

    /// Says that there was more than is read.
    pub(super) fn full(&mut self) {
        self.left_out.push(format!("What follows the first {MOST_VALUES} numbers is left out."));
    }

    /// The run; `None` where no curve has a place in one.
    pub(super) fn run(self, source: &str) -> Option<Run> {
        let best = |rank: fn(&Place) -> Option<usize>| {
            let ranked = self.curves.iter().filter_map(|curve| Some((rank(&curve.place)?, curve)));
            ranked.min_by_key(|(rank, _)| *rank).map(|(_, curve)| curve)
        };
        let loss = best(|place| if let Place::Loss(rank) = place { Some(*rank) } else { None });
        let rate = best(|place| if let Place::LearningRate(rank) = place { Some(*rank) } else { None });
        let at = |curve: Option<&Curve>, step: u64| curve?.values.get(&step)?.number();
        let is_used = |curve: &Curve| match curve.place {
            Place::Other => false,
            Place::Loss(_) => loss.is_some_and(|loss| loss.name == curve.name),
            Place::LearningRate(_) => rate.is_some_and(|rate| rate.name == curve.name),
            _ => true,
        };
        let used: Vec<&Curve> = self.curves.iter().filter(|curve| is_used(curve)).collect();
        let mut steps: Vec<u64> = used.iter().flat_map(|curve| curve.values.keys().copied()).collect();
        steps.sort_unstable();
        steps.dedup();
        if steps.is_empty() {
            return None;
        }
        let mut names: Vec<&str> = Vec::new();
        for curve in &used {
            if let Place::Joint(name, _) = &curve.place
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        let mut run = Run::new(header(source, &names));
        let mut last_loss = f64::NAN;
        for step in steps {
            // Where layers are recorded more often than the loss, the loss is the last one that was.
            last_loss = at(loss, step).unwrap_or(last_loss);
            run.steps.push(StepRecord {
                step,
                loss: last_loss,
                learning_rate: at(rate, step).unwrap_or(f64::NAN),
                joints: joints(&used, step),
                parameters: parameters(&used, step),
                clip: clip(&used, step),
                scaling: None,
                snapshot: None,
                histograms: Vec::new(),
            });
        }
        run.truncated = self.truncated;
        run.notes.push(format!("Read from {source}, which another program wrote: curves by step, and no recipe."));
        if used.iter().any(|curve| curve.name.contains("norm/")) {
            run.notes.push("Sizes of gradients are the norms that were recorded, not RMS.".to_owned());
        }
        let others: Vec<&str> =
            self.curves.iter().filter(|curve| !is_used(curve)).map(|curve| curve.name.as_str()).collect();
        if !others.is_empty() {
            let more = others.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = others.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            run.notes.push(format!("Not shown, since nothing tells what they are of: {named}{more}."));
        }
        run.notes.extend(self.left_out.iter().cloned());
        Some(run)
    }
}

fn header(source: &str, names: &[&str]) -> Header {
    let other =
        || OpKind::Other(Other { operation: "recorded elsewhere".to_owned(), weighted: true, homogeneous: false });
    let op = |name: &&str| Op { name: (*name).to_owned(), kind: other() };
    Header {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        recipe: String::new(),
        network: Network {
            input: Shape::vector(0),
            outputs: 0,
            ops: names.iter().map(op).collect(),
            loss: Loss::Other,
        },
        data: DataSummary {
            source: source.to_owned(),
            train_samples: 0,
            test_samples: 0,
            input: Moments::default(),
            feature_rms_ratio: 1.0,
            target: None,
            classes: None,
            baseline_loss: f64::NAN,
        },
        seed: 0,
        precision: Precision::F32,
    }
}

/// Where an item of this name is in the list of one step; it is added where it is not there yet.
fn slot<'a>(slots: &mut BTreeMap<&'a str, usize>, name: &'a str, add: impl FnOnce()) -> usize {
    let next = slots.len();
    *slots.entry(name).or_insert_with(|| {
        add();
        next
    })
}

fn joints(used: &[&Curve], step: u64) -> Vec<JointRecord> {
    let (mut joints, mut slots) = (Vec::new(), BTreeMap::new());
    for curve in used {
        let (Place::Joint(name, which), Some(value)) = (&curve.place, curve.values.get(&step)) else { continue };
        let (activation, cotangent) = (Moments::default(), Moments::default());
        let at = slot(&mut slots, name, || {
            joints.push(JointRecord { name: name.clone(), activation, cotangent, detail: None });
        });
        match which {
            Joint::Activation => joints[at].activation = value.moments(),
            Joint::Cotangent => joints[at].cotangent = value.moments(),
        }
    }
    joints
}

fn parameters(used: &[&Curve], step: u64) -> Vec<ParameterRecord> {
    let (mut parameters, mut slots) = (Vec::new(), BTreeMap::new());
    for curve in used {
        let (Place::Parameter(name, which), Some(value)) = (&curve.place, curve.values.get(&step)) else { continue };
        let empty = Moments::default();
        let at = slot(&mut slots, name, || {
            parameters.push(ParameterRecord { name: name.clone(), weight: empty, gradient: empty, update: empty });
        });
        match which {
            Parameter::Weight => parameters[at].weight = value.moments(),
            Parameter::Gradient => parameters[at].gradient = value.moments(),
            Parameter::Update => parameters[at].update = value.moments(),
        }
    }
    parameters
}

/// What clipping did; `None` unless all four numbers are there.
fn clip(used: &[&Curve], step: u64) -> Option<ClipRecord> {
    let number = |wanted: &'static str| {
        let curve = used.iter().find(|curve| curve.place == Place::Clip(wanted))?;
        curve.values.get(&step)?.number()
    };
    Some(ClipRecord {
        norm_before: number("clip/norm_before")?,
        norm_after: number("clip/norm_after")?,
        cosine: number("clip/cosine")?,
        acted: number("clip/acted")? > 0.0,
    })
}
