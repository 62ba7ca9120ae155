//! Update rules, one file each. Written out here because their state must be saved and resumed bit for bit, because a
//! probe reads the very update that was applied, and because one loop in place costs a tenth of a chain of tensor
//! operations.

mod adagrad;
mod adam;
mod adamw;
mod decayed_step;
mod momentum;
mod muon;
mod nesterov;
mod rmsprop;
mod sgd;
mod sign_sgd;
mod spikes;
mod trust_ratio;

use std::collections::btree_map::IntoIter;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use isogain_core::network::Network;
use isogain_core::recipe::{Optimizer as OptimizerRecipe, OptimizerName};
use isogain_core::record::ParameterRecord;
use isogain_core::statistics::Moments;
use isogain_core::width_scaling::RateFactors;

use crate::model::Value;
use crate::ops::{
    Buffer, Loop, Real, buffer_moments, by_type, filled, for_each_share, share_of_values, tensor, vectorised,
};

/// State of the update rule, one entry for each parameter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    recipe: OptimizerRecipe,
    /// What the learning rate of each parameter is multiplied by.
    factors: RateFactors,
    /// The hidden weight matrices, for which some rules have a way of their own.
    hidden: BTreeSet<String>,
    /// What builds up of the gradients: a velocity, or Adam's m.
    pub first: BTreeMap<String, Value>,
    /// What builds up of their squares.
    pub second: BTreeMap<String, Value>,
}

/// What one update depends on beside state and gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// The learning rate of this step.
    pub rate: f64,
    /// Updates done before.
    pub updates: usize,
}

impl Turn {
    /// The same for one parameter, whose rate may be another.
    fn of(self, factors: &RateFactors, parameter: &str) -> Self {
        Self { rate: self.rate * factors.of(parameter), ..self }
    }
}

/// State of one parameter: `first` and `second` of [`Optimizer`], where the rule has them.
type State = [Option<Buffer>; 2];

/// An update rule: turns the gradient into the update, adds it to the parameter, and returns the state for the next
/// step. Arguments: settings, turn, parameter, gradient, state.
type Rule = fn(&OptimizerRecipe, Turn, &mut Buffer, &mut Buffer, State) -> State;

/// Name, value, gradient and state of a parameter.
type Taken = (String, Value, Option<Value>, State);

/// A parameter after a step.
struct Updated {
    name: String,
    value: Value,
    state: [Option<Value>; 2],
    record: Option<ParameterRecord>,
}

/// Works on every parameter at the same time, in shares of about so many values.
fn by_threads(
    taken: Vec<Taken>,
    share: usize,
    work: impl Fn(Taken) -> Updated + Send + Sync,
) -> impl Iterator<Item = Updated> {
    let mut shares: Vec<(usize, Vec<Taken>)> = Vec::new();
    for taken in taken {
        let count = taken.1.count();
        match shares.last_mut().filter(|(values, _)| *values < share) {
            Some((values, last)) => {
                *values += count;
                last.push(taken);
            }
            None => shares.push((count, vec![taken])),
        }
    }
    for_each_share(shares, |(_, taken)| taken.into_iter().map(&work).collect::<Vec<_>>()).into_iter().flatten()
}

/// The table of rules; some have another one for hidden weight matrices.
fn rule<T: Real>(name: OptimizerName, is_hidden: bool) -> Rule {
    match name {
        OptimizerName::Sgd => sgd::update::<T>,
        OptimizerName::Momentum => momentum::update::<T>,
        OptimizerName::Nesterov => nesterov::update::<T>,
        OptimizerName::Adam => adam::update::<T>,
        OptimizerName::Muon if is_hidden => muon::update::<T>,
        OptimizerName::AdamW | OptimizerName::Muon => adamw::update::<T>,
        OptimizerName::RmsProp => rmsprop::update::<T>,
        OptimizerName::AdaGrad => adagrad::update::<T>,
        OptimizerName::SignSgd => sign_sgd::update::<T>,
    }
}

