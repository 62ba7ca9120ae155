//! The probe: sees the activation on the way forward and the cotangent on the way back at every joint of a network,
//! reduces each to [`Moments`] or, when asked to, keeps a copy, and passes the tensor on untouched.
//!
//! The operations of a recipe's network carry a probe on their output; on any other tensor it is an identity operation
//! with a backward pass of its own ([`Probes::watch`]). Nothing is kept alive by watching.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Tensor};

use isogain_core::flow::Values;
use isogain_core::record::Detail;
use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::{moments, moments_f64};

use crate::ops::{Buffer, Collected, Real, Site, ThroughTime, buffer_moments, identity, primitive};

/// What a probe keeps of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Its moments.
    Moments,
    /// A copy of its values.
    Values,
}

/// What was kept of one tensor.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Its moments.
    Moments(Moments),
    /// A copy of its values.
    Values(Values),
}

impl Kept {
    /// The moments, computed now where the values were kept.
    pub fn moments(&self) -> Moments {
        match self {
            Self::Moments(moments) => *moments,
            Self::Values(Values::F32(values)) => moments(values),
            Self::Values(Values::F64(values)) => moments_f64(values),
        }
    }

    /// Without a factor.
    fn divided_by(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        match self {
            Self::Moments(moments) => Self::Moments(moments.scaled(1.0 / factor)),
            Self::Values(Values::F32(values)) => {
                let inverse = (1.0 / factor) as f32;
                Self::Values(Values::from(values.iter().map(|value| value * inverse).collect::<Vec<f32>>()))
            }
            Self::Values(Values::F64(values)) => {
                Self::Values(Values::from(values.iter().map(|value| value / factor).collect::<Vec<f64>>()))
            }
        }
    }

    /// The values, where they were kept.
    pub fn values(&self) -> Option<&Values> {
        match self {
            Self::Values(values) => Some(values),
            Self::Moments(_) => None,
        }
    }
}

/// What the probes of one forward and backward pass saw, by joint.
#[derive(Debug, Default)]
pub struct Seen {
    /// Activations.
    pub forward: BTreeMap<Arc<str>, Kept>,
    /// Cotangents.
    pub backward: BTreeMap<Arc<str>, Kept>,
    /// What operations tell beside their output.
    pub details: BTreeMap<Arc<str>, Detail>,
    /// Recurrent layers' cotangents step by step, where whole tensors are kept.
    pub(crate) through_time: BTreeMap<Arc<str>, ThroughTime>,
    /// Gradients of what layers multiply by, where that is computed from what is trained and whole tensors are kept.
    pub(crate) weight_gradients: BTreeMap<String, Values>,
}

/// The probes of one pass.
#[derive(Clone, Debug)]
pub struct Probes {
    keep: Keep,
    seen: Arc<Mutex<Seen>>,
}

impl Probes {
    /// Probes that keep this much.
    pub fn new(keep: Keep) -> Self {
        Self { keep, seen: Arc::default() }
    }

    /// Puts a probe on a joint: returns the same tensor.
    pub fn watch<const D: usize>(&self, joint: &str, tensor: Tensor<D>) -> Tensor<D> {
        identity(tensor, Site::new(joint, Some(self), &Collected::default()))
    }

    /// Whether they keep whole tensors.
    pub(crate) fn keeps_values(&self) -> bool {
        self.keep == Keep::Values
    }

    /// Keeps an activation.
    pub(crate) fn keep_forward(&self, joint: &Arc<str>, activation: &Buffer) {
        let kept = self.kept(activation);
        self.lock().forward.insert(Arc::clone(joint), kept);
    }

    /// Keeps a cotangent, without the scale of the loss.
    pub(crate) fn keep_backward(&self, joint: &Arc<str>, cotangent: &Buffer, loss_scale: f64) {
        let kept = self.kept(cotangent).divided_by(loss_scale);
        self.lock().backward.insert(Arc::clone(joint), kept);
    }

    /// Keeps what an operation tells beside its output.
    pub(crate) fn keep_detail(&self, joint: &Arc<str>, detail: Detail) {
        self.lock().details.insert(Arc::clone(joint), detail);
    }

    /// Keeps the gradient of what a layer multiplies by.
    pub(crate) fn keep_weight_gradient(&self, op: &str, gradient: Values) {
        self.lock().weight_gradients.insert(op.to_owned(), gradient);
    }

    /// Keeps how the cotangent went back through time.
    pub(crate) fn keep_through_time(&self, joint: &Arc<str>, through_time: ThroughTime) {
        self.lock().through_time.insert(Arc::clone(joint), through_time);
    }

    fn kept(&self, buffer: &Buffer) -> Kept {
        match (self.keep, buffer.dtype()) {
            (Keep::Moments, _) => Kept::Moments(buffer_moments(buffer)),
            (Keep::Values, DType::F64) => Kept::Values(Values::from(f64::read(buffer).to_vec())),
            (Keep::Values, _) => Kept::Values(Values::from(f32::read(buffer).to_vec())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was seen so far.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.lock())
    }
}

/// Moments of a tensor, read in place.
pub fn tensor_moments<const D: usize>(tensor: Tensor<D>) -> Moments {
    buffer_moments(&primitive(tensor))
}
