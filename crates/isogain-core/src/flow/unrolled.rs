//! A recurrent layer as a linear map: its steps one after the other, each linear in what the input brings and in the state before.
//!
//! What a unit does with what its gates read is a function of a few numbers, so that its slopes are found with dual numbers;
//! between units there are only the products with the weights. Rows are samples, each with all of its steps.

use std::ops::{Add, Mul};

use super::Values;
use super::capture::OpCapture;
use super::map::Map;
use super::matrix::Matrix;
use crate::network::Oscillator;
use crate::theory::activations::Activation;

/// What a recurrent layer computes with: enough to run it again.
#[derive(Clone, Debug)]
pub struct Recurrence {
    /// From one state to the next.
    pub rule: StateRule,
    /// Steps of a sample.
    pub steps: usize,
    /// One, or two that read the same input and whose states stand side by side.
    pub directions: Vec<Direction>,
}

impl Recurrence {
    /// Weights of all directions.
    pub(super) fn weights(&self) -> usize {
        self.directions.iter().map(|direction| direction.weight.len() + direction.hidden_weight.len()).sum()
    }
}

/// One direction of a recurrent layer.
#[derive(Clone, Debug)]
pub struct Direction {
    /// W, `[inputs, gates x units]`, the gates in PyTorch's order.
    pub weight: Values,
    /// U, `[units, gates x units]`; of oscillators positions above velocities, of a diagonal recurrence nothing.
    pub hidden_weight: Values,
    /// What is added to x W and to h U, `[gates x units]` each; empty for zeros.
    pub biases: [Values; 2],
    /// The states before the first step, `[samples, states x units]`; empty for zeros.
    pub start: Values,
    /// Whether the last step is the first that it takes.
    pub is_backward: bool,
}

/// How a state becomes the next, as [`crate::network::Cell`] writes it out.
#[derive(Clone, Debug)]
pub enum StateRule {
    /// h' = phi(x W + h U + b).
    Plain(Activation),
    /// h' = h + eps phi(x W + h A + b), for U that is already A.
    Euler {
        /// phi.
        activation: Activation,
        /// eps.
        step: f64,
    },
    /// h' = lambda h + sqrt(1 - lambda^2) phi(x W + b), lambda = exp(-exp(nu)).
    Diagonal {
        /// phi.
        activation: Activation,
        /// nu, `[units]`.
        log_decay: Values,
    },
    /// Positions y and velocities z of coupled oscillators.
    Oscillating {
        /// phi.
        activation: Activation,
        /// How they swing.
        oscillator: Oscillator,
    },
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent unit.
    Gru,
}

/// Most numbers that a unit's next state depends on: four gates and two states.
const MOST: usize = 6;

impl StateRule {
    /// Blocks of the weights.
    pub(super) fn blocks(&self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Plain(_) | Self::Euler { .. } | Self::Diagonal { .. } | Self::Oscillating { .. } => 1,
        }
    }

    /// Sums that a unit reads: a GRU keeps what input and state bring to its candidate apart.
    fn gates(&self) -> usize {
        if matches!(self, Self::Gru) { 4 } else { self.blocks() }
    }

    /// Numbers that a unit remembers.
    pub(super) fn states(&self) -> usize {
        if matches!(self, Self::Lstm | Self::Oscillating { .. }) { 2 } else { 1 }
    }

    /// How many of them weights read.
    pub(super) fn read_states(&self) -> usize {
        match self {
            Self::Diagonal { .. } => 0,
            Self::Oscillating { .. } => 2,
            Self::Plain(_) | Self::Euler { .. } | Self::Lstm | Self::Gru => 1,
        }
    }

    /// The next states of a unit, of which the first goes on.
    fn next(&self, unit: usize, gates: &[Dual], states: &[Dual]) -> [Dual; 2] {
        let none = Dual::constant(0.0);
        match self {
            Self::Plain(phi) => [gates[0].through(*phi), none],
            Self::Euler { activation, step } => [states[0] + gates[0].through(*activation) * *step, none],
            Self::Diagonal { activation, log_decay } => {
                let decay = log_decay.to_f64()[unit].exp();
                let gain = (-(-2.0 * decay).exp_m1()).sqrt();
                [states[0] * (-decay).exp() + gates[0].through(*activation) * gain, none]
            }
            Self::Oscillating { activation, oscillator: Oscillator { step, stiffness, damping } } => {
                let [y, z] = [states[0], states[1]];
                let force = gates[0].through(*activation) + y * -stiffness + z * -damping;
                let z = z + force * *step;
                [y + z * *step, z]
            }
            Self::Lstm => {
                let [input, forget, output] = [gates[0], gates[1], gates[3]].map(Dual::logistic);
                let cell = forget * states[1] + input * gates[2].tanh();
                [output * cell.tanh(), cell]
            }
            Self::Gru => {
                let [reset, update] = [gates[0], gates[1]].map(Dual::logistic);
                let candidate = (gates[2] + reset * gates[3]).tanh();
                [candidate + update * (states[0] + candidate * -1.0), none]
            }
        }
    }

    /// Weights or biases whose columns are the gates: those of a GRU with room for what the other side brings to the candidate.
    fn spread(&self, columns: &[f64], units: usize, is_of_state: bool) -> Vec<f64> {
        if !matches!(self, Self::Gru) {
            return columns.to_vec();
        }
        let none = vec![0.0; units];
        let row = |row: &[f64]| {
            let (switches, candidate) = row.split_at(2 * units);
            let apart = if is_of_state { [&none, candidate] } else { [candidate, &none] };
            [switches, apart[0], apart[1]].concat()
        };
        columns.chunks_exact((3 * units).max(1)).flat_map(row).collect()
    }
}