/// The values of a map for names that are asked for in ascending order, as all maps here have them: no search for each.
struct InOrder(Peekable<IntoIter<String, Value>>);

impl InOrder {
    fn new(values: BTreeMap<String, Value>) -> Self {
        Self(values.into_iter().peekable())
    }

    /// The value of this name; those of names before it are gone.
    fn take(&mut self, name: &str) -> Option<Value> {
        while self.0.next_if(|(of, _)| of.as_str() < name).is_some() {}
        self.0.next_if(|(of, _)| of == name).map(|(_, value)| value)
    }
}

impl Optimizer {
    /// With empty state, for parameters of which nothing is known but their gradients.
    pub fn new(recipe: &OptimizerRecipe) -> Self {
        Self {
            recipe: recipe.clone(),
            factors: RateFactors::default(),
            hidden: BTreeSet::new(),
            first: BTreeMap::new(),
            second: BTreeMap::new(),
        }
    }

    /// For the parameters of this network, whose places and widths may decide on their rules and rates.
    #[must_use]
    pub fn of(self, network: &Network) -> Self {
        Self {
            factors: self.recipe.rate_factors(network),
            hidden: network.hidden_weights().into_iter().map(|(parameter, _)| parameter).collect(),
            ..self
        }
    }

    /// Goes on with other settings of the same rule.
    pub fn change_settings(&mut self, recipe: &OptimizerRecipe, network: &Network) {
        let [first, second] = [&mut self.first, &mut self.second].map(std::mem::take);
        *self = Self { first, second, ..Self::new(recipe) }.of(network);
    }

    /// Updates every parameter in place, given all gradients. When `watched`, also what went in and what it did,
    /// parameter by parameter.
    pub fn step(
        &mut self,
        parameters: &mut BTreeMap<String, Value>,
        gradients: BTreeMap<String, Value>,
        turn: Turn,
        watched: bool,
    ) -> Vec<ParameterRecord> {
        let is_reset = self.recipe.reset_every.is_some() && spikes::since_reset(&self.recipe, turn.updates) == 0;
        if is_reset {
            self.first.clear();
            self.second.clear();
        }
        let turn = self.since_reset(turn);
        let mut gradients = InOrder::new(gradients);
        let mut states = [&mut self.first, &mut self.second].map(|state| InOrder::new(std::mem::take(state)));
        let values: usize = parameters.values().map(Value::count).sum();
        // Out of the maps and into new ones: a buffer that nobody else holds is written in place.
        let taken = std::mem::take(parameters).into_iter().map(|(name, value)| {
            let gradient = gradients.take(&name);
            let state = states.each_mut().map(|state| state.take(&name).map(Value::into_buffer));
            (name, value, gradient, state)
        });
        let (rule, mut first, mut second, mut records) = (&*self, Vec::new(), Vec::new(), Vec::new());
        let update = |taken| rule.updated(taken, turn, watched);
        let put_back = |Updated { name, value, state, record }: Updated| {
            for (all, state) in [&mut first, &mut second].into_iter().zip(state) {
                all.extend(state.map(|value| (name.clone(), value)));
            }
            records.extend(record);
            (name, value)
        };
        *parameters = match share_of_values(values, 1) {
            share if share < values => by_threads(taken.collect(), share, update).map(put_back).collect(),
            _ => taken.map(update).map(put_back).collect(),
        };
        (self.first, self.second) = (first.into_iter().collect(), second.into_iter().collect());
        records
    }

