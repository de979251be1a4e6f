//! The graph of a network: its operations in the order of `forward`, its parameters, buffers and
//! layers. It holds no tensors.

use std::sync::Arc;

#[cfg(feature = "libtorch")]
use tch::Tensor;
use tensor_files::Dtype;

use super::{Init, Operation};

/// An input of a node: the network's input, the output of an earlier node, a parameter or a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// The input of the network.
    Input,
    /// The output of the node with this index.
    Node(usize),
    /// The parameter with this index.
    Parameter(usize),
    /// The buffer with this index.
    Buffer(usize),
}

/// One application of an operation.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is computed: forward pass, output shape, TorchScript and ONNX.
    pub operation: Arc<dyn Operation>,
    /// Its inputs, in the order that [`Operation::forward`] expects.
    pub inputs: Vec<Operand>,
    /// Index of the layer that applies it; `None` for a function that `forward` calls directly.
    pub layer: Option<usize>,
    /// The shape of its output; -1 is the batch size.
    pub shape: Vec<i64>,
}

/// Name, shape and initial value of an `nn.Parameter`. Its element type is the network's.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterSpec {
    /// Its key in the state_dict.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<i64>,
    /// Distribution or constant that `Model::reset_parameters` fills it with.
    pub init: Init,
    /// Whether it is trained; a frozen one is not.
    pub requires_grad: bool,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().product::<i64>() as usize
    }
}

/// The element type of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferKind {
    /// The network's element type, float32 or float64.
    Float,
    /// `torch.int64`.
    Int64,
    /// Another type, in the network of a TorchScript file.
    Other(Dtype),
}

impl BufferKind {
    /// The element type in a network whose parameters have type `network`.
    pub fn dtype(self, network: Dtype) -> Dtype {
        match self {
            Self::Float => network,
            Self::Int64 => Dtype::I64,
            Self::Other(dtype) => dtype,
        }
    }
}

/// Name, shape, type and initial value of a buffer: a tensor without a gradient that `forward` may update in
/// training mode.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferSpec {
    /// Its key in the state_dict.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<i64>,
    /// Element type: float32 or float64 like the parameters, or int64.
    pub kind: BufferKind,
    /// The initial value of all elements.
    pub fill: f64,
}

/// The index of a parameter or a buffer.
#[derive(Debug, Clone, Copy)]
pub(super) enum StateEntry {
    Parameter(usize),
    Buffer(usize),
    /// A second name of a parameter, see [`Graph::shared`].
    Shared(usize),
}

/// Name, shape and type of an entry of the state_dict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateSpec<'a> {
    /// Key in the state_dict: `conv1.weight`.
    pub name: &'a str,
    /// Sizes of its dimensions.
    pub shape: &'a [i64],
    /// The element type of a buffer; `None` for a parameter.
    pub buffer: Option<BufferKind>,
}

/// A layer: a module without submodules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSpec {
    /// Its name in the network, such as `conv1` or `block.0`.
    pub path: String,
    /// Its class in `torch.nn`.
    pub class: &'static str,
}

/// A traced network: operations, parameters, buffers and layers.
///
/// ```
/// # use stitch::nn::{Graph, Linear, ReLU, Sequential};
/// let graph = Graph::trace(&[784], |vs| {
///     Sequential::new(vs)
///         .add(|vs| Linear::new(vs, 784, 64))
///         .add(|vs| ReLU::new(vs))
///         .add(|vs| Linear::new(vs, 64, 10))
/// })?;
/// let operations: Vec<&str> = graph.nodes().iter().map(|node| node.operation.name()).collect();
/// assert_eq!(operations, ["linear", "relu", "linear"]);
/// let layers: Vec<&str> = graph.layers().iter().map(|layer| layer.path.as_str()).collect();
/// assert_eq!(layers, ["0", "1", "2"]);
/// assert_eq!((graph.input(), graph.output()), (&[784][..], &[10][..]));
/// # Ok::<(), stitch::nn::TraceError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Graph {
    pub(super) input: Vec<i64>,
    pub(super) parameters: Vec<ParameterSpec>,
    pub(super) buffers: Vec<BufferSpec>,
    pub(super) state: Vec<StateEntry>,
    /// Further names of parameters, and their indices.
    pub(super) shared: Vec<(String, usize)>,
    pub(super) layers: Vec<LayerSpec>,
    pub(super) nodes: Vec<Node>,
    output: Operand,
    /// For each node, the nodes whose output it is the last to read.
    last_read: Vec<Vec<usize>>,
}

