//! The probe: an identity operation with a backward pass of its own, put on every joint of a network.
//!
//! It sees the activation on the way forward and the cotangent on the way back, reduces each to [`Moments`] or, when
//! asked to, keeps a copy, and passes the tensor on untouched. Nothing is kept alive by watching.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Tensor};

use isogain_core::flow::Values;
use isogain_core::statistics::Moments;
use isogain_core::statistics::kernel::{moments, moments_f64};

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
    pub forward: BTreeMap<String, Kept>,
    /// Cotangents.
    pub backward: BTreeMap<String, Kept>,
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
        let probe = Probe { probes: self.clone(), joint: joint.into(), backward: false };
        Tensor::from_dispatch(<Dispatch as ProbeBackend>::probe(tensor.into_dispatch(), probe))
    }

    /// Takes what was seen so far.
    pub fn take(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Moments of a tensor, read in place.
pub fn tensor_moments<const D: usize>(tensor: Tensor<D>) -> Moments {
    let probes = Probes::new(Keep::Moments);
    probes.watch("", tensor);
    probes.take().forward.get("").map_or_else(Moments::default, Kept::moments)
}

/// One probe on one joint, one direction.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    probes: Probes,
    joint: Arc<str>,
    backward: bool,
}

impl Probe {
    fn keep(&self, kept: Kept) {
        let mut seen = self.probes.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let side = if self.backward { &mut seen.backward } else { &mut seen.forward };
        side.insert(self.joint.to_string(), kept);
    }
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait ProbeBackend: Backend {
    fn probe(tensor: FloatTensor<Self>, probe: Probe) -> FloatTensor<Self>;
}

impl ProbeBackend for Flex {
    fn probe(tensor: FloatTensor<Self>, probe: Probe) -> FloatTensor<Self> {
        // A view (a transposed or narrowed tensor) is laid out first; the tensors on a joint rarely are views.
        let dense = if tensor.is_contiguous() && tensor.layout().start_offset() == 0 {
            tensor.clone()
        } else {
            tensor.to_contiguous()
        };
        let count = dense.layout().num_elements();
        let kept = match (probe.probes.keep, dense.dtype()) {
            (Keep::Moments, DType::F64) => Kept::Moments(moments_f64(&dense.storage::<f64>()[..count])),
            (Keep::Moments, _) => Kept::Moments(moments(&dense.storage::<f32>()[..count])),
            (Keep::Values, DType::F64) => Kept::Values(Values::from(dense.storage::<f64>()[..count].to_vec())),
            (Keep::Values, _) => Kept::Values(Values::from(dense.storage::<f32>()[..count].to_vec())),
        };
        probe.keep(kept);
        tensor
    }
}

impl<B: ProbeBackend, C: CheckpointStrategy> ProbeBackend for Autodiff<B, C> {
    fn probe(tensor: FloatTensor<Self>, probe: Probe) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ProbeOp;

        impl<B: ProbeBackend> Backward<B, 1> for ProbeOp {
            type State = Probe;

            fn backward(self, ops: Ops<Probe, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let probe = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::probe(gradient, probe));
            }
        }

        let backward = Probe { backward: true, ..probe.clone() };
        let (tensor, node) = tensor.into_parts();
        match ProbeOp.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(backward, B::probe(tensor, probe)),
            OpsKind::UnTracked(prep) => prep.finish(B::probe(tensor, probe)),
        }
    }
}
