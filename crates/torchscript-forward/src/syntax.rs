//! The syntax of TorchScript's serialized form: classes, functions, statements, expressions.

use std::collections::BTreeMap;

use super::error::ParseError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Negative(Box<Expr>),
    Attribute(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    /// `start:end`, in an index only.
    Slice(Box<[Expr; 2]>),
    Call {
        function: Box<Expr>,
        arguments: Vec<Expr>,
        named: Vec<(String, Expr)>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    Pass,
    Expression(Expr),
    Assign { target: Expr, annotation: Option<Expr>, value: Expr },
    If(Expr, Vec<Line>, Vec<Line>),
    For(String, Expr, Vec<Line>),
    While(Expr, Vec<Line>),
    Return(Expr),
}

/// A statement and the line that it starts in, from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub number: usize,
    pub statement: Statement,
}

/// A parameter of a function.
#[derive(Debug)]
pub(super) struct Parameter {
    pub name: String,
    pub annotation: Option<Expr>,
    pub default: Option<Expr>,
}

/// A function or a method.
#[derive(Debug)]
pub(super) struct Function {
    pub line: usize,
    pub parameters: Vec<Parameter>,
    pub returns: Option<Expr>,
    /// Statements, or why they are not understood, which matters only where the function is called.
    pub body: Result<Vec<Line>, ParseError>,
}

/// An attribute in the body of a class.
#[derive(Debug)]
pub(super) struct Attribute {
    pub line: usize,
    pub annotation: Option<Expr>,
    pub value: Option<Expr>,
}

#[derive(Debug, Default)]
pub(super) struct Class {
    pub line: usize,
    /// The name in brackets: `Module`, `NamedTuple`, `Interface` and the like.
    pub base: Option<String>,
    pub attributes: BTreeMap<String, Attribute>,
    pub methods: BTreeMap<String, Function>,
}

impl Class {
    /// The value of an attribute of the type `Final`, of `__forward_hooks__`, `__parameters__` and the like.
    pub fn constant(&self, name: &str) -> Option<&Expr> {
        self.attributes.get(name)?.value.as_ref()
    }
}

/// The definitions of a file.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub classes: BTreeMap<String, Class>,
    pub functions: BTreeMap<String, Function>,
}
