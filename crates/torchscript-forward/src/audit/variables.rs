//! The variables of a function, and those of them that are known to be of a type `Optional[…]`.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::syntax::{Expr, Function, Line, Statement};
use super::types::text;

/// Most passes over the statements: after them, nothing is known.
const PASSES: usize = 16;

/// A variable and what is assigned to it, if that is an expression and not a part of one.
type Assigned<'a> = (&'a str, Option<(Option<&'a Expr>, &'a Expr)>);

/// The variables of a function with these statements: its parameters, and what the statements assign to. Each has the type
/// `kind` if everything that is assigned to it is known to be `Optional[kind]`.
pub(super) fn variables<'a>(
    function: &'a Function,
    body: &'a [Line],
) -> HashMap<&'a str, Option<Rc<str>>> {
    let mut variables = HashMap::new();
    for parameter in &function.parameters {
        variables.insert(&*parameter.name, parameter.annotation.as_ref().and_then(optional));
    }
    let mut all = Vec::new();
    assigned(body, &mut all);
    // Until nothing changes: in a loop, a variable may be copied before it is assigned to.
    for pass in 0.. {
        let mut changed = false;
        for &(name, value) in &all {
            let kind = match value {
                Some((Some(annotation), _)) => optional(annotation),
                Some((None, Expr::Name(other))) => variables.get(&**other).cloned().flatten(),
                _ => None,
            };
            let known = variables.entry(name).or_insert_with(|| kind.clone());
            if known.is_some() && (*known != kind || pass > PASSES) {
                *known = None;
                changed = true;
            }
        }
        if !changed && pass > 0 {
            break;
        }
    }
    variables
}

/// Whether statements assign to a variable.
pub(super) fn assigns(body: &[Line], name: &str) -> bool {
    let mut all = Vec::new();
    assigned(body, &mut all);
    all.iter().any(|(assigned, _)| *assigned == name)
}

/// The type in `Optional[type]`.
fn optional(kind: &Expr) -> Option<Rc<str>> {
    match kind {
        Expr::Index(of, inner) if **of == Expr::Name("Optional".into()) => Some(text(inner).into()),
        _ => None,
    }
}

/// Everything that statements assign, in their order.
fn assigned<'a>(block: &'a [Line], all: &mut Vec<Assigned<'a>>) {
    for line in block {
        match &line.statement {
            Statement::Assign { target: Expr::Name(name), annotation, value } => {
                all.push((name, Some((annotation.as_ref(), value))));
            }
            Statement::Assign { target, .. } => targets(target, all),
            Statement::If(_, then, otherwise) => {
                assigned(then, all);
                assigned(otherwise, all);
            }
            Statement::For(name, _, body) => {
                all.push((name, None));
                assigned(body, all);
            }
            Statement::While(_, body) => assigned(body, all),
            _ => {}
        }
    }
}

fn targets<'a>(target: &'a Expr, all: &mut Vec<Assigned<'a>>) {
    match target {
        Expr::Name(name) => all.push((name, None)),
        Expr::Tuple(items) | Expr::List(items) => items.iter().for_each(|item| targets(item, all)),
        _ => {}
    }
}
