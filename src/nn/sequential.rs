//! `torch.nn.Sequential`.

use std::borrow::Borrow;
use std::fmt;

use super::{Module, Scope, Value};

/// `nn.Sequential(…)`: modules that are applied in order; their names are `0`, `1`, ….
pub struct Sequential {
    scope: Scope,
    modules: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// Creates an empty sequence in this scope.
    pub fn new(vs: impl Borrow<Scope>) -> Self {
        Self { scope: vs.borrow().clone(), modules: Vec::new() }
    }

    /// Appends the module that `build` returns.
    ///
    /// ```
    /// # use stitch::nn::{Graph, Linear, ReLU, Sequential};
    /// let graph = Graph::trace(&[784], |vs| {
    ///     Sequential::new(vs)
    ///         .add(|vs| Linear::new(vs, 784, 64))
    ///         .add(|vs| ReLU::new(vs))
    ///         .add(|vs| Linear::new(vs, 64, 10))
    /// })?;
    /// assert_eq!(graph.parameters()[2].name, "2.weight");
    /// # Ok::<(), stitch::nn::TraceError>(())
    /// ```
    #[expect(clippy::should_implement_trait)]
    pub fn add<M: Module + 'static>(mut self, build: impl FnOnce(&Scope) -> M) -> Self {
        let scope = self.scope.join(&self.modules.len().to_string());
        self.modules.push(Box::new(build(&scope)));
        self
    }
}

impl Module for Sequential {
    fn forward(&self, x: Value) -> Value {
        self.modules.iter().fold(x, |x, module| module.forward(x))
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential of {} modules", self.modules.len())
    }
}
