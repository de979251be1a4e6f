//! The records of a TorchScript archive that say what its module computes: code and attributes.

use std::collections::HashMap;
use std::io::{Read, Seek};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use super::attributes::{Attributes, Id, Item};
use super::parser::parse;
use super::syntax::{Class, Function, Unit};

/// Most bytes of code, and of the pickle, that are read.
const LONGEST: u64 = 16 << 20;

/// The module of a TorchScript archive: its classes, its functions and its attributes, but no tensors.
///
/// Reading one runs nothing: the code is text, and the pickle is data.
#[derive(Debug)]
pub struct ScriptModule {
    /// By the name of the Python module; or why it cannot be read.
    units: HashMap<String, Result<Unit, String>>,
    attributes: Attributes,
    /// The tensors `CONSTANTS.c0` and so on of the code: numbers, as traces have them of sizes; `None` for others.
    constants: Vec<Option<i64>>,
}

/// A definition that a name does not lead to.
pub(super) type Missing = String;

impl ScriptModule {
    /// Reads the module of an archive that `TensorFile` has opened as one.
    ///
    /// # Errors
    /// What is damaged, or not known.
    pub fn read(reader: impl Read + Seek) -> Result<Self, String> {
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, reader);
        let mut zip = zip.map_err(|error| error.to_string())?;
        let names: Vec<String> = zip.file_names().flatten().map(|name| name.to_string()).collect();
        let root = names.iter().find_map(|name| {
            name.strip_suffix("/data.pkl").filter(|root| !root.contains('/')).map(str::to_owned)
        });
        let root = root.ok_or("the archive holds no data.pkl")?;
        let mut left = LONGEST;
        let attributes =
            Attributes::read(&record(&mut zip, &format!("{root}/data.pkl"), &mut left)?)?;
        let (mut units, mut left) = (HashMap::new(), LONGEST);
        for name in &names {
            let path = name.strip_prefix(&format!("{root}/code/"));
            let Some(path) = path.and_then(|path| path.strip_suffix(".py")) else { continue };
            let bytes = record(&mut zip, name, &mut left)?;
            let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_string());
            units.insert(path.replace('/', "."), text.and_then(|text| parse(&text)));
        }
        // Without them, what reads one is not known.
        let constants = constants(&mut zip, &root).unwrap_or_default();
        Ok(Self { units, attributes, constants })
    }

    /// Whether it has a forward pass; what tch's `VarStore` saves has none.
    ///
    /// # Errors
    /// When the code of its class cannot be read.
    pub fn has_forward(&self) -> Result<bool, String> {
        let Some(class) = self.attributes.class(self.attributes.root()) else { return Ok(false) };
        match self.unit(class) {
            None => Ok(false),
            Some((unit, name)) => Ok(unit?
                .classes
                .get(name)
                .is_some_and(|class| class.methods.contains_key("forward"))),
        }
    }

    pub(super) fn constants(&self) -> &[Option<i64>] {
        &self.constants
    }

    pub(super) fn root(&self) -> Id {
        self.attributes.root()
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// The unit that a qualified name is in, and its name there.
    fn unit<'a>(&self, qualified: &'a str) -> Option<(Result<&Unit, String>, &'a str)> {
        let (module, name) = qualified.rsplit_once('.')?;
        let unit = self.units.get(module)?.as_ref();
        Some((unit.map_err(|what| format!("the code of {module} cannot be read ({what})")), name))
    }

    pub(super) fn class(&self, qualified: &str) -> Result<&Class, Missing> {
        let (unit, name) = self.unit(qualified).ok_or_else(|| missing(qualified))?;
        unit?.classes.get(name).ok_or_else(|| missing(qualified))
    }

    pub(super) fn function(&self, qualified: &str) -> Result<&Function, Missing> {
        let (unit, name) = self.unit(qualified).ok_or_else(|| missing(qualified))?;
        unit?.functions.get(name).ok_or_else(|| missing(qualified))
    }
}

fn missing(qualified: &str) -> Missing {
    format!("{qualified} is not defined in it")
}

/// The numbers among the tensors of the code.
fn constants(
    zip: &mut ZipArchive<impl Read + Seek>,
    root: &str,
) -> Result<Vec<Option<i64>>, String> {
    let mut left = LONGEST;
    let pickle = Attributes::read(&record(zip, &format!("{root}/constants.pkl"), &mut left)?)?;
    let Item::Tuple(items) = pickle.get(pickle.root()) else { return Ok(Vec::new()) };
    let number = |&item: &Id| {
        let Item::Number(key) = pickle.get(item) else { return None };
        let bytes = record(zip, &format!("{root}/constants/{key}"), &mut left).ok()?;
        Some(i64::from_le_bytes(bytes.try_into().ok()?))
    };
    Ok(items.iter().map(number).collect())
}

/// The bytes of a record, of which at most `left` are read.
fn record(
    zip: &mut ZipArchive<impl Read + Seek>,
    name: &str,
    left: &mut u64,
) -> Result<Vec<u8>, String> {
    let mut file = zip.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    let mut bytes = Vec::new();
    // A byte more shows that it is too long.
    let read = (&mut file).take(*left + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| format!("{name}: {error}"))? as u64;
    *left =
        left.checked_sub(read).ok_or_else(|| format!("{name}: more than {LONGEST} bytes of it"))?;
    Ok(bytes)
}
