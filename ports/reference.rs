//! What the ports share: their flags, and the tensors of the Python run that they start from.

use std::env;
use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};

use stitch_trace::{Dtype, Trace};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// `--reference TRACE --out TRACE`, and the flags of the port.
pub struct Flags {
    pub reference: PathBuf,
    pub out: PathBuf,
    /// Those of the port that were given.
    pub given: Vec<String>,
}

impl Flags {
    /// Parses the command line; `known` are the flags of the port, which have no value.
    pub fn parse(known: &[&str]) -> Result<Self> {
        let (mut reference, mut out, mut given) = (None, None, Vec::new());
        let mut arguments = env::args().skip(1);
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--reference" => reference = arguments.next(),
                "--out" => out = arguments.next(),
                known_flag if known.contains(&known_flag) => given.push(flag),
                _ => return Err(format!("{flag}: unknown flag").into()),
            }
        }
        match (reference, out) {
            (Some(reference), Some(out)) => {
                Ok(Self { reference: reference.into(), out: out.into(), given })
            }
            _ => Err("--reference TRACE and --out TRACE are required".into()),
        }
    }

    pub fn has(&self, flag: &str) -> bool {
        self.given.iter().any(|given| given == flag)
    }
}

/// A tensor as a trace keeps it: row-major, little-endian.
pub struct Elements {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// The trace of the Python run.
pub struct Reference(Trace);

impl Reference {
    pub fn open(folder: &Path) -> Result<Self> {
        Ok(Self(Trace::open(folder)?))
    }

    /// Steps whose batch was recorded.
    pub fn steps(&self) -> usize {
        let is_batch = |key: String| key.starts_with("batch/") && key.ends_with("/images");
        self.0.records().iter().filter(|record| is_batch(record.key())).count()
    }

    /// The tensor with this key, such as `init/conv1.weight` or `batch/step=1/images`.
    pub fn tensor(&mut self, key: &str) -> Result<Elements> {
        let i = self.0.records().iter().position(|record| record.key() == key);
        let i = i.ok_or_else(|| format!("the reference has no record {key}"))?;
        let record = &self.0.records()[i];
        let (shape, dtype) = (record.shape.clone(), Dtype::from_name(&record.dtype));
        let mut bytes = Vec::new();
        let elements = self.0.elements(i)?;
        elements
            .ok_or_else(|| format!("{key}: elements were not kept"))?
            .read_to_end(&mut bytes)?;
        Ok(Elements {
            dtype: dtype.expect("elements of an unknown type are refused"),
            shape,
            bytes,
        })
    }
}