    /// One parameter after its update; as it is where it has no gradient.
    #[inline]
    fn updated(&self, (name, value, gradient, state): Taken, turn: Turn, watched: bool) -> Updated {
        let Some(gradient) = gradient else { return Updated { name, value, state: [None, None], record: None } };
        let is_matrix = matches!(value, Value::Matrix(_));
        let wrapped = |buffer| if is_matrix { Value::Matrix(tensor(buffer)) } else { Value::Vector(tensor(buffer)) };
        let (mut parameter, mut gradient) = (value.into_buffer(), gradient.into_buffer());
        let (turn, is_hidden) = (turn.of(&self.factors, &name), self.hidden.contains(&name));
        // Right before the update, which then finds both in the cache.
        let before = watched.then(|| [&parameter, &gradient].map(buffer_moments));
        let state = by_type!(parameter, update(&self.recipe, is_hidden, turn, &mut parameter, &mut gradient, state));
        let record = before.map(|[weight, before]| {
            let update = self.update_moments(&before, &gradient, turn.rate);
            ParameterRecord { name: name.clone(), weight, gradient: before, update }
        });
        Updated { name, value: wrapped(parameter), state: state.map(|buffer| buffer.map(wrapped)), record }
    }

    /// What [`Self::step`] would add to each parameter, given all gradients; nothing is changed. It is the update as the
    /// rule computes it, which a sum with a far larger parameter would round away.
    pub(crate) fn updates(
        &self,
        parameters: &BTreeMap<String, Value>,
        gradients: BTreeMap<String, Value>,
        turn: Turn,
    ) -> BTreeMap<String, Value> {
        let is_reset = self.recipe.reset_every.is_some() && spikes::since_reset(&self.recipe, turn.updates) == 0;
        let turn = self.since_reset(turn);
        let kept = |state: &BTreeMap<String, Value>, name: &str| {
            state.get(name).filter(|_| !is_reset).cloned().map(Value::into_buffer)
        };
        let update = |(name, gradient): (String, Value)| {
            let state = [kept(&self.first, &name), kept(&self.second, &name)];
            let (turn, is_hidden) = (turn.of(&self.factors, &name), self.hidden.contains(&name));
            let value = gradient.with_buffer(|gradient| {
                let mut parameter = parameters[name.as_str()].clone().into_buffer();
                by_type!(parameter, update(&self.recipe, is_hidden, turn, &mut parameter, gradient, state));
            });
            (name, value)
        };
        gradients.into_iter().map(update).collect()
    }

    /// The turn as the rule sees it, whose moments may have started anew.
    fn since_reset(&self, turn: Turn) -> Turn {
        Turn {
            rate: turn.rate * spikes::climb(&self.recipe, turn.updates),
            updates: spikes::since_reset(&self.recipe, turn.updates),
        }
    }

    /// Moments of an update. Plain SGD's are those of its gradient, scaled: no need to read it again, unless a value may
    /// have left the range of f32 on the way.
    fn update_moments(&self, gradient: &Moments, update: &Buffer, rate: f64) -> Moments {
        let largest = gradient.abs_max * rate.abs();
        let is_in_range = largest == 0.0 || (f64::from(f32::MIN_POSITIVE)..f64::from(f32::MAX)).contains(&largest);
        let is_plain =
            self.recipe.name == OptimizerName::Sgd && self.recipe.weight_decay == 0.0 && !self.recipe.trust_ratio;
        if is_plain && is_in_range { gradient.scaled(-rate) } else { buffer_moments(update) }
    }
}

/// One parameter's update; what pulls it to zero becomes a part of the gradient first, unless the rule has a way of its
/// own.
fn update<T: Real>(
    recipe: &OptimizerRecipe,
    is_hidden: bool,
    turn: Turn,
    parameter: &mut Buffer,
    gradient: &mut Buffer,
    state: State,
) -> State {
    if recipe.weight_decay != 0.0 && !recipe.name.is_decay_decoupled() {
        vectorised(Pull::<T>(T::read(parameter), T::write(gradient), T::of(recipe.weight_decay)));
    }
    let rule = rule::<T>(recipe.name, is_hidden);
    if trust_ratio::applies(recipe, parameter) {
        trust_ratio::update::<T>(rule, recipe, turn, parameter, gradient, state)
    } else {
        rule(recipe, turn, parameter, gradient, state)
    }
}

