//! One node on Burn's tape: an output, and the function that pulls a cotangent back to the inputs.

use std::fmt;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::buffer::{Buffer, dense};
use super::site::Site;

/// Pulls the output's cotangent back to the input; `None` when the second argument says that nobody reads it.
/// Parameters' gradients leave through the operation's [`Site`].
pub(super) type Pull = Box<dyn Fn(Buffer, bool) -> Option<Buffer> + Send + Sync>;

/// The same for two inputs.
pub(super) type PullPair = Box<dyn Fn(Buffer) -> [Buffer; 2] + Send + Sync>;

type Operation = Box<dyn FnOnce(Buffer) -> (Buffer, Pull) + Send>;
type PairOperation = Box<dyn FnOnce(Buffer, Buffer) -> (Buffer, PullPair) + Send>;

/// Applies an operation to a tensor. Buffers that it gets are dense.
pub(super) fn apply<const D: usize, const E: usize>(
    x: Tensor<D>,
    site: Site,
    operation: impl FnOnce(Buffer) -> (Buffer, Pull) + Send + 'static,
) -> Tensor<E> {
    Tensor::from_dispatch(<Dispatch as TapeBackend>::unary(x.into_dispatch(), site, Box::new(operation)))
}

/// Applies an operation to two tensors. Buffers that it gets are dense.
pub(super) fn apply_pair<const D: usize>(
    x: Tensor<D>,
    y: Tensor<D>,
    site: Site,
    operation: impl FnOnce(Buffer, Buffer) -> (Buffer, PullPair) + Send + 'static,
) -> Tensor<D> {
    let output = <Dispatch as TapeBackend>::binary(x.into_dispatch(), y.into_dispatch(), site, Box::new(operation));
    Tensor::from_dispatch(output)
}

/// Puts a probe on a tensor that is no operation's output.
pub(crate) fn watch(x: Tensor<2>, site: Site) -> Tensor<2> {
    if site.is_stock() { site.shown(x) } else { identity(x, site) }
}

/// The same of any tensor of the CPU backend.
pub(crate) fn identity<const D: usize>(x: Tensor<D>, site: Site) -> Tensor<D> {
    apply(x, site, |x| (x, Box::new(|cotangent, _| Some(cotangent))))
}

#[backend_extension(Flex, Autodiff)]
trait TapeBackend: Backend {
    fn unary(x: FloatTensor<Self>, site: Site, operation: Operation) -> FloatTensor<Self>;
    fn binary(x: FloatTensor<Self>, y: FloatTensor<Self>, site: Site, operation: PairOperation) -> FloatTensor<Self>;
}

impl TapeBackend for Flex {
    fn unary(x: FloatTensor<Self>, site: Site, operation: Operation) -> FloatTensor<Self> {
        let (mut output, _) = operation(dense(x));
        site.round(&mut output);
        site.activation(&output);
        output
    }

    fn binary(x: FloatTensor<Self>, y: FloatTensor<Self>, site: Site, operation: PairOperation) -> FloatTensor<Self> {
        let (mut output, _) = operation(dense(x), dense(y));
        site.round(&mut output);
        site.activation(&output);
        output
    }
}

/// What a node keeps until its cotangent arrives.
struct Kept<F: ?Sized> {
    site: Site,
    pull: Arc<F>,
}

impl<F: ?Sized> Clone for Kept<F> {
    fn clone(&self) -> Self {
        Self { site: self.site.clone(), pull: Arc::clone(&self.pull) }
    }
}

impl<F: ?Sized> fmt::Debug for Kept<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.site.fmt(formatter)
    }
}

impl<C: CheckpointStrategy> TapeBackend for Autodiff<Flex, C> {
    fn unary(x: FloatTensor<Self>, site: Site, operation: Operation) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Unary;

        impl Backward<Flex, 1> for Unary {
            type State = Kept<Pull>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let Kept { site, pull } = ops.state;
                let mut cotangent = dense(grads.consume::<Flex>(&ops.node));
                site.round(&mut cotangent);
                site.cotangent(&cotangent);
                let [parent] = ops.parents;
                // The first node of a chain: the network's input, whose cotangent is read by probes alone, and they
                // are a node of their own.
                let is_read = parent.as_ref().is_some_and(|parent| parent.order > 0);
                if let (Some(parent), Some(mut cotangent)) = (parent, pull(cotangent, is_read)) {
                    site.round(&mut cotangent);
                    grads.register::<Flex>(parent.id, cotangent);
                }
            }
        }

        let (x, node) = x.into_parts();
        match Unary.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (mut output, pull) = operation(dense(x));
                site.round(&mut output);
                site.activation(&output);
                prep.finish(Kept { site, pull: Arc::new(pull) }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::unary(x, site, operation)),
        }
    }

    fn binary(x: FloatTensor<Self>, y: FloatTensor<Self>, site: Site, operation: PairOperation) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Binary;

        impl Backward<Flex, 2> for Binary {
            type State = Kept<PullPair>;

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let Kept { site, pull } = ops.state;
                let mut cotangent = dense(grads.consume::<Flex>(&ops.node));
                site.round(&mut cotangent);
                site.cotangent(&cotangent);
                for (parent, cotangent) in ops.parents.into_iter().zip(pull(cotangent)) {
                    if let Some(parent) = parent {
                        let mut cotangent = cotangent;
                        site.round(&mut cotangent);
                        grads.register::<Flex>(parent.id, cotangent);
                    }
                }
            }
        }

        let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
        match Binary.prepare::<C>([x_node, y_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (mut output, pull) = operation(dense(x), dense(y));
                site.round(&mut output);
                site.activation(&output);
                prep.finish(Kept { site, pull: Arc::new(pull) }, output)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::binary(x, y, site, operation)),
        }
    }
}
