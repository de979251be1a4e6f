//! Symbolic tracing: a module's `forward`, called on a symbolic value, records the graph.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::ops::{Deref, Div};
use std::rc::Rc;
use std::sync::Arc;

use super::graph::{
    BufferKind, BufferSpec, Graph, LayerSpec, Node, Operand, ParameterSpec, StateEntry,
};
use super::{Init, Operation};

/// A network or a part of one, such as a layer: a `torch.nn.Module` with one input and one output.
///
/// ```
/// # use stitch::nn::{Graph, Linear, Module, Scope, Value, relu};
/// struct Block {
///     fc1: Linear,
///     fc2: Linear,
/// }
///
/// impl Block {
///     fn new(vs: &Scope) -> Self {
///         Self { fc1: Linear::new(vs / "fc1", 8, 8), fc2: Linear::new(vs / "fc2", 8, 8) }
///     }
/// }
///
/// impl Module for Block {
///     fn forward(&self, x: Value) -> Value {
///         let y = relu(self.fc1.forward(x.clone()));
///         x + self.fc2.forward(y)
///     }
/// }
/// let graph = Graph::trace(&[8], Block::new)?;
/// assert_eq!(graph.parameters()[2].name, "fc2.weight");
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
pub trait Module {
    /// The forward pass, recorded operation by operation.
    fn forward(&self, x: Value) -> Value;
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, x: Value) -> Value {
        (**self).forward(x)
    }
}

/// A layer that an option of the network removes: `None` is `nn.Identity()`, which has no parameters.
///
/// ```
/// # use stitch::nn::{Dropout, Graph, Linear, Module, Scope, Value};
/// struct Net {
///     dropout: Option<Dropout>,
///     fc: Linear,
/// }
///
/// impl Module for Net {
///     fn forward(&self, x: Value) -> Value {
///         self.fc.forward(self.dropout.forward(x))
///     }
/// }
/// let net = |vs: &Scope, p: f64| Net {
///     dropout: (p > 0.0).then(|| Dropout::new(vs / "dropout", p)),
///     fc: Linear::new(vs / "fc", 8, 8),
/// };
/// assert_eq!(Graph::trace(&[8], |vs| net(vs, 0.5))?.nodes().len(), 2);
/// assert_eq!(Graph::trace(&[8], |vs| net(vs, 0.0))?.nodes().len(), 1);
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
impl<M: Module> Module for Option<M> {
    fn forward(&self, x: Value) -> Value {
        match self {
            Some(module) => module.forward(x),
            None => x,
        }
    }
}

/// An invalid definition of a network, such as two parameters with the same name or shapes that do not match.
///
/// ```
/// # use stitch::nn::{Graph, Linear};
/// let error = Graph::trace(&[784], |vs| Linear::new(vs / "fc1", 400, 120)).unwrap_err();
/// assert_eq!(error.place, "fc1 (linear)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct TraceError {
    /// The layer or operation, such as `fc1 (linear)`.
    pub place: String,
    /// Why it is invalid.
    pub reason: String,
}

/// The graph recorded so far.
#[derive(Debug)]
struct Trace {
    graph: Graph,
    error: Option<TraceError>,
}

impl Trace {
    /// Keeps the first error. A graph with an error is discarded.
    fn fail(&mut self, place: String, reason: String) {
        self.error.get_or_insert(TraceError { place, reason });
    }

    fn check_tensor(&mut self, name: &str, shape: &[i64]) {
        if self.graph.state().any(|entry| entry.name == name) {
            self.fail(name.into(), "there are two parameters or buffers with this name".into());
        }
        if self.graph.layers.iter().any(|layer| layer.path == name) {
            self.fail(name.into(), "a layer has this name, too".into());
        }
        if !is_valid_shape(shape) {
            self.fail(name.into(), invalid_shape(shape));
        }
    }

    fn check_layer(&mut self, path: &str, class: &str) {
        let place = || place(path, class);
        if self.graph.layers.iter().any(|layer| layer.path == path) {
            self.fail(place(), "there are two layers with this name".into());
        }
        if self.graph.state().any(|entry| entry.name == path) {
            self.fail(place(), "a parameter or buffer has this name, too".into());
        }
    }

    fn check_output(&mut self, output: Operand) {
        if self.error.is_none() && self.graph.shape_of(output).first() != Some(&-1) {
            let reason = "it does not depend on the input; a value whose first dimension is the batch is expected";
            self.fail("output".into(), reason.into());
        }
    }

