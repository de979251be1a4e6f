//! Networks with parameters and operations of their own, and with results that nobody reads. stacks.py has
//! their twins.

use stitch::nn::{
    BufferKind, Dropout, Init, Linear, Module, OnnxNodes, Operation, Scope, ScriptLines,
    ShapeError, Value, relu,
};
use tch::Tensor;

/// A parameter and a buffer of the module itself, defined after a layer: they come first in the state_dict.
pub struct OwnParameters {
    fc: Linear,
    offset: Value,
    scale: Value,
    out: Linear,
}

impl OwnParameters {
    pub fn new(vs: &Scope) -> Self {
        Self {
            fc: Linear::new(vs / "fc", 5, 3),
            offset: vs.buffer("offset", &[3], BufferKind::Float, 0.25),
            scale: vs.parameter("scale", &[3], Init::Constant(0.5)),
            out: Linear::new(vs / "out", 3, 10),
        }
    }
}

impl Module for OwnParameters {
    fn forward(&self, x: Value) -> Value {
        self.out.forward(self.fc.forward(x).apply(ScaleOp, &[&self.scale, &self.offset]))
    }
}

pub struct OwnParametersWithin {
    first: Linear,
    block: OwnParameters,
    offset: Value,
    scale: Value,
}

impl OwnParametersWithin {
    pub fn new(vs: &Scope) -> Self {
        Self {
            first: Linear::new(vs / "first", 5, 5),
            block: OwnParameters::new(&(vs / "block")),
            offset: vs.buffer("offset", &[10], BufferKind::Float, 0.125),
            scale: vs.parameter("scale", &[10], Init::Constant(2.0)),
        }
    }
}

impl Module for OwnParametersWithin {
    fn forward(&self, x: Value) -> Value {
        let x = self.block.forward(relu(self.first.forward(x)));
        x.apply(ScaleOp, &[&self.scale, &self.offset])
    }
}

/// `input * scale + offset`, an operation that stitch does not have.
#[derive(Debug)]
struct ScaleOp;

impl Operation for ScaleOp {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn shape(&self, inputs: &[&[i64]]) -> Result<Vec<i64>, ShapeError> {
        Ok(inputs[0].to_vec())
    }

    fn forward(&self, inputs: &[&Tensor], _train: bool) -> Tensor {
        inputs[0] * inputs[1] + inputs[2]
    }

    fn torchscript(&self, lines: &mut ScriptLines) {
        let [x, scale, offset] = [0, 1, 2].map(|i| lines.input(i));
        lines.assign(&format!("torch.add(torch.mul({x}, {scale}), {offset})"));
    }

    fn onnx(&self, nodes: &mut OnnxNodes) {
        let inputs = nodes.inputs();
        let product = nodes.emit_intermediate("Mul", &inputs[..2], &[]);
        nodes.emit("Add", &[product, inputs[2].clone()], &[]);
    }
}

/// What is computed after the logits is not returned; its dropout draws nevertheless.
pub struct Early {
    fc1: Linear,
    drop: Dropout,
    fc2: Linear,
    aside: Linear,
}

impl Early {
    pub fn new(vs: &Scope, features: i64) -> Self {
        Self {
            fc1: Linear::new(vs / "fc1", features, 8),
            drop: Dropout::new(vs / "drop", 0.5),
            fc2: Linear::new(vs / "fc2", 8, 10),
            aside: Linear::new(vs / "aside", 10, 4),
        }
    }
}

impl Module for Early {
    fn forward(&self, x: Value) -> Value {
        let logits = self.fc2.forward(relu(self.fc1.forward(x)));
        relu(self.aside.forward(self.drop.forward(logits.clone())));
        logits
    }
}

/// A layer with parameters that forward never calls, and one whose output nobody reads.
pub struct Unused {
    fc1: Linear,
    _spare: Linear,
    aside: Linear,
    fc2: Linear,
}

impl Unused {
    pub fn new(vs: &Scope, features: i64) -> Self {
        Self {
            fc1: Linear::new(vs / "fc1", features, 8),
            _spare: Linear::new(vs / "spare", 8, 8),
            aside: Linear::new(vs / "aside", 8, 3),
            fc2: Linear::new(vs / "fc2", 8, 10),
        }
    }
}

impl Module for Unused {
    fn forward(&self, x: Value) -> Value {
        let x = relu(self.fc1.forward(x));
        self.aside.forward(x.clone());
        self.fc2.forward(x)
    }
}

/// Returns its input; a layer is called whose output nobody reads.
pub struct Aside {
    fc: Linear,
}

impl Aside {
    pub fn new(vs: &Scope) -> Self {
        Self { fc: Linear::new(vs / "fc", 5, 3) }
    }
}

impl Module for Aside {
    fn forward(&self, x: Value) -> Value {
        self.fc.forward(x.clone());
        x
    }
}
