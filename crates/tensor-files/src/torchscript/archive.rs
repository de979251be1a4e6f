//! The module of a TorchScript archive, read as data: attributes and code.

use std::fmt;
use std::io::{Read, Seek, SeekFrom};

use crate::archive::Archive as Records;
use crate::pickle::{self, Pickle, Rebuilt, Value as Inner};
use crate::state_dict::{memory_for, whole};
use crate::{Dtype, ReadError};

use super::values;

/// Most bytes of code, and of the pickle of constants, that are read.
pub(super) const LONGEST: u64 = 16 << 20;

/// Position of a value among the attributes of an [`Archive`].
pub type Id = usize;

/// A TorchScript archive without the elements of its tensors: the objects of its module, and its code as text. Reading
/// one executes nothing. An ambiguous archive, such as one with two records or attributes of one name, is refused.
///
/// ```
/// use std::io::Cursor;
/// use tensor_files::torchscript::{self, Archive, Program, Value};
///
/// let program = Program { class: "Net".into(), forward: "    return x\n".into(), ..Program::default() };
/// let file = torchscript::write(&program, &[])?;
///
/// let archive = Archive::read(Cursor::new(file))?;
/// let net = archive.object(archive.root()).unwrap();
/// assert_eq!(net.class, "__torch__.Net");
/// let training = net.attribute("training").unwrap();
/// assert_eq!(archive.value(training), Value::Bool(false));
/// let (name, text) = &archive.code()[0];
/// assert_eq!(name, "__torch__");
/// assert!(text.contains("return x"));
/// # Ok::<(), tensor_files::ReadError>(())
/// ```
pub struct Archive {
    pickle: Pickle,
    records: Vec<String>,
    code: Vec<(String, String)>,
    constants: Vec<Option<i64>>,
    problem: Option<String>,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// Python `bool`.
    Bool(bool),
    /// Python `int`; larger ones than 64 bits are not supported.
    Int(i64),
    /// Python `float`, which has 64 bits.
    Float(f64),
    /// Python `str`.
    Str(&'a str),
    /// A list.
    List(&'a [Id]),
    /// A tuple.
    Tuple(&'a [Id]),
    /// A dict: keys and values.
    Dict(&'a [(Id, Id)]),
    /// An instance of one of the archive's classes: [`Archive::object`] has its attributes.
    Object,
    /// `torch.Tensor`, whose elements are not read here.
    Tensor,
    /// Anything else, such as a device.
    Other,
}

/// An instance of one of the archive's classes.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// Qualified name of the class, such as `__torch__.torch.nn.modules.linear.Linear`.
    pub class: &'a str,
    archive: &'a Archive,
    state: Option<Id>,
    attributes: &'a [(Id, Id)],
}

impl<'a> Object<'a> {
    /// The value that its attributes are set from: a dict, unless its class sets them by a function of its own.
    pub fn state(&self) -> Option<Id> {
        self.state
    }

    /// The attribute with this name.
    pub fn attribute(&self, name: &str) -> Option<Id> {
        self.attributes().find(|&(key, _)| key == name).map(|(_, value)| value)
    }

    /// The attributes with their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, Id)> {
        let arena = &self.archive.pickle.arena;
        self.attributes.iter().filter_map(|&(key, value)| match &arena[key] {
            Inner::Str(name) => Some((&**name, value)),
            _ => None,
        })
    }
}

impl Archive {
    /// Reads an archive that `torch.jit.save` has written.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(mut reader: impl Read + Seek) -> Result<Self, ReadError> {
        let length = reader.seek(SeekFrom::End(0))?;
        let mut records = Records::open(reader)?;
        let bytes = records.pickle()?;
        let pickle = whole(pickle::read_with_floats(&bytes, memory_for(length))?, &bytes)?;
        drop(bytes);
        let code = code(&mut records)?;
        let (constants, other) = constants(&mut records, length)?;
        let problem = values::problem(&pickle, "data", &mut records).or(other);
        let problem = problem.or_else(|| values::debug_problem(&mut records, length));
        Ok(Self { pickle, records: records.names(), code, constants, problem })
    }

    /// The module that was saved.
    pub fn root(&self) -> Id {
        self.pickle.top
    }

    /// The value at a position.
    ///
    /// # Panics
    /// When `id` is from another archive and too large.
    pub fn value(&self, id: Id) -> Value<'_> {
        match &self.pickle.arena[id] {
            Inner::None => Value::None,
            Inner::Bool(value) => Value::Bool(*value),
            Inner::Int(value) => Value::Int(*value),
            Inner::Float(Some(value)) => Value::Float(*value),
            Inner::Str(value) => Value::Str(value),
            Inner::List(items) => Value::List(items),
            Inner::Tuple(items) => Value::Tuple(items),
            Inner::Dict(items) => Value::Dict(items),
            Inner::Object { .. } => Value::Object,
            Inner::Tensor(_) => Value::Tensor,
            _ => Value::Other,
        }
    }

