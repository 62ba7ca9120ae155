//! h' = (1 - u) n + u h with r, u = sigmoid of x W + h U + b and n = tanh(x W + b + r (h U + b)) (Cho et al. 2014, the
//! reset after the product).

use super::super::buffer::{Loop, Real, vectorised};
use super::{State, StateMut, Step};

/// Gated recurrent unit; keeps r, u, n in `gates` and the state's part of the candidate in `hidden`.
pub(super) struct Gru;

impl<T: Real> Step<T> for Gru {
    const HAS_CELL: bool = false;

    fn forward(&self, units: usize, gates: &mut [T], hidden: &mut [T], before: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward { units, gates, hidden, before: before.h, after: after.h });
    }

    fn backward(
        &self,
        units: usize,
        gates: &mut [T],
        hidden: &mut [T],
        states: [State<'_, T>; 2],
        slopes: State<'_, T>,
        carry: StateMut<'_, T>,
    ) {
        vectorised(Backward { units, gates, hidden, before: states[0].h, slopes: slopes.h, carry: carry.h });
    }
}

struct Forward<'a, T> {
    units: usize,
    gates: &'a mut [T],
    hidden: &'a [T],
    before: &'a [T],
    after: &'a mut [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, gates, hidden, before, after } = self;
        let rows = gates.chunks_exact_mut(3 * units).zip(hidden.chunks_exact(3 * units));
        for (((gates, hidden), before), after) in
            rows.zip(before.chunks_exact(units)).zip(after.chunks_exact_mut(units))
        {
            let (switches, candidate) = gates.split_at_mut(2 * units);
            for (gate, &hidden) in switches.iter_mut().zip(hidden) {
                *gate = (*gate + hidden).logistic();
            }
            let (reset, update) = switches.split_at(units);
            for unit in 0..units {
                candidate[unit] = (candidate[unit] + reset[unit] * hidden[2 * units + unit]).hyperbolic_tangent();
                after[unit] = (T::of(1.0) - update[unit]) * candidate[unit] + update[unit] * before[unit];
            }
        }
    }
}

struct Backward<'a, T> {
    units: usize,
    gates: &'a mut [T],
    hidden: &'a mut [T],
    before: &'a [T],
    slopes: &'a [T],
    carry: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, gates, hidden, before, slopes, carry } = self;
        let one = T::of(1.0);
        for (row, (gates, hidden)) in
            gates.chunks_exact_mut(3 * units).zip(hidden.chunks_exact_mut(3 * units)).enumerate()
        {
            let part = row * units..(row + 1) * units;
            let (before, slopes, carry) = (&before[part.clone()], &slopes[part.clone()], &mut carry[part]);
            for unit in 0..units {
                let (r, u, n) = (gates[unit], gates[units + unit], gates[2 * units + unit]);
                let slope = slopes[unit];
                let candidate = slope * (one - u) * (one - n * n);
                let update = slope * (before[unit] - n) * u * (one - u);
                let reset = candidate * hidden[2 * units + unit] * r * (one - r);
                carry[unit] = slope * u;
                gates[unit] = reset;
                gates[units + unit] = update;
                gates[2 * units + unit] = candidate;
                hidden[unit] = reset;
                hidden[units + unit] = update;
                hidden[2 * units + unit] = candidate * r;
            }
        }
    }
}
