//! What is seen of a recurrent layer beside its states: how its gates stand, and the ways back through time.

use isogain_core::network::{Cell, Recurrent};
use isogain_core::record::GateRecord;

use super::super::buffer::{LANES, Loop, Real, vectorised};
use super::super::matmul::{Matrix, multiply_into};
use super::super::site::{PathThroughTime, ThroughTime};
use super::{Sizes, Step};

/// Slopes below this count as saturated.
const SATURATED_SLOPE: f64 = 0.01;

/// Gathers, step by step, where the gates stand.
pub(super) struct Gates(Vec<Standing>);

/// Of one gate.
#[derive(Clone, Copy, Default)]
struct Standing {
    sum: f64,
    saturated: u64,
    count: usize,
}

impl Gates {
    pub(super) fn new(cell: Cell) -> Self {
        Self(vec![Standing::default(); cell.gates().len()])
    }

    /// One more step, from what it left in `gates`.
    pub(super) fn add<T: Real, S: Step<T>>(&mut self, step: &S, sizes: Sizes, gates: &[T]) {
        vectorised(Stand { step, sizes, gates, standings: &mut self.0 });
    }

    pub(super) fn records(self, cell: Cell) -> Vec<GateRecord> {
        let record = |(gate, standing): (&&str, Standing)| {
            let count = standing.count.max(1) as f64;
            GateRecord {
                gate: (*gate).into(),
                mean: standing.sum / count,
                saturated_fraction: standing.saturated as f64 / count,
            }
        };
        cell.gates().iter().zip(self.0).map(record).collect()
    }
}

struct Stand<'a, T, S> {
    step: &'a S,
    sizes: Sizes,
    gates: &'a [T],
    standings: &'a mut [Standing],
}

impl<T: Real, S: Step<T>> Loop for Stand<'_, T, S> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { step, sizes, gates, standings } = self;
        let limit = T::of(SATURATED_SLOPE);
        for (gate, standing) in standings.iter_mut().enumerate() {
            let (mut sums, mut saturated) = ([0.0; LANES], [0_u32; LANES]);
            for row in gates.chunks_exact(sizes.width) {
                let kept = &row[gate * sizes.units..][..sizes.units];
                let is_saturated = |kept: T| {
                    let slope = step.gate(gate, kept).1;
                    u32::from(slope < limit && -slope < limit)
                };
                // Groups of a length that the compiler knows: others do not become vector instructions.
                let (groups, rest) = kept.as_chunks::<LANES>();
                for group in groups {
                    for (sum, &kept) in sums.iter_mut().zip(group) {
                        *sum += step.gate(gate, kept).0.wide().abs();
                    }
                    for (saturated, &kept) in saturated.iter_mut().zip(group) {
                        *saturated += is_saturated(kept);
                    }
                }
                for &kept in rest {
                    sums[0] += step.gate(gate, kept).0.wide().abs();
                    saturated[0] += is_saturated(kept);
                }
                standing.count += kept.len();
            }
            standing.sum += sums.iter().sum::<f64>();
            standing.saturated += saturated.iter().map(|&count| u64::from(count)).sum::<u64>();
        }
    }
}

/// Gathers, last step first, the cotangent of each state and the ways it takes to the one before.
pub(super) struct Watched<T> {
    sizes: Sizes,
    has_cell: bool,
    states: Vec<Vec<T>>,
    /// For each gate, then the direct way: name and cotangents.
    paths: Vec<(&'static str, Vec<Vec<T>>)>,
}

impl<T: Real> Watched<T> {
    pub(super) fn new(layer: &Recurrent, sizes: Sizes) -> Self {
        let direct: &[&'static str] = match layer.cell {
            Cell::Rnn if layer.antisymmetric_step.is_none() => &[],
            Cell::Lstm => &["cell"],
            Cell::Rnn | Cell::Gru => &["carry"],
        };
        let names = layer.cell.gates().iter().chain(direct);
        let paths = names.map(|&name| (name, Vec::new())).collect();
        Self { sizes, has_cell: layer.cell == Cell::Lstm, states: Vec::new(), paths }
    }

    /// h and c side by side, whole batches after each other.
    fn both(h: &[T], c: &[T]) -> Vec<T> {
        [h, c].concat()
    }

    pub(super) fn state(&mut self, h: &[T], c: &[T]) {
        self.states.push(Self::both(h, c));
    }

    pub(super) fn paths(&mut self, hidden: Matrix<'_, T>, weight: Matrix<'_, T>, carry: &[T], cell: &[T]) {
        let Self { sizes, has_cell, paths, .. } = self;
        let gates = sizes.width / sizes.units;
        let none = vec![T::default(); if *has_cell { sizes.state() } else { 0 }];
        for (gate, (_, found)) in paths[..gates].iter_mut().enumerate() {
            let mut returned = vec![T::default(); sizes.state()];
            let (from, units) = (gate * sizes.units, sizes.units);
            multiply_into(&mut returned, hidden.columns(from, units), weight.columns(from, units).transposed());
            found.push(Self::both(&returned, &none));
        }
        if let Some((_, found)) = paths.get_mut(gates) {
            let zeros = vec![T::default(); sizes.state()];
            found.push(if *has_cell { Self::both(&zeros, cell) } else { carry.to_vec() });
        }
    }

    pub(super) fn finish(self) -> ThroughTime {
        let wide = |values: Vec<T>| values.into_iter().map(|value| value.wide()).collect::<Vec<f64>>();
        let forward = |steps: Vec<Vec<T>>| steps.into_iter().rev().map(wide).collect::<Vec<Vec<f64>>>();
        let path = |(name, steps): (&str, _)| PathThroughTime { name: name.to_owned(), cotangents: forward(steps) };
        ThroughTime { states: forward(self.states), paths: self.paths.into_iter().map(path).collect() }
    }
}
