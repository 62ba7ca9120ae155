//! One recorded step as the maps show it.

use isogain_core::record::{AttentionRecord, ClipRecord, Detail, JointRecord, ParameterRecord, StepRecord};

use super::level::Level;
use super::rows::Rows;

/// One recorded step, or a few that share a column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// The step, the first of those that share the column.
    pub(crate) step: u64,
    /// Loss on its batch.
    pub(crate) loss: f64,
    /// By row of the operations.
    pub(crate) activation: Vec<Level>,
    /// By row of the operations.
    pub(crate) cotangent: Vec<Level>,
    /// Share of the outputs that are exactly zero, by row of the operations; NaN where it was not recorded.
    pub(crate) zeros: Vec<f32>,
    /// By row of the parameters.
    pub(crate) weight: Vec<Level>,
    /// By row of the parameters.
    pub(crate) gradient: Vec<Level>,
    /// By row of the parameters.
    pub(crate) update: Vec<Level>,
    /// What clipping did.
    pub(crate) clip: Option<ClipRecord>,
    /// How attention spreads, by row of the operations.
    pub(crate) attention: Vec<(usize, AttentionRecord)>,
}

impl Column {
    /// A step without its names.
    pub(crate) fn of(record: &StepRecord, joints: &mut Rows, parameters: &mut Rows) -> Self {
        let of_joints = joints.places(record.joints.iter().map(|joint| joint.name.as_str()));
        let of_parameters = parameters.places(record.parameters.iter().map(|parameter| parameter.name.as_str()));
        let rows = joints.names().len();
        let joint = |tell: fn(&JointRecord) -> Level| laid_out(&record.joints, &of_joints, rows, Level::MISSING, tell);
        let rows = parameters.names().len();
        let parameter = |tell: fn(&ParameterRecord) -> Level| {
            laid_out(&record.parameters, &of_parameters, rows, Level::MISSING, tell)
        };
        let zeros = |joint: &JointRecord| {
            if joint.activation.count > 0 { joint.activation.zero_fraction() as f32 } else { f32::NAN }
        };
        let attention = record.joints.iter().zip(&of_joints).filter_map(|(joint, row)| match (&joint.detail, row) {
            (Some(Detail::Attention(attention)), Some(row)) => Some((*row, *attention)),
            _ => None,
        });
        Self {
            step: record.step,
            loss: record.loss,
            activation: joint(|joint| Level::rms(&joint.activation)),
            cotangent: joint(|joint| Level::rms(&joint.cotangent)),
            zeros: laid_out(&record.joints, &of_joints, joints.names().len(), f32::NAN, zeros),
            weight: parameter(|parameter| Level::rms(&parameter.weight)),
            gradient: parameter(|parameter| Level::rms(&parameter.gradient)),
            update: parameter(|parameter| Level::rms(&parameter.update)),
            clip: record.clip,
            attention: attention.collect(),
        }
    }

    /// Takes the next column into this one.
    pub(crate) fn join(&mut self, later: &Self) {
        for (mine, theirs) in [
            (&mut self.activation, &later.activation),
            (&mut self.cotangent, &later.cotangent),
            (&mut self.weight, &later.weight),
            (&mut self.gradient, &later.gradient),
            (&mut self.update, &later.update),
        ] {
            mine.resize(mine.len().max(theirs.len()), Level::MISSING);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = mine.joined(*theirs));
        }
        if !later.loss.is_finite() {
            self.loss = later.loss;
        }
        // That the threshold acted at all must not be lost.
        if later.clip.is_some_and(|clip| clip.acted) && !self.clip.is_some_and(|clip| clip.acted) {
            self.clip = later.clip;
        }
    }

    /// Value of a row; a row that came later is missing.
    pub(crate) fn level(levels: &[Level], row: usize) -> Level {
        levels.get(row).copied().unwrap_or(Level::MISSING)
    }
}

fn laid_out<T, V: Copy>(
    items: &[T],
    places: &[Option<usize>],
    rows: usize,
    missing: V,
    tell: impl Fn(&T) -> V,
) -> Vec<V> {
    let mut values = vec![missing; rows];
    for (item, place) in items.iter().zip(places) {
        if let Some(value) = place.and_then(|place| values.get_mut(place)) {
            *value = tell(item);
        }
    }
    values
}
