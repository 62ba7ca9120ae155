//! What if one factor of the way back were ideal, and only that? The forward pass is frozen, so the gradient at the first
//! layer is linear in what the loss sends back, and every factor can be exchanged alone.
//!
//! Ideal is: the loss and the head send the body a cotangent of RMS 1 per sample, and auxiliary heads one that is larger by
//! the same factor; slopes phi' have RMS 1; weights have
//! |W|_F^2 = fan_in, which keeps the scale of a cotangent without preferred direction; norms multiply by gamma and no more;
//! skips are absent. With v(S) = ln RMS of the first layer's cotangent under the ideal factors S, this gives v({i}) - v({})
//! for each factor alone, Shapley's share of each in v(all) - v({}), and for each pair what the two do together beyond what
//! each does alone. In a chain of linear operations and activations the first two are the sums of `weight-scale` and
//! `activation-slope` with the sign turned, and no pair interacts.
//!
//! It is no prediction: a remedy changes the forward pass too.

use serde::{Deserialize, Serialize};

use super::asked::{Asked, check_cost};
use super::attribute::log;
use super::capture::{Capture, OpCapture, OpCaptureKind};

mod way_back;

use way_back::WayBack;

/// A group of factors of the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// The loss, the head and what follows it.
    Head,
    /// The derivatives of activations.
    Slopes,
    /// The size of weights.
    Weights,
    /// Normalisations.
    Norms,
    /// Skip connections.
    Skips,
}

/// What the first layer's gradient would be if single factors of the way back were ideal.
pub type Counterfactual = Asked<Changes>;

/// Changes of ln RMS of the first layer's cotangent, nepers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The first layer; the cotangent is that of its output.
    pub layer: String,
    /// ln RMS of that cotangent as measured, the mean over the batch divided out, nepers.
    pub log_rms: f64,
    /// The change if all factors that have a share were ideal, nepers.
    pub together: f64,
    /// The factors that the network has.
    pub factors: Vec<Change>,
    /// Each pair of factors that have a share, the head left out, which acts on none.
    pub interactions: Vec<Interaction>,
}

/// One factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub factor: Factor,
    /// The change if this factor alone were ideal, nepers; `None` where nothing would come back.
    pub alone: Option<f64>,
    /// Its Shapley value: the mean, over all orders in which the factors become ideal one after the other, of what this one
    /// changes. The shares add up to [`Changes::together`]. `None` where `alone` is.
    pub share: Option<f64>,
}

/// What two factors do together beyond the sum of what each does alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interaction {
    /// Which two.
    pub factors: [Factor; 2],
    /// v({i, j}) - v({i}) - v({j}) + v({}), nepers.
    pub log_gain: f64,
}

/// What if: from the buffers of one batch, with the forward pass as it was.
///
/// It costs nothing but sums over the buffers where only scales change. Where norms or skips are exchanged, cotangents of
/// other directions are sent back: one through a chain, up to sixteen through a network with skips or auxiliary heads.
pub fn counterfactual(capture: &Capture) -> Counterfactual {
    changes(capture).into()
}

/// Whether [`counterfactual`] sends other cotangents back than the one that was measured.
pub fn follows_others(capture: &Capture) -> bool {
    let path = capture.after_first_layer();
    more_ways(&present(path), path) > 0
}

fn changes(capture: &Capture) -> Result<Changes, String> {
    let body = &capture.ops()[..capture.head()];
    let (first, path) = match body.iter().position(OpCapture::begins_layer) {
        Some(first) => (&body[first], &body[first + 1..]),
        None => return Err("no layer precedes the head".into()),
    };
    let end = path.last().unwrap_or(first);
    let per_sample = (capture.batch() as f64).ln();
    let ends = log(first.cotangent_out.rms()).zip(log(end.cotangent_out.rms()));
    let Some((measured, at_end)) = ends else {
        return Err(format!("the gradient of {} is zero or not finite", first.name));
    };
    let present = present(path);
    check_cost(path, more_ways(&present, path))?;
    let values = Values::of(&present, path, measured)?;

    let alone: Vec<Option<f64>> =
        (0..present.len()).map(|index| Some(values.at(1 << index) - values.at(0)).filter(|v| v.is_finite())).collect();
    // A factor without which nothing comes back has no finite share; the others are then told among themselves.
    let players: Vec<usize> = (0..present.len()).filter(|&index| alone[index].is_some()).collect();
    let shares = values.shapley(&players);
    let of = |index: usize| Change {
        factor: present[index],
        alone: alone[index],
        share: players.iter().position(|&player| player == index).map(|place| shares[place]),
    };
    // What the loss sends is a number that everything is multiplied with: it interacts with nothing.
    let head = -(at_end + per_sample);
    let mut factors = vec![Change { factor: Factor::Head, alone: Some(head), share: Some(head) }];
    factors.extend((0..present.len()).map(of));
    let all = players.iter().map(|player| 1 << player).sum::<usize>();
    Ok(Changes {
        layer: first.name.clone(),
        log_rms: measured + per_sample,
        together: head + values.at(all) - values.at(0),
        factors,
        interactions: values.interactions(&present, &players),
    })
}