impl Graph {
    pub(super) fn new(input: &[i64]) -> Self {
        Self {
            input: std::iter::once(-1).chain(input.iter().copied()).collect(),
            parameters: Vec::new(),
            buffers: Vec::new(),
            state: Vec::new(),
            shared: Vec::new(),
            layers: Vec::new(),
            nodes: Vec::new(),
            output: Operand::Input,
            last_read: Vec::new(),
        }
    }

    /// A graph of one operation on the input, all parameters and all buffers. The state keeps its order.
    pub(super) fn of_operation(mut self, operation: Arc<dyn Operation>, shape: Vec<i64>) -> Self {
        let parameters = (0..self.parameters.len()).map(Operand::Parameter);
        let buffers = (0..self.buffers.len()).map(Operand::Buffer);
        let inputs = [Operand::Input].into_iter().chain(parameters).chain(buffers).collect();
        self.nodes.push(Node { operation, inputs, layer: None, shape });
        Self { output: Operand::Node(0), last_read: vec![Vec::new()], ..self }
    }

    pub(super) fn with_output(self, output: Operand) -> Self {
        let mut last_read = vec![Vec::new(); self.nodes.len()];
        for index in 0..self.nodes.len() {
            if output != Operand::Node(index)
                && let Some(reader) = self.readers(Operand::Node(index)).last()
            {
                last_read[reader].push(index);
            }
        }
        let state = self.state_dict_order(self.state.clone(), 0);
        Self { output, last_read, state, ..self }
    }

    /// Sorts the entries of one module, whose path is the first `depth` parts of their names: its parameters,
    /// its buffers, then its submodules in definition order.
    fn state_dict_order(&self, entries: Vec<StateEntry>, depth: usize) -> Vec<StateEntry> {
        let name = |entry: &StateEntry| match *entry {
            StateEntry::Parameter(i) => &self.parameters[i].name,
            StateEntry::Buffer(i) => &self.buffers[i].name,
            StateEntry::Shared(i) => &self.shared[i].0,
        };
        let is_own = |entry: &StateEntry| name(entry).split('.').count() == depth + 1;
        let (mut ordered, mut rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_own);
        // The sort is stable, so definition order is kept.
        ordered.sort_by_key(|entry| matches!(entry, StateEntry::Buffer(_)));
        while let Some(first) = rest.first() {
            let submodule = name(first).split('.').nth(depth);
            let in_submodule = |entry: &StateEntry| name(entry).split('.').nth(depth) == submodule;
            let (entries, others) = rest.iter().partition(|&entry| in_submodule(entry));
            ordered.extend(self.state_dict_order(entries, depth + 1));
            rest = others;
        }
        ordered
    }

    /// The shape of the input without the batch.
    pub fn input(&self) -> &[i64] {
        &self.input[1..]
    }

    /// The shape of the output without the batch.
    pub fn output(&self) -> &[i64] {
        &self.shape_of(self.output)[1..]
    }

    /// The value that the network returns.
    pub fn result(&self) -> Operand {
        self.output
    }

    /// The parameters in definition order, which is also the order of their initial draws.
    pub fn parameters(&self) -> &[ParameterSpec] {
        &self.parameters
    }

