//! A TorchScript module: the objects of its archive, and its code, parsed.

use std::collections::HashMap;
use std::io::{Read, Seek};

use tensor_files::ReadError;
use tensor_files::torchscript::{Archive, Id};

use super::ForwardError;
use super::parser::parse;
use super::syntax::{Class, Function, Unit};

/// The module of a TorchScript archive: its classes, its functions and its attributes, but no elements of
/// tensors.
///
/// Reading one runs nothing: the code is text, and the pickle is data.
#[derive(Debug)]
pub struct ScriptModule {
    archive: Archive,
    /// By the name of the Python module; or why it cannot be read.
    units: HashMap<String, Result<Unit, String>>,
}

/// Why a name does not lead to a definition, or to one that can be followed.
type Missing = String;

impl ScriptModule {
    /// Reads the module of an archive that `torch.jit.save` has written.
    ///
    /// # Errors
    /// What is damaged, ambiguous or not known. Code that is not understood is none, before it is needed.
    pub fn read(reader: impl Read + Seek) -> Result<Self, ReadError> {
        let archive = Archive::read(reader)?;
        let units = archive.code().iter().map(|(name, text)| (name.clone(), parse(text)));
        Ok(Self { units: units.collect(), archive })
    }

    /// Whether it has a forward pass; what tch's `VarStore` saves has none.
    ///
    /// # Errors
    /// When the code of its class cannot be read.
    pub fn has_forward(&self) -> Result<bool, ForwardError> {
        let root = self.archive.object(self.archive.root());
        match root.and_then(|root| self.unit(root.class)) {
            None => Ok(false),
            Some((unit, name)) => {
                let class = unit.map_err(ForwardError::NotFollowed)?.classes.get(name);
                Ok(class.is_some_and(|class| class.methods.contains_key("forward")))
            }
        }
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The unit that a qualified name is in, and its name there.
    fn unit<'a>(&self, qualified: &'a str) -> Option<(Result<&Unit, String>, &'a str)> {
        let (module, name) = qualified.rsplit_once('.')?;
        let unit = self.units.get(module)?.as_ref();
        Some((unit.map_err(|what| format!("the code of {module} cannot be read ({what})")), name))
    }

    /// The class of an object, and its name. The attributes of an object whose class has `__setstate__`
    /// are not those of the archive.
    pub(super) fn class_of(&self, object: Id) -> Result<(&str, &Class), Missing> {
        let object =
            self.archive.object(object).ok_or("it uses a value as a module that is none")?;
        let name = object.class;
        let (unit, short) = self.unit(name).ok_or_else(|| missing(name))?;
        let class = unit?.classes.get(short).ok_or_else(|| missing(name))?;
        match ["__setstate__", "__getstate__"].iter().find(|it| class.methods.contains_key(**it)) {
            None => Ok((name, class)),
            Some(method) => {
                Err(format!("{name} sets its attributes by a function of its own ({method})"))
            }
        }
    }

    pub(super) fn function(&self, qualified: &str) -> Result<&Function, Missing> {
        let (unit, name) = self.unit(qualified).ok_or_else(|| missing(qualified))?;
        unit?.functions.get(name).ok_or_else(|| missing(qualified))
    }
}

fn missing(qualified: &str) -> Missing {
    format!("{qualified} is not defined in it")
}
