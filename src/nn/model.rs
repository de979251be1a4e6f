//! A network with its parameters and buffers.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};
use tensor_files::NamedTensor;

use super::state_dict::kind_of;
use super::trace::{Module, Scope, TraceError};
use super::{BufferSpec, FlatParameters, Graph, StateDictError};
use crate::dataset::loader::normalized_images;
use crate::libtorch::dtype_of;
use stitch_run::Normalize;

/// A network: its graph, and tensors with the values of its parameters and buffers.
///
/// ```
/// # use stitch::nn::{Linear, Model};
/// # use tch::Kind;
/// tch::manual_seed(0);
/// let model = Model::new("Net", &[784], Kind::Float, |vs| Linear::new(vs / "fc", 784, 10))?;
/// let xs = tch::Tensor::zeros([3, 784], (Kind::Float, tch::Device::Cpu));
/// assert_eq!(model.forward(&xs, true).size(), [3, 10]);
/// assert_eq!(model.parameters()[0].size(), [10, 784]);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Model {
    class: String,
    graph: Arc<Graph>,
    kind: Kind,
    device: Device,
    parameters: FlatParameters,
    buffers: Vec<Tensor>,
    normalize: Normalize,
}

impl Model {
    /// Defines the network that `build` returns, for inputs of the shape `input` (without the batch), and
    /// draws its initial values on the CPU. `class` is the name of its class in exported files. As in Python,
    /// the values depend on libtorch's global generator: call `tch::manual_seed` first. With `Kind::Double`,
    /// they are drawn as after `torch.set_default_dtype(torch.float64)`.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn new<M: Module>(
        class: &str,
        input: &[i64],
        kind: Kind,
        build: impl FnOnce(&Scope) -> M,
    ) -> Result<Self, TraceError> {
        if !matches!(kind, Kind::Float | Kind::Double) {
            let reason = format!("{kind:?} is not supported; Float or Double is expected");
            return Err(TraceError { place: "kind".into(), reason });
        }
        let graph = Arc::new(Graph::trace(input, build)?);
        let model = Self::zeros(class, graph, kind, Device::Cpu);
        model.reset_parameters();
        Ok(model)
    }

    /// Creates a network whose parameters are zero and whose buffers have their initial values.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use stitch::nn::{Graph, Linear, Model};
    /// # use tch::{Device, Kind};
    /// let graph = Arc::new(Graph::trace(&[784], |vs| Linear::new(vs / "fc", 784, 10))?);
    /// let model = Model::zeros("Net", graph, Kind::Double, Device::Cpu);
    /// assert_eq!(model.parameters()[0].abs().max().double_value(&[]), 0.0);
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    pub fn zeros(class: &str, graph: Arc<Graph>, kind: Kind, device: Device) -> Self {
        let parameters = FlatParameters::zeros(graph.parameters(), kind, device);
        let buffer = |spec: &BufferSpec| {
            let kind = kind_of(spec.kind.dtype(dtype_of(kind))).expect("a type of tch");
            Tensor::full(&spec.shape[..], spec.fill, (kind, device))
        };
        let buffers = graph.buffers().iter().map(buffer).collect();
        let (class, normalize) = (class.into(), Normalize::default());
        Self { class, graph, kind, device, parameters, buffers, normalize }
    }

    /// Sets the normalization of the images that the network takes.
    pub fn with_normalize(self, normalize: Normalize) -> Self {
        Self { normalize, ..self }
    }

    /// The normalization of the images that the network takes.
    pub fn normalize(&self) -> &Normalize {
        &self.normalize
    }

    /// The input of the network for the bytes of N images, normalized, see [`normalized_images`].
    ///
    /// # Panics
    /// If they are not those of whole images of the network's input.
    pub fn images(&self, pixels: &[u8]) -> Tensor {
        let place = (self.kind, self.device);
        normalized_images(pixels, self.graph.input(), place, &self.normalize)
    }

    /// Draws the initial values of all parameters in definition order, as the constructors of `torch.nn` do.
    /// They are drawn on the CPU, as in Python before `model.to(device)`.
    pub fn reset_parameters(&self) {
        tch::no_grad(|| {
            for (spec, parameter) in self.graph.parameters().iter().zip(self.parameters.views()) {
                let value = spec.init.draw(&spec.shape, self.kind);
                parameter.shallow_clone().copy_(&value);
            }
        });
    }

    /// The name of the network's class in exported files.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// The operations, parameters and buffers recorded when the network was traced.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Element type of the parameters, the input and the output.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The device of the parameters and buffers.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The parameters, in the order of [`Graph::parameters`].
    pub fn parameters(&self) -> &[Tensor] {
        self.parameters.views()
    }

    /// The parameters as one flat tensor.
    pub fn flat(&self) -> &FlatParameters {
        &self.parameters
    }

    /// The buffers, in the order of [`Graph::buffers`].
    pub fn buffers(&self) -> &[Tensor] {
        &self.buffers
    }

    /// The output for a batch of inputs (N, …), one libtorch operation after the other, under autograd. `train`
    /// chooses between `model.train()` and `model.eval()`.
    ///
    /// # Panics
    /// With libtorch's message if the shape or type of the input does not match; with PyTorch's message for batch
    /// normalization of a single value per channel in training mode.
    pub fn forward(&self, xs: &Tensor, train: bool) -> Tensor {
        self.forward_with(xs, train, |_, _| {})
    }

    /// The same; `on_layer` gets the index of each layer that was computed, and its output.
    pub(crate) fn forward_with(
        &self,
        xs: &Tensor,
        train: bool,
        mut on_layer: impl FnMut(usize, &Tensor),
    ) -> Tensor {
        let state = (self.parameters(), self.buffers());
        self.graph.compute_with(0..self.graph.nodes().len(), xs, state, train, &mut on_layer)
    }

    /// The output of the first operation in evaluation mode.
    pub(crate) fn first_output(&self, xs: &Tensor) -> Tensor {
        self.graph.compute(0..1, xs, (self.parameters(), self.buffers()), false)
    }

    /// The same network with the values of `tensors`, on the same device.
    ///
    /// # Errors
    /// [`StateDictError`] for the first tensor that does not match.
    pub fn with_state_dict(&self, tensors: &[NamedTensor]) -> Result<Self, StateDictError> {
        let model = Self::zeros(&self.class, Arc::clone(&self.graph), self.kind, self.device);
        model.load_state_dict(tensors)?;
        Ok(model.with_normalize(self.normalize.clone()))
    }

    /// The name of the first parameter or buffer that holds a NaN or an infinity.
    pub fn first_not_finite(&self) -> Option<&str> {
        let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
        self.state().find(|(_, tensor)| !finite(tensor)).map(|(name, _)| name)
    }
}
