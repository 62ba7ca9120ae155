//! h' = (1 - u) n + u h with r, u = sigmoid of x W + h U + b and n = tanh(x W + b + r (h U + b)) (Cho et al. 2014, the
//! reset after the product).

use super::super::buffer::{Loop, Real, vectorised};
use super::{Brought, State, StateMut, Step};

/// Gated recurrent unit; keeps r, u, n in `gates` and the state's part of the candidate in `hidden`.
pub(super) struct Gru;

impl<T: Real> Step<T> for Gru {
    const HAS_CELL: bool = false;
    const SUMS: bool = false;

    fn forward(&self, units: usize, gates: &mut [T], hidden: &[T], before: State<'_, T>, after: StateMut<'_, T>) {
        vectorised(Forward { units, gates, hidden, before: before.h, after: after.h });
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
        vectorised(Backward { units, kept, before: states[0].h, slopes, brought, carry: carry.h });
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
            for ((candidate, &reset), &hidden) in candidate.iter_mut().zip(reset).zip(&hidden[2 * units..]) {
                *candidate = (*candidate + reset * hidden).hyperbolic_tangent();
            }
            for (((after, &candidate), &update), &before) in after.iter_mut().zip(&*candidate).zip(update).zip(before) {
                *after = (T::of(1.0) - update) * candidate + update * before;
            }
        }
    }
}

struct Backward<'a, T> {
    units: usize,
    kept: Brought<&'a [T]>,
    before: &'a [T],
    slopes: &'a [T],
    brought: Brought<&'a mut [T]>,
    carry: &'a mut [T],
}

impl<T: Real> Loop for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { units, kept, before, slopes, brought, carry } = self;
        let one = T::of(1.0);
        let kept = kept.gates.chunks_exact(3 * units).zip(kept.hidden.chunks_exact(3 * units));
        let brought = brought.gates.chunks_exact_mut(3 * units).zip(brought.hidden.chunks_exact_mut(3 * units));
        for (row, ((kept, kept_hidden), (gates, hidden))) in kept.zip(brought).enumerate() {
            let part = row * units..(row + 1) * units;
            let (before, slopes, carry) = (&before[part.clone()], &slopes[part.clone()], &mut carry[part]);
            let (r, rest) = kept.split_at(units);
            let (u, n) = rest.split_at(units);
            let (reset, rest) = gates.split_at_mut(units);
            let (update, candidate) = rest.split_at_mut(units);
            // A loop for each result: one that writes to all of them does not become vector instructions.
            for (((candidate, &slope), &u), &n) in candidate.iter_mut().zip(slopes).zip(u).zip(n) {
                *candidate = slope * (one - u) * (one - n * n);
            }
            for ((((update, &slope), &u), &n), &before) in update.iter_mut().zip(slopes).zip(u).zip(n).zip(before) {
                *update = slope * (before - n) * u * (one - u);
            }
            for (((reset, &candidate), &r), &hidden) in
                reset.iter_mut().zip(&*candidate).zip(r).zip(&kept_hidden[2 * units..])
            {
                *reset = candidate * hidden * r * (one - r);
            }
            for ((carry, &slope), &u) in carry.iter_mut().zip(slopes).zip(u) {
                *carry = slope * u;
            }
            hidden.copy_from_slice(gates);
            for (hidden, &r) in hidden[2 * units..].iter_mut().zip(r) {
                *hidden = *hidden * r;
            }
        }
    }
}