    /// `Module.register_module` and `register_parameter` of PyTorch reject the empty name and names with dots.
    fn check_name(&mut self, name: &str) {
        let is_plain = |c: char| c.is_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            let reason = "a name of letters, digits and underscores is expected".into();
            self.fail(format!("{name:?}"), reason);
        }
    }
}

/// The name of an operation or class, preceded by the layer's path if it has one: `fc1 (linear)`.
fn place(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path} ({name})") }
}

fn invalid_shape(shape: &[i64]) -> String {
    format!(
        "the shape {shape:?} is invalid: sizes must be at least 1, and the tensor must fit into memory"
    )
}

/// Whether a tensor can have this shape.
fn is_valid_shape(shape: &[i64]) -> bool {
    /// Largest number of elements: the size in bytes must not overflow.
    const MAX_ELEMENTS: i64 = i64::MAX / 16;
    let elements = shape.iter().try_fold(1i64, |count, &size| count.checked_mul(size));
    shape.iter().all(|&size| size >= 1) && elements.is_some_and(|count| count <= MAX_ELEMENTS)
}

impl Graph {
    /// Traces a function as a network without layers, for inputs of this shape (without the batch).
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace_function(
        input: &[i64],
        function: impl Fn(Value) -> Value,
    ) -> Result<Self, TraceError> {
        Self::trace(input, |_| Function(function))
    }

    /// Traces the network that `build` returns, for inputs of this shape (without the batch).
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace<M: Module>(
        input: &[i64],
        build: impl FnOnce(&Scope) -> M,
    ) -> Result<Self, TraceError> {
        let graph = Graph::new(input);
        let trace = Rc::new(RefCell::new(Trace { graph, error: None }));
        if !is_valid_shape(input) {
            trace.borrow_mut().fail("input".into(), invalid_shape(input));
        }
        let scope = Scope { trace: Rc::clone(&trace), path: String::new() };
        let module = build(&scope);
        let output = module.forward(Value { trace: Rc::clone(&trace), operand: Operand::Input });
        let operand = output.operand;
        let is_own = Rc::ptr_eq(&output.trace, &trace);
        let mut trace = trace.borrow_mut();
        match is_own {
            true => trace.check_output(operand),
            false => trace.fail("output".into(), "it belongs to another network".into()),
        }
        let graph = std::mem::replace(&mut trace.graph, Graph::new(input));
        match trace.error.take() {
            Some(error) => Err(error),
            None => Ok(graph.with_output(operand)),
        }
    }
}

/// A function as a [`Module`].
struct Function<F>(F);

impl<F: Fn(Value) -> Value> Module for Function<F> {
    fn forward(&self, x: Value) -> Value {
        (self.0)(x)
    }
}

/// The scope in which a layer is defined; its path is the prefix of the parameters' names. `vs / "conv1"` is the
/// scope of the attribute `conv1`.
#[derive(Debug, Clone)]
pub struct Scope {
    trace: Rc<RefCell<Trace>>,
    path: String,
}

impl Scope {
    /// The scope of an attribute: `self.<name>` in Python.
    pub fn join(&self, name: &str) -> Self {
        self.trace.borrow_mut().check_name(name);
        Self { trace: Rc::clone(&self.trace), path: self.qualified(name) }
    }

    /// Defines a parameter: `self.<name> = nn.Parameter(…)`. Initial values are drawn in definition order.
    ///
    /// ```
    /// # use stitch::nn::{Graph, Init, Linear};
    /// let graph = Graph::trace(&[8], |vs| {
    ///     let _scale = (vs / "block").parameter("scale", &[8], Init::Constant(1.0));
    ///     Linear::new(vs / "fc", 8, 8)
    /// })?;
    /// assert_eq!(graph.parameters()[0].name, "block.scale");
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    pub fn parameter(&self, name: &str, shape: &[i64], init: Init) -> Value {
        let name = self.qualified(name);
        let mut trace = self.trace.borrow_mut();
        trace.check_tensor(&name, shape);
        let graph = &mut trace.graph;
        let index = graph.parameters.len();
        graph.state.push(StateEntry::Parameter(index));
        graph.parameters.push(ParameterSpec {
            name,
            shape: shape.to_vec(),
            init,
            requires_grad: true,
        });
        Value { trace: Rc::clone(&self.trace), operand: Operand::Parameter(index) }
    }