/// A number, and its slopes by those that a unit's step depends on.
#[derive(Clone, Copy)]
struct Dual {
    value: f64,
    slopes: [f64; MOST],
}

impl Dual {
    fn constant(value: f64) -> Self {
        Self { value, slopes: [0.0; MOST] }
    }

    /// The number at this place.
    fn variable(value: f64, place: usize) -> Self {
        let mut slopes = [0.0; MOST];
        slopes[place] = 1.0;
        Self { value, slopes }
    }

    /// A function of it with this value and slope.
    fn becoming(self, value: f64, slope: f64) -> Self {
        Self { value, slopes: self.slopes.map(|inner| slope * inner) }
    }

    fn through(self, phi: Activation) -> Self {
        self.becoming(phi.value(self.value), phi.derivative(self.value))
    }

    fn logistic(self) -> Self {
        let value = 1.0 / (1.0 + (-self.value).exp());
        self.becoming(value, value * (1.0 - value))
    }

    fn tanh(self) -> Self {
        let value = self.value.tanh();
        self.becoming(value, 1.0 - value * value)
    }
}

impl Add for Dual {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let slopes = std::array::from_fn(|place| self.slopes[place] + other.slopes[place]);
        Self { value: self.value + other.value, slopes }
    }
}

impl Mul for Dual {
    type Output = Self;

    #[expect(clippy::suspicious_arithmetic_impl, reason = "the slope of a product is a sum")]
    fn mul(self, other: Self) -> Self {
        let slope = |place: usize| self.slopes[place] * other.value + self.value * other.slopes[place];
        Self { value: self.value * other.value, slopes: std::array::from_fn(slope) }
    }
}

impl Mul<f64> for Dual {
    type Output = Self;

    fn mul(self, factor: f64) -> Self {
        self.becoming(self.value * factor, factor)
    }
}

/// The layer on one batch.
pub(super) struct Unrolled {
    sizes: Sizes,
    ways: Vec<Way>,
}

#[derive(Clone, Copy)]
struct Sizes {
    samples: usize,
    steps: usize,
    inputs: usize,
    units: usize,
    /// Sums that a unit reads, and numbers that it remembers.
    gates: usize,
    states: usize,
}

/// A direction's weights and slopes.
struct Way {
    /// `[inputs, gates x units]` and turned round.
    weight: Matrix,
    /// `[units, gates x units]` and turned round, for each state that weights read.
    hidden: Vec<Matrix>,
    /// Of each next state of a unit by gates and states before: `[steps, samples, units, states, gates + states]`, the step that
    /// is taken first at the front.
    slopes: Vec<f64>,
    is_backward: bool,
}

impl Sizes {
    fn width(self) -> usize {
        self.gates * self.units
    }

    /// Slopes of one unit in one step.
    fn slopes(self) -> usize {
        self.states * (self.gates + self.states)
    }

    /// One step of rows that hold all steps of a sample after each other.
    fn step(self, rows: &[f64], step: usize) -> Vec<f64> {
        let width = rows.len() / (self.samples * self.steps).max(1);
        let of = |sample: usize| &rows[(sample * self.steps + step) * width..][..width];
        (0..self.samples).flat_map(of).copied().collect()
    }

