//! One side of a comparison: a run folder, a trace, or a single file, as a list of tensors.
//!
//! Tensors stay in their files until they are compared; what comes from CSV and JSON is small and
//! held in memory.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use super::trace::{self, Record, Stage, TraceError};
use crate::formats::csv;
use crate::models::weights;
use crate::run_folder::{self, Config, Metrics};
use tensor_files::{Dtype, ReadError, TensorFile, TensorSpec};

/// A side that cannot be read.
#[derive(Debug, thiserror::Error)]
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
    #[error("{}: {error}", .path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: TraceError,
    },
    /// A stream of elements; the message names file and tensor.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// A CSV or JSON file.
    #[error("{}: {what}", .path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A folder of something else.
    #[error("{}: neither a run folder (with config.json), nor a trace (with trace.jsonl), nor a file of tensors, predictions or a confusion matrix", .path.display())]
    Unknown {
        /// The path.
        path: PathBuf,
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
    /// What it is to the run.
    pub stage: Stage,
    /// Counted from 1.
    pub epoch: Option<usize>,
    /// Counted from 1 over the run.
    pub step: Option<usize>,
    /// Which tensor of the stage.
    pub name: String,
    /// The file of a run folder that it is from; `None` in a trace, and of a file by itself.
    pub file: Option<&'static str>,
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
    /// SHA-256 of the elements, where a trace tells it.
    pub sha256: Option<String>,
    /// Where the elements are.
    pub source: ElementSource,
}

/// Where the elements of an item are.
#[derive(Debug, Clone)]
pub enum ElementSource {
    /// A tensor in one of the open files.
    File {
        /// Which file.
        file: usize,
        /// Which tensor in it.
        tensor: usize,
    },
    /// Here, row-major, little-endian.
    Memory(Vec<u8>),
    /// Only their hash was kept.
    Nowhere,
}

/// A file of tensors that belongs to a side.
type Tensors = TensorFile<BufReader<File>>;

/// One side of a comparison.
#[derive(Debug)]
pub struct Side {
    /// As the user named it.
    pub path: PathBuf,
    /// `config.json`, where there is one.
    pub config: Option<Config>,
    /// The model, as far as it is known.
    pub model: Option<String>,
    /// Whether there is a trace.
    pub traced: bool,
    /// The tensors, in causal order.
    pub items: Vec<Item>,
    /// The open files that they lie in.
    files: Vec<(PathBuf, Tensors)>,
}

impl Side {
    /// Opens whatever `path` is. `with_trace: false` leaves a run folder's trace aside.
    ///
    /// # Errors
    /// See [`SideError`].
    pub fn open(path: &Path, with_trace: bool) -> Result<Self, SideError> {
        let mut side = Self {
            path: path.into(),
            config: None,
            model: None,
            traced: false,
            items: Vec::new(),
            files: Vec::new(),
        };
        if path.join(trace::RECORDS).exists() {
            side.add_trace(path)?;
        } else if path.join(run_folder::CONFIG).exists() {
            side.add_run(path, with_trace)?;
        } else if path.is_dir() {
            return Err(SideError::Unknown { path: path.into() });
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            side.add_csv(path)?;
        } else {
            side.add_weights(path)?;
        }
        Ok(side)
    }

    /// Whether `path` is a run folder or a trace that has a trace.
    pub fn has_trace(path: &Path) -> bool {
        path.join(trace::RECORDS).exists() || path.join(trace::FOLDER).join(trace::RECORDS).exists()
    }

