//! Splits TorchScript's serialized form, a subset of Python, into tokens; blocks are `Indent` and `Dedent`.

use super::error::{ParseError, TokenError};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Int(i64),
    Float(f64),
    Text(String),
    Symbol(char),
    Arrow,
    Newline,
    Indent,
    Dedent,
}

/// The tokens of a file, each with its line. The last ones are a `Newline` and the `Dedent`s of its open blocks.
///
/// Only text that libtorch splits in the same way has tokens: it must have no comments, no continued lines and no white
/// space but spaces and newlines. `torch.jit.save` writes none of these.
///
/// # Errors
/// [`ParseError`] with a [`TokenError`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, ParseError> {
    let mut lexer = Lexer { rest: text, line: 1, depth: 0, indents: vec![0], tokens: Vec::new() };
    match lexer.run() {
        Ok(()) => Ok(lexer.tokens),
        Err(error) => Err(ParseError { error: error.into(), line: lexer.line }),
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    /// Number of open brackets; newlines inside of them are ignored.
    depth: usize,
    indents: Vec<usize>,
    tokens: Vec<(Token, usize)>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), TokenError> {
        let mut line_starts = true;
        loop {
            if line_starts {
                self.indentation()?;
                line_starts = false;
            }
            let Some(first) = self.rest.chars().next() else { break };
            match first {
                ' ' => self.skip(1),
                '\n' => {
                    self.skip(1);
                    if self.depth == 0 {
                        self.newline();
                        line_starts = true;
                    }
                    self.line += 1;
                }
                _ => self.token(first)?,
            }
        }
        if self.depth > 0 {
            return Err(TokenError::Unclosed);
        }
        self.newline();
        while self.indents.pop().is_some_and(|indent| indent > 0) {
            self.push(Token::Dedent);
        }
        Ok(())
    }

    fn push(&mut self, token: Token) {
        self.tokens.push((token, self.line));
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Ends a line that has tokens.
    fn newline(&mut self) {
        if !matches!(
            self.tokens.last(),
            None | Some((Token::Newline | Token::Indent | Token::Dedent, _))
        ) {
            self.push(Token::Newline);
        }
    }

    /// The spaces before a line's first token, unless the line has none.
    fn indentation(&mut self) -> Result<(), TokenError> {
        let trimmed = self.rest.trim_start_matches(' ');
        let indent = self.rest.len() - trimmed.len();
        if trimmed.is_empty() || trimmed.starts_with('\n') {
            return Ok(());
        }
        if self.indents.last().is_some_and(|&last| indent > last) {
            self.indents.push(indent);
            self.push(Token::Indent);
        }
        while self.indents.last().is_some_and(|&last| indent < last) {
            self.indents.pop();
            self.push(Token::Dedent);
        }
        match self.indents.last() {
            Some(&last) if last == indent => Ok(()),
            _ => Err(TokenError::Indentation),
        }
    }

    fn token(&mut self, first: char) -> Result<(), TokenError> {
        match first {
            '0'..='9' => return self.number(),
            '"' | '\'' => return self.text(first),
            '_' | 'a'..='z' | 'A'..='Z' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
                self.push(Token::Name(self.rest[..end].into()));
                self.skip(end);
                return Ok(());
            }
            '-' if self.rest.starts_with("->") => {
                self.push(Token::Arrow);
                self.skip(2);
                return Ok(());
            }
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => {
                let open = self.depth.checked_sub(1);
                self.depth = open.ok_or(TokenError::NotOpen)?;
            }
            '#' | '\\' => return Err(TokenError::Character(first)),
            '!'..='~' => {}
            _ => return Err(TokenError::Character(first)),
        }
        self.push(Token::Symbol(first));
        self.skip(1);
        Ok(())
    }

    fn number(&mut self) -> Result<(), TokenError> {
        let bytes = self.rest.as_bytes();
        let digits =
            |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = digits(0);
        let mut is_float = false;
        if bytes.get(end) == Some(&b'.') {
            is_float = true;
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            is_float = true;
            let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            end = digits(signed);
        }
        let number = &self.rest[..end];
        let token = match is_float {
            true => number.parse().ok().map(Token::Float),
            false => number.parse().ok().map(Token::Int),
        };
        let token = token.ok_or_else(|| TokenError::Number(number.into()))?;
        self.push(token);
        self.skip(end);
        Ok(())
    }

    /// A string; escapes stay as they are, since no value depends on them.
    fn text(&mut self, quote: char) -> Result<(), TokenError> {
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if c == '\n' {
                break;
            }
            if c == quote && !escaped {
                self.push(Token::Text(self.rest[1..at].into()));
                self.skip(at + 1);
                return Ok(());
            }
            escaped = c == '\\' && !escaped;
        }
        Err(TokenError::Text)
    }
}
