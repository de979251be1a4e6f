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

/// A network or a part of one, such as a layer: `torch.nn.Module` with one input and one output.
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
    /// The forward pass of a batch, operation by operation.
    fn forward(&self, x: Value) -> Value;
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, x: Value) -> Value {
        (**self).forward(x)
    }
}

/// A network that is not well defined: two parameters of one name, or shapes that do not fit.
///
/// ```
/// # use stitch::nn::{Graph, Linear};
/// let error = Graph::trace(&[784], |vs| Linear::new(vs / "fc1", 400, 120)).unwrap_err();
/// assert_eq!(error.place, "fc1 (linear)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct TraceError {
    /// The layer or operation, such as `fc1 (linear)`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What has been recorded.
#[derive(Debug)]
struct Trace {
    graph: Graph,
    error: Option<TraceError>,
}

impl Trace {
    /// Remembers the first error; what is recorded after it is not used.
    fn fail(&mut self, place: String, what: String) {
        self.error.get_or_insert(TraceError { place, what });
    }

    fn check_tensor(&mut self, name: &str, shape: &[i64]) {
        if self.graph.state().any(|entry| entry.name == name) {
            self.fail(name.into(), "there are two parameters or buffers of this name".into());
        }
        if self.graph.layers.iter().any(|layer| layer.path == name) {
            self.fail(name.into(), "there is a layer of this name too".into());
        }
        if !is_possible(shape) {
            let what = format!("the shape {shape:?} is not possible: sizes must be at least 1");
            self.fail(name.into(), what);
        }
    }

    fn check_layer(&mut self, path: &str, class: &str) {
        let place = || place(path, class);
        if self.graph.layers.iter().any(|layer| layer.path == path) {
            self.fail(place(), "there are two layers of this name".into());
        }
        if self.graph.state().any(|entry| entry.name == path) {
            self.fail(place(), "there is a parameter or buffer of this name too".into());
        }
    }

    fn check_output(&mut self, output: Operand) {
        if self.error.is_none() && self.graph.shape_of(output).first() != Some(&-1) {
            let what = "it does not depend on the batch, as a parameter does not; a value whose first \
                        dimension is the batch is expected";
            self.fail("output".into(), what.into());
        }
    }

    /// `Module.register_module` and `register_parameter` refuse the same names.
    fn check_name(&mut self, name: &str) {
        let is_plain = |c: char| c.is_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_plain) {
            let what = "a name of letters, digits and underscores is expected".into();
            self.fail(format!("{name:?}"), what);
        }
    }
}

/// The name of an operation or class, with the layer's, if there is one.
fn place(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path} ({name})") }
}

/// Whether a tensor can have this shape.
fn is_possible(shape: &[i64]) -> bool {
    /// Elements of more would not fit into an address.
    const MOST: i64 = i64::MAX / 16;
    let elements = shape.iter().try_fold(1i64, |count, &size| count.checked_mul(size));
    shape.iter().all(|&size| size >= 1) && elements.is_some_and(|count| count <= MOST)
}

impl Graph {
    /// Traces a function as a network without layers, for images of this shape (without the batch).
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace_function(
        input: &[i64],
        function: impl Fn(Value) -> Value,
    ) -> Result<Self, TraceError> {
        Self::trace(input, |_| Function(function))
    }

    /// Traces the network that `build` makes, for images of this shape (without the batch).
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace<M: Module>(
        input: &[i64],
        build: impl FnOnce(&Scope) -> M,
    ) -> Result<Self, TraceError> {
        let graph = Graph::new(input);
        let trace = Rc::new(RefCell::new(Trace { graph, error: None }));
        if !is_possible(input) {
            let what = format!("the shape {input:?} is not possible: sizes must be at least 1");
            trace.borrow_mut().fail("input".into(), what);
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

/// A function as a network.
struct Function<F>(F);

impl<F: Fn(Value) -> Value> Module for Function<F> {
    fn forward(&self, x: Value) -> Value {
        (self.0)(x)
    }
}

/// Where in a network a layer is defined: its path gives the names of its parameters. `vs / "conv1"` is
/// the place of the attribute `conv1`.
#[derive(Debug, Clone)]
pub struct Scope {
    trace: Rc<RefCell<Trace>>,
    path: String,
}

impl Scope {
    /// The place of an attribute: `self.<name>` in Python.
    pub fn join(&self, name: &str) -> Self {
        self.trace.borrow_mut().check_name(name);
        Self { trace: Rc::clone(&self.trace), path: self.qualified(name) }
    }

    /// Defines a parameter, `self.<name> = nn.Parameter(…)`. Parameters draw their initial values in the
    /// order in which they are defined.
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
        graph.parameters.push(ParameterSpec { name, shape: shape.to_vec(), init });
        Value { trace: Rc::clone(&self.trace), operand: Operand::Parameter(index) }
    }

    /// Defines a buffer, `self.register_buffer(<name>, torch.full(shape, fill))`.
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

/// A layer's place in the network: what it applies is listed under its name.
#[derive(Debug, Clone)]
pub struct Layer {
    scope: Scope,
    index: usize,
}

impl Layer {
    /// Defines a layer of this class, such as `Conv2d`.
    pub fn new(scope: impl Borrow<Scope>, class: &'static str) -> Self {
        let scope = scope.borrow().clone();
        let mut trace = scope.trace.borrow_mut();
        trace.check_layer(&scope.path, class);
        let index = trace.graph.layers.len();
        trace.graph.layers.push(LayerSpec { path: scope.path.clone(), class });
        drop(trace);
        Self { scope, index }
    }

    /// Applies an operation of this layer.
    pub fn apply(&self, operation: impl Operation, inputs: &[&Value]) -> Value {
        record(operation, inputs, Some(self.index))
    }

    /// Reports that the layer cannot have these arguments; tracing ends with this error.
    pub fn refuse(&self, what: &str) {
        let mut trace = self.scope.trace.borrow_mut();
        let LayerSpec { path, class } = &trace.graph.layers[self.index];
        let place = place(path, class);
        trace.fail(place, what.into());
    }
}

impl Deref for Layer {
    type Target = Scope;

    fn deref(&self) -> &Scope {
        &self.scope
    }
}

/// A tensor of a forward pass that is being recorded.
#[derive(Debug, Clone)]
pub struct Value {
    trace: Rc<RefCell<Trace>>,
    operand: Operand,
}

impl Value {
    /// The sizes of the dimensions; -1 stands for the batch.
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

    /// Applies an operation to this value and further ones, outside of any layer.
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
        let what = "its inputs belong to different networks".into();
        trace.error.get_or_insert(TraceError { place: place(), what });
    } else if trace.error.is_none() {
        let shapes: Vec<&[i64]> = inputs.iter().map(|x| graph.shape_of(x.operand)).collect();
        match operation.shape(&shapes) {
            Ok(found) => shape = found,
            Err(what) => trace.error = Some(TraceError { place: place(), what }),
        }
    }
    let inputs = inputs.iter().map(|input| input.operand).collect();
    let operand = Operand::Node(graph.nodes.len());
    graph.nodes.push(Node { operation: Arc::new(operation), inputs, layer, shape });
    Value { trace: Rc::clone(shared), operand }
}