    /// The elements of an item as a stream; `None` when only their hash was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stream<'a>(
        &'a mut self,
        source: &'a ElementSource,
    ) -> Result<Option<Box<dyn Read + 'a>>, SideError> {
        match source {
            &ElementSource::File { file, tensor } => {
                let (path, file) = &mut self.files[file];
                let place = format!("{}: {}", path.display(), file.specs()[tensor].name);
                let tensors = |error| SideError::Tensors { path: path.clone(), error };
                let from = file.stream(tensor).map_err(tensors)?;
                Ok(Some(Box::new(Placed { place, from })))
            }
            ElementSource::Memory(bytes) => Ok(Some(Box::new(Cursor::new(bytes)))),
            ElementSource::Nowhere => Ok(None),
        }
    }

    /// All elements of an item.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&mut self, source: &ElementSource) -> Result<Option<Vec<u8>>, SideError> {
        let Some(mut stream) = self.stream(source)? else { return Ok(None) };
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn add_run(&mut self, folder: &Path, with_trace: bool) -> Result<(), SideError> {
        let config: Config = json(&folder.join(run_folder::CONFIG))?;
        self.model = Some(config.model.clone());
        self.config = Some(config);
        if with_trace && folder.join(trace::FOLDER).join(trace::RECORDS).exists() {
            self.add_trace(&folder.join(trace::FOLDER))?;
        }
        let traced = self.items.len();
        for file in run_folder::FILES {
            let before = self.items.len();
            self.add_file(&folder.join(file), file)?;
            for item in &mut self.items[before..] {
                item.key.file = Some(file);
            }
        }
        // By cause and effect, as in a trace; files of one stage in the order of their writing.
        self.items[traced..].sort_by_key(|item| item.key.stage);
        Ok(())
    }

    /// One file of a run folder.
    fn add_file(&mut self, path: &Path, file: &str) -> Result<(), SideError> {
        match file {
            run_folder::HISTORY => {
                for (epoch, loss) in read_csv(path, csv::read_history)? {
                    self.push_floats(Stage::EpochLoss, Some(epoch), "loss", vec![], &[loss]);
                }
            }
            run_folder::METRICS => {
                let metrics: Metrics = json(path)?;
                let averages = [metrics.macro_avg, metrics.weighted_avg];
                let averages = averages.map(|a| [a.precision, a.recall, a.f1]);
                let accuracy = [metrics.test_accuracy];
                self.push_floats(Stage::Accuracy, None, "accuracy", vec![], &accuracy);
                let averages = averages.as_flattened();
                self.push_floats(Stage::Accuracy, None, "averages", vec![2, 3], averages);
            }
            run_folder::CLASSIFICATION_REPORT => {
                let (names, numbers) = read_csv(path, csv::read_report)?;
                let shape = vec![names.len(), numbers.len() / names.len().max(1)];
                self.push_names(Stage::Accuracy, "lines", &names);
                self.push_floats(Stage::Accuracy, None, "scores", shape, &numbers);
            }
            run_folder::PREDICTIONS | run_folder::CONFUSION_MATRIX => self.add_csv(path)?,
            run_folder::STATE_DICT | run_folder::TORCHSCRIPT | run_folder::SAFETENSORS => {
                self.add_weights(path)?;
            }
            // Settings; they are compared by themselves.
            _ => {}
        }
        Ok(())
    }

    fn push(
        &mut self,
        stage: Stage,
        epoch: Option<usize>,
        name: &str,
        (dtype, shape): (Dtype, Vec<usize>),
        source: ElementSource,
    ) {
        let key = Key { stage, epoch, step: None, name: name.into(), file: None };
        self.items.push(Item { key, dtype: dtype.name().into(), shape, sha256: None, source });
    }

    fn push_floats(
        &mut self,
        stage: Stage,
        epoch: Option<usize>,
        name: &str,
        shape: Vec<usize>,
        values: &[f64],
    ) {
        let source = ElementSource::Memory(values.iter().flat_map(|x| x.to_le_bytes()).collect());
        self.push(stage, epoch, name, (Dtype::F64, shape), source);
    }

    /// Names as the bytes of their text, a line each.
    fn push_names(&mut self, stage: Stage, name: &str, names: &[String]) {
        let text = names.join("\n").into_bytes();
        self.push(stage, None, name, (Dtype::U8, vec![text.len()]), ElementSource::Memory(text));
    }

    fn add_trace(&mut self, folder: &Path) -> Result<(), SideError> {
        let path = folder.join(trace::RECORDS);
        let text = fs::read_to_string(&path)
            .map_err(|error| SideError::Io { path: path.clone(), error })?;
        let (header, records) =
            trace::parse(&text).map_err(|error| SideError::Trace { path, error })?;
        self.traced = true;
        self.model.get_or_insert(header.model);
        let kept = folder.join(trace::TENSORS);
        let file = self.files.len();
        let tensors = open(&kept)?;
        let places: HashMap<String, usize> =
            (0..).zip(tensors.specs()).map(|(i, spec)| (spec.name.clone(), i)).collect();
        let mut keys = HashSet::new();
        for record in records {
            if !keys.insert(record.key()) {
                let what = format!("{} is recorded twice", record.key());
                return Err(SideError::Table { path: folder.join(trace::RECORDS), what });
            }
            let tensor = places.get(&record.key()).copied();
            if let Some(tensor) = tensor {
                let spec = &tensors.specs()[tensor];
                if spec.dtype.name() != record.dtype || spec.shape != record.shape {
                    let what = format!(
                        "{} is {} {:?} there, but {} {:?} in {}",
                        record.key(),
                        spec.dtype,
                        spec.shape,
                        record.dtype,
                        record.shape,
                        trace::RECORDS
                    );
                    return Err(SideError::Table { path: kept, what });
                }
            }
            let Record { stage, name, epoch, step, dtype, shape, sha256 } = record;
            let source = tensor
                .map_or(ElementSource::Nowhere, |tensor| ElementSource::File { file, tensor });
            let key = Key { stage, epoch, step, name, file: None };
            self.items.push(Item { key, dtype, shape, sha256: Some(sha256), source });
        }
        self.files.push((kept, tensors));
        Ok(())
    }

    fn add_weights(&mut self, path: &Path) -> Result<(), SideError> {
        let tensors = open(path)?;
        let file = self.files.len();
        for (tensor, spec) in tensors.specs().to_vec().into_iter().enumerate() {
            let source = ElementSource::File { file, tensor };
            self.push(Stage::Final, None, &spec.name, (spec.dtype, spec.shape), source);
        }
        self.in_definition_order(tensors.specs());
        self.files.push((path.into(), tensors));
        Ok(())
    }

    /// Puts the last items, if they are the parameters of a known model, into definition order
    /// (safetensors orders them by size and name), and notes which model it is.
    fn in_definition_order(&mut self, specs: &[TensorSpec]) {
        let Ok(model) = weights::recognise(specs, None) else { return };
        self.model.get_or_insert(model.name.into());
        let graph = model.graph();
        let place = |item: &Item| graph.state().position(|spec| item.key.name == spec.name);
        let first = self.items.len() - specs.len();
        self.items[first..].sort_by_key(place);
    }

    fn add_csv(&mut self, path: &Path) -> Result<(), SideError> {
        let bytes = fs::read(path).map_err(|error| SideError::Io { path: path.into(), error })?;
        let table = |what| SideError::Table { path: path.into(), what };
        let integers = |values: &[i64]| values.iter().flat_map(|n| n.to_le_bytes()).collect();
        match csv::read_table(&bytes).map_err(table)? {
            csv::Table::Predictions { truth, predicted } => {
                let shape = vec![truth.len()];
                let source = ElementSource::Memory(integers(&truth));
                // By the name that a trace has for them.
                self.push(Stage::Data, None, "test.labels", (Dtype::I64, shape.clone()), source);
                let source = ElementSource::Memory(integers(&predicted));
                self.push(Stage::Predictions, None, "y_pred", (Dtype::I64, shape), source);
            }
            csv::Table::ConfusionMatrix { classes, counts } => {
                self.push_names(Stage::ConfusionMatrix, "classes", &classes);
                let shape = vec![classes.len(), classes.len()];
                let source = ElementSource::Memory(integers(&counts));
                self.push(Stage::ConfusionMatrix, None, "counts", (Dtype::I64, shape), source);
            }
        }
        Ok(())
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

fn open(path: &Path) -> Result<Tensors, SideError> {
    let io = |error| SideError::Io { path: path.into(), error };
    if !fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(io::Error::other("it is not a plain file: save it as one first")));
    }
    let file = File::open(path).map_err(io)?;
    TensorFile::open(BufReader::new(file))
        .map_err(|error| SideError::Tensors { path: path.into(), error })
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, SideError> {
    let text =
        fs::read_to_string(path).map_err(|error| SideError::Io { path: path.into(), error })?;
    serde_json::from_str(&text)
        .map_err(|error| SideError::Table { path: path.into(), what: error.to_string() })
}

fn read_csv<T>(path: &Path, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, SideError> {
    let bytes = fs::read(path).map_err(|error| SideError::Io { path: path.into(), error })?;
    read(&bytes).map_err(|what| SideError::Table { path: path.into(), what })
}
