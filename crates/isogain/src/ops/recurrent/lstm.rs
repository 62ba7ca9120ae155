//! c' = f c + i g, h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of x W + h U + b (Hochreiter & Schmidhuber 1997,
//! Gers et al. 2000).

use super::super::buffer::{Loop, Real, vectorised};
use super::{State, StateMut, Step};

/// Long short-term memory; keeps i, f, g, o in `gates`.
pub(super) struct Lstm;

impl<T: Real> Step<T> for Lstm {
    const HAS_CELL: bool = true;

    fn forward(&self, units: usize, gates: &mut [T], hidden: &mut [T], before: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward { units, gates, hidden, before: before.c, h: after.h, c: after.c });
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
        vectorised(Backward { units, gates, cells: states.map(|state| state.c), slopes, carry: carry.c });
        hidden.copy_from_slice(gates);
        carry.h.fill(T::default());
    }
}

struct Forward<'a, T> {
    units: usize,
    gates: &'a mut [T],
    hidden: &'a [T],
    before: &'a [T],
    h: &'a mut [T],
    c: &'a mut [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, gates, hidden, before, h, c } = self;
        gates.iter_mut().zip(hidden).for_each(|(gate, &hidden)| *gate += hidden);
        let rows = gates.chunks_exact_mut(4 * units).zip(before.chunks_exact(units));
        for (((gates, before), h), c) in rows.zip(h.chunks_exact_mut(units)).zip(c.chunks_exact_mut(units)) {
            let (first, second) = gates.split_at_mut(2 * units);
            let ((input, forget), (candidate, output)) = (first.split_at_mut(units), second.split_at_mut(units));
            for gates in [&mut *input, &mut *forget, &mut *output] {
                gates.iter_mut().for_each(|gate| *gate = gate.logistic());
            }
            candidate.iter_mut().for_each(|gate| *gate = gate.hyperbolic_tangent());
            for unit in 0..units {
                c[unit] = forget[unit] * before[unit] + input[unit] * candidate[unit];
                h[unit] = output[unit] * c[unit].hyperbolic_tangent();
            }
        }
    }
}

struct Backward<'a, T> {
    units: usize,
    gates: &'a mut [T],
    /// Before and after.
    cells: [&'a [T]; 2],
    slopes: State<'a, T>,
    carry: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, gates, cells: [before, after], slopes, carry } = self;
        let one = T::of(1.0);
        for (row, gates) in gates.chunks_exact_mut(4 * units).enumerate() {
            let part = row * units..(row + 1) * units;
            let (before, after) = (&before[part.clone()], &after[part.clone()]);
            let (h_slopes, c_slopes) = (&slopes.h[part.clone()], &slopes.c[part.clone()]);
            let carry = &mut carry[part];
            let (first, second) = gates.split_at_mut(2 * units);
            let ((input, forget), (candidate, output)) = (first.split_at_mut(units), second.split_at_mut(units));
            for unit in 0..units {
                let (i, f, g, o) = (input[unit], forget[unit], candidate[unit], output[unit]);
                let squashed = after[unit].hyperbolic_tangent();
                let slope = c_slopes[unit] + h_slopes[unit] * o * (one - squashed * squashed);
                output[unit] = h_slopes[unit] * squashed * o * (one - o);
                forget[unit] = slope * before[unit] * f * (one - f);
                input[unit] = slope * g * i * (one - i);
                candidate[unit] = slope * i * (one - g * g);
                carry[unit] = slope * f;
            }
        }
    }
}
