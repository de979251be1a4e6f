//! Two convolutions with their ReLUs and average poolings, with the shapes that
//! [`crate::engine::exact::kernels::direct`] supports.

use tch::{Kind, Tensor};

use super::{BackwardPass, Saved, Stage};
use crate::engine::chain::{Chain, Pool};
use crate::engine::exact::kernels::direct::shape::{C1, C2, H1, K, PADDING};
use crate::engine::exact::kernels::direct::{self, Features};
use crate::nn::{Conv2dOp, Model, ReluOp};

/// The stage; see [`matches()`].
#[derive(Debug)]
struct Direct {
    /// Indices of weight and bias of conv1, then of conv2.
    parameters: [usize; 4],
}

/// Matches conv2d, ReLU, `avg_pool2d(2)`, twice, on float32 images at the start of the network.
pub fn matches(chain: &Chain) -> Option<(Box<dyn Stage>, usize)> {
    let [w1, b1] = conv2d_relu_avg_pool2d(chain, 0, PADDING, [C1, 1, K, K])?;
    let [w2, b2] = conv2d_relu_avg_pool2d(chain, 3, 0, [C2, C1, K, K])?;
    let image = [-1, 1, H1 as i64, H1 as i64];
    let supported =
        chain.is_first() && chain.kind() == Kind::Float && chain.input_shape(0) == image;
    let stage = Direct { parameters: [w1, b1, w2, b2] };
    supported.then(|| (Box::new(stage) as Box<dyn Stage>, 6))
}

/// The indices of weight and bias, if the three operations from `number` on are a convolution with stride 1, this
/// padding and a weight of this shape, ReLU, and `avg_pool2d(2)`.
fn conv2d_relu_avg_pool2d(
    chain: &Chain,
    number: usize,
    padding: usize,
    weight: [usize; 4],
) -> Option<[usize; 2]> {
    let config = chain.operation::<Conv2dOp>(number)?.0;
    chain.operation::<ReluOp>(number + 1)?;
    let supported = chain.pool2d(number + 2)? == Pool::Average
        && chain.parameter_shape(number, 1)? == weight.map(|size| size as i64)
        && (config.stride, config.dilation, config.groups) == ([1, 1], [1, 1], 1)
        && config.padding == [padding as i64; 2];
    let parameters = [chain.parameter(number, 1)?, chain.parameter(number, 2)?];
    supported.then_some(parameters)
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