    /// The buffers in definition order.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// Names, shapes and types of parameters and buffers, in the order of `state_dict()`.
    pub fn state(&self) -> impl Iterator<Item = StateSpec<'_>> {
        self.state.iter().map(|&entry| match entry {
            StateEntry::Parameter(i) => {
                let ParameterSpec { name, shape, .. } = &self.parameters[i];
                StateSpec { name, shape, buffer: None }
            }
            StateEntry::Buffer(i) => {
                let BufferSpec { name, shape, kind, .. } = &self.buffers[i];
                StateSpec { name, shape, buffer: Some(*kind) }
            }
            StateEntry::Shared(i) => {
                let (name, parameter) = &self.shared[i];
                StateSpec { name, shape: &self.parameters[*parameter].shape, buffer: None }
            }
        })
    }

    /// The layers in definition order.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// The operations, in the order of `forward`.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The shape of a value; -1 is the batch size.
    pub fn shape_of(&self, operand: Operand) -> &[i64] {
        match operand {
            Operand::Input => &self.input,
            Operand::Node(i) => &self.nodes[i].shape,
            Operand::Parameter(i) => &self.parameters[i].shape,
            Operand::Buffer(i) => &self.buffers[i].shape,
        }
    }

    /// Indices of the nodes that read a value, ascending.
    pub fn readers(&self, operand: Operand) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter(move |(_, node)| node.inputs.contains(&operand)).map(|(index, _)| index)
    }

    /// The layers that the forward pass applies, each with the index of the node that computes its output: the
    /// last node of the layer.
    pub(super) fn layer_outputs(&self) -> impl Iterator<Item = (&LayerSpec, usize)> {
        self.layers.iter().enumerate().filter_map(|(index, layer)| {
            let last = self.nodes.iter().rposition(|node| node.layer == Some(index))?;
            Some((layer, last))
        })
    }

    /// Computes the nodes of a range on tensors, one libtorch operation after the other. `value` is the input of
    /// the range: the output of the node before it, or the input of the network.
    #[cfg(feature = "libtorch")]
    pub(crate) fn compute(
        &self,
        range: std::ops::Range<usize>,
        value: &Tensor,
        state: (&[Tensor], &[Tensor]),
        train: bool,
    ) -> Tensor {
        self.compute_with(range, value, state, train, &mut |_, _| {})
    }

    /// The same; `on_layer` gets the index of each layer after its last node, and its output.
    #[cfg(feature = "libtorch")]
    pub(crate) fn compute_with(
        &self,
        range: std::ops::Range<usize>,
        value: &Tensor,
        (parameters, buffers): (&[Tensor], &[Tensor]),
        train: bool,
        on_layer: &mut dyn FnMut(usize, &Tensor),
    ) -> Tensor {
        let mut outputs: Vec<Option<Tensor>> = range.clone().map(|_| None).collect();
        for index in range.clone() {
            let node = &self.nodes[index];
            let inputs: Vec<&Tensor> = node
                .inputs
                .iter()
                .map(|&operand| match operand {
                    Operand::Node(i) if i >= range.start => {
                        outputs[i - range.start].as_ref().expect("nodes are in topological order")
                    }
                    Operand::Input | Operand::Node(_) => value,
                    Operand::Parameter(i) => &parameters[i],
                    Operand::Buffer(i) => &buffers[i],
                })
                .collect();
            let output = node.operation.forward(&inputs, train);
            // A layer may have several nodes in a row.
            let next = self.nodes.get(index + 1).and_then(|next| next.layer);
            if let Some(layer) = node.layer.filter(|_| next != node.layer) {
                on_layer(layer, &output);
            }
            outputs[index - range.start] = Some(output);
            // Frees outputs that no later node reads.
            for &read in self.last_read[index].iter().filter(|&&read| read >= range.start) {
                outputs[read - range.start] = None;
            }
        }
        match self.output {
            // A network may return its input, or the output of an operation that is not its last.
            Operand::Node(i) if range.end == self.nodes.len() && range.contains(&i) => {
                outputs[i - range.start].take().expect("the output is kept")
            }
            Operand::Input if range.end == self.nodes.len() => value.shallow_clone(),
            _ => outputs.pop().flatten().unwrap_or_else(|| value.shallow_clone()),
        }
    }
}