/// As many zeros as the buffer has values.
fn zeros<T: Real>(like: &Buffer) -> Buffer {
    filled(vec![T::default(); T::read(like).len()], like.layout().shape())
}

struct Pull<'a, T>(&'a [T], &'a mut [T], T);

impl<T: Real> Loop for Pull<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, gradient, decay) = self;
        for (&parameter, gradient) in parameter.iter().zip(gradient) {
            *gradient += decay * parameter;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;
    use crate::model::vector;

    const START: [f64; 3] = [1.0, -2.0, 0.5];

    fn recipe(name: OptimizerName) -> OptimizerRecipe {
        OptimizerRecipe { learning_rate: 0.1, ..OptimizerRecipe::named(name) }
    }

    /// Gradient of step `k`.
    fn gradient(k: usize) -> [f64; 3] {
        [0.3 + k as f64, -0.2 * k as f64, 1e-3]
    }

    /// Parameters after three steps, and what the last step's record says.
    fn three_steps(recipe: &OptimizerRecipe, dtype: DType, watched: bool) -> (Vec<f64>, Vec<ParameterRecord>) {
        let value = |values: &[f64]| Value::Vector(vector(values, dtype, &Device::flex()));
        let mut parameters = BTreeMap::from([("fc.bias".to_string(), value(&START))]);
        let mut optimizer = Optimizer::new(recipe);
        let mut records = Vec::new();
        for k in 0..3 {
            let gradients = BTreeMap::from([("fc.bias".to_string(), value(&gradient(k)))]);
            records =
                optimizer.step(&mut parameters, gradients, Turn { rate: recipe.learning_rate, updates: k }, watched);
        }
        (parameters["fc.bias"].to_f64(), records)
    }

    /// What a step would do is what the step does, with state and without, and asking changes nothing.
    #[test]
    fn updates_are_told_before_they_are_made() {
        let value = |values: &[f64]| Value::Vector(vector(values, DType::F64, &Device::flex()));
        for name in OptimizerName::ALL {
            let recipe = OptimizerRecipe { weight_decay: 0.1, ..recipe(name) };
            let mut parameters = BTreeMap::from([("fc.bias".to_string(), value(&START))]);
            let mut optimizer = Optimizer::new(&recipe);
            for k in 0..3 {
                let gradients = BTreeMap::from([("fc.bias".to_string(), value(&gradient(k)))]);
                let turn = Turn { rate: recipe.learning_rate, updates: k };
                let before = parameters["fc.bias"].to_f64();
                let told = optimizer.updates(&parameters, gradients.clone(), turn)["fc.bias"].to_f64();
                assert_eq!(parameters["fc.bias"].to_f64(), before);
                optimizer.step(&mut parameters, gradients, turn, false);
                let after = parameters["fc.bias"].to_f64();
                for ((before, after), told) in before.iter().zip(after).zip(told) {
                    assert!((after - before - told).abs() <= 1e-15, "{name:?}, step {k}: {told}");
                }
            }
        }
    }

    /// One parameter's path by the rule as it stands in PyTorch's documentation.
    fn by_the_book(recipe: &OptimizerRecipe, mut parameter: f64, gradients: [f64; 3]) -> f64 {
        let (mut first, mut second) = (0.0, 0.0);
        let OptimizerRecipe { betas: [beta1, beta2], momentum, alpha, eps, weight_decay, .. } = *recipe;
        for (k, gradient) in gradients.into_iter().enumerate() {
            let is_decoupled = recipe.name.is_decay_decoupled();
            let g = gradient + if is_decoupled { 0.0 } else { weight_decay * parameter };
            parameter -= recipe.learning_rate
                * match recipe.name {
                    OptimizerName::Sgd => g,
                    OptimizerName::Momentum => {
                        first = momentum * first + g;
                        first
                    }
                    OptimizerName::Nesterov => {
                        first = momentum * first + g;
                        g + momentum * first
                    }
                    // Of what is no hidden matrix.
                    OptimizerName::Adam | OptimizerName::AdamW | OptimizerName::Muon => {
                        first = beta1 * first + (1.0 - beta1) * g;
                        second = beta2 * second + (1.0 - beta2) * g * g;
                        let count = k as i32 + 1;
                        let root = (second / (1.0 - beta2.powi(count))).sqrt();
                        let pull = if is_decoupled { weight_decay * parameter } else { 0.0 };
                        first / (1.0 - beta1.powi(count)) / (root + eps) + pull
                    }
                    OptimizerName::RmsProp => {
                        second = alpha * second + (1.0 - alpha) * g * g;
                        first = momentum * first + g / (second.sqrt() + eps);
                        first
                    }
                    OptimizerName::AdaGrad => {
                        second += g * g;
                        g / (second.sqrt() + eps)
                    }
                    OptimizerName::SignSgd => {
                        first = momentum * first + g;
                        first.signum() * f64::from(first != 0.0) + weight_decay * parameter
                    }
                };
        }
        parameter
    }

    #[test]
    fn rules_are_those_of_the_textbooks() {
        for name in OptimizerName::ALL {
            for (momentum, weight_decay) in [(0.9, 0.0), (0.0, 0.1), (0.5, 0.01)] {
                let recipe = OptimizerRecipe { momentum, weight_decay, ..recipe(name) };
                for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-13)] {
                    let (parameters, _) = three_steps(&recipe, dtype, false);
                    for (index, value) in parameters.into_iter().enumerate() {
                        let expected = by_the_book(&recipe, START[index], [0, 1, 2].map(|k| gradient(k)[index]));
                        let what = format!("{name:?} {dtype:?} {momentum} {weight_decay}");
                        assert!((value - expected).abs() < tolerance, "{what}: {value} is not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn watching_changes_no_bit_and_tells_the_update() {
        for name in OptimizerName::ALL {
            for weight_decay in [0.0, 0.1] {
                let recipe = OptimizerRecipe { weight_decay, ..recipe(name) };
                let (plain, none) = three_steps(&recipe, DType::F32, false);
                let (watched, records) = three_steps(&recipe, DType::F32, true);
                assert_eq!(plain, watched);
                assert!(none.is_empty());
                let [record] = records.as_slice() else { panic!("one parameter") };
                // Without the part that pulls the parameter to zero.
                assert_eq!(record.gradient.abs_max, f64::from(gradient(2)[0] as f32));
                // The weight was measured before the update, so that both together give the parameter after it.
                let after: f64 = watched.iter().sum();
                assert!((record.weight.sum + record.update.sum - after).abs() < 1e-6, "{name:?}");
                let [min, max] = [record.update.min, record.update.max].map(Option::unwrap);
                assert!(min < max && record.update.abs_max == max.max(-min), "{name:?}");
            }
        }
    }

    /// T33: after 500 steps of unit noise a gradient ten times as large has RMS = 10 / sqrt(1 + 0.099) = 9.5.
    #[test]
    fn a_stale_second_moment_is_seen_in_one_step() {
        let stable = OptimizerRecipe { clip_update: true, ..recipe(OptimizerName::Adam) };
        let turn = Turn { rate: 0.1, updates: 100_000 };
        let value = |value: f64| filled(vec![value; 1000], &[1000]);
        let calm = spikes::calm::<f64>(&stable, turn, &value(10.0), &value(1.0));
        assert!((1.0 / calm - 10.0 / 1.099_f64.sqrt()).abs() < 1e-9, "{calm}");
        assert_eq!(spikes::calm::<f64>(&stable, turn, &value(1.0), &value(1.0)), 1.0);
        assert_eq!(spikes::calm::<f64>(&recipe(OptimizerName::Adam), turn, &value(10.0), &value(1.0)), 1.0);
    }

    /// T22: g^2 > 5000 v is cut to the root of 5000 v, its sign kept.
    #[test]
    fn a_spike_is_cut_to_what_the_second_moment_allows() {
        let spam = OptimizerRecipe { spike_limit: Some(5000.0), ..recipe(OptimizerName::Adam) };
        let shape = [4];
        let moments = filled(vec![1.0, 1.0, 1.0, 0.0], &shape);
        let mut gradient = filled(vec![70.0, -80.0, 1e9, 5.0], &shape);
        spikes::limit::<f64>(&spam, Turn { rate: 0.1, updates: 0 }, &mut gradient, &moments);
        assert_eq!(f64::read(&gradient), [70.0, -80.0, 1e9, 5.0]);
        spikes::limit::<f64>(&spam, Turn { rate: 0.1, updates: 1 }, &mut gradient, &moments);
        let most = 5000.0_f64.sqrt();
        assert_eq!(f64::read(&gradient), [70.0, -most, most, 5.0]);
    }

    #[test]
    fn moments_that_start_again_are_those_of_a_fresh_run() {
        let spam = OptimizerRecipe { reset_every: Some(2), ..recipe(OptimizerName::Adam) };
        let (parameters, _) = three_steps(&spam, DType::F64, false);
        let plain = recipe(OptimizerName::Adam);
        for index in 0..3 {
            let mut path = START[index];
            let (mut m, mut v) = (0.0, 0.0);
            for k in 0..3 {
                let g = gradient(k)[index];
                if k == 2 {
                    (m, v) = (0.0, 0.0);
                }
                let count = if k == 2 { 1 } else { k as i32 + 1 };
                m = 0.9 * m + 0.1 * g;
                v = 0.999 * v + 0.001 * g * g;
                path -= plain.learning_rate * (m / (1.0 - 0.9_f64.powi(count)))
                    / ((v / (1.0 - 0.999_f64.powi(count))).sqrt() + plain.eps);
            }
            assert!((parameters[index] - path).abs() < 1e-12, "{index}: {} is not {path}", parameters[index]);
        }
    }

    /// A matrix of four, its gradient in two sizes, and the relative length of the step; of a vector what it always was.
    #[test]
    fn a_step_is_a_part_of_the_weights_whatever_the_gradient() {
        let start = [3.0, 0.0, 0.0, -4.0];
        let step = |name: OptimizerName, trust_ratio: bool, scale: f64, dtype: DType, shape: &[usize]| {
            // Without the pull of AdamW, which is the larger part where the gradient is tiny.
            let recipe = OptimizerRecipe { trust_ratio, weight_decay: 0.0, ..recipe(name) };
            let value = |values: &[f64]| {
                let buffer = match dtype {
                    DType::F64 => filled(values.to_vec(), shape),
                    _ => filled(values.iter().map(|&value| value as f32).collect::<Vec<f32>>(), shape),
                };
                if shape.len() > 1 { Value::Matrix(tensor(buffer)) } else { Value::Vector(tensor(buffer)) }
            };
            let mut parameters = BTreeMap::from([("fc.weight".to_string(), value(&start))]);
            let gradients =
                BTreeMap::from([("fc.weight".to_string(), value(&[1.0, -2.0, 2.0, 4.0].map(|g| g * scale)))]);
            let mut optimizer = Optimizer::new(&recipe);
            let records =
                optimizer.step(&mut parameters, gradients, Turn { rate: recipe.learning_rate, updates: 0 }, true);
            let moved: Vec<f64> =
                parameters["fc.weight"].to_f64().iter().zip(start).map(|(after, before)| after - before).collect();
            (moved, records[0].update.norm())
        };
        for name in OptimizerName::ALL {
            for (dtype, scale, tolerance) in [
                (DType::F64, 1.0, 1e-12),
                (DType::F64, 1e-60, 1e-12),
                (DType::F32, 1e-12, 1e-5),
                (DType::F32, 1e12, 1e-5),
            ] {
                let (moved, told) = step(name, true, scale, dtype, &[2, 2]);
                let length = moved.iter().map(|value| value * value).sum::<f64>().sqrt();
                // The rate of 0.1 times |W| = 5. Adam and its kin divide by eps where the gradient is far below it, which
                // is undone too.
                assert!((length - 0.5).abs() < tolerance, "{name:?} {dtype:?} {scale}: {length}");
                assert!((told - 0.5).abs() < tolerance, "{name:?} {dtype:?} {scale}: {told}");
                assert!(moved[0] < 0.0 && moved[1] > 0.0 && moved[2] < 0.0 && moved[3] < 0.0, "{name:?}: {moved:?}");
            }
            assert_eq!(
                step(name, true, 1.0, DType::F64, &[4]).0,
                step(name, false, 1.0, DType::F64, &[4]).0,
                "{name:?}: a bias"
            );
            assert_eq!(step(name, true, 0.0, DType::F64, &[2, 2]).1, step(name, false, 0.0, DType::F64, &[2, 2]).1);
        }
    }

    /// Of the same gradients, a step of the second layer is 64 / 16 times as long, and told so before it is made.
    #[test]
    fn a_rate_goes_with_the_width() {
        let read = isogain_core::recipe::parse("[network]\ndepth = 2\nwidth = 16\n", "test").unwrap();
        let shape = isogain_core::network::Shape::vector(5);
        let network = isogain_core::recipe::expand::network(&read, shape, 3).unwrap();
        let names = ["fc1.weight", "fc2.weight", "fc2.bias"];
        let value = |value: f64| Value::Vector(vector(&[value; 3], DType::F64, &Device::flex()));
        let all =
            |number: f64| names.map(|name| (name.to_owned(), value(number))).into_iter().collect::<BTreeMap<_, _>>();
        let turn = Turn { rate: 0.1, updates: 0 };
        for name in [OptimizerName::Adam, OptimizerName::AdamW] {
            let recipe = OptimizerRecipe { base_width: Some(64), weight_decay: 0.0, ..recipe(name) };
            let mut optimizer = Optimizer::new(&recipe).of(&network);
            let mut parameters = all(1.0);
            let told = optimizer.updates(&parameters, all(0.5), turn);
            optimizer.step(&mut parameters, all(0.5), turn, false);
            for (name, expected) in names.into_iter().zip([-0.1, -0.4, -0.1]) {
                for moved in [told[name].to_f64()[0], parameters[name].to_f64()[0] - 1.0] {
                    assert!((moved - expected).abs() < 1e-7, "{name}: {moved} is not {expected}");
                }
            }
        }
    }

    /// Two steps of a matrix between layers, by the rule as PyTorch documents it: of a diagonal gradient each number is a
    /// singular value. What reads the data, and a bias, take AdamW's steps; all are told before they are made, and go on from
    /// what a checkpoint holds.
    #[test]
    fn hidden_matrices_move_along_orthogonal_directions() {
        let read = isogain_core::recipe::parse("[network]\ndepth = 2\nwidth = 2\n", "test").unwrap();
        let shape = isogain_core::network::Shape::vector(2);
        let network = isogain_core::recipe::expand::network(&read, shape, 2).unwrap();
        let recipe = OptimizerRecipe { weight_decay: 0.1, momentum: 0.5, ..recipe(OptimizerName::Muon) };
        let adamw = OptimizerRecipe { name: OptimizerName::AdamW, ..recipe.clone() };
        let names = ["fc1.weight", "fc2.weight", "head.weight"];
        let start = [1.0, 0.0, 0.0, -2.0];
        let matrix = |values: [f64; 4]| Value::Matrix(tensor(filled(values.to_vec(), &[2, 2])));
        let all = |values: [f64; 4]| -> BTreeMap<String, Value> {
            names.map(|name| (name.to_owned(), matrix(values))).into_iter().collect()
        };
        let gradients = [[3e-9, 0.0, 0.0, 4e-9], [-1.0, 0.0, 0.0, 0.5]];
        let run = |recipe: &OptimizerRecipe| {
            let (mut parameters, mut optimizer) = (all(start), Optimizer::new(recipe).of(&network));
            for (updates, gradient) in gradients.into_iter().enumerate() {
                let turn = Turn { rate: 0.1, updates };
                let (told, before) = (optimizer.updates(&parameters, all(gradient), turn), parameters.clone());
                optimizer.step(&mut parameters, all(gradient), turn, false);
                for name in names {
                    for (at, told) in told[name].to_f64().into_iter().enumerate() {
                        let moved = parameters[name].to_f64()[at] - before[name].to_f64()[at];
                        assert!((moved - told).abs() < 1e-15, "{name}: {moved} is not {told}");
                    }
                }
                let (first, second) = (optimizer.first.clone(), optimizer.second.clone());
                optimizer = Optimizer { first, second, ..Optimizer::new(recipe).of(&network) };
            }
            names.map(|name| parameters[name].to_f64())
        };
        let [reader, hidden, head] = run(&recipe);
        let [reader_adamw, _, head_adamw] = run(&adamw);
        assert_eq!((reader, head), (reader_adamw, head_adamw));
        let mut velocity = [0.0, 0.0];
        let mut expected = [start[0], start[3]];
        for gradient in gradients {
            let gradient = [gradient[0], gradient[3]];
            for at in 0..2 {
                velocity[at] = 0.5 * velocity[at] + gradient[at];
            }
            let ahead = [0, 1].map(|at| gradient[at] + 0.5 * velocity[at]);
            let norm = ahead[0].hypot(ahead[1]);
            for at in 0..2 {
                let direction = (0..5)
                    .fold(ahead[at] / norm, |x, _| 3.4445 * x - 4.7750 * f64::powi(x, 3) + 2.0315 * f64::powi(x, 5));
                expected[at] -= 0.1 * (0.2 * 2.0_f64.sqrt() * direction + 0.1 * expected[at]);
            }
        }
        assert!((hidden[0] - expected[0]).abs() < 1e-14 && (hidden[3] - expected[1]).abs() < 1e-14, "{hidden:?}");
        assert_eq!(hidden[1..3], [0.0, 0.0]);
    }

    /// Whatever a gradient's size, also in f32; without one a number stays.
    #[test]
    fn signs_are_followed_at_one_speed() {
        let recipe = OptimizerRecipe { momentum: 0.0, ..recipe(OptimizerName::SignSgd) };
        for dtype in [DType::F32, DType::F64] {
            let value = |values: [f64; 4]| Value::Vector(vector(&values, dtype, &Device::flex()));
            let mut parameters = BTreeMap::from([("fc.bias".to_string(), value([1.0; 4]))]);
            let gradients = BTreeMap::from([("fc.bias".to_string(), value([1e-30, -1e30, 0.0, f64::NAN]))]);
            Optimizer::new(&recipe).step(&mut parameters, gradients, Turn { rate: 0.25, updates: 0 }, false);
            let moved = parameters["fc.bias"].to_f64();
            assert_eq!(moved[..3], [0.75, 1.25, 1.0]);
            assert!(moved[3].is_nan());
        }
    }

    #[test]
    fn an_update_out_of_range_is_read_again() {
        let broken = OptimizerRecipe { learning_rate: 1e39, ..recipe(OptimizerName::Sgd) };
        let (_, records) = three_steps(&broken, DType::F32, true);
        assert!(records[0].gradient.non_finite == 0 && records[0].update.non_finite > 0);
        let vanishing = OptimizerRecipe { learning_rate: 1e-46, ..recipe(OptimizerName::Sgd) };
        let (_, records) = three_steps(&vanishing, DType::F32, true);
        assert_eq!((records[0].gradient.zeros, records[0].update.zeros), (0, 3));
    }
}
