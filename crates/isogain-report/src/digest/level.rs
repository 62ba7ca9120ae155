//! The size of a value in four bytes.

use isogain_core::statistics::Moments;

/// log10 of a size; minus infinity is exactly zero, infinity is a value that was not finite, NaN one that was not
/// recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level(f32);

impl Level {
    /// Not recorded.
    pub(crate) const MISSING: Self = Self(f32::NAN);

    /// A size that is not negative; anything that is not finite is lost.
    pub(crate) fn of(size: f64) -> Self {
        Self(if size.is_finite() { size.log10() as f32 } else { f32::INFINITY })
    }

    /// RMS of a tensor: lost if one of its values was, missing if it has none.
    pub(crate) fn rms(moments: &Moments) -> Self {
        match (moments.non_finite, moments.rms()) {
            (1.., _) => Self(f32::INFINITY),
            (0, Some(rms)) if moments.count > 0 => Self::of(rms),
            _ => Self::MISSING,
        }
    }

    /// One size over another.
    pub(crate) fn over(self, other: Self) -> Self {
        if self.is_missing() || other.is_missing() || other.is_zero() {
            Self::MISSING
        } else if self.is_lost() || other.is_lost() {
            Self(f32::INFINITY)
        } else {
            Self(self.0 - other.0)
        }
    }

    /// What two steps that share a column show: what was lost in either, else the first that was recorded.
    pub(crate) fn joined(self, later: Self) -> Self {
        if later.is_lost() || self.is_missing() { later } else { self }
    }

    pub(crate) fn is_missing(self) -> bool {
        self.0.is_nan()
    }

    pub(crate) fn is_lost(self) -> bool {
        self.0 == f32::INFINITY
    }

    pub(crate) fn is_zero(self) -> bool {
        self.0 == f32::NEG_INFINITY
    }

    /// Powers of ten, of what is neither missing, zero nor lost.
    pub(crate) fn decades(self) -> Option<f64> {
        self.0.is_finite().then_some(f64::from(self.0))
    }

    /// The size; NaN for one that was lost, `None` for one that is missing.
    pub(crate) fn value(self) -> Option<f64> {
        match self {
            _ if self.is_missing() => None,
            _ if self.is_lost() => Some(f64::NAN),
            _ => Some(10.0_f64.powf(f64::from(self.0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_size_cannot_be_is_kept_apart() {
        let levels = [Level::of(0.0), Level::of(f64::NAN), Level::of(1e-40), Level::MISSING];
        assert_eq!(levels.map(Level::is_zero), [true, false, false, false]);
        assert_eq!(levels.map(Level::is_lost), [false, true, false, false]);
        assert_eq!(levels[2].decades(), Some(-40.0));
        assert!(levels[0].over(levels[2]).is_zero() && levels[2].over(levels[0]).is_missing());
        assert!(levels[2].joined(levels[1]).is_lost() && levels[3].joined(levels[2]).decades().is_some());
    }
}
