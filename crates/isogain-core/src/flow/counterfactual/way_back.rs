//! The way back with some factors exchanged, for several choices of them at once.
//!
//! Most of what is exchanged is a scale, and multiplies the measured cotangent by a number. A cotangent of another direction
//! is carried as a unit buffer and the logarithm of its size, so that nothing leaves the range of f64; choices that differ
//! by a scale share the buffer, and with it the work.

use std::sync::Arc;

use super::Factor;
use crate::flow::capture::{OpCapture, OpCaptureKind};
use crate::flow::map::map;
use crate::flow::values::rms;
use crate::flow::ways::{End, Way, Ways, ways};
use crate::flow::{Values, linear};

/// A cotangent under one choice of factors: e^`log_scale` times a direction.
#[derive(Clone)]
pub(super) struct Cotangent {
    log_scale: f64,
    direction: Direction,
}

#[derive(Clone)]
enum Direction {
    /// The cotangent that was measured at this joint.
    Measured,
    /// Another one, of RMS 1, or zero.
    Other(Arc<Vec<f64>>),
}

impl Direction {
    /// Whether it is the same buffer.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Measured, Self::Measured) => true,
            (Self::Other(one), Self::Other(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Cotangent {
    /// ln RMS at a joint where the measured cotangent has this one.
    pub(super) fn against(&self, measured: f64) -> f64 {
        match self.direction {
            Direction::Measured => self.log_scale + measured,
            Direction::Other(_) => self.log_scale,
        }
    }

    /// From any values; zeros have the scale e^-inf.
    fn of(values: Vec<f64>, log_scale: f64) -> Self {
        let (values, log_size) = unit(values);
        Self { log_scale: log_scale + log_size, direction: Direction::Other(Arc::new(values)) }
    }

    fn scaled(&self, log_factor: f64) -> Self {
        Self { log_scale: self.log_scale + log_factor, direction: self.direction.clone() }
    }

    /// Values of RMS 1 and the logarithm of their factor, `measured` being the cotangent that was measured here.
    fn parts(&self, measured: &Values) -> (Arc<Vec<f64>>, f64) {
        match &self.direction {
            Direction::Measured => {
                let (values, log_size) = unit(measured.to_f64().into_owned());
                (Arc::new(values), self.log_scale + log_size)
            }
            Direction::Other(values) => (Arc::clone(values), self.log_scale),
        }
    }
}

/// Values divided by their RMS, and its logarithm.
fn unit(mut values: Vec<f64>) -> (Vec<f64>, f64) {
    let size = rms(&values);
    if size > 0.0 {
        values.iter_mut().for_each(|value| *value /= size);
    }
    (values, size.ln())
}

/// A number that is the logarithm of one above 0; 0 for a factor that has no size to take away.
fn finite_or_zero(log_scale: f64) -> f64 {
    if log_scale.is_finite() { log_scale } else { 0.0 }
}

/// Choices of factors.
pub(super) struct WayBack<'a> {
    sets: &'a [Vec<Factor>],
}

impl<'a> WayBack<'a> {
    /// For these sets of ideal factors.
    pub(super) fn new(sets: &'a [Vec<Factor>]) -> Self {
        Self { sets }
    }

    /// The cotangent before the first of these operations under each choice, the measured one being at the end.
    ///
    /// # Errors
    /// The operation that only the measured cotangent can be sent through, as a sentence.
    pub(super) fn log_changes(&self, ops: &[OpCapture]) -> Result<Vec<Cotangent>, String> {
        let at_end = vec![Cotangent { log_scale: 0.0, direction: Direction::Measured }; self.sets.len()];
        self.through(ops, at_end)
    }

    fn through(&self, ops: &[OpCapture], mut cotangents: Vec<Cotangent>) -> Result<Vec<Cotangent>, String> {
        for op in ops.iter().rev() {
            cotangents = match (&op.kind, ways(op)) {
                (_, Some(ways)) => self.residual(&ways, &cotangents)?,
                (OpCaptureKind::AuxiliaryHead { head_cotangent_in, .. }, None) => {
                    auxiliary_head(op, head_cotangent_in, &cotangents)
                }
                (kind, None) => {
                    let sent = sent_back(op, &cotangents)?;
                    match kind {
                        OpCaptureKind::Linear { weight, .. } | OpCaptureKind::Convolution { weight, .. } => {
                            self.divided(Factor::Weights, linear::scale(weight, op), &sent)
                        }
                        OpCaptureKind::Activation(activation) => {
                            let slopes: Vec<f64> =
                                op.input.to_f64().iter().map(|&z| activation.derivative(z)).collect();
                            self.divided(Factor::Slopes, rms(&slopes).ln(), &sent)
                        }
                        OpCaptureKind::Norm { gamma, .. } => self.norm(op, gamma, &cotangents, sent),
                        _ => sent,
                    }
                }
            };
        }
        Ok(cotangents)
    }

    fn is_ideal(&self, choice: usize, factor: Factor) -> bool {
        self.sets[choice].contains(&factor)
    }

    /// Without a scale, where the factor is ideal.
    fn divided(&self, factor: Factor, log_scale: f64, cotangents: &[Cotangent]) -> Vec<Cotangent> {
        let without = |choice| if self.is_ideal(choice, factor) { -finite_or_zero(log_scale) } else { 0.0 };
        cotangents.iter().enumerate().map(|(choice, cotangent)| cotangent.scaled(without(choice))).collect()
    }

    /// A product with gamma and no more, where norms are ideal.
    fn norm(
        &self,
        op: &OpCapture,
        gamma: &Values,
        cotangents: &[Cotangent],
        as_it_is: Vec<Cotangent>,
    ) -> Vec<Cotangent> {
        let gamma = gamma.to_f64();
        let bare = once(cotangents, |direction| {
            let (g, log_size) = Cotangent { log_scale: 0.0, direction: direction.clone() }.parts(&op.cotangent_out);
            Cotangent::of(g.iter().zip(gamma.iter().cycle()).map(|(g, gamma)| g * gamma).collect(), log_size)
        });
        let both = as_it_is.into_iter().zip(bare).enumerate();
        both.map(|(choice, (as_it_is, bare))| if self.is_ideal(choice, Factor::Norms) { bare } else { as_it_is })
            .collect()
    }

    fn residual(&self, ways: &Ways<'_>, cotangents: &[Cotangent]) -> Result<Vec<Cotangent>, String> {
        let all = || std::iter::once(&ways.branch).chain(&ways.past);
        let along = |way: &Way<'_>| {
            if matches!(way.end, End::Whole) {
                return self.through(way.ops, cotangents.to_vec());
            }
            // The measured cotangent at a way's end is the part that it takes.
            self.through(way.ops, each_once(cotangents, |g| way.end.take(g)))
        };
        let returned: Vec<Vec<Cotangent>> = all().map(along).collect::<Result<_, _>>()?;
        let sum = |choice: usize| {
            let cotangent_of = |way: usize| &returned[way][choice];
            let branch = cotangent_of(0);
            if self.is_ideal(choice, Factor::Skips) {
                let (values, log_scale) = branch.parts(&ways.branch.returned);
                return Cotangent { log_scale, direction: Direction::Other(values) };
            }
            let parts: Vec<(&Cotangent, &Values)> =
                all().enumerate().map(|(index, way)| (cotangent_of(index), &way.returned)).collect();
            added(&parts)
        };
        Ok((0..cotangents.len()).map(sum).collect())
    }
}

/// The sum of cotangents, each with what was measured where it arrives. Where all are the same multiple of what was measured, so
/// is the sum.
fn added(cotangents: &[(&Cotangent, &Values)]) -> Cotangent {
    let (first, _) = cotangents[0];
    let is_measured = |(cotangent, _): &(&Cotangent, &Values)| {
        matches!(cotangent.direction, Direction::Measured) && cotangent.log_scale == first.log_scale
    };
    if cotangents.iter().all(is_measured) {
        return first.clone();
    }
    let parts: Vec<(Arc<Vec<f64>>, f64)> =
        cotangents.iter().map(|(cotangent, measured)| cotangent.parts(measured)).collect();
    let largest = parts.iter().fold(f64::NEG_INFINITY, |largest, (_, log_size)| largest.max(*log_size));
    if largest == f64::NEG_INFINITY {
        return Cotangent { log_scale: largest, direction: Direction::Other(Arc::clone(&parts[0].0)) };
    }
    let mut total = vec![0.0; parts[0].0.len()];
    for (values, log_size) in &parts {
        let size = (log_size - largest).exp();
        total.iter_mut().zip(values.iter()).for_each(|(total, value)| *total += size * value);
    }
    Cotangent::of(total, largest)
}

/// What an auxiliary head sends does not depend on the factors of the way to it.
fn auxiliary_head(op: &OpCapture, head_back: &Values, cotangents: &[Cotangent]) -> Vec<Cotangent> {
    let of_head = Cotangent { log_scale: 0.0, direction: Direction::Measured };
    cotangents.iter().map(|passed| added(&[(&of_head, head_back), (passed, &op.cotangent_out)])).collect()
}

/// Sends every direction that was not measured back, each once; the measured one comes out as it was measured.
fn each_once(cotangents: &[Cotangent], mut back: impl FnMut(&[f64]) -> Vec<f64>) -> Vec<Cotangent> {
    once(cotangents, |direction| match direction {
        Direction::Measured => Cotangent { log_scale: 0.0, direction: Direction::Measured },
        Direction::Other(values) => Cotangent::of(back(values), 0.0),
    })
}

/// The same through one operation. Some cannot be run backward again from their buffers.
fn sent_back(op: &OpCapture, cotangents: &[Cotangent]) -> Result<Vec<Cotangent>, String> {
    if cotangents.iter().all(|cotangent| matches!(cotangent.direction, Direction::Measured)) {
        return Ok(cotangents.to_vec());
    }
    match map(op) {
        Some(map) => Ok(each_once(cotangents, |g| map.back(g))),
        None => Err(format!(
            "{} ({}) can be followed backward for the gradient that was measured alone, and norms or skips behind it change \
             its direction",
            op.name,
            op.kind_name()
        )),
    }
}

/// One call for all cotangents of the same direction.
fn once(cotangents: &[Cotangent], mut back: impl FnMut(&Direction) -> Cotangent) -> Vec<Cotangent> {
    let mut known: Vec<(&Direction, Cotangent)> = Vec::new();
    let mut found = Vec::with_capacity(cotangents.len());
    for Cotangent { log_scale, direction } in cotangents {
        let sent = known.iter().find(|(known, _)| known.is(direction)).map(|(_, sent)| sent.clone());
        let sent = sent.unwrap_or_else(|| {
            let sent = back(direction);
            known.push((direction, sent.clone()));
            sent
        });
        found.push(sent.scaled(*log_scale));
    }
    found
}