    /// What belongs to the direction at this place, of rows that have all of them side by side.
    fn part(self, rows: &[f64], at: usize) -> Vec<f64> {
        let all = rows.len() / self.samples.max(1);
        rows.chunks_exact(all.max(1)).flat_map(|row| &row[at * self.units..][..self.units]).copied().collect()
    }

    /// The other way round, to rows of which this direction has the part that begins at `from`.
    fn put(self, rows: &mut [f64], step: usize, from: usize, values: &[f64]) {
        let (width, part) = (rows.len() / (self.samples * self.steps).max(1), values.len() / self.samples.max(1));
        for (sample, values) in values.chunks_exact(part.max(1)).enumerate() {
            rows[(sample * self.steps + step) * width + from..][..part].copy_from_slice(values);
        }
    }
}

impl Unrolled {
    /// Runs the layer on its recorded input.
    pub(super) fn of(recurrence: &Recurrence, op: &OpCapture) -> Self {
        let Recurrence { rule, steps, directions } = recurrence;
        let [features, outputs] = [&op.input, &op.output].map(|values| values.len() / op.rows.max(1));
        let sizes = Sizes {
            samples: op.rows / (*steps).max(1),
            steps: *steps,
            inputs: features,
            units: outputs / directions.len().max(1),
            gates: rule.gates(),
            states: rule.states(),
        };
        let (input, output) = (op.input.to_f64(), op.output.to_f64());
        // What goes on at a step, of the direction at this place.
        let recorded = |at: usize, step: usize| sizes.part(&sizes.step(&output, step), at);
        let way =
            |(at, direction): (usize, &Direction)| Way::of(direction, rule, sizes, &input, |step| recorded(at, step));
        Self { sizes, ways: directions.iter().enumerate().map(way).collect() }
    }
}

impl Way {
    /// States that were recorded take the place of those computed here: a recurrence that explodes takes rounding away with it.
    fn of(
        direction: &Direction,
        rule: &StateRule,
        sizes: Sizes,
        input: &[f64],
        recorded: impl Fn(usize) -> Vec<f64>,
    ) -> Self {
        let Sizes { samples, steps, units, gates, states, .. } = sizes;
        let spread = |values: &Values, is_of_state: bool| rule.spread(&values.to_f64(), units, is_of_state);
        let mut bias = vec![0.0; sizes.width()];
        for (added, is_of_state) in direction.biases.iter().zip([false, true]) {
            bias.iter_mut().zip(spread(added, is_of_state)).for_each(|(sum, added)| *sum += added);
        }
        let hidden = spread(&direction.hidden_weight, true);
        let mut way = Self {
            weight: Matrix::new(spread(&direction.weight, false), sizes.width()),
            hidden: hidden
                .chunks_exact((units * sizes.width()).max(1))
                .map(|block| Matrix::new(block.to_vec(), sizes.width()))
                .collect(),
            slopes: Vec::with_capacity(samples * steps * units * sizes.slopes()),
            is_backward: direction.is_backward,
        };
        let brought = way.weight.forth(input);
        let mut before = vec![vec![0.0; samples * units]; states];
        for (sample, start) in direction.start.to_f64().chunks_exact((states * units).max(1)).enumerate() {
            for (state, start) in before.iter_mut().zip(start.chunks_exact(units)) {
                state[sample * units..][..units].copy_from_slice(start);
            }
        }
        for turn in 0..steps {
            let read = way.read(&brought, &before, turn, sizes);
            let mut after = vec![vec![0.0; samples * units]; states];
            for at in 0..samples * units {
                let (sample, unit) = (at / units, at % units);
                let gate = |gate: usize| {
                    let place = gate * units + unit;
                    Dual::variable(read[sample * sizes.width() + place] + bias[place], gate)
                };
                let state = |state: usize| Dual::variable(before[state][at], gates + state);
                let [mut of_gates, mut of_states] = [[Dual::constant(0.0); MOST]; 2];
                (0..gates).for_each(|index| of_gates[index] = gate(index));
                (0..states).for_each(|index| of_states[index] = state(index));
                let next = rule.next(unit, &of_gates[..gates], &of_states[..states]);
                for (after, next) in after.iter_mut().zip(next) {
                    after[at] = next.value;
                    way.slopes.extend(&next.slopes[..gates + states]);
                }
            }
            after[0] = recorded(way.place(turn, steps));
            before = after;
        }
        way
    }