/// The factors that a list of operations has, branches included.
fn present(path: &[OpCapture]) -> Vec<Factor> {
    fn collect(ops: &[OpCapture], found: &mut Vec<Factor>) {
        for op in ops {
            let factor = match &op.kind {
                OpCaptureKind::Linear { .. } | OpCaptureKind::Convolution { .. } => Factor::Weights,
                OpCaptureKind::Activation(_) => Factor::Slopes,
                OpCaptureKind::Norm { .. } => Factor::Norms,
                OpCaptureKind::Residual { .. } => {
                    op.ways().into_iter().for_each(|way| collect(way, found));
                    Factor::Skips
                }
                OpCaptureKind::AuxiliaryHead { .. }
                | OpCaptureKind::Recurrent { .. }
                | OpCaptureKind::QkNorm { .. }
                | OpCaptureKind::Attention { .. }
                | OpCaptureKind::Mask
                | OpCaptureKind::Pool(_)
                | OpCaptureKind::Product { .. }
                | OpCaptureKind::Other { .. } => {
                    continue;
                }
            };
            found.push(factor);
        }
    }
    let mut found = Vec::new();
    collect(path, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

/// Ways back for directions that were not measured.
fn more_ways(present: &[Factor], path: &[OpCapture]) -> usize {
    let is_sum =
        |op: &OpCapture| matches!(op.kind, OpCaptureKind::Residual { .. } | OpCaptureKind::AuxiliaryHead { .. });
    if path.iter().any(is_sum) { 1 << present.len() } else { usize::from(present.contains(&Factor::Norms)) }
}

/// v(S) for every set S of the factors that are present, bit i standing for the i-th.
struct Values(Vec<f64>);

impl Values {
    fn of(present: &[Factor], path: &[OpCapture], measured: f64) -> Result<Self, String> {
        let sets: Vec<Vec<Factor>> = (0..1_usize << present.len())
            .map(|set| (0..present.len()).filter(|index| set >> index & 1 == 1).map(|index| present[index]).collect())
            .collect();
        let log_rms = WayBack::new(&sets).log_changes(path)?;
        Ok(Self(log_rms.into_iter().map(|change| change.against(measured)).collect()))
    }

    fn at(&self, set: usize) -> f64 {
        self.0[set]
    }

    /// Shapley values among these players: over all sets S without i, |S|! (n - |S| - 1)! / n! times v(S + i) - v(S).
    fn shapley(&self, players: &[usize]) -> Vec<f64> {
        let count = players.len();
        let factorial = |n: usize| (1..=n).map(|k| k as f64).product::<f64>();
        let set = |chosen: usize| -> usize {
            (0..count).filter(|place| chosen >> place & 1 == 1).map(|place| 1 << players[place]).sum()
        };
        let share = |place: usize| {
            let others = (0..1_usize << count).filter(|chosen| chosen >> place & 1 == 0);
            let term = |chosen: usize| {
                let size = chosen.count_ones() as usize;
                let weight = factorial(size) * factorial(count - size - 1) / factorial(count);
                weight * (self.at(set(chosen | 1 << place)) - self.at(set(chosen)))
            };
            others.map(term).sum()
        };
        (0..count).map(share).collect()
    }

    fn interactions(&self, present: &[Factor], players: &[usize]) -> Vec<Interaction> {
        let pairs = players.iter().enumerate().flat_map(|(at, i)| players[at + 1..].iter().map(move |j| (*i, *j)));
        let of = |(i, j): (usize, usize)| Interaction {
            factors: [present[i], present[j]],
            log_gain: self.at(1 << i | 1 << j) - self.at(1 << i) - self.at(1 << j) + self.at(0),
        };
        pairs.map(of).collect()
    }
}
