//! CSV tables of serde structs: the fields are the columns.
//!
//! Cells are formatted as by `to_csv` of pandas 3: floats as Python's `repr`, `None` as an empty cell.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::json;

/// A CSV file is not the expected table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{what}", .line.map_or(String::new(), |line| format!("line {line}: ")))]
pub struct TableError {
    /// The line, counted from 1; `None` for the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl TableError {
    pub(crate) fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }

    pub(crate) fn of_file(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into() }
    }
}

/// A CSV writer to memory with the line endings of pandas.
pub fn table_writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new())
}

/// Formats rows, structs of numbers, strings and options, as a table. A field that only some rows have is a column too.
/// Without rows the file is empty.
///
/// NaN and infinities become empty cells.
///
/// # Panics
/// For rows that do not serialize to an object, such as tuples.
pub fn write<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Vec<u8> {
    let rows: Vec<Map<String, Value>> = rows.into_iter().map(json::to_object).collect();
    let columns = columns(&rows);
    // Writes to memory cannot fail.
    let mut writer = table_writer();
    if !columns.is_empty() {
        writer.write_record(&columns).expect("a header is a record");
    }
    for row in &rows {
        let cells = columns.iter().map(|&name| row.get(name).map_or(String::new(), text));
        writer.write_record(cells).expect("every row has the header's length");
    }
    writer.into_inner().expect("writes to a Vec cannot fail")
}

/// The names of the columns: the fields of all rows, in the order of the rows' fields. The longest rows come first, since
/// they tell the order of fields that other rows do not have together.
fn columns(rows: &[Map<String, Value>]) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.len()));
    for row in rows {
        let mut next = 0;
        for name in row.keys() {
            match columns.iter().position(|column| column == name) {
                Some(at) => next = at + 1,
                None => {
                    columns.insert(next, name);
                    next += 1;
                }
            }
        }
    }
    columns
}

/// Formats a cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => float(value),
            _ => number.to_string(),
        },
        value => value.to_string(),
    }
}

/// A row of a table: its line, counted from 1, and its cells by column.
pub type Row = (usize, Map<String, Value>);

/// Reads the rows of a table. Empty cells are omitted; cells that are JSON numbers, `true` or `false` are read as such, others
/// as strings.
///
/// For a struct whose text columns may hold numbers, `csv::Reader::deserialize` reads each column by the type of its
/// field; this is for tables whose columns are known only when they are read.
///
/// # Errors
/// [`TableError`]: not CSV, a row of another length than the header, a duplicate column.
pub fn read(bytes: &[u8]) -> Result<Vec<Row>, TableError> {
    read_with_text(bytes, &[])
}

/// As [`read`], but the cells of the columns `text` are strings.
pub(crate) fn read_with_text(bytes: &[u8], text: &[&str]) -> Result<Vec<Row>, TableError> {
    let mut rows = records(bytes)?.into_iter();
    let header = rows.next().map_or(Vec::new(), |(_, header)| header);
    if let Some(name) = header.iter().enumerate().find_map(|(i, name)| {
        let is_twice = header[..i].contains(name);
        is_twice.then_some(name)
    }) {
        return Err(TableError::new(1, format!("the column {name:?} occurs twice")));
    }
    let row = |(line, cells): (usize, Vec<String>)| {
        let cells = header.iter().cloned().zip(cells).filter(|(_, cell)| !cell.is_empty());
        let value = |(name, cell): (String, String)| match text.contains(&name.as_str()) {
            true => (name, Value::String(cell)),
            false => (name, value(cell)),
        };
        (line, cells.map(value).collect())
    };
    Ok(rows.map(row).collect())
}

/// The value of a cell. Long cells are never numbers: a SHA-256 may consist of decimal digits.
fn value(cell: String) -> Value {
    /// Maximum length of a number; the longest, `-1.7976931348623157e+308`, has 24 characters.
    const MAX_NUMBER: usize = 32;
    let number = (cell.len() <= MAX_NUMBER).then(|| serde_json::from_str(&cell).ok()).flatten();
    match number {
        Some(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(cell),
    }
}

/// The line number and cells of each record; all have the same length. The file must not be empty.
pub(crate) fn records(bytes: &[u8]) -> Result<Vec<(usize, Vec<String>)>, TableError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| TableError::of_file(error.to_string()))?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        rows.push((line, record.iter().map(str::to_owned).collect()));
    }
    if rows.is_empty() { Err(TableError::of_file("it is empty")) } else { Ok(rows) }
}

/// Formats a float64 as Python's `repr`: the shortest digits that read back to the same value, with an exponent below
/// 1e-4 and from 1e16 on.
pub fn float(value: f64) -> String {
    if !value.is_finite() {
        let name = if value.is_nan() { "nan" } else { "inf" };
        return if value == f64::NEG_INFINITY { "-inf".into() } else { name.into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..16 => {
            let plain = value.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        exponent => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_formatted_as_in_python() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1000.0, "1000.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e-4, "0.0001"),
            (9.9e-5, "9.9e-05"),
            (1e16, "1e+16"),
            (9007199254740993.0, "9007199254740992.0"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (value, python) in cases {
            assert_eq!(float(value), python);
        }
    }

    #[test]
    fn optional_columns_keep_the_order_of_the_fields_and_rows_read_back() {
        #[derive(Serialize)]
        struct Row {
            id: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            val: Option<u64>,
            lr: f64,
            error: Option<&'static str>,
        }
        let rows = [
            Row { id: "a", val: None, lr: 1e-5, error: None },
            Row { id: "b,c", val: Some(u64::MAX), lr: 2.0, error: Some("no \"room\"") },
        ];
        let table = write(&rows);
        let text =
            "id,val,lr,error\na,,1e-05,\n\"b,c\",18446744073709551615,2.0,\"no \"\"room\"\"\"\n";
        assert_eq!(String::from_utf8_lossy(&table), text);
        let json = |row: &Row| {
            let mut map = serde_json::to_value(row).unwrap().as_object().unwrap().clone();
            map.retain(|_, value| !value.is_null());
            map
        };
        let expected: Vec<_> = (2..).zip(rows.iter().map(json)).collect();
        assert_eq!(read(&table), Ok(expected));
    }

    #[test]
    fn cells_that_only_look_like_numbers_are_strings() {
        let sum = "1".repeat(64);
        let table = format!("a,b,c,d\n{sum},007,+1,nan\n");
        let rows = read(table.as_bytes()).unwrap();
        assert!(rows[0].1.values().all(Value::is_string), "{rows:?}");
    }

    #[test]
    fn invalid_tables_are_refused() {
        for (text, part) in [
            ("", "it is empty"),
            ("a,a\n1,2\n", "line 1: the column \"a\""),
            ("a,b\n1\n", "line: 2"),
        ] {
            let sentence = read(text.as_bytes()).unwrap_err().to_string();
            assert!(sentence.contains(part), "{sentence}");
        }
    }
}
