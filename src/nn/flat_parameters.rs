//! All parameters of a network in one flat tensor, so that one call applies an element-wise operation to all
//! of them.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::ParameterSpec;
use crate::libtorch::ALIGNMENT;

/// Tensors in the shapes of a network's parameters, stored in one flat tensor and aligned like new tensors. Gaps between them hold
/// zeros.
///
/// ```
/// # use stitch::nn::{Linear, Model};
/// # use tch::Kind;
/// let model = Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
/// let flat = model.flat();
/// assert_eq!(flat.views()[1].size(), [10]);
/// tch::no_grad(|| flat.all().shallow_clone().fill_(2.0));
/// assert_eq!(model.parameters()[1].double_value(&[9]), 2.0);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct FlatParameters {
    all: Tensor,
    views: Vec<Tensor>,
}

impl FlatParameters {
    /// Zeros in the shapes of `specs`, each a leaf of autograd.
    pub(crate) fn zeros(specs: &[ParameterSpec], kind: Kind, device: Device) -> Self {
        let aligned = |count: usize| count.next_multiple_of(ALIGNMENT / kind.elt_size_in_bytes());
        let total: usize = specs.iter().map(|spec| aligned(spec.numel())).sum();
        let all = Tensor::zeros([total as i64], (kind, device));
        let mut offset = 0;
        let view = |spec: &ParameterSpec| {
            let view = all.narrow(0, offset, spec.numel() as i64).view(&spec.shape[..]);
            offset += aligned(spec.numel()) as i64;
            view.detach().set_requires_grad(spec.requires_grad)
        };
        let views = specs.iter().map(view).collect();
        Self { all, views }
    }

    /// The flat tensor, including the gaps.
    pub fn all(&self) -> &Tensor {
        &self.all
    }

    /// The tensors in their own shapes; they are views of the flat tensor.
    pub fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// The range of each tensor's elements in the flat tensor.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.views.iter().map(|view| {
            let start = (view.data_ptr() as usize - self.all.data_ptr() as usize)
                / view.kind().elt_size_in_bytes();
            start..start + view.numel()
        })
    }

    /// Views of another flat tensor with the same layout.
    pub(crate) fn views_of(&self, other: &Tensor) -> Vec<Tensor> {
        let part = |(range, view): (Range<usize>, &Tensor)| {
            other.narrow(0, range.start as i64, range.len() as i64).view(&view.size()[..])
        };
        self.ranges().zip(&self.views).map(part).collect()
    }
}