    /// The object at a position; `None` if the value there is not an object.
    pub fn object(&self, id: Id) -> Option<Object<'_>> {
        let arena = &self.pickle.arena;
        let Inner::Object { class, attributes: state } = &arena[id] else { return None };
        let Inner::Class(class) = &arena[*class] else { return None };
        let attributes = match state.map(|state| &arena[state]) {
            Some(Inner::Dict(items)) => &items[..],
            _ => &[],
        };
        Some(Object { class, archive: self, state: *state, attributes })
    }

    /// All objects, including those that the module does not refer to.
    pub fn objects(&self) -> impl Iterator<Item = (Id, Object<'_>)> {
        (0..self.pickle.arena.len()).filter_map(|id| Some((id, self.object(id)?)))
    }

    /// Names of all classes of the archive that its values use.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.pickle.arena.iter().filter_map(|value| match value {
            Inner::Class(name) => Some(&**name),
            _ => None,
        })
    }

    /// The names of all records without the top folder.
    pub fn records(&self) -> &[String] {
        &self.records
    }

    /// What libtorch must not read in the archive's values, if there is something: a tensor that reaches beyond its storage,
    /// or a function or class that `torch.jit.save` does not use. It is the name of that value.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Name and source text of each Python module: `__torch__` for `code/__torch__.py`.
    pub fn code(&self) -> &[(String, String)] {
        &self.code
    }

    /// The constants `CONSTANTS.c0` and so on of the code: those that are scalar tensors of int64, which traces have for
    /// sizes; `None` for other tensors.
    pub fn constants(&self) -> &[Option<i64>] {
        &self.constants
    }
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("code", &self.code).finish_non_exhaustive()
    }
}

fn code(records: &mut Records<impl Read + Seek>) -> Result<Vec<(String, String)>, ReadError> {
    let (mut code, mut left) = (Vec::new(), LONGEST);
    for name in records.names() {
        let path = name.strip_prefix("code/").and_then(|path| path.strip_suffix(".py"));
        // A name with a dot would be the same module as one with a folder; PyTorch reads the latter.
        let Some(path) = path.filter(|path| !path.contains('.')) else { continue };
        let bytes = records.read(&name, left)?.unwrap_or_default();
        left -= bytes.len() as u64;
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| ReadError::Unsupported(format!("{name} is not UTF-8")))?;
        code.push((path.replace('/', "."), text));
    }
    Ok(code)
}

/// The constants that are single integers, and what libtorch must not read in the pickle of constants.
fn constants(
    records: &mut Records<impl Read + Seek>,
    length: u64,
) -> Result<(Vec<Option<i64>>, Option<String>), ReadError> {
    let Some(bytes) = records.read("constants.pkl", LONGEST)? else { return Ok((vec![], None)) };
    let pickle = whole(pickle::read(&bytes, memory_for(length))?, &bytes)?;
    let problem = values::problem(&pickle, "constants", records);
    let Inner::Tuple(items) = &pickle.arena[pickle.top] else { return Ok((vec![], problem)) };
    let big_endian = records.is_big_endian()?;
    let mut number = |&item| {
        let Some(key) = single_integer(&pickle, item) else { return Ok(None) };
        let bytes = records.read(&format!("constants/{key}"), size_of::<i64>() as u64)?;
        let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        let from_bytes = if big_endian { i64::from_be_bytes } else { i64::from_le_bytes };
        Ok(bytes.map(from_bytes))
    };
    let numbers: Result<_, ReadError> = items.iter().map(&mut number).collect();
    Ok((numbers?, problem))
}

