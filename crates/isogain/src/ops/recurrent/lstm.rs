//! c' = f c + i g, h' = o tanh(c'), with i, f, o = sigmoid and g = tanh of x W + h U + b (Hochreiter & Schmidhuber 1997,
//! Gers et al. 2000).

use super::super::buffer::{Loop, Real, vectorised};
use super::{Brought, State, StateMut, Step};

/// Long short-term memory; keeps i, f, g, o in `gates`.
pub(super) struct Lstm;

impl<T: Real> Step<T> for Lstm {
    const HAS_CELL: bool = true;
    const SUMS: bool = true;

    fn forward(&self, units: usize, gates: &mut [T], _: &[T], before: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward { units, gates, before: before.c, h: after.h, c: after.c });
    }

    fn backward(
        &self,
        units: usize,
        kept: Brought<&[T]>,
        states: [State<'_, T>; 2],
        slopes: &[T],
        brought: Brought<&mut [T]>,
        carry: StateMut<'_, T>,
    ) {
        let cells = states.map(|state| state.c);
        vectorised(Backward { units, kept: kept.gates, cells, slopes, gates: brought.gates, carry: carry.c });
        carry.h.fill(T::default());
    }
}

struct Forward<'a, T> {
    units: usize,
    gates: &'a mut [T],
    before: &'a [T],
    h: &'a mut [T],
    c: &'a mut [T],
}

impl<T: Real> Loop for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, gates, before, h, c } = self;
        let rows = gates.chunks_exact_mut(4 * units).zip(before.chunks_exact(units));
        for (((gates, before), h), c) in rows.zip(h.chunks_exact_mut(units)).zip(c.chunks_exact_mut(units)) {
            let (first, second) = gates.split_at_mut(2 * units);
            let ((input, forget), (candidate, output)) = (first.split_at_mut(units), second.split_at_mut(units));
            for gates in [&mut *input, &mut *forget, &mut *output] {
                gates.iter_mut().for_each(|gate| *gate = gate.logistic());
            }
            candidate.iter_mut().for_each(|gate| *gate = gate.hyperbolic_tangent());
            for ((c, &forget), &before) in c.iter_mut().zip(&*forget).zip(before) {
                *c = forget * before;
            }
            for ((c, &input), &candidate) in c.iter_mut().zip(&*input).zip(&*candidate) {
                *c += input * candidate;
            }
            for ((h, c), &output) in h.iter_mut().zip(&*c).zip(&*output) {
                *h = output * c.hyperbolic_tangent();
            }
        }
    }
}

struct Backward<'a, T> {
    units: usize,
    kept: &'a [T],
    /// Before and after.
    cells: [&'a [T]; 2],
    slopes: &'a [T],
    gates: &'a mut [T],
    /// The cell's cotangent, then what of it goes to the cell before.
    carry: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, kept, cells: [before, after], slopes, gates, carry } = self;
        let one = T::of(1.0);
        let rows = kept.chunks_exact(4 * units).zip(gates.chunks_exact_mut(4 * units));
        for (row, (kept, gates)) in rows.enumerate() {
            let part = row * units..(row + 1) * units;
            let (before, after) = (&before[part.clone()], &after[part.clone()]);
            let (slopes, carry) = (&slopes[part.clone()], &mut carry[part]);
            let (first, second) = kept.split_at(2 * units);
            let ((i, f), (g, o)) = (first.split_at(units), second.split_at(units));
            let (first, second) = gates.split_at_mut(2 * units);
            let ((input, forget), (candidate, output)) = (first.split_at_mut(units), second.split_at_mut(units));
            // A loop for each result: one that writes to all of them does not become vector instructions.
            for (squashed, after) in output.iter_mut().zip(after) {
                *squashed = after.hyperbolic_tangent();
            }
            for (((cell, &squashed), &slope), &o) in carry.iter_mut().zip(&*output).zip(slopes).zip(o) {
                *cell += slope * o * (one - squashed * squashed);
            }
            for ((output, &slope), &o) in output.iter_mut().zip(slopes).zip(o) {
                *output = slope * *output * o * (one - o);
            }
            for (((forget, &cell), &before), &f) in forget.iter_mut().zip(&*carry).zip(before).zip(f) {
                *forget = cell * before * f * (one - f);
            }
            for (((input, &cell), &i), &g) in input.iter_mut().zip(&*carry).zip(i).zip(g) {
                *input = cell * g * i * (one - i);
            }
            for (((candidate, &cell), &i), &g) in candidate.iter_mut().zip(&*carry).zip(i).zip(g) {
                *candidate = cell * i * (one - g * g);
            }
            for (cell, &f) in carry.iter_mut().zip(f) {
                *cell = *cell * f;
            }
        }
    }
}
