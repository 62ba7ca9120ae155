//! A step along a direction with weight decay beside it, which pulls at the parameter itself: w += step d + shrink w.

use crate::ops::{Loop, Real};

/// The parameter goes so far along the direction, and becomes smaller.
pub(super) struct DecayedStep<'a, T>(pub(super) &'a mut [T], pub(super) &'a mut [T], pub(super) T, pub(super) T);

impl<T: Real> Loop for DecayedStep<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self(parameter, direction, step, shrink) = self;
        for (parameter, direction) in parameter.iter_mut().zip(direction) {
            *direction = step * *direction + shrink * *parameter;
            *parameter += *direction;
        }
    }
}
