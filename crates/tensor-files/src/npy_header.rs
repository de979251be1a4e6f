//! The header of `.npy` files: a Python dict as text with the keys `descr`, `fortran_order` and `shape`
//! (`numpy.lib.format`, versions 1 to 3).

/// The values of the header.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The element type: `<f4`, or the text of another form, such as a list of fields.
    pub descr: Descr,
    /// Whether the array is column-major.
    pub fortran_order: bool,
    /// Sizes of the dimensions.
    pub shape: Vec<u64>,
}

/// An element type.
#[derive(Debug, PartialEq, Eq)]
pub enum Descr {
    /// A string, without its quotes.
    Plain(String),
    /// Anything else, as it stands in the file.
    Other(String),
}

impl Header {
    /// Reads the text of a header.
    ///
    /// # Errors
    /// What is expected, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        parser.expect('{')?;
        while !parser.take('}') {
            let key = parser.string()?;
            parser.expect(':')?;
            let is_new = match key {
                "descr" => descr.replace(parser.descr()?).is_none(),
                "fortran_order" => fortran_order.replace(parser.bool()?).is_none(),
                "shape" => shape.replace(parser.tuple()?).is_none(),
                _ => return Err(format!("the unknown key {key:?}")),
            };
            if !is_new {
                return Err(format!("the key {key:?} twice"));
            }
            if !parser.take(',') {
                parser.expect('}')?;
                break;
            }
        }
        parser.end()?;
        let missing = |key: &str| format!("no key {key:?}");
        Ok(Self {
            descr: descr.ok_or_else(|| missing("descr"))?,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
        })
    }
}

/// Reads Python literals from a text.
struct Parser<'a> {
    text: &'a str,
    /// Position in bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    /// The text after spaces.
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn wrong<T>(&mut self, expected: &str) -> Result<T, String> {
        let found = match self.rest().chars().next() {
            Some(found) => format!("{found:?}"),
            None => "the end".into(),
        };
        Err(format!("{expected} is expected at byte {}, found {found}", self.at))
    }

    /// Skips this character if it is next.
    fn take(&mut self, expected: char) -> bool {
        let is_next = self.rest().starts_with(expected);
        self.at += if is_next { expected.len_utf8() } else { 0 };
        is_next
    }

    fn expect(&mut self, expected: char) -> Result<(), String> {
        if self.take(expected) { Ok(()) } else { self.wrong(&format!("{expected:?}")) }
    }

    /// A string in single or double quotes, without escapes.
    fn string(&mut self) -> Result<&'a str, String> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'));
        let end = quote.and_then(|quote| rest[1..].find(quote));
        let Some(end) = end.filter(|&end| !rest[1..1 + end].contains('\\')) else {
            return self.wrong("a string");
        };
        self.at += end + 2;
        Ok(&rest[1..1 + end])
    }

    fn bool(&mut self) -> Result<bool, String> {
        for (word, value) in [("True", true), ("False", false)] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("True or False")
    }

    /// A tuple of integers; Python 2 wrote an `L` after each.
    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        let mut sizes = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            let rest = self.rest();
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let Ok(size) = rest[..digits].parse() else { return self.wrong("a size of 64 bits") };
            sizes.push(size);
            self.at += digits;
            self.take('L');
            if !self.take(',') {
                // `(3)` is a number, not a tuple.
                if sizes.len() == 1 {
                    return self.wrong("','");
                }
                self.expect(')')?;
                break;
            }
        }
        Ok(sizes)
    }

    /// A string, or a list or tuple up to its closing bracket.
    fn descr(&mut self) -> Result<Descr, String> {
        let rest = self.rest();
        if !rest.starts_with(['[', '(']) {
            return self.string().map(|text| Descr::Plain(text.into()));
        }
        let mut depth = 0usize;
        for (at, character) in rest.char_indices() {
            match character {
                '[' | '(' => depth += 1,
                ']' | ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at += at + 1;
                return Ok(Descr::Other(rest[..=at].into()));
            }
        }
        self.at = self.text.len();
        self.wrong("a closing bracket")
    }

    fn end(&mut self) -> Result<(), String> {
        if self.rest().is_empty() { Ok(()) } else { self.wrong("the end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_numpy_has_written_are_read() {
        let header = |descr: &str, fortran_order, shape: &[u64]| {
            Ok(Header { descr: Descr::Plain(descr.into()), fortran_order, shape: shape.into() })
        };
        let parse = Header::parse;
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n";
        assert_eq!(parse(text), header("<f4", false, &[3, 4]));
        // Python 2, other order, double quotes, no last comma.
        let text = "{\"shape\":(5L,),'fortran_order':True,'descr':\"|u1\"}";
        assert_eq!(parse(text), header("|u1", true, &[5]));
        assert_eq!(
            parse("{'descr': '>i8', 'fortran_order': False, 'shape': ()}"),
            header(">i8", false, &[])
        );
        let fields =
            "{'descr': [('x', '<f4'), ('y', '<i2', (2,))], 'fortran_order': False, 'shape': (1,)}";
        let descr = Descr::Other("[('x', '<f4'), ('y', '<i2', (2,))]".into());
        assert_eq!(parse(fields).unwrap().descr, descr);
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        let wrong = |text: &str| Header::parse(text).unwrap_err();
        assert_eq!(wrong(""), "'{' is expected at byte 0, found the end");
        assert_eq!(wrong("{'descr': 3}"), "a string is expected at byte 10, found '3'");
        assert_eq!(wrong("{'shape': (3)}"), "',' is expected at byte 12, found ')'");
        assert_eq!(
            wrong("{'shape': (-3,)}"),
            "a size of 64 bits is expected at byte 11, found '-'"
        );
        assert_eq!(wrong("{'x': 3}"), "the unknown key \"x\"");
        assert_eq!(wrong("{'shape': (), 'shape': ()}"), "the key \"shape\" twice");
        assert_eq!(wrong("{'descr': '<f4', 'shape': ()}"), "no key \"fortran_order\"");
        assert_eq!(
            wrong("{'descr': [('x'"),
            "a closing bracket is expected at byte 15, found the end"
        );
        let complete = "{'descr': '<f4', 'fortran_order': False, 'shape': ()}";
        assert_eq!(wrong(&format!("{complete} x")), "the end is expected at byte 54, found 'x'");
        for end in 0..complete.len() {
            assert!(Header::parse(&complete[..end]).is_err(), "{end}");
        }
    }
}
