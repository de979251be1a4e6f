//! One side of a comparison: a list of tensors from traces, files or memory.
//!
//! The elements stay in their files until they are compared.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stitch_trace::{Hashes, Place, Statistics, Trace, stage};
use tensor_files::{Dtype, Renaming, Skipped, TensorFile, TensorSpec};

use crate::error::SideError;
use crate::layout::{self, Elements, Step};
use crate::verify::{self, Bits};

/// The identity of a tensor: tensors of two sides with equal keys are compared with each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Stage of the run; see [`stage`].
    pub stage: String,
    /// Epoch, counted from 1, if the tensor belongs to one.
    pub epoch: Option<usize>,
    /// Step, counted from 1 over the whole run, if the tensor belongs to one.
    pub step: Option<usize>,
    /// Name of the tensor.
    pub name: String,
    /// Name of its file, if it is from one of several files of a run folder.
    pub file: Option<String>,
}

/// A tensor of one side, without its elements. [`Side`]'s methods create it.
#[derive(Debug, Clone)]
pub struct Item {
    /// Identity of the tensor.
    pub key: Key,
    /// Class of the module that the tensor belongs to, if a trace records it.
    pub class: Option<String>,
    /// PyTorch's name of the dtype, such as `float32`.
    pub dtype: String,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// SHA-256 sums and number of NaN, if the tensor is from a trace.
    pub(crate) recorded: Option<Bits>,
    /// Statistics of the elements, if a trace records them.
    pub(crate) statistics: Option<Statistics>,
    /// Where the elements are.
    pub(crate) source: ElementSource,
}

impl Item {
    /// Name, dtype and shape; `None` if the dtype is not one of [`Dtype`].
    pub fn spec(&self) -> Option<TensorSpec> {
        let dtype = Dtype::from_name(&self.dtype)?;
        Some(TensorSpec { name: self.key.name.clone(), dtype, shape: self.shape.clone() })
    }
}

/// Where the elements of an item are.
#[derive(Debug, Clone)]
pub(crate) enum ElementSource {
    /// In one of the side's open files.
    File {
        /// Which file.
        file: usize,
        /// Which tensor or record of it.
        tensor: usize,
    },
    /// In memory, row-major, little-endian.
    Memory(Vec<u8>),
    /// Computed from other tensors whenever they are read.
    Mapped(Arc<Mapped>),
    /// Not kept: only their SHA-256 was.
    Nowhere,
}

/// The elements that a step makes of those of other tensors.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// The other tensors, all with their elements.
    pub parts: Vec<Item>,
    pub step: Step,
}

/// An open file of elements.
#[derive(Debug)]
enum Source {
    Tensors(PathBuf, TensorFile<BufReader<File>>),
    Trace(Trace),
}

/// One side of a comparison: a list of tensors, and the open files of their elements.
#[derive(Debug)]
pub struct Side {
    /// What reports and errors call this side, usually the path that the user gave.
    pub path: PathBuf,
    /// Name of the model, if it is known; it selects the [`EXCEPTIONS`](crate::EXCEPTIONS).
    pub model: Option<String>,
    /// The tensors, in causal order.
    pub items: Vec<Item>,
    /// What was left out of `items`, a phrase each: [`Report::not_compared`](crate::Report::not_compared) lists it.
    pub left_out: Vec<String>,
    /// How the tensors were found and named, a sentence each, for [`Report::notes`](crate::Report::notes).
    pub notes: Vec<String>,
    traced: bool,
    truncated: bool,
    sources: Vec<Source>,
}

