//! Operations on one batch as a linear map that can be applied both ways: the forward pass is what it was, small changes of
//! the input go forth through it, cotangents come back through its transpose.

use super::capture::OpCapture;
use super::map::{Map, map};
use super::ways::{End, Way, ways};

/// The Jacobian of some operations that follow one another, and its transpose. Buffers are `[rows, features]` of all
/// samples: batch norm couples them.
pub(super) struct Frozen<'a> {
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Chain(Box<dyn Map + 'a>),
    Sum(Vec<(End, Frozen<'a>)>),
}

impl<'a> Frozen<'a> {
    /// For these operations in forward order.
    ///
    /// # Errors
    /// The operation that buffers alone do not tell, as a sentence.
    pub(super) fn of(ops: &'a [OpCapture]) -> Result<Self, String> {
        Ok(Self { steps: ops.iter().map(Step::of).collect::<Result<_, _>>()? })
    }

    /// J^T g.
    pub(super) fn back(&self, g: &[f64]) -> Vec<f64> {
        self.steps.iter().rev().fold(g.to_vec(), |g, step| match step {
            Step::Chain(map) => map.back(&g),
            Step::Sum(ways) => sum(ways.iter().map(|(end, way)| way.back(&end.take(&g)))),
        })
    }

    /// J u.
    pub(super) fn forth(&self, u: &[f64]) -> Vec<f64> {
        self.steps.iter().fold(u.to_vec(), |u, step| match step {
            Step::Chain(map) => map.forth(&u),
            Step::Sum(ways) => sum(ways.iter().map(|(end, way)| end.give(&way.forth(&u)))),
        })
    }
}

impl<'a> Step<'a> {
    fn of(op: &'a OpCapture) -> Result<Self, String> {
        if let Some(ways) = ways(op) {
            let frozen = |way: Way<'a>| Ok((way.end, Frozen::of(way.ops)?));
            let all = std::iter::once(ways.branch).chain(ways.past);
            return Ok(Self::Sum(all.map(frozen).collect::<Result<_, String>>()?));
        }
        let map =
            map(op).ok_or_else(|| format!("{} ({}) cannot be followed for any direction", op.name, op.kind_name()))?;
        Ok(Self::Chain(map))
    }
}

/// Value by value.
pub(super) fn sum(terms: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let added = |mut sum: Vec<f64>, term: Vec<f64>| {
        sum.iter_mut().zip(term).for_each(|(sum, value)| *sum += value);
        sum
    };
    terms.reduce(added).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Values;
    use crate::flow::capture::OpCaptureKind;
    use crate::flow::map::are_known;
    use crate::flow::values::dot;
    use crate::rules::fixture::Bench;

    /// <J u, v> = <u, J^T v>, and what comes back is what was measured.
    #[test]
    fn both_ways_are_transposes_of_one_another() {
        for more in [
            "activation = \"tanh\"",
            "norm = \"batch\"\nactivation = \"gelu\"",
            "norm = \"layer\"",
            "kind = \"residual\"\nnorm = \"batch\"",
            "kind = \"residual\"\nnorm = \"rms\"\nbranch_scale = \"depth\"",
            "kind = \"residual\"\ngate_bias = -1.0",
            "kind = \"residual\"\ngrowth = 5\nnorm = \"layer\"",
        ] {
            let bench = Bench::new(&format!("[network]\ndepth = 6\nwidth = 24\n{more}\n"));
            let body = &bench.capture.ops()[..bench.capture.head()];
            let map = Frozen::of(body).unwrap();
            let (first, last) = (&body[0], body.last().unwrap());
            let wave = |count: usize, pace: f64| (0..count).map(|at| (pace * at as f64).sin()).collect::<Vec<f64>>();
            let (u, v) = (wave(first.input.len(), 0.7), wave(last.output.len(), 1.3));
            let (one, other) = (dot(&map.forth(&u), &v), dot(&u, &map.back(&v)));
            assert!((one - other).abs() < 1e-10 * one.abs().max(1e-3), "{more}: {one} and {other}");
            let found = map.back(&last.cotangent_out.to_f64());
            let measured = first.cotangent_in.to_f64();
            let apart: Vec<f64> = found.iter().zip(measured.iter()).map(|(a, b)| a - b).collect();
            assert!(dot(&apart, &apart) < 1e-20 * dot(&measured, &measured), "{more}");
        }
    }

    #[test]
    fn what_cannot_be_followed_is_named() {
        let values = |count: usize| Values::from(vec![1.0_f64; count]);
        let op = OpCapture {
            name: "conv2".into(),
            rows: 4,
            kind: OpCaptureKind::Convolution { weight: values(6), weight_gradient: values(6), window: None },
            input: values(4),
            output: values(8),
            cotangent_in: values(4),
            cotangent_out: values(8),
        };
        assert!(!are_known(std::slice::from_ref(&op)));
        let error = Frozen::of(std::slice::from_ref(&op)).err().unwrap();
        assert_eq!(error, "conv2 (convolution) cannot be followed for any direction");
    }
}