/// The key of a tensor's record, if the tensor is a scalar of int64 and all of the record.
fn single_integer(pickle: &Pickle, id: usize) -> Option<&str> {
    let Inner::Tensor(tensor) = &pickle.arena[id] else { return None };
    let Rebuilt { storage, dtype, offset, shape, negative, conjugate, .. } = &**tensor;
    let is_single = shape.is_empty() && *offset == 0 && storage.count == 1;
    let is_plain = *dtype == Dtype::I64 && storage.dtype == Dtype::I64 && !negative && !conjugate;
    match &pickle.arena[storage.key] {
        Inner::Str(key) if is_single && is_plain => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::archive::write;

    /// `__torch__.Net` with the attributes that these opcodes put into its dict.
    fn read(attributes: &[u8], others: &[(&str, &[u8])]) -> Result<Archive, ReadError> {
        let pickle = [b"\x80\x02c__torch__\nNet\n)\x81}(", attributes, b"ub."].concat();
        let mut records = vec![("data.pkl".to_string(), &pickle[..])];
        records.extend(others.iter().map(|&(name, bytes)| (name.to_string(), bytes)));
        Archive::read(Cursor::new(write("net", &records).unwrap()))
    }

    #[test]
    fn attributes_have_their_values() {
        let attributes =
            b"X\x01\0\0\0aG\x3f\xf8\0\0\0\0\0\0X\x01\0\0\0bK\x01K\x02\x86X\x01\0\0\0cN";
        let archive = read(attributes, &[]).unwrap();
        let net = archive.object(archive.root()).unwrap();
        let value = |name| archive.value(net.attribute(name).unwrap());
        assert_eq!(
            (net.class, value("a"), value("c")),
            ("__torch__.Net", Value::Float(1.5), Value::None)
        );
        let Value::Tuple(items) = value("b") else { panic!("{:?}", value("b")) };
        let items: Vec<Value> = items.iter().map(|&item| archive.value(item)).collect();
        assert_eq!(items, [Value::Int(1), Value::Int(2)]);
        assert!(net.attribute("d").is_none());
    }

    #[test]
    fn constants_that_are_single_integers_are_read() {
        let tensor = |class: &str| {
            let storage =
                format!("(X\x07\0\0\0storagectorch\n{class}\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQ");
            format!("ctorch._utils\n_rebuild_tensor_v2\n({storage}K\0))I00\nNtR")
        };
        let pickle = format!("({}{}t.", tensor("LongStorage"), tensor("DoubleStorage"));
        let number = 400i64.to_le_bytes();
        let others = [("constants.pkl", pickle.as_bytes()), ("constants/0", &number)];
        assert_eq!(read(b"", &others).unwrap().constants(), [Some(400), None]);
    }

    #[test]
    fn code_is_named_by_its_folders() {
        let others =
            [("code/a/b.py", &b"1"[..]), ("code/a.b.py", b"2"), ("code/a/b.py.debug_pkl", b"3")];
        let expected = [("a.b".to_string(), "1".to_string())];
        assert_eq!(read(b"", &others).unwrap().code(), expected);
    }

    #[test]
    fn ambiguous_archives_and_code_that_is_not_utf_8_are_refused() {
        let said = |attributes: &[u8], others: &[(&str, &[u8])]| {
            read(attributes, others).unwrap_err().to_string()
        };
        assert!(said(b"X\x01\0\0\0aNX\x01\0\0\0aN", &[]).contains("the key \"a\" twice"));
        let code = ("code/__torch__.py", &b"\xff"[..]);
        assert_eq!(said(b"", &[code]), "code/__torch__.py is not UTF-8");
        let twice = [("code/__torch__.py", &b""[..]), ("code/__torch__.PY", b"")];
        assert!(said(b"", &twice).contains("is in it twice"));
        let long = vec![b' '; (LONGEST + 1) as usize];
        assert!(
            said(b"", &[("code/__torch__.py", &long)]).contains("bytes, where 16777216 are read")
        );
    }
}
