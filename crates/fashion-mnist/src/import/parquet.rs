//! Parquet files as on the Hugging Face hub: a column of encoded images, a struct with `bytes` and `path`, and one of
//! integer labels. Names of classes are in the metadata `huggingface`.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use super::ImportError;
use super::halves::Halves;
use crate::picture::Raster;
use crate::source::Half;

/// Rows that are read at once.
const BATCH: usize = 256;

/// Reads both halves. Files with names of classes must have the same.
pub(super) fn read(
    train: &[PathBuf],
    test: &[PathBuf],
    into: &mut Halves,
) -> Result<(), ImportError> {
    if test.is_empty() && into.options.test_last.is_none() {
        let place = train.first().map_or_else(String::new, |path| path.display().to_string());
        return Err(ImportError::NoTest(place, "test half beside it"));
    }
    for (half, paths) in [(Half::Train, train), (Half::Test, test)] {
        let tables: Vec<Table> =
            paths.iter().map(|path| Table::open(path, into)).collect::<Result<_, _>>()?;
        let total = tables.iter().map(Table::rows).sum();
        for table in &tables {
            match (&into.classes, table.class_names()) {
                (None, Some(names)) => into.name_classes(&table.path.display(), names)?,
                (Some(classes), Some(names)) if classes.names() != names => {
                    let reason = "its class names are not those of the files before it";
                    return Err(ImportError::at(table.path, reason));
                }
                _ => {}
            }
            table.read(half, total, into)?;
        }
    }
    Ok(())
}

/// A file whose schema was read.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    /// Indices of the columns of images and labels.
    image: usize,
    label: usize,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, into: &Halves) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(|error| ImportError::Read(path.into(), error))?;
        let length = file.metadata().map_err(|error| ImportError::Read(path.into(), error))?.len();
        let reader = SerializedFileReader::new(file).map_err(|error| damaged(path, &error))?;
        check_places(&reader, length).map_err(|error| damaged(path, &error))?;
        let columns = reader.metadata().file_metadata().schema_descr().columns().to_vec();
        let columns: Vec<(usize, &ColumnDescriptor)> = columns
            .iter()
            .map(|column| &**column)
            .enumerate()
            .filter(|(_, column)| column.max_rep_level() == 0)
            .collect();
        let name = |column: &ColumnDescriptor| column.path().string();
        let image = one_of(&columns, &["image.bytes", "img.bytes", "image", "img"], |column| {
            column.physical_type() == Type::BYTE_ARRAY && name(column).ends_with(".bytes")
        });
        let image = image.map_err(|found| {
            let reason = format!(
                "a column `image` with the bytes of encoded images is expected, but its columns are {}",
                if found.is_empty() { all(&columns) } else { found }
            );
            ImportError::at(path, reason)
        })?;
        let named = into.options.label.as_deref();
        let label = one_of(&columns, &[named.unwrap_or("label")], |column| {
            named.is_none()
                && matches!(column.physical_type(), Type::INT32 | Type::INT64)
                && column.path().parts().len() == 1
        });
        let label = label.map_err(|found| {
            let reason = match (named, &*found) {
                (Some(name), _) => {
                    format!("it has no column `{name}`; its columns are {}", all(&columns))
                }
                (None, "") => {
                    format!("it has no column of integer labels; its columns are {}", all(&columns))
                }
                (None, found) => format!("several columns may be the label ({found})"),
            };
            ImportError::LabelColumn(path.display().to_string(), reason)
        })?;
        Ok(Self { path, reader, image, label })
    }

    fn rows(&self) -> usize {
        usize::try_from(self.reader.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The names in `{"info": {"features": {"label": {"names": […]}}}}`.
    fn class_names(&self) -> Option<Vec<String>> {
        let file = self.reader.metadata().file_metadata();
        let entry = file.key_value_metadata()?.iter().find(|entry| entry.key == "huggingface")?;
        let document: Value = serde_json::from_str(entry.value.as_ref()?).ok()?;
        let label = file.schema_descr().column(self.label).path().string();
        let names = document["info"]["features"][&label]["names"].as_array()?;
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    }

    fn read(&self, half: Half, total: usize, into: &mut Halves) -> Result<(), ImportError> {
        let damaged = |error: ParquetError| damaged(self.path, &error);
        let mut row = 0;
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(damaged)?;
            let mut image = Column::open(&*group, self.image).map_err(damaged)?;
            let mut label = Column::open(&*group, self.label).map_err(damaged)?;
            loop {
                let (images, labels) =
                    (image.images().map_err(damaged)?, label.labels().map_err(damaged)?);
                if images.len() != labels.len() {
                    let reason = "damaged: its columns differ in their number of rows";
                    return Err(ImportError::at(self.path, reason));
                }
                if images.is_empty() {
                    break;
                }
                for (image, label) in images.into_iter().zip(labels) {
                    let place = format!("{}, row {row}", self.path.display());
                    row += 1;
                    self.add((image, label), half, &place, total, into)?;
                }
            }
        }
        Ok(())
    }

    fn add(
        &self,
        (image, label): (Option<ByteArray>, Option<i64>),
        half: Half,
        place: &str,
        total: usize,
        into: &mut Halves,
    ) -> Result<(), ImportError> {
        let label = label.ok_or("missing".to_owned());
        let label = label.and_then(|label| u8::try_from(label).map_err(|_| label.to_string()));
        let label = label.map_err(|found| ImportError::Label(place.into(), found))?;
        let image = image.ok_or("its bytes are missing".to_owned());
        match image
            .and_then(|bytes| Raster::decode(bytes.data()).map_err(|error| error.to_string()))
        {
            Ok(image) => into.add(half, image, label, &place, Some(total)),
            Err(reason) => {
                into.unreadable(&place, reason);
                Ok(())
            }
        }
    }
}

