//! Checks the code of a TorchScript file before libtorch loads it. Loading a file already runs `__setstate__`, default
//! arguments and constants of classes, and code can call every operation of libtorch.

mod archive;
mod code;
mod mode;
mod objects;
mod operations;
mod types;
mod variables;

use std::fmt;

use super::ScriptModule;
use super::syntax::Expr;
use code::Audit;

/// A line of a file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the file without the top folder, such as `code/__torch__.py`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// A file that libtorch must not load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The code uses something that is not an operation on tensors, or it cannot be read.
    #[error(
        "its code has {what} ({place}), where only operations on tensors are allowed: remove it from the network, and save \
         the network again with torch.jit.script(model).save()"
    )]
    Code {
        /// What is not allowed, such as "torch.save, which reads or writes a file".
        what: String,
        /// Where it is.
        place: Place,
    },
    /// The archive has a record or a value that `torch.jit.save` does not write.
    #[error(
        "it has {0}, which torch.jit.save does not write: save the network again with torch.jit.script(model).save()"
    )]
    Archive(String),
}

/// What the code of a module says about its use in training, from [`ScriptModule::check_operations`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodeFacts {
    /// The module's `forward`; `None` if it has none.
    pub forward: Option<Signature>,
    /// Whether `torch.jit.trace` has made the module, by its record of the example's shape. Its code has the shapes, the branches
    /// and the mode, training or evaluation, of the example.
    pub traced: bool,
    /// The first operation whose mode, training or evaluation, is written into the code, such as "torch.dropout with
    /// train=False": `train()` and `eval()` do not change it. A trace has such operations if the network has dropout or batch
    /// normalization. Not found is the dropout inside of an attention that was traced in evaluation mode: nothing is left
    /// of it.
    pub fixed_mode: Option<(String, Place)>,
    /// The first call of `print`, which writes to standard output.
    pub prints: Option<Place>,
}

/// The parameters and the result of `forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The parameters after `self`.
    pub parameters: Vec<Parameter>,
    /// The type of the result, such as `Tensor`; `None` if the code does not say it.
    pub returns: Option<String>,
}

/// A parameter of `forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type in TorchScript's notation, such as `Tensor` or `Optional[int]`.
    pub kind: String,
    /// Whether it has a default value.
    pub has_default: bool,
}

/// Writes it as in TorchScript: `forward(self, x: Tensor) -> Tensor`.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("forward(self")?;
        for Parameter { name, kind, has_default } in &self.parameters {
            let default = if *has_default { "=…" } else { "" };
            write!(f, ", {name}: {kind}{default}")?;
        }
        f.write_str(")")?;
        self.returns.as_ref().map_or(Ok(()), |returns| write!(f, " -> {returns}"))
    }
}

impl Signature {
    /// Whether `forward` can be called with one tensor, and returns one tensor.
    pub fn maps_tensor_to_tensor(&self) -> bool {
        let takes_one = match &self.parameters[..] {
            [first, rest @ ..] => first.kind == "Tensor" && rest.iter().all(|it| it.has_default),
            [] => false,
        };
        takes_one && self.returns.as_deref() == Some("Tensor")
    }
}

impl ScriptModule {
    /// Checks that libtorch can load the module, and run its methods, without effects on anything but tensors. Every file of
    /// code in the archive is checked, also what nothing calls: each operation must be on the list of operations.txt, and all
    /// else must be defined in the archive. A file that cannot be read completely is refused.
    ///
    /// Load exactly the bytes that were checked, since a file can change in between.
    ///
    /// # Errors
    /// [`AuditError`] with the first thing that is not allowed.
    pub fn check_operations(&self) -> Result<CodeFacts, AuditError> {
        self.check_records()?;
        let mut audit = Audit::new(self);
        for (name, unit) in &self.units {
            audit.unit(name, unit)?;
        }
        self.check_values()?;
        self.check_objects()?;
        let mut facts = audit.facts;
        facts.traced = self.archive().records().iter().any(|name| name == "traced_inputs.pkl");
        facts.forward = self.signature();
        Ok(facts)
    }

    /// The signature of the module's `forward`; `None` if it has none, or if its code is not understood.
    pub fn signature(&self) -> Option<Signature> {
        let root = self.archive().object(self.archive().root())?;
        let forward = self.class(root.class)?.methods.get("forward")?;
        let text = |annotation: &Option<Expr>| annotation.as_ref().map(types::text);
        let parameters = forward.parameters.iter().skip(1).map(|parameter| Parameter {
            name: parameter.name.clone(),
            kind: text(&parameter.annotation).unwrap_or("Tensor".into()),
            has_default: parameter.default.is_some(),
        });
        Some(Signature { parameters: parameters.collect(), returns: text(&forward.returns) })
    }
}
