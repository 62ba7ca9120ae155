//! A product of two ways, y = A(x) B(x) value by value (gated linear units: Dauphin et al. 2017, Shazeer 2020). The split tells it as
//! a whole; a small change goes through both, dy = B dA + A dB, and cotangents come back as J_A^T (B g) + J_B^T (A g).

use super::capture::{Gated, OpCapture};
use super::frozen::{Frozen, sum};
use super::map::Map;
use super::ways::scaled;

/// Both ways, and what each gave.
pub(super) struct Product<'a> {
    ways: [Frozen<'a>; 2],
    /// B, by which the first way is multiplied, and A.
    factors: [Vec<f64>; 2],
}

impl<'a> Product<'a> {
    /// `None` where one of the ways cannot be followed.
    pub(super) fn of(ways: &'a Gated) -> Option<Self> {
        let [one, other] = ways;
        let gave = |way: &[OpCapture]| Some(way.last()?.output.to_f64().into_owned());
        Some(Self { ways: [Frozen::of(one).ok()?, Frozen::of(other).ok()?], factors: [gave(other)?, gave(one)?] })
    }
}

impl Map for Product<'_> {
    fn forth(&self, u: &[f64]) -> Vec<f64> {
        sum(self.ways.iter().zip(&self.factors).map(|(way, factors)| scaled(&way.forth(u), factors)))
    }

    fn back(&self, g: &[f64]) -> Vec<f64> {
        sum(self.ways.iter().zip(&self.factors).map(|(way, factors)| way.back(&scaled(g, factors))))
    }
}