/// The index of the first column with one of the names, or else of the only one that `may` be it; otherwise the names of
/// those that may.
fn one_of(
    columns: &[(usize, &ColumnDescriptor)],
    names: &[&str],
    may: impl Fn(&ColumnDescriptor) -> bool,
) -> Result<usize, String> {
    let named = |name: &&str| columns.iter().find(|(_, column)| column.path().string() == **name);
    if let Some((index, _)) = names.iter().find_map(named) {
        return Ok(*index);
    }
    let found: Vec<_> = columns.iter().filter(|(_, column)| may(column)).copied().collect();
    match found[..] {
        [(index, _)] => Ok(index),
        _ => Err(all(&found)),
    }
}

/// The names of some columns.
fn all(columns: &[(usize, &ColumnDescriptor)]) -> String {
    let names = columns.iter().map(|(_, column)| column.path().string());
    names.collect::<Vec<_>>().join(", ")
}

/// A column of a row group, and the level of a value that is not null.
struct Column {
    reader: ColumnReader,
    level: i16,
}

impl Column {
    fn open(group: &dyn RowGroupReader, index: usize) -> Result<Self, ParquetError> {
        let level = group.metadata().schema_descr().column(index).max_def_level();
        Ok(Self { reader: group.get_column_reader(index)?, level })
    }

    /// The next images; `None` for null.
    fn images(&mut self) -> Result<Vec<Option<ByteArray>>, ParquetError> {
        match &mut self.reader {
            ColumnReader::ByteArrayColumnReader(reader) => batch(reader, self.level),
            _ => Err(ParquetError::General("its images are not bytes".into())),
        }
    }

    /// The next labels; `None` for null.
    fn labels(&mut self) -> Result<Vec<Option<i64>>, ParquetError> {
        match &mut self.reader {
            ColumnReader::Int64ColumnReader(reader) => batch(reader, self.level),
            ColumnReader::Int32ColumnReader(reader) => {
                let labels = batch(reader, self.level)?;
                Ok(labels.into_iter().map(|label| label.map(i64::from)).collect())
            }
            _ => Err(ParquetError::General("its labels are not integers".into())),
        }
    }
}

/// The next values of a column, some 256; `None` for those whose level is not `level`.
fn batch<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    level: i16,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let read = || reader.read_records(BATCH, Some(&mut levels), None, &mut values);
    // The reader panics on a few damages, such as a missing dictionary. It is not used again.
    let read = panic::catch_unwind(AssertUnwindSafe(read));
    let (rows, ..) = read.map_err(|_| ParquetError::General("a damaged page".into()))??;
    let mut values = values.into_iter();
    Ok(match level {
        0 => values.map(Some).collect(),
        _ => (levels.iter().take(rows))
            .map(|&found| if found == level { values.next() } else { None })
            .collect(),
    })
}

/// Checks that each column lies within the file: the reader panics otherwise.
fn check_places(reader: &SerializedFileReader<File>, length: u64) -> Result<(), ParquetError> {
    for column in reader.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end =
            start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > length) {
            return Err(ParquetError::EOF(format!(
                "{} is not within the file",
                column.column_path()
            )));
        }
    }
    Ok(())
}

/// The error about a file that is not as its metadata say.
fn damaged(path: &Path, error: &ParquetError) -> ImportError {
    ImportError::at(path, format!("damaged, or of a kind that is not supported: {error}"))
}
