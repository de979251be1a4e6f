//! Tensors one after the other in one buffer, so that an element-wise operation on all of them is
//! one call.

use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::ParameterSpec;

/// Bytes that every tensor begins at a multiple of, as libtorch's allocator would place it: MKL
/// picks its code by alignment.
const ALIGNMENT: usize = 64;

/// Tensors of a network's shapes in one buffer. The gaps between them hold zeros.
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
    /// Zeros of these shapes, each a leaf for autograd.
    pub fn zeros(specs: &[ParameterSpec], kind: Kind, device: Device) -> Self {
        let aligned = |count: usize| count.next_multiple_of(ALIGNMENT / kind.elt_size_in_bytes());
        let total: usize = specs.iter().map(|spec| aligned(spec.numel())).sum();
        let all = Tensor::zeros([total as i64], (kind, device));
        let mut at = 0;
        let view = |spec: &ParameterSpec| {
            let view = all.narrow(0, at, spec.numel() as i64).view(&spec.shape[..]);
            at += aligned(spec.numel()) as i64;
            view.detach().set_requires_grad(true)
        };
        let views = specs.iter().map(view).collect();
        Self { all, views }
    }

    /// All of them, with the gaps.
    pub fn all(&self) -> &Tensor {
        &self.all
    }

    /// Each by itself, in its shape; they share the buffer.
    pub fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// Where in the buffer each lies.
    pub fn places(&self) -> impl Iterator<Item = Range<usize>> {
        self.views.iter().map(|view| {
            let at = (view.data_ptr() as usize - self.all.data_ptr() as usize)
                / view.kind().elt_size_in_bytes();
            at..at + view.numel()
        })
    }

    /// The parts of another buffer of the same layout.
    pub fn views_of(&self, other: &Tensor) -> Vec<Tensor> {
        let part = |(place, view): (Range<usize>, &Tensor)| {
            other.narrow(0, place.start as i64, place.len() as i64).view(&view.size()[..])
        };
        self.places().zip(&self.views).map(part).collect()
    }
}
