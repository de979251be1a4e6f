//! Parses the expressions of TorchScript's serialized form.

use super::error::SyntaxError;
use super::lexer::Token;
use super::parser::{DEPTH, Parser};
use super::syntax::Expr;

impl Parser<'_> {
    /// An expression, or a tuple of several without brackets around it.
    pub fn unbracketed(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.expression()?;
        if self.peek() != Some(&Token::Symbol(',')) {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.takes_symbol(',') {
            if matches!(self.peek(), None | Some(Token::Newline | Token::Symbol('='))) {
                break;
            }
            items.push(self.expression()?);
        }
        Ok(Expr::Tuple(items))
    }

    /// Expressions separated by commas up to the bracket `end`, and whether a comma follows the last one.
    pub fn list_until(&mut self, end: char) -> Result<(Vec<Expr>, bool), SyntaxError> {
        let (mut items, mut comma) = (Vec::new(), false);
        while !self.takes_symbol(end) {
            items.push(self.expression()?);
            comma = self.takes_symbol(',');
            if !comma {
                self.symbol(end)?;
                break;
            }
        }
        Ok((items, comma))
    }

    pub fn expression(&mut self) -> Result<Expr, SyntaxError> {
        self.nested(|parser| {
            if parser.takes_symbol('-') {
                return Ok(Expr::Negative(Box::new(parser.expression()?)));
            }
            let mut expression = parser.primary()?;
            // Each iteration makes the expression deeper.
            for _ in 0..4 * DEPTH {
                if parser.takes_symbol('.') {
                    expression = Expr::Attribute(Box::new(expression), parser.name()?);
                } else if parser.takes_symbol('[') {
                    let index = parser.index()?;
                    expression = Expr::Index(Box::new(expression), Box::new(index));
                } else if parser.takes_symbol('(') {
                    expression = parser.call(expression)?;
                } else {
                    return Ok(expression);
                }
            }
            Err(SyntaxError::TooDeep)
        })
    }

    /// What follows the opening bracket of an index, up to the closing one: `start:end`, or items.
    fn index(&mut self) -> Result<Expr, SyntaxError> {
        let starts = !matches!(self.peek(), Some(Token::Symbol(':' | ']')));
        let first = starts.then(|| self.expression()).transpose()?;
        if self.takes_symbol(':') {
            let ends = self.peek() != Some(&Token::Symbol(']'));
            let end = if ends { self.expression()? } else { Expr::None };
            self.symbol(']')?;
            return Ok(Expr::Slice(Box::new([first.unwrap_or(Expr::None), end])));
        }
        match first {
            Some(first) if self.takes_symbol(']') => Ok(first),
            Some(first) => {
                self.symbol(',')?;
                let rest = self.list_until(']')?.0;
                Ok(Expr::Tuple(std::iter::once(first).chain(rest).collect()))
            }
            None => self.symbol(']').map(|()| Expr::Tuple(Vec::new())),
        }
    }

    /// The items of a dict, whose opening bracket has been read.
    fn dict(&mut self) -> Result<Expr, SyntaxError> {
        let mut items = Vec::new();
        while !self.takes_symbol('}') {
            let key = self.expression()?;
            self.symbol(':')?;
            items.push((key, self.expression()?));
            if !self.takes_symbol(',') {
                self.symbol('}')?;
                break;
            }
        }
        Ok(Expr::Dict(items))
    }

    /// The arguments of a call of `function`, whose opening bracket has been read.
    fn call(&mut self, function: Expr) -> Result<Expr, SyntaxError> {
        let (mut arguments, mut named) = (Vec::new(), Vec::new());
        while !self.takes_symbol(')') {
            let argument = self.expression()?;
            match argument {
                Expr::Name(name) if self.takes_symbol('=') => {
                    named.push((name, self.expression()?))
                }
                argument => arguments.push(argument),
            }
            if !self.takes_symbol(',') {
                self.symbol(')')?;
                break;
            }
        }
        Ok(Expr::Call { function: Box::new(function), arguments, named })
    }

    /// A constant, a name, a list, a tuple or an expression in brackets.
    fn primary(&mut self) -> Result<Expr, SyntaxError> {
        let Some(token) = self.peek().cloned() else { return self.unexpected("an expression") };
        let expression = match token {
            Token::Int(value) => Expr::Int(value),
            Token::Float(value) => Expr::Float(value),
            Token::Text(value) => Expr::Text(value),
            Token::Name(name) => match name.as_str() {
                "None" => Expr::None,
                "True" => Expr::Bool(true),
                "False" => Expr::Bool(false),
                _ => Expr::Name(name),
            },
            Token::Symbol('[') => {
                self.at += 1;
                return Ok(Expr::List(self.list_until(']')?.0));
            }
            Token::Symbol('(') => {
                self.at += 1;
                let (mut items, comma) = self.list_until(')')?;
                return Ok(match items.len() {
                    1 if !comma => items.remove(0),
                    _ => Expr::Tuple(items),
                });
            }
            Token::Symbol('{') => {
                self.at += 1;
                return self.dict();
            }
            Token::Symbol('^') => {
                self.at += 1;
                return Err(SyntaxError::Python(self.name()?));
            }
            _ => return self.unexpected("an expression"),
        };
        self.at += 1;
        Ok(expression)
    }
}