impl Side {
    /// Creates a side without tensors; `path` is what reports and errors call it.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.into(),
            model: None,
            items: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            traced: false,
            truncated: false,
            sources: Vec::new(),
        }
    }

    /// Whether it has a trace.
    pub(crate) fn is_traced(&self) -> bool {
        self.traced
    }

    /// Whether it has a trace without an end marker.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Adds the tensors of the trace in `folder`.
    ///
    /// # Errors
    /// [`SideError::Trace`].
    pub fn add_trace(&mut self, folder: &Path) -> Result<(), SideError> {
        let trace = Trace::open(folder)?;
        self.traced = true;
        self.truncated |= !trace.is_complete();
        self.model.get_or_insert(trace.header().model.clone());
        let file = self.sources.len();
        for (tensor, record) in trace.records().iter().enumerate() {
            let source = match trace.has_elements(tensor) {
                true => ElementSource::File { file, tensor },
                false => ElementSource::Nowhere,
            };
            let (stage, name) = (record.stage.clone(), record.name.clone());
            let key = Key { stage, epoch: record.epoch, step: record.step, name, file: None };
            let (dtype, shape) = (record.dtype.clone(), record.shape.clone());
            let hashes = Hashes { sha256: record.sha256.clone(), blocks: record.blocks.clone() };
            let recorded = Some(Bits { hashes, nan: record.nan });
            let (class, statistics) = (record.class.clone(), record.statistics);
            self.items.push(Item { key, class, dtype, shape, recorded, statistics, source });
        }
        self.sources.push(Source::Trace(trace));
        Ok(())
    }

    /// Adds the tensors of a file (state_dict, TorchScript, safetensors, npz, npy) as those of the stage
    /// [`FINAL`](stage::FINAL), in the file's order; returns their positions in `items`. `key` chooses between
    /// several dicts of tensors in a checkpoint.
    ///
    /// # Errors
    /// [`SideError::Io`] or [`SideError::Tensors`].
    pub fn add_tensors(
        &mut self,
        path: &Path,
        key: Option<&str>,
    ) -> Result<Range<usize>, SideError> {
        let tensors = open(path, key)?;
        if !tensors.skipped().is_empty() {
            let skipped = Skipped::summary(tensors.skipped());
            self.left_out.push(format!("entries of the file that are not tensors: {skipped}"));
        }
        if let Some(key) = tensors.key() {
            self.notes.push(format!("the weights are those under {key}"));
        }
        let (file, first) = (self.sources.len(), self.items.len());
        for (tensor, spec) in tensors.specs().iter().enumerate() {
            let source = ElementSource::File { file, tensor };
            self.add(stage::FINAL, Place::RUN, &spec.name, spec.dtype, spec.shape.clone(), source);
        }
        self.sources.push(Source::Tensors(path.into(), tensors));
        Ok(first..self.items.len())
    }

    /// Adds a tensor from memory; `bytes` are its elements, row-major, little-endian.
    ///
    /// # Errors
    /// [`SideError::Size`] if the number of bytes does not fit dtype and shape.
    pub fn push(
        &mut self,
        stage: &str,
        place: Place,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        bytes: Vec<u8>,
    ) -> Result<(), SideError> {
        let expected = layout::byte_count(shape, dtype);
        if expected != Some(bytes.len()) {
            let (name, shape, bytes) = (name.to_owned(), shape.to_vec(), bytes.len());
            return Err(SideError::Size { name, bytes, dtype, shape });
        }
        self.add(stage, place, name, dtype, shape.to_vec(), ElementSource::Memory(bytes));
        Ok(())
    }

    fn add(
        &mut self,
        stage: &str,
        Place { epoch, step }: Place,
        name: &str,
        dtype: Dtype,
        shape: Vec<usize>,
        source: ElementSource,
    ) {
        let key = Key { stage: stage.into(), epoch, step, name: name.into(), file: None };
        let dtype = dtype.name().into();
        let (class, recorded, statistics) = (None, None, None);
        self.items.push(Item { key, class, dtype, shape, recorded, statistics, source });
    }

    /// Whether all of its tensors are from single files of tensors, not from a trace or a run folder.
    fn is_weights(&self) -> bool {
        let own = |item: &Item| item.key.stage == stage::FINAL && item.key.file.is_none();
        !self.traced && self.items.iter().all(own)
    }

    /// Gives the tensors of two files of weights the same names where they differ by a prefix alone.
    pub(crate) fn match_names(&mut self, other: &mut Self) {
        if !self.is_weights() || !other.is_weights() {
            return;
        }
        let names = |side: &Self| -> Vec<String> {
            side.items.iter().map(|item| item.key.name.clone()).collect()
        };
        if let Some(renamings) = Renaming::both(&names(self), &names(other)) {
            for (side, renaming) in [self, other].into_iter().zip(renamings) {
                side.rename(&renaming);
            }
        }
    }

    fn rename(&mut self, renaming: &Renaming) {
        if !renaming.prefix().is_empty() {
            self.notes.push(renaming.to_string());
        }
        if let Some(name) = renaming.left_out() {
            self.left_out.push(format!("the tensor {name}, which the other side does not have"));
        }
        self.items.retain_mut(|item| match renaming.of(&item.key.name) {
            Some(name) => {
                item.key.name = name.to_owned();
                true
            }
            None => false,
        });
    }

    /// The elements of an item as a stream; `None` when only their SHA-256 was kept.
    pub(crate) fn stream<'a>(
        &'a mut self,
        source: &'a ElementSource,
    ) -> Result<Option<Box<dyn Read + 'a>>, SideError> {
        match source {
            &ElementSource::File { file, tensor } => match &mut self.sources[file] {
                Source::Tensors(path, file) => {
                    let place = format!("{}: {}", path.display(), file.specs()[tensor].name);
                    let tensors = |error| SideError::Tensors { path: path.clone(), error };
                    let from = file.stream(tensor).map_err(tensors)?;
                    Ok(Some(Box::new(Placed { place, from })))
                }
                Source::Trace(trace) => {
                    let path = trace.elements_path().display();
                    let place = format!("{path}: {}", trace.records()[tensor].key());
                    let Some(from) = trace.elements(tensor)? else { return Ok(None) };
                    Ok(Some(Box::new(Placed { place, from })))
                }
            },
            ElementSource::Memory(bytes) => Ok(Some(Box::new(Cursor::new(bytes)))),
            ElementSource::Mapped(mapped) => Ok(Some(Box::new(Cursor::new(self.mapped(mapped)?)))),
            ElementSource::Nowhere => Ok(None),
        }
    }

    /// The elements of a mapped tensor, computed in memory from parts whose SHA-256 is verified.
    fn mapped(&mut self, Mapped { parts, step }: &Mapped) -> Result<Vec<u8>, SideError> {
        let mut loaded = Vec::with_capacity(parts.len());
        for part in parts {
            if part.recorded.is_some() {
                verify::bits(self, part)?;
            }
            let (bytes, dtype) = (self.load(&part.source)?, Dtype::from_name(&part.dtype));
            let Some((bytes, dtype)) = bytes.zip(dtype) else { continue };
            loaded.push(Elements { bytes, dtype, shape: &part.shape });
        }
        let placed = |error: io::Error| {
            let (path, name) = (self.path.display(), &parts[0].key.name);
            io::Error::new(error.kind(), format!("{path}: {name}: {error}"))
        };
        Ok(layout::apply(step, &loaded).map_err(placed)?)
    }

    /// All elements of an item; `None` when only their SHA-256 was kept.
    pub(crate) fn load(&mut self, source: &ElementSource) -> Result<Option<Vec<u8>>, SideError> {
        let Some(mut stream) = self.stream(source)? else { return Ok(None) };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The file of an item's elements, for errors.
    pub(crate) fn file_of(&self, item: &Item) -> &Path {
        match item.source {
            ElementSource::File { file, .. } => match &self.sources[file] {
                Source::Tensors(path, _) => path,
                Source::Trace(trace) => trace.elements_path(),
            },
            _ => &self.path,
        }
    }

    /// The record of an item in its trace, or its name, for errors.
    pub(crate) fn key_of(&self, item: &Item) -> String {
        match item.source {
            ElementSource::File { file, tensor } => match &self.sources[file] {
                Source::Trace(trace) => trace.records()[tensor].key(),
                Source::Tensors(..) => item.key.name.clone(),
            },
            _ => item.key.name.clone(),
        }
    }
}

/// Adds to an error which tensor of which file was being read: `place`.
struct Placed<R> {
    place: String,
    from: R,
}

impl<R: Read> Read for Placed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let placed =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.place));
        self.from.read(into).map_err(placed)
    }
}

fn open(path: &Path, key: Option<&str>) -> Result<TensorFile<BufReader<File>>, SideError> {
    let io = |error| SideError::Io { path: path.into(), error };
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(io::Error::other("it is not a regular file: save it as one first")));
    }
    let file = File::open(path).map_err(io)?;
    TensorFile::open_key(BufReader::new(file), key)
        .map_err(|error| SideError::Tensors { path: path.into(), error })
}
