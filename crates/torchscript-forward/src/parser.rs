//! Parses TorchScript's serialized form: classes, functions, statements.

use std::collections::BTreeMap;

use super::error::{ParseError, SyntaxError};
use super::lexer::{Token, tokens};
use super::syntax::{Attribute, Class, Expr, Function, Line, Parameter, Statement, Unit};

/// Deepest nesting of expressions and of blocks.
pub(super) const DEPTH: usize = 64;

/// Parses a file. A function whose body is not understood has an error as its body.
///
/// # Errors
/// [`ParseError`] of anything else that is not understood.
pub(super) fn parse(text: &str) -> Result<Unit, ParseError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    parser.unit().map_err(|error| ParseError { error, line: parser.line() })
}

/// Adds a definition, of which there must not be two.
fn insert<T>(map: &mut BTreeMap<String, T>, name: String, value: T) -> Result<(), SyntaxError> {
    match map.insert(name.clone(), value) {
        None => Ok(()),
        Some(_) => Err(SyntaxError::Twice(name)),
    }
}

/// A position in the tokens of a file.
pub(super) struct Parser<'a> {
    tokens: &'a [(Token, usize)],
    /// Index of the next token.
    pub at: usize,
    /// Blocks and expressions around it.
    depth: usize,
}

impl Parser<'_> {
    /// Returns the next token without consuming it; `None` at the end.
    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    /// The line of the next token, or of the last one.
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, line)| *line)
    }

    /// Skips the next token if it is this one; whether it was.
    fn takes(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub fn takes_symbol(&mut self, symbol: char) -> bool {
        self.takes(&Token::Symbol(symbol))
    }

    fn takes_name(&mut self, expected: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(name)) if name == expected);
        self.at += usize::from(found);
        found
    }

    pub fn unexpected<T>(&self, expected: &str) -> Result<T, SyntaxError> {
        let found = self.peek().map_or("the end".into(), |found| format!("{found:?}"));
        Err(SyntaxError::Unexpected { found, expected: expected.into() })
    }

    fn expect(&mut self, token: &Token) -> Result<(), SyntaxError> {
        match self.takes(token) {
            true => Ok(()),
            false => self.unexpected(&format!("{token:?}")),
        }
    }

    pub fn symbol(&mut self, symbol: char) -> Result<(), SyntaxError> {
        self.expect(&Token::Symbol(symbol))
    }

    pub fn name(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    /// Skips a block, whose `Indent` is the next token.
    fn skip_block(&mut self) {
        let mut depth = 0;
        while let Some(token) = self.peek() {
            depth += match token {
                Token::Indent => 1,
                Token::Dedent => -1,
                _ => 0,
            };
            self.at += 1;
            if depth <= 0 {
                break;
            }
        }
    }

    /// The definitions of a file. Old archives begin with their version and with imports.
    fn unit(&mut self) -> Result<Unit, SyntaxError> {
        let mut unit = Unit::default();
        if self.takes_name("op_version_set") {
            self.symbol('=')?;
            let Some(Token::Int(_)) = self.peek() else { return self.unexpected("a number") };
            self.at += 1;
            self.expect(&Token::Newline)?;
        }
        while self.peek().is_some() {
            if self.takes_name("class") {
                insert(&mut unit.classes, self.name()?, self.class()?)?;
            } else if self.takes_name("def") {
                insert(&mut unit.functions, self.name()?, self.function()?)?;
            } else if self.takes_name("import") {
                self.expression()?;
                self.expect(&Token::Newline)?;
            } else {
                return self.unexpected("a class or a function");
            }
        }
        Ok(unit)
    }

    /// The rest of a class after its name.
    fn class(&mut self) -> Result<Class, SyntaxError> {
        let mut class = Class { line: self.line(), ..Class::default() };
        if self.takes_symbol('(') {
            class.base = Some(self.name()?);
            self.symbol(')')?;
        }
        self.symbol(':')?;
        self.expect(&Token::Newline)?;
        self.expect(&Token::Indent)?;
        while !self.takes(&Token::Dedent) {
            if self.takes_name("def") {
                insert(&mut class.methods, self.name()?, self.function()?)?;
            } else if self.takes_name("pass") {
                self.expect(&Token::Newline)?;
            } else {
                let (name, attribute) = self.attribute()?;
                insert(&mut class.attributes, name, attribute)?;
            }
        }
        Ok(class)
    }

    /// `name : Type`, `name : Final[Type] = value`, `name = value`, `__annotations__["name"] = Type`.
    fn attribute(&mut self) -> Result<(String, Attribute), SyntaxError> {
        let line = self.line();
        let target = self.expression()?;
        let mut annotation = self.takes_symbol(':').then(|| self.expression()).transpose()?;
        let mut value = self.takes_symbol('=').then(|| self.expression()).transpose()?;
        let name = match target {
            Expr::Name(name) => name,
            Expr::Index(of, name) if *of == Expr::Name("__annotations__".into()) => match *name {
                Expr::Text(name) if annotation.is_none() && !name.contains('\\') => {
                    annotation = value.take();
                    name
                }
                _ => return self.unexpected("the name of an attribute"),
            },
            _ => return self.unexpected("the name of an attribute"),
        };
        self.expect(&Token::Newline)?;
        Ok((name, Attribute { line, annotation, value }))
    }

    /// The rest of a function after its name.
    fn function(&mut self) -> Result<Function, SyntaxError> {
        let (line, mut parameters) = (self.line(), Vec::new());
        self.symbol('(')?;
        while !self.takes_symbol(')') {
            if !self.takes_symbol('*') {
                let name = self.name()?;
                let annotation = self.takes_symbol(':').then(|| self.expression()).transpose()?;
                let default = self.takes_symbol('=').then(|| self.expression()).transpose()?;
                parameters.push(Parameter { name, annotation, default });
            }
            if !self.takes_symbol(',') {
                self.symbol(')')?;
                break;
            }
        }
        let returns = self.takes(&Token::Arrow).then(|| self.expression()).transpose()?;
        self.symbol(':')?;
        self.expect(&Token::Newline)?;
        let start = self.at;
        let body = self.block().map_err(|error| ParseError { error, line: self.line() });
        if body.is_err() {
            self.at = start;
            self.depth = 0;
            self.skip_block();
        }
        Ok(Function { line, parameters, returns, body })
    }

    fn block(&mut self) -> Result<Vec<Line>, SyntaxError> {
        self.expect(&Token::Indent)?;
        let statements = self.statements()?;
        self.expect(&Token::Dedent)?;
        Ok(statements)
    }

    fn statements(&mut self) -> Result<Vec<Line>, SyntaxError> {
        self.nested(|parser| {
            let mut statements = Vec::new();
            while !matches!(parser.peek(), None | Some(Token::Dedent)) {
                let number = parser.line();
                statements.push(Line { number, statement: parser.statement()? });
            }
            Ok(statements)
        })
    }

    /// Parses something inside of a block or an expression.
    pub fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// `: Newline` and a block.
    fn suite(&mut self) -> Result<Vec<Line>, SyntaxError> {
        self.symbol(':')?;
        self.expect(&Token::Newline)?;
        self.block()
    }

    fn statement(&mut self) -> Result<Statement, SyntaxError> {
        let keyword = match self.peek() {
            Some(Token::Name(name)) => name.clone(),
            _ => String::new(),
        };
        match keyword.as_str() {
            "if" => {
                self.at += 1;
                let condition = self.expression()?;
                let then = self.suite()?;
                let otherwise = if self.takes_name("else") { self.suite()? } else { Vec::new() };
                return Ok(Statement::If(condition, then, otherwise));
            }
            "for" => {
                self.at += 1;
                let name = self.name()?;
                if !self.takes_name("in") {
                    return self.unexpected("`in`");
                }
                let values = self.expression()?;
                return Ok(Statement::For(name, values, self.suite()?));
            }
            "while" => {
                self.at += 1;
                let condition = self.expression()?;
                return Ok(Statement::While(condition, self.suite()?));
            }
            "with" | "break" | "continue" | "del" | "assert" | "raise" | "def" | "class"
            | "lambda" => {
                return Err(SyntaxError::Statement(keyword));
            }
            _ => {}
        }
        let statement = self.simple_statement()?;
        self.expect(&Token::Newline)?;
        Ok(statement)
    }

    fn simple_statement(&mut self) -> Result<Statement, SyntaxError> {
        if self.takes_name("pass") {
            return Ok(Statement::Pass);
        }
        if self.takes_name("return") {
            let nothing = self.peek() == Some(&Token::Newline);
            return Ok(Statement::Return(if nothing { Expr::None } else { self.unbracketed()? }));
        }
        let target = self.unbracketed()?;
        let annotation = self.takes_symbol(':').then(|| self.expression()).transpose()?;
        if annotation.is_none() && !self.takes_symbol('=') {
            return Ok(Statement::Expression(target));
        }
        if annotation.is_some() {
            self.symbol('=')?;
        }
        Ok(Statement::Assign { target, annotation, value: self.unbracketed()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_a_function_and_their_statements_are_read() {
        let text = "class Net(Module):\n  __parameters__ = [\"weight\", ]\n  weight : Tensor\n  \
                    __annotations__[\"0\"] = __torch__.Other\n  size : Final[Tuple[int, int]] = (1, -2)\n  \
                    def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    if torch.eq(1, 1.5e-3):\n      \
                    y = x\n    else:\n      pass\n    a, b, = (y, x)\n    return a\n\
                    def relu(x: Tensor,\n    inplace: bool=False) -> Tensor:\n  return torch.relu(x, out=None)\n";
        let unit = parse(text).unwrap();
        let class = &unit.classes["Net"];
        let size = Expr::Tuple(vec![Expr::Int(1), Expr::Negative(Box::new(Expr::Int(2)))]);
        assert_eq!(class.constant("size"), Some(&size));
        assert_eq!(class.methods["forward"].body.as_ref().unwrap().len(), 3);
        let relu = &unit.functions["relu"];
        let inplace = &relu.parameters[1];
        assert_eq!((&*inplace.name, &inplace.default), ("inplace", &Some(Expr::Bool(false))));
    }

    #[test]
    fn a_body_that_is_not_understood_leaves_the_other_functions() {
        let unit =
            parse("def f(x):\n  with x:\n    pass\n  return x\ndef g(x):\n  return x\n").unwrap();
        let error = ParseError { error: SyntaxError::Statement("with".into()), line: 2 };
        assert_eq!(unit.functions["f"].body, Err(error));
        assert!(unit.functions["g"].body.is_ok());
    }

    #[test]
    fn text_that_is_no_code_is_an_error_and_no_panic() {
        let deep = format!("def f(x):\n  return {}x{}\n", "(".repeat(5000), ")".repeat(5000));
        assert!(parse(&deep).unwrap().functions["f"].body.is_err());
        for text in [
            "class",
            "class A(",
            "def f(x:\n",
            "def f(x):\n return \"a\n",
            "  x\n y",
            "def f(:",
            "]",
            "ä",
        ] {
            let _ = parse(text);
        }
        assert!(parse("def f(x):\n  pass\ndef f(x):\n  pass\n").is_err());
    }
}
