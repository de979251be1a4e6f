//! The opcodes of protocol 0, whose arguments are lines of text.

use super::Value;
use super::stack::{Machine, Step};

impl<'a> Machine<'a> {
    /// The bytes up to the next line end.
    pub(super) fn line(&mut self) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return self.damaged("a line without an end");
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// The argument of PUT and GET: an index of the memo.
    pub(super) fn slot(&mut self) -> Step<u32> {
        let line = self.line()?;
        let slot = str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        slot.map_or_else(|| self.damaged("an index of the memo that is not a number"), Ok)
    }

    /// INT, which also writes True and False.
    pub(super) fn int_line(&mut self) -> Step {
        match self.line()? {
            b"00" => self.bool(false),
            b"01" => self.bool(true),
            line => self.decimal(line),
        }
    }

    /// LONG: with an L at its end.
    pub(super) fn long_line(&mut self) -> Step {
        let line = self.line()?;
        self.decimal(line.strip_suffix(b"L").unwrap_or(line))
    }

    fn decimal(&mut self, digits: &[u8]) -> Step {
        let text = str::from_utf8(digits).unwrap_or_default();
        if let Ok(value) = text.parse() {
            return self.push(Value::Int(value));
        }
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        match !unsigned.is_empty() && unsigned.iter().all(u8::is_ascii_digit) {
            true => self.opaque("int"),
            false => self.damaged("an integer that is not a number"),
        }
    }

    /// FLOAT.
    pub(super) fn float_line(&mut self) -> Step {
        let line = self.line()?;
        let value = str::from_utf8(line).ok().and_then(|text| text.parse::<f64>().ok());
        match value {
            Some(value) => self.float(value),
            None => self.damaged("a float that is not a number"),
        }
    }

    /// STRING: a string of Python 2 in quotes. One with escapes is not the name of a tensor.
    pub(super) fn quoted_line(&mut self) -> Step {
        let line = self.line()?;
        let quoted = |quote: u8| line.strip_prefix(&[quote])?.strip_suffix(&[quote]);
        match quoted(b'\'').or_else(|| quoted(b'"')) {
            Some(text) if text.contains(&b'\\') => self.opaque("str"),
            Some(text) => self.text_or_bytes(text),
            None => self.damaged("a string without quotes"),
        }
    }

    /// UNICODE: Latin-1, with `\uXXXX` and `\UXXXXXXXX`.
    pub(super) fn unicode_line(&mut self) -> Step {
        let mut rest = self.line()?;
        self.account(2 * rest.len())?;
        let mut text = String::new();
        while let [first, after @ ..] = rest {
            let digits = match (first, after.first()) {
                (b'\\', Some(b'u')) => 4,
                (b'\\', Some(b'U')) => 8,
                _ => {
                    text.push(char::from(*first));
                    rest = after;
                    continue;
                }
            };
            let code = after.get(1..=digits).and_then(|code| str::from_utf8(code).ok());
            let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
            match code.and_then(char::from_u32) {
                Some(letter) => text.push(letter),
                None => return self.damaged("a string with an invalid escape"),
            }
            rest = &after[1 + digits..];
        }
        self.push(Value::Str(text.into()))
    }
}
