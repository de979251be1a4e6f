//! Two convolutions with their ReLUs and average poolings, with the shapes that
//! [`crate::engine::exact::kernels::direct`] supports.

use tch::{Kind, Tensor};

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::Chain;
use crate::engine::exact::kernels::direct::shape::{C1, C2, H1, K, PADDING};
use crate::engine::exact::kernels::direct::{self, Features};
use crate::nn::Model;

/// The stage; see [`matches()`].
#[derive(Debug)]
struct Direct {
    /// Indices of weight and bias of conv1, then of conv2.
    parameters: [usize; 4],
}

/// Matches conv2d, ReLU, `avg_pool2d(2)`, twice, on float32 images at the start of the network.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    let [w1, b1] = chain.conv2d_relu_avg_pool2d(0, PADDING, [C1, 1, K, K])?;
    let [w2, b2] = chain.conv2d_relu_avg_pool2d(3, 0, [C2, C1, K, K])?;
    let image = [-1, 1, H1 as i64, H1 as i64];
    let supported =
        chain.is_first() && chain.kind() == Kind::Float && chain.input_shape(0) == image;
    let stage = Direct { parameters: [w1, b1, w2, b2] };
    supported.then(|| (Box::new(stage) as Box<dyn Stage>, 6))
}

impl Stage for Direct {
    fn forward(&self, model: &Model, xs: &Tensor, _needs_grad: bool) -> (Tensor, Saved) {
        let parameters = self.parameters.map(|i| &model.parameters()[i]);
        let xs = xs.contiguous();
        let Features { conv1, pool1, conv2, pool2 } = direct::features(&xs, parameters);
        let saved = vec![xs, conv1, pool1, conv2, pool2.shallow_clone()];
        (pool2, saved)
    }

    /// Returns `None`: this is the first stage, so its input needs no gradient.
    fn backward(&self, pass: BackwardPass) -> Option<Tensor> {
        let BackwardPass { model, saved, grad_output, gradients, .. } = pass;
        let [xs, conv1, pool1, conv2, pool2] = <[Tensor; 5]>::try_from(saved).ok()?;
        let features = Features { conv1, pool1, conv2, pool2 };
        let [w1, _, w2, _] = self.parameters.map(|i| &model.parameters()[i]);
        let computed = direct::gradients(&xs, &features, &grad_output.contiguous(), [w1, w2]);
        for (i, gradient) in
            self.parameters.iter().zip(computed.conv1.iter().chain(&computed.conv2))
        {
            gradients.views()[*i].detach().copy_(gradient);
        }
        None
    }
}