    /// Which step of a sample it takes at this turn.
    fn place(&self, turn: usize, steps: usize) -> usize {
        if self.is_backward { steps - 1 - turn } else { turn }
    }

    /// What gates read of input and states at a turn, `[samples, gates x units]`.
    fn read(&self, brought: &[f64], states: &[Vec<f64>], turn: usize, sizes: Sizes) -> Vec<f64> {
        let mut read = sizes.step(brought, self.place(turn, sizes.steps));
        for (weight, state) in self.hidden.iter().zip(states) {
            read.iter_mut().zip(weight.forth(state)).for_each(|(sum, value)| *sum += value);
        }
        read
    }

    /// Slopes of each unit of each sample at a turn.
    fn slopes(&self, turn: usize, sizes: Sizes) -> impl Iterator<Item = &[f64]> {
        let each = sizes.slopes();
        let of_turn = sizes.samples * sizes.units * each;
        self.slopes[turn * of_turn..][..of_turn].chunks_exact(each)
    }

    fn forth(&self, u: &[f64], sizes: Sizes, mut give: impl FnMut(usize, &[f64])) {
        let Sizes { samples, units, gates, states, .. } = sizes;
        let brought = self.weight.forth(u);
        let mut before = vec![vec![0.0; samples * units]; states];
        for turn in 0..sizes.steps {
            let read = self.read(&brought, &before, turn, sizes);
            let mut after = vec![vec![0.0; samples * units]; states];
            for (at, slopes) in self.slopes(turn, sizes).enumerate() {
                let (sample, unit) = (at / units, at % units);
                for (after, slopes) in after.iter_mut().zip(slopes.chunks_exact(gates + states)) {
                    let (by_gates, by_states) = slopes.split_at(gates);
                    let gates = by_gates.iter().enumerate();
                    let of_gates: f64 =
                        gates.map(|(gate, slope)| slope * read[sample * sizes.width() + gate * units + unit]).sum();
                    let of_states: f64 = by_states.iter().zip(&before).map(|(slope, state)| slope * state[at]).sum();
                    after[at] = of_gates + of_states;
                }
            }
            give(self.place(turn, sizes.steps), &after[0]);
            before = after;
        }
    }

    /// To the input, from what comes to the states at each step.
    fn back(&self, sizes: Sizes, take: impl Fn(usize) -> Vec<f64>) -> Vec<f64> {
        let Sizes { samples, steps, units, gates, states, .. } = sizes;
        let mut to_gates = vec![0.0; samples * steps * sizes.width()];
        let mut after = vec![vec![0.0; samples * units]; states];
        for turn in (0..steps).rev() {
            let place = self.place(turn, steps);
            after[0].iter_mut().zip(take(place)).for_each(|(sum, value)| *sum += value);
            let mut read = vec![0.0; samples * sizes.width()];
            let mut before = vec![vec![0.0; samples * units]; states];
            for (at, slopes) in self.slopes(turn, sizes).enumerate() {
                let (sample, unit) = (at / units, at % units);
                for (after, slopes) in after.iter().zip(slopes.chunks_exact(gates + states)) {
                    let (by_gates, by_states) = slopes.split_at(gates);
                    for (gate, slope) in by_gates.iter().enumerate() {
                        read[sample * sizes.width() + gate * units + unit] += slope * after[at];
                    }
                    for (before, slope) in before.iter_mut().zip(by_states) {
                        before[at] += slope * after[at];
                    }
                }
            }
            for (weight, before) in self.hidden.iter().zip(&mut before) {
                before.iter_mut().zip(weight.back(&read)).for_each(|(sum, value)| *sum += value);
            }
            sizes.put(&mut to_gates, place, 0, &read);
            after = before;
        }
        self.weight.back(&to_gates)
    }
}

impl Map for Unrolled {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        let sizes = self.sizes;
        let mut output = vec![0.0; sizes.samples * sizes.steps * sizes.units * self.ways.len()];
        for (at, way) in self.ways.iter().enumerate() {
            way.forth(u, sizes, |step, state| sizes.put(&mut output, step, at * sizes.units, state));
        }
        output
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        let sizes = self.sizes;
        let mut sum = vec![0.0; sizes.samples * sizes.steps * sizes.inputs];
        for (at, way) in self.ways.iter().enumerate() {
            let came = way.back(sizes, |step| sizes.part(&sizes.step(g, step), at));
            sum.iter_mut().zip(came).for_each(|(sum, value)| *sum += value);
        }
        sum
    }
}
