//! A TorchScript module: the objects of its archive and its parsed code.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use tensor_files::ReadError;
use tensor_files::torchscript::{Archive, Id};

use super::ForwardError;
use super::error::{ParseError, Refusal, refuse};
use super::parser::parse;
use super::syntax::{Class, Function, Unit};

/// The module of a TorchScript archive: its classes, its functions and its attributes, but no elements of
/// tensors.
///
/// Reading one runs nothing: the code is text, and the pickle is data.
#[derive(Debug)]
pub struct ScriptModule {
    archive: Archive,
    /// The code of each Python module, by the module's name.
    pub(super) units: BTreeMap<String, Result<Unit, ParseError>>,
}

impl ScriptModule {
    /// Reads the module of an archive that `torch.jit.save` has written.
    ///
    /// # Errors
    /// [`ReadError`] of an archive that is damaged, ambiguous or not supported. Code that is not understood is an error of
    /// [`ScriptModule::compare`], if the forward pass needs it.
    pub fn read(reader: impl Read + Seek) -> Result<Self, ReadError> {
        let archive = Archive::read(reader)?;
        let units = archive.code().iter().map(|(name, text)| (name.clone(), parse(text)));
        Ok(Self { units: units.collect(), archive })
    }

    /// Whether the archive has code. One that `torch.save` writes has none.
    pub fn has_code(&self) -> bool {
        !self.units.is_empty()
    }

    /// Whether the module has a method `forward`. Files that tch's `VarStore` saves have none.
    ///
    /// # Errors
    /// [`ForwardError::NotFollowed`] when the code of the module's class is not understood.
    pub fn has_forward(&self) -> Result<bool, ForwardError> {
        let root = self.archive.object(self.archive.root());
        match root.and_then(|root| self.unit(root.class)) {
            None => Ok(false),
            Some((unit, name)) => {
                let class = unit?.classes.get(name);
                Ok(class.is_some_and(|class| class.methods.contains_key("forward")))
            }
        }
    }

    /// The name of the module's class, without that of its Python module.
    pub fn class_name(&self) -> &str {
        let root = self.archive.object(self.archive.root());
        root.and_then(|root| root.class.rsplit('.').next()).unwrap_or_default()
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The code that a qualified name is defined in, and the name there.
    fn unit<'a>(&self, qualified: &'a str) -> Option<(Result<&Unit, Refusal>, &'a str)> {
        let (module, name) = qualified.rsplit_once('.')?;
        let unit = self.units.get(module)?.as_ref();
        let cannot = |error| format!("the code of {module} cannot be read ({error})").into();
        Some((unit.map_err(cannot), name))
    }

    /// The name of an object's class, and the class. A class with `__setstate__` is refused: the attributes of its objects
    /// are not those of the archive.
    pub(super) fn class_of(&self, object: Id) -> Result<(&str, &Class), Refusal> {
        let object =
            self.archive.object(object).ok_or("it uses a value as a module that is not one")?;
        let name = object.class;
        let (unit, short) = self.unit(name).ok_or_else(|| missing(name))?;
        let class = unit?.classes.get(short).ok_or_else(|| missing(name))?;
        match ["__setstate__", "__getstate__"].iter().find(|it| class.methods.contains_key(**it)) {
            None => Ok((name, class)),
            Some(method) => {
                refuse(format!("{name} sets its attributes by a function of its own ({method})"))
            }
        }
    }

    /// The class with this qualified name, if the archive defines it.
    pub(super) fn class(&self, qualified: &str) -> Option<&Class> {
        let (unit, name) = self.unit(qualified)?;
        unit.ok()?.classes.get(name)
    }

    pub(super) fn function(&self, qualified: &str) -> Result<&Function, Refusal> {
        let (unit, name) = self.unit(qualified).ok_or_else(|| missing(qualified))?;
        unit?.functions.get(name).ok_or_else(|| missing(qualified))
    }
}

fn missing(qualified: &str) -> Refusal {
    format!("{qualified} is not defined in it").into()
}
