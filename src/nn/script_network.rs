//! Networks of TorchScript files: trained and evaluated with their own forward pass.

use std::io::Cursor;
use std::sync::Arc;

#[cfg(feature = "libtorch")]
use tch::{Device, Kind, Tensor};
use tensor_files::{NamedTensor, ReadError};
use torchscript_forward::{AuditError, CodeFacts, Parameter, ScriptModule, Signature};

use super::graph::{BufferKind, BufferSpec, ParameterSpec, StateEntry};
use super::{Graph, Init, Model, OnnxNodes, Operation, ScriptLines, ShapeError, to_named};
use crate::libtorch::{LibtorchError, Script, dtype_of, generator};

/// A TorchScript file that cannot be used as a network.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is no archive.
    #[error(
        "it is not a TorchScript file: save the network with torch.jit.script(model).save(FILE)"
    )]
    NoArchive,
    /// The archive cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its code does more than operations on tensors.
    #[error(transparent)]
    Refused(#[from] AuditError),
    /// It is a state_dict or another checkpoint: tensors without a network.
    #[error(
        "it has no network: torch.save(model.state_dict()) saves weights only. Save the network with \
         torch.jit.script(model).save(FILE)"
    )]
    NoNetwork,
    /// It has no `forward`, or one that does not take an image and return a tensor.
    #[error(
        "its forward is {0}, where one that takes a batch of images and returns a tensor is expected: \
         forward(self, x: Tensor) -> Tensor"
    )]
    Signature(String),
    /// libtorch cannot load it, or its parameters and buffers share memory or are not contiguous.
    #[error("{0}")]
    Load(LibtorchError),
    /// A parameter has a type that is not supported.
    #[error("its {0} has the type {1:?}: float32 or float64 for all parameters is expected")]
    Type(String, Kind),
    /// Its parameters have different types.
    #[error(
        "its {0} has the type {1:?}, and its {2} the type {3:?}: one type for all parameters is expected"
    )]
    Types(String, Kind, String, Kind),
    /// Its forward pass raises on images of the data set: their shape, and its message.
    #[error("its forward pass fails for images of the shape {shape:?}: {error}")]
    Images {
        /// Shape of an image: channels, height, width.
        shape: Vec<i64>,
        /// The network's message.
        error: ForwardFailed,
    },
    /// Its output is not one number per class for each image.
    #[error(
        "its output for 2 images has the shape {0:?} and the type {1:?}: floats of the shape [2, classes], with 1 to 256 classes, are expected"
    )]
    Output(Vec<i64>, Kind),
    /// It has no parameters.
    #[error(
        "it has no parameters: torch.jit.freeze and optimize_for_inference turn them into constants. Save the module \
         before these calls"
    )]
    Frozen,
    /// None of its parameters is trained.
    #[error("it has no parameter to train: requires_grad is off for all of them")]
    NoGradients,
    /// Training mode or evaluation mode is written into its code.
    #[error(
        "it was traced (torch.jit.trace), and its code contains {0}: whether it trains or evaluates was fixed when it was \
         traced. Save it with torch.jit.script(model) instead"
    )]
    Traced(String),
}

/// A forward or backward pass of a TorchScript network that raised: the last line of its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ForwardFailed(pub String);

impl ForwardFailed {
    /// From a message of libtorch: a traceback of the network's code, then the error; libtorch appends its own stack.
    pub(crate) fn new(text: &str) -> Self {
        let text = text.split("\nException raised from").next().unwrap_or_default();
        let last =
            text.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_underline(line));
        Self(last.unwrap_or("it raised an error").to_owned())
    }

    /// Unwinds to [`catch_forward`], without a message of the panic hook.
    pub(crate) fn raise(self) -> ! {
        std::panic::resume_unwind(Box::new(self))
    }
}

impl From<LibtorchError> for ForwardFailed {
    fn from(error: LibtorchError) -> Self {
        Self::new(&error.to_string())
    }
}

/// Whether a line of a traceback underlines the one above.
fn is_underline(line: &str) -> bool {
    line.contains("~~")
        && line.split("<---").next().is_some_and(|it| it.trim_matches(['~', ' ']).is_empty())
}

