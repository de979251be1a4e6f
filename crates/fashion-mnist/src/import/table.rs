//! CSV tables as on Kaggle: a row per image, with a column `label` and a column per pixel of grey images.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::ImportError;
use super::halves::Halves;
use crate::picture::Raster;
use crate::source::{Half, unpack};

/// The name of the column of labels.
const LABEL: &str = "label";

/// Reads both halves.
pub(super) fn read(
    train: &Path,
    test: Option<&Path>,
    into: &mut Halves,
) -> Result<(), ImportError> {
    Table::open(train, into)?.ok_or_else(|| no_label(train, into))?.read(Half::Train, into)?;
    let taken = into.options.test_last.is_some();
    match test.map(|path| Ok((path, Table::open(path, into)?))).transpose()? {
        Some((_, Some(table))) => table.read(Half::Test, into),
        Some((path, None)) if taken => {
            into.notes.push(format!("{} is not imported: it has no labels", path.display()));
            Ok(())
        }
        Some((path, None)) => Err(ImportError::NoTest(path.display().to_string(), "labels")),
        None if taken => Ok(()),
        None => Err(ImportError::NoTest(train.display().to_string(), "test half beside it")),
    }
}

/// The error about a table without the column of the labels.
fn no_label(path: &Path, into: &Halves) -> ImportError {
    let name = into.options.label.as_deref().unwrap_or(LABEL);
    ImportError::LabelColumn(path.display().to_string(), format!("it has no column `{name}`"))
}

/// A table whose header was read.
struct Table<'a> {
    path: &'a Path,
    reader: Reader<Box<dyn Read>>,
    /// The first row of a table without a header.
    first: Option<ByteRecord>,
    label: usize,
    columns: usize,
    size: (usize, usize),
}

impl<'a> Table<'a> {
    /// Reads the header; `None` if there is no column of labels.
    fn open(path: &'a Path, into: &mut Halves) -> Result<Option<Self>, ImportError> {
        let read = |error| ImportError::Read(path.into(), error);
        let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(read)?);
        let (from, _) = unpack(file).map_err(read)?;
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(from);
        let mut header = ByteRecord::new();
        reader.read_byte_record(&mut header).map_err(|error| of_csv(path, error))?;
        let names: Vec<String> = (header.iter())
            .map(|name| String::from_utf8_lossy(name).trim_matches(['\u{feff}', ' ']).to_owned())
            .collect();
        let wanted = into.options.label.as_deref().unwrap_or(LABEL);
        // A table of numbers only has no header; its labels come first.
        let bare = names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let label = match bare {
            true if into.options.label.is_none() => Some(0),
            true => None,
            false => names
                .iter()
                .position(|name| name == wanted)
                .or_else(|| names.iter().position(|name| name.eq_ignore_ascii_case(wanted))),
        };
        let Some(label) = label else { return Ok(None) };
        if bare {
            into.notes
                .push(format!("{} has no header: its first column is the label", path.display()));
        } else {
            check_pixels(path, &names, label)?;
        }
        let columns = names.len();
        let size = size_of(path, columns - 1, into.options.size)?;
        Ok(Some(Self { path, reader, first: bare.then_some(header), label, columns, size }))
    }

    /// Reads the rows.
    fn read(mut self, half: Half, into: &mut Halves) -> Result<(), ImportError> {
        let mut row = ByteRecord::new();
        loop {
            match self.first.take() {
                Some(first) => row = first,
                None if self
                    .reader
                    .read_byte_record(&mut row)
                    .map_err(|error| of_csv(self.path, error))? => {}
                None => return Ok(()),
            }
            let line = row.position().map_or(1, csv::Position::line);
            let place = format!("{}, line {line}", self.path.display());
            if row.len() != self.columns {
                let reason =
                    format!("{} cells, where the first line has {}", row.len(), self.columns);
                return Err(ImportError::Content(place, reason));
            }
            let label = number(&row[self.label])
                .map_err(|found| ImportError::Label(place.clone(), found))?;
            let mut pixels = Vec::with_capacity(self.columns);
            for (_, cell) in row.iter().enumerate().filter(|&(column, _)| column != self.label) {
                pixels.push(number(cell).map_err(|found| {
                    let reason = format!("a pixel is {found}: integers from 0 to 255 are expected");
                    ImportError::Content(place.clone(), reason)
                })?);
            }
            let (height, width) = self.size;
            let image = Raster { height, width, channels: 1, pixels };
            into.add(half, image, label, &place, None)?;
        }
    }
}

/// A cell as a byte; otherwise the cell, for a message.
fn number(cell: &[u8]) -> Result<u8, String> {
    let text = cell.trim_ascii();
    let number = str::from_utf8(text).ok().filter(|text| !text.starts_with('+'));
    number.and_then(|text| text.parse().ok()).ok_or_else(|| match text {
        [] => "empty".into(),
        text => String::from_utf8_lossy(&text[..text.len().min(20)]).into_owned(),
    })
}

/// Checks that all other columns are pixels, in order: `pixel0`, `pixel1` …, or `1x1`, `1x2` ….
fn check_pixels(path: &Path, names: &[String], label: usize) -> Result<(), ImportError> {
    let mut last: Option<(Vec<u64>, &String)> = None;
    for (_, name) in names.iter().enumerate().filter(|&(column, _)| column != label) {
        let numbers =
            name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok());
        let numbers: Vec<u64> = numbers.collect();
        if numbers.is_empty() {
            let reason = format!(
                "the column `{name}` is neither the label nor a pixel, whose name has a number: remove it"
            );
            return Err(ImportError::at(path, reason));
        }
        match &last {
            Some((before, earlier)) if *before >= numbers => {
                let reason =
                    format!("the column `{name}` follows `{earlier}`: pixels must be in order");
                return Err(ImportError::at(path, reason));
            }
            _ => last = Some((numbers, name)),
        }
    }
    Ok(())
}

/// Height and width of images of so many pixels.
fn size_of(
    path: &Path,
    pixels: usize,
    size: Option<(usize, usize)>,
) -> Result<(usize, usize), ImportError> {
    let wrong = |expected| Err(ImportError::Pixels(path.display().to_string(), pixels, expected));
    let side = pixels.isqrt();
    match size {
        Some((height, width)) if height * width == pixels => Ok((height, width)),
        Some((height, width)) => wrong(format!("{height}x{width} is {}", height * width)),
        None if side * side == pixels && side > 0 => Ok((side, side)),
        None => wrong("a square number is expected".into()),
    }
}

/// The error of the CSV reader.
fn of_csv(path: &Path, error: csv::Error) -> ImportError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => ImportError::Read(path.into(), error),
        kind => ImportError::at(path, format!("{kind:?}")),
    }
}
