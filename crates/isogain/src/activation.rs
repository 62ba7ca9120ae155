//! Activations on Burn tensors.
//!
//! The common ones use Burn's own vectorised operations. Every other activation of the core's table runs through one
//! operation that applies the core's value and derivative element by element, so that adding an activation to the core
//! is enough.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Tensor, TensorData, activation};

use isogain_core::theory::activations::Activation;

/// phi(x), element by element.
pub fn apply(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation.name() {
        "linear" => x,
        "relu" => activation::relu(x),
        "tanh" => x.tanh(),
        "sigmoid" => activation::sigmoid(x),
        _ => Tensor::from_dispatch(<Dispatch as ElementwiseBackend>::elementwise(x.into_dispatch(), activation)),
    }
}

#[backend_extension(Flex, Autodiff)]
trait ElementwiseBackend: Backend {
    /// phi(x).
    fn elementwise(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

type FlexTensor = FloatTensor<Flex>;

impl ElementwiseBackend for Flex {
    fn elementwise(x: FlexTensor, activation: Activation) -> FlexTensor {
        let x = x.to_contiguous();
        let shape = x.layout().shape().clone();
        let count = x.layout().num_elements();
        FlexTensor::from_data(if x.dtype() == DType::F64 {
            let values: Vec<f64> = x.storage::<f64>()[..count].iter().map(|&v| activation.value(v)).collect();
            TensorData::new(values, shape)
        } else {
            let value = |&v: &f32| activation.value(f64::from(v)) as f32;
            TensorData::new(x.storage::<f32>()[..count].iter().map(value).collect::<Vec<f32>>(), shape)
        })
    }
}

/// cotangent * phi'(x).
fn elementwise_backward(x: &FlexTensor, cotangent: &FlexTensor, activation: Activation) -> FlexTensor {
    let (x, cotangent) = (x.to_contiguous(), cotangent.to_contiguous());
    let shape = x.layout().shape().clone();
    let count = x.layout().num_elements();
    FlexTensor::from_data(if x.dtype() == DType::F64 {
        let pairs = x.storage::<f64>()[..count].iter().zip(&cotangent.storage::<f64>()[..count]);
        TensorData::new(pairs.map(|(&v, &g)| g * activation.derivative(v)).collect::<Vec<f64>>(), shape)
    } else {
        let pairs = x.storage::<f32>()[..count].iter().zip(&cotangent.storage::<f32>()[..count]);
        let slope = |v: f32| activation.derivative(f64::from(v)) as f32;
        TensorData::new(pairs.map(|(&v, &g)| g * slope(v)).collect::<Vec<f32>>(), shape)
    })
}

impl<C: CheckpointStrategy> ElementwiseBackend for Autodiff<Flex, C> {
    fn elementwise(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Elementwise;

        impl Backward<Flex, 1> for Elementwise {
            type State = (FlexTensor, Activation);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (x, activation) = ops.state;
                unary::<Flex, _>(ops.parents, ops.node, grads, |gradient| {
                    elementwise_backward(&x, &gradient, activation)
                });
            }
        }

        let (x, node) = x.into_parts();
        match Elementwise.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let output = Flex::elementwise(x.clone(), activation);
                prep.finish((x, activation), output)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::elementwise(x, activation)),
        }
    }
}
