//! Types in code: those of TorchScript that are data, and the classes of the archive.

use super::super::syntax::Expr;
use super::AuditError;
use super::code::{Audit, dotted};

const TYPES: [&str; 13] = [
    "AnyEnumType",
    "Device",
    "Layout",
    "NoneType",
    "Tensor",
    "bool",
    "complex",
    "float",
    "int",
    "list",
    "number",
    "str",
    "tuple",
];
const GENERIC: [&str; 6] = ["Dict", "Final", "List", "Optional", "Tuple", "Union"];

impl Audit<'_> {
    /// Checks a type: no class of C++, no future, no object of Python.
    pub(super) fn check_type(&self, expression: &Expr) -> Result<(), AuditError> {
        match expression {
            Expr::None => Ok(()),
            Expr::Name(name) if TYPES.contains(&&**name) => Ok(()),
            Expr::Index(of, inner) => match &**of {
                Expr::Name(name) if GENERIC.contains(&&**name) => self.check_types(inner),
                _ => self.refuse(format!("the type {}", text(expression))),
            },
            _ => match dotted(expression) {
                Some(path) if path[0] == "__torch__" && path.len() > 1 => {
                    self.check_class(&path.join("."))
                }
                _ => self.refuse(format!("the type {}", text(expression))),
            },
        }
    }

    /// Checks a type or a tuple of types.
    pub(super) fn check_types(&self, expression: &Expr) -> Result<(), AuditError> {
        match expression {
            Expr::Tuple(types) | Expr::List(types) => {
                types.iter().try_for_each(|it| self.check_types(it))
            }
            one => self.check_type(one),
        }
    }
}

/// A type in TorchScript's notation.
pub(super) fn text(expression: &Expr) -> String {
    let list = |items: &[Expr]| items.iter().map(text).collect::<Vec<_>>().join(", ");
    match expression {
        Expr::None => "None".into(),
        Expr::Name(name) => name.clone(),
        Expr::Attribute(of, name) => format!("{}.{name}", text(of)),
        Expr::Index(of, inner) => format!("{}[{}]", text(of), text(inner)),
        Expr::Tuple(items) if items.is_empty() => "()".into(),
        Expr::Tuple(items) | Expr::List(items) => list(items),
        Expr::Text(text) => format!("{text:?}"),
        _ => "of an expression".into(),
    }
}