    /// Defines a buffer: `self.register_buffer(<name>, torch.full(shape, fill))`.
    pub fn buffer(&self, name: &str, shape: &[i64], kind: BufferKind, fill: f64) -> Value {
        let name = self.qualified(name);
        let mut trace = self.trace.borrow_mut();
        trace.check_tensor(&name, shape);
        let graph = &mut trace.graph;
        let index = graph.buffers.len();
        graph.state.push(StateEntry::Buffer(index));
        graph.buffers.push(BufferSpec { name, shape: shape.to_vec(), kind, fill });
        Value { trace: Rc::clone(&self.trace), operand: Operand::Buffer(index) }
    }

    fn qualified(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }
}

impl Div<&str> for &Scope {
    type Output = Scope;

    fn div(self, name: &str) -> Scope {
        self.join(name)
    }
}

impl Div<&str> for Scope {
    type Output = Scope;

    fn div(self, name: &str) -> Scope {
        self.join(name)
    }
}

/// A layer of a network; records the operations that it applies under its name.
#[derive(Debug, Clone)]
pub struct Layer {
    scope: Scope,
    index: usize,
}

impl Layer {
    /// Defines a layer; `class` is its class in `torch.nn`, such as `Conv2d`.
    pub fn new(scope: impl Borrow<Scope>, class: &'static str) -> Self {
        let scope = scope.borrow().clone();
        let mut trace = scope.trace.borrow_mut();
        trace.check_layer(&scope.path, class);
        let index = trace.graph.layers.len();
        trace.graph.layers.push(LayerSpec { path: scope.path.clone(), class });
        drop(trace);
        Self { scope, index }
    }

    /// Records an operation of this layer.
    pub fn apply(&self, operation: impl Operation, inputs: &[&Value]) -> Value {
        record(operation, inputs, Some(self.index))
    }

    /// Reports invalid arguments; tracing then fails with this error.
    pub fn fail(&self, reason: &str) {
        let mut trace = self.scope.trace.borrow_mut();
        let LayerSpec { path, class } = &trace.graph.layers[self.index];
        let place = place(path, class);
        trace.fail(place, reason.into());
    }
}

impl Deref for Layer {
    type Target = Scope;

    fn deref(&self) -> &Scope {
        &self.scope
    }
}

/// A symbolic tensor of a forward pass that is being traced.
#[derive(Debug, Clone)]
pub struct Value {
    trace: Rc<RefCell<Trace>>,
    operand: Operand,
}

impl Value {
    /// The sizes of the dimensions; -1 is the batch size.
    ///
    /// ```
    /// # use stitch::nn::{Graph, flatten};
    /// Graph::trace_function(&[1, 28, 28], |x| {
    ///     assert_eq!(x.shape(), [-1, 1, 28, 28]);
    ///     flatten(x, 1)
    /// })?;
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    pub fn shape(&self) -> Vec<i64> {
        RefCell::borrow(&self.trace).graph.shape_of(self.operand).to_vec()
    }

    /// Records an operation on this value and others, outside any layer.
    pub fn apply(&self, operation: impl Operation, others: &[&Value]) -> Value {
        let inputs: Vec<&Value> = std::iter::once(self).chain(others.iter().copied()).collect();
        record(operation, &inputs, None)
    }
}

fn record(operation: impl Operation, inputs: &[&Value], layer: Option<usize>) -> Value {
    let shared = &inputs[0].trace;
    let trace = &mut *shared.borrow_mut();
    let graph = &mut trace.graph;
    let path = layer.map_or("", |layer| &graph.layers[layer].path);
    let place = || place(path, operation.name());
    let mut shape = Vec::new();
    if inputs.iter().any(|input| !Rc::ptr_eq(&input.trace, shared)) {
        let reason = "its inputs belong to different networks".into();
        trace.error.get_or_insert(TraceError { place: place(), reason });
    } else if trace.error.is_none() {
        let shapes: Vec<&[i64]> = inputs.iter().map(|x| graph.shape_of(x.operand)).collect();
        match operation.shape(&shapes) {
            Ok(found) => shape = found,
            Err(error) => {
                trace.error = Some(TraceError { place: place(), reason: error.to_string() });
            }
        }
    }
    let inputs = inputs.iter().map(|input| input.operand).collect();
    let operand = Operand::Node(graph.nodes.len());
    graph.nodes.push(Node { operation: Arc::new(operation), inputs, layer, shape });
    Value { trace: Rc::clone(shared), operand }
}