/// Runs `compute`, which may compute the forward pass of a TorchScript network.
///
/// # Errors
/// [`ForwardFailed`] if the forward pass raises.
pub fn catch_forward<T>(compute: impl FnOnce() -> T) -> Result<T, ForwardFailed> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute));
    result.map_err(|panic| match panic.downcast::<ForwardFailed>() {
        Ok(error) => *error,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The whole forward pass of a TorchScript file. Its inputs are the images, then the parameters and buffers of the file.
#[derive(Debug)]
pub(crate) struct ScriptOp {
    script: Script,
    facts: CodeFacts,
    /// For each slot of the script, the index of its input.
    inputs: Vec<usize>,
    /// Number of outputs per image.
    classes: i64,
}

impl Operation for ScriptOp {
    fn name(&self) -> &'static str {
        "torchscript"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    #[cfg(feature = "libtorch")]
    fn forward(&self, inputs: &[&Tensor], train: bool) -> Tensor {
        let tensors: Vec<&Tensor> = self.inputs.iter().map(|&index| inputs[index]).collect();
        let output = self.script.forward(inputs[0], &tensors, train);
        let output = output.unwrap_or_else(|error| ForwardFailed::from(error).raise());
        let expected = [inputs[0].size()[0], self.classes];
        if output.size() != expected || !output.is_floating_point() {
            let (found, n) = (output.size(), expected[0]);
            let text = format!(
                "its output for {n} images has the shape {found:?}, where {expected:?} is expected"
            );
            ForwardFailed(text).raise();
        }
        output
    }

    fn torchscript(&self, _lines: &mut ScriptLines) {
        unreachable!("the archive is written by libtorch");
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        nodes.fail("the forward pass of a TorchScript file cannot be converted");
    }
}

impl Model {
    /// The network of a TorchScript file for images of this shape (channels, height, width), with its parameters and buffers.
    /// Its code is checked before libtorch loads it.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn of_torchscript(
        bytes: &[u8],
        shape: &[i64],
        device: Device,
    ) -> Result<Self, ScriptError> {
        if !bytes.starts_with(b"PK") {
            return Err(ScriptError::NoArchive);
        }
        let module = ScriptModule::read(Cursor::new(bytes))?;
        let facts = module.check_operations()?;
        match &facts.forward {
            None if !module.has_code() => return Err(ScriptError::NoNetwork),
            None => return Err(ScriptError::Signature("missing".into())),
            Some(signature) if !signature.maps_tensor_to_tensor() => {
                return Err(ScriptError::Signature(written(signature)));
            }
            Some(_) => {}
        }
        let script = Script::load(bytes).map_err(ScriptError::Load)?;
        let class = script.class().to_owned();
        let (state, values) = state_of(&script)?;
        let kind = state.kind;
        let mut op = ScriptOp { script, facts, inputs: state.inputs, classes: 0 };
        op.classes = classes(&op, shape, kind, &values)?;
        let classes = op.classes;
        let mut graph = Graph::new(shape);
        (graph.parameters, graph.buffers) = (state.parameters, state.buffers);
        (graph.state, graph.shared) = (state.entries, state.shared);
        let graph = graph.of_operation(Arc::new(op), vec![-1, classes]);
        let model = Self::zeros(&class, Arc::new(graph), kind, device);
        let named = model.graph().state().zip(&values);
        let named = named.map(|(spec, tensor)| to_named(spec.name.into(), tensor));
        let named: Vec<NamedTensor> = named.collect();
        model.load_state_dict(&named).expect("the state of the same file");
        Ok(model)
    }

    /// Whether the network is that of a TorchScript file.
    pub fn is_script(&self) -> bool {
        self.script().is_some()
    }

    /// Checks that the network of a TorchScript file can be trained. Other networks can.
    ///
    /// # Errors
    /// [`ScriptError::Frozen`], [`ScriptError::NoGradients`] and [`ScriptError::Traced`].
    pub fn check_trainable(&self) -> Result<(), ScriptError> {
        let Some(ScriptOp { facts, .. }) = self.script() else { return Ok(()) };
        if self.parameters().is_empty() {
            return Err(ScriptError::Frozen);
        }
        if !self.parameters().iter().any(Tensor::requires_grad) {
            return Err(ScriptError::NoGradients);
        }
        match &facts.fixed_mode {
            Some((what, place)) if facts.traced => {
                Err(ScriptError::Traced(format!("{what} ({place})")))
            }
            _ => Ok(()),
        }
    }

    /// Updates the buffers that the network of a TorchScript file replaced in its last forward pass, after the backward pass.
    pub(crate) fn update_buffers(&self) {
        let updated = self.script().map_or(Ok(()), |op| op.script.update_buffers());
        updated.unwrap_or_else(|error| ForwardFailed::from(error).raise());
    }

    /// The archive of a TorchScript network with the model's parameters and buffers, as `torch.jit.save` writes it.
    pub(super) fn script_archive(&self) -> Option<Vec<u8>> {
        let op = self.script()?;
        let inputs: Vec<&Tensor> = self.parameters().iter().chain(self.buffers()).collect();
        let tensors: Vec<Tensor> =
            op.inputs.iter().map(|&index| inputs[index - 1].to_device(Device::Cpu)).collect();
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        Some(op.script.save(&tensors).expect("a module that was loaded is saved"))
    }

    fn script(&self) -> Option<&ScriptOp> {
        self.graph().nodes().first()?.operation.downcast_ref()
    }
}

/// The parameters and buffers of a script.
struct State {
    kind: Kind,
    parameters: Vec<ParameterSpec>,
    buffers: Vec<BufferSpec>,
    entries: Vec<StateEntry>,
    /// Names of parameters that have two, and their indices.
    shared: Vec<(String, usize)>,
    /// See [`ScriptOp::inputs`].
    inputs: Vec<usize>,
}

/// The parameters and buffers of a script, and their values in the order of its slots. Two parameters in the same memory are
/// one, as they were in Python.
fn state_of(script: &Script) -> Result<(State, Vec<Tensor>), ScriptError> {
    let slots = script.slots();
    let mut state = State {
        kind: Kind::Float,
        parameters: Vec::new(),
        buffers: Vec::new(),
        entries: Vec::new(),
        shared: Vec::new(),
        inputs: Vec::new(),
    };
    // The tensors of `state.parameters`.
    let mut tensors: Vec<&Tensor> = Vec::new();
    let memory = |it: &Tensor| (it.data_ptr(), it.size(), it.stride());
    let is_same = |a: &Tensor, b: &Tensor| a.numel() > 0 && memory(a) == memory(b);
    for slot in slots.iter().filter(|slot| slot.is_parameter) {
        let (name, tensor) = (slot.name.clone(), &slot.tensor);
        if tensors.is_empty() {
            state.kind = tensor.kind();
        }
        if !matches!(tensor.kind(), Kind::Float | Kind::Double) {
            return Err(ScriptError::Type(name, tensor.kind()));
        }
        if tensor.kind() != state.kind {
            let first = state.parameters[0].name.clone();
            return Err(ScriptError::Types(first, state.kind, name, tensor.kind()));
        }
        if !tensors.iter().any(|other| is_same(tensor, other)) {
            tensors.push(tensor);
            let requires_grad = tensor.requires_grad();
            let (shape, init) = (tensor.size(), Init::Constant(0.0));
            state.parameters.push(ParameterSpec { name, shape, init, requires_grad });
        }
    }
    for slot in slots {
        let (name, tensor) = (slot.name.clone(), &slot.tensor);
        if !slot.is_parameter {
            let kind = match tensor.kind() {
                kind if kind == state.kind => BufferKind::Float,
                Kind::Int64 => BufferKind::Int64,
                kind => BufferKind::Other(dtype_of(kind)),
            };
            state.entries.push(StateEntry::Buffer(state.buffers.len()));
            state.inputs.push(1 + state.parameters.len() + state.buffers.len());
            state.buffers.push(BufferSpec { name, shape: tensor.size(), kind, fill: 0.0 });
            continue;
        }
        let by_name = state.parameters.iter().position(|spec| spec.name == name);
        let by_memory = || tensors.iter().position(|other| is_same(tensor, other));
        let index = by_name.or_else(by_memory).expect("each parameter was added");
        state.inputs.push(1 + index);
        state.entries.push(match by_name {
            Some(_) => StateEntry::Parameter(index),
            None => {
                state.shared.push((name, index));
                StateEntry::Shared(state.shared.len() - 1)
            }
        });
    }
    Ok((state, slots.iter().map(|slot| slot.tensor.detach().copy()).collect()))
}

/// The number of outputs, from a forward pass in evaluation mode with copies of the values.
fn classes(
    op: &ScriptOp,
    shape: &[i64],
    kind: Kind,
    values: &[Tensor],
) -> Result<i64, ScriptError> {
    let copies: Vec<Tensor> = values.iter().map(Tensor::copy).collect();
    let images = Tensor::zeros([&[2], shape].concat(), (kind, Device::Cpu));
    // An operation may draw in evaluation mode, too.
    let before = generator::state(Device::Cpu).expect("the CPU has a generator");
    let output =
        tch::no_grad(|| op.script.forward(&images, &copies.iter().collect::<Vec<_>>(), false));
    generator::set_state(Device::Cpu, &before).expect("a state of this generator");
    let output = output
        .map_err(|error| ScriptError::Images { shape: shape.to_vec(), error: error.into() })?;
    match output.size()[..] {
        [2, classes @ 1..=256] if output.is_floating_point() => Ok(classes),
        _ => Err(ScriptError::Output(output.size(), output.kind())),
    }
}

/// A signature as in Python.
fn written(signature: &Signature) -> String {
    let parameter = |parameter: &Parameter| {
        let default = if parameter.has_default { " = …" } else { "" };
        format!("{}: {}{default}", parameter.name, parameter.kind)
    };
    let parameters: Vec<String> = signature.parameters.iter().map(parameter).collect();
    let returns = signature.returns.as_deref().unwrap_or("an unknown type");
    format!("forward(self, {}) -> {returns}", parameters.join(", "))
}
