//! The syntax of TorchScript's serialized form: classes, functions, statements, expressions.

use std::collections::HashMap;

use super::error::SyntaxError;

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
    Negative(Box<Expr>),
    Attribute(Box<Expr>, String),
    Index(Box<Expr>, Box<Expr>),
    Call { function: Box<Expr>, arguments: Vec<Expr>, named: Vec<(String, Expr)> },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    Pass,
    Expression(Expr),
    Assign(Expr, Expr),
    If(Expr, Vec<Statement>, Vec<Statement>),
    For(String, Expr, Vec<Statement>),
    While(Expr, Vec<Statement>),
    Return(Expr),
}

/// A function or a method.
#[derive(Debug)]
pub(super) struct Function {
    /// Names and defaults.
    pub parameters: Vec<(String, Option<Expr>)>,
    /// Statements, or why they are not understood, which matters only where the function is called.
    pub body: Result<Vec<Statement>, SyntaxError>,
}

#[derive(Debug, Default)]
pub(super) struct Class {
    /// Attributes of the type `Final`, `__forward_hooks__`, `__parameters__` and the like.
    pub constants: HashMap<String, Expr>,
    pub methods: HashMap<String, Function>,
}

/// The definitions of a file.
#[derive(Debug, Default)]
pub(super) struct Unit {
    pub classes: HashMap<String, Class>,
    pub functions: HashMap<String, Function>,
}
