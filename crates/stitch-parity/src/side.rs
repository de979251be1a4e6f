//! One side of a comparison, as a list of tensors: a trace, files of tensors, tables.
//!
//! Elements of traces and files stay there until they are compared.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use stitch_trace::{Trace, TraceError, stage};
use tensor_files::{Dtype, ReadError, Renaming, Skipped, TensorFile, TensorSpec};

/// A side that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SideError {
    /// A file cannot be opened or read.
    #[error("{} cannot be read: {error}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A file of tensors.
    #[error("{}: {}", .path.display(), chain(.error))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ReadError,
    },
    /// A trace.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A stream of elements; the message names file and tensor.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// Elements that contradict their record.
    #[error("{}: {what}", .path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// What a tensor is called: stage, place in the run, name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The stage of the run; see [`stitch_trace::stage`].
    pub stage: String,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the run.
    pub step: Option<usize>,
    /// Which tensor of the stage.
    pub name: String,
    /// The file of a run folder that it is from; `None` in a trace, and of a single file.
    pub file: Option<String>,
}

/// A tensor of one side.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is called.
    pub key: Key,
    /// PyTorch's name of the element type.
    pub dtype: String,
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// SHA-256 of the elements as a trace records it.
    pub sha256: Option<String>,
    /// Number of NaN as a trace records it.
    pub nan: Option<usize>,
    /// Where the elements are.
    pub source: ElementSource,
}

impl Item {
    /// Its name, type and shape, if the type is known.
    pub fn spec(&self) -> Option<TensorSpec> {
        let dtype = Dtype::from_name(&self.dtype)?;
        Some(TensorSpec { name: self.key.name.clone(), dtype, shape: self.shape.clone() })
    }
}

/// Where the elements of an item are.
#[derive(Debug, Clone)]
pub enum ElementSource {
    /// In one of the side's open files.
    File {
        /// Which file.
        file: usize,
        /// Which tensor or record of it.
        tensor: usize,
    },
    /// Here, row-major, little-endian.
    Memory(Vec<u8>),
    /// Only their SHA-256 was kept.
    Nowhere,
}

/// An open file that elements lie in.
#[derive(Debug)]
enum Source {
    Tensors(PathBuf, TensorFile<BufReader<File>>),
    Trace(Trace),
}

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// As the user named it.
    pub path: PathBuf,
    /// The model, as far as it is known.
    pub model: Option<String>,
    /// The tensors, in causal order.
    pub items: Vec<Item>,
    /// What is not among the items, in words.
    pub left_out: Vec<String>,
    /// How its tensors were found and named, in words.
    pub notes: Vec<String>,
    traced: bool,
    truncated: bool,
    sources: Vec<Source>,
}

impl Side {
    /// A side without a tensor; `path` is what verdicts call it.
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
    pub fn is_traced(&self) -> bool {
        self.traced
    }

    /// Whether it has a trace that ends without its end marker.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Adds the tensors of the trace in `folder`.
    ///
    /// # Errors
    /// See [`TraceError`].
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
            let sha256 = Some(record.sha256.clone());
            self.items.push(Item { key, dtype, shape, sha256, nan: record.nan, source });
        }
        self.sources.push(Source::Trace(trace));
        Ok(())
    }

    /// Adds the tensors of a file of tensors as final values, in the file's order; returns which items
    /// they are. `key` chooses between several dicts of tensors of a checkpoint.
    ///
    /// # Errors
    /// When it cannot be read; see [`ReadError`].
    pub fn add_tensors(
        &mut self,
        path: &Path,
        key: Option<&str>,
    ) -> Result<Range<usize>, SideError> {
        let tensors = open(path, key)?;
        if !tensors.skipped().is_empty() {
            let skipped = Skipped::summary(tensors.skipped());
            self.left_out.push(format!("what stands beside its weights: {skipped}"));
        }
        if let Some(key) = tensors.key() {
            self.notes.push(format!("the weights are those under {key}"));
        }
        let (file, first) = (self.sources.len(), self.items.len());
        for (tensor, spec) in tensors.specs().iter().enumerate() {
            let source = ElementSource::File { file, tensor };
            self.push(stage::FINAL, None, &spec.name, (spec.dtype, spec.shape.clone()), source);
        }
        self.sources.push(Source::Tensors(path.into(), tensors));
        Ok(first..self.items.len())
    }

    /// Adds a tensor that is not in a trace.
    pub fn push(
        &mut self,
        stage: &str,
        epoch: Option<usize>,
        name: &str,
        (dtype, shape): (Dtype, Vec<usize>),
        source: ElementSource,
    ) {
        let (stage, name) = (stage.into(), name.into());
        let key = Key { stage, epoch, step: None, name, file: None };
        let dtype = dtype.name().into();
        self.items.push(Item { key, dtype, shape, sha256: None, nan: None, source });
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
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stream<'a>(
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
            ElementSource::Nowhere => Ok(None),
        }
    }

    /// All elements of an item.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn load(&mut self, source: &ElementSource) -> Result<Option<Vec<u8>>, SideError> {
        let Some(mut stream) = self.stream(source)? else { return Ok(None) };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// The file that an item's elements lie in, for errors.
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

/// Adds to an error which tensor of which file was being read.
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
        return Err(io(io::Error::other("it is not a plain file: save it as one first")));
    }
    let file = File::open(path).map_err(io)?;
    TensorFile::open_key(BufReader::new(file), key)
        .map_err(|error| SideError::Tensors { path: path.into(), error })
}
