//! The parameters of a module by their paths, such as `conv1.weight`: reading and setting them.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

/// The values of all parameters, or their gradients, in the order of the module.
pub struct Values<'a> {
    path: Vec<String>,
    gradients: Option<&'a GradientsParams>,
    values: Vec<(String, TensorData)>,
}

impl<'a> Values<'a> {
    pub fn of_parameters(module: &impl Module) -> Vec<(String, TensorData)> {
        Values { path: Vec::new(), gradients: None, values: Vec::new() }.of(module)
    }

    pub fn of_gradients(
        module: &impl Module,
        gradients: &'a GradientsParams,
    ) -> Vec<(String, TensorData)> {
        Values { path: Vec::new(), gradients: Some(gradients), values: Vec::new() }.of(module)
    }

    fn of(mut self, module: &impl Module) -> Vec<(String, TensorData)> {
        module.visit(&mut self);
        self.values
    }
}

impl ModuleVisitor for Values<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let value = match self.gradients {
            Some(gradients) => {
                gradients.get::<D>(parameter.id).expect("every parameter has a gradient")
            }
            None => parameter.val(),
        };
        self.values.push((self.path.join("."), value.into_data()));
    }
}

/// Sets the parameters to PyTorch's values. Weights of linear layers are (out, in) in PyTorch, (in, out) in burn.
pub struct Initialize<'a> {
    path: Vec<String>,
    values: HashMap<String, TensorData>,
    device: &'a Device,
}

impl<'a> Initialize<'a> {
    pub fn new(values: HashMap<String, TensorData>, device: &'a Device) -> Self {
        Self { path: Vec::new(), values, device }
    }
}

impl ModuleMapper for Initialize<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let value =
            self.values.remove(&self.path.join(".")).expect("there is a value for each parameter");
        let dtype = value.dtype();
        let value = Tensor::<D>::from_data(value, (self.device, dtype));
        let value = if D == 2 { value.transpose() } else { value };
        Param::initialized(parameter.id, value.require_grad())
    }
}
