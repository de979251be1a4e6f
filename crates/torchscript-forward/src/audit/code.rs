//! Checks every expression of the code. A name of an operation is refused where it is used, called or not: code can give an
//! operation to a variable and call that.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::ScriptModule;
use super::super::error::ParseError;
use super::super::syntax::{Class, Expr, Function, Line, Statement, Unit};
use super::archive::CPP_CLASSES;
use super::operations::{aten, prim};
use super::types::text;
use super::variables::{assigns, variables};
use super::{AuditError, CodeFacts, Place, mode};

type Checked = Result<(), AuditError>;

/// Functions of the language that compute with numbers, strings and lists.
const FUNCTIONS: [&str; 30] = [
    "AssertionError",
    "_to_tensor",
    "abs",
    "all",
    "any",
    "bin",
    "bool",
    "chr",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "float",
    "hex",
    "int",
    "len",
    "list",
    "max",
    "min",
    "oct",
    "ord",
    "pow",
    "range",
    "rangelist",
    "round",
    "sorted",
    "str",
    "sum",
    "tuple",
    "zip",
];
/// Names that libtorch resolves itself where no variable has been assigned yet. No variable may have one, so that none of them
/// is taken for a variable.
const RESERVED: [&str; 22] = [
    "CONSTANTS",
    "__torch__",
    "annotate",
    "awaitable",
    "awaitable_nowait",
    "awaitable_wait",
    "fork",
    "getattr",
    "hasattr",
    "hash",
    "id",
    "inf",
    "isinstance",
    "nan",
    "ops",
    "print",
    "rpc_async",
    "rpc_remote",
    "rpc_sync",
    "torch",
    "unchecked_cast",
    "uninitialized",
];
/// What classes may derive from.
const BASES: [&str; 5] = ["Enum", "Interface", "Module", "ModuleInterface", "NamedTuple"];

/// The names of an attribute of an attribute of a name, such as `a.b.c`.
pub(super) fn dotted(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::Name(name) => Some(vec![name]),
        Expr::Attribute(of, name) => {
            let mut path = dotted(of)?;
            path.push(name);
            Some(path)
        }
        _ => None,
    }
}

/// A pass over the code.
pub(super) struct Audit<'a> {
    module: &'a ScriptModule,
    place: Place,
    /// The class of `self` in a method.
    class: Option<&'a Class>,
    /// The variables of the function, each with its `kind` if it is known to be of the type `Optional[kind]`.
    variables: HashMap<&'a str, Option<Rc<str>>>,
    /// Those that are another name of a function: `_0 = __torch__.torch.nn.functional.relu`.
    aliases: HashMap<&'a str, Vec<&'a str>>,
    pub facts: CodeFacts,
}

impl<'a> Audit<'a> {
    pub fn new(module: &'a ScriptModule) -> Self {
        Self {
            module,
            place: Place { file: String::new(), line: 1 },
            class: None,
            variables: HashMap::new(),
            aliases: HashMap::new(),
            facts: CodeFacts::default(),
        }
    }

    pub fn refuse<T>(&self, what: impl Into<String>) -> Result<T, AuditError> {
        Err(AuditError::Code { what: what.into(), place: self.place.clone() })
    }

    /// Checks the code of a Python module.
    pub fn unit(&mut self, module: &str, unit: &'a Result<Unit, ParseError>) -> Checked {
        self.place = Place { file: format!("code/{}.py", module.replace('.', "/")), line: 1 };
        let unit = unit.as_ref().map_err(|error| self.syntax(error))?;
        for (name, class) in &unit.classes {
            self.place.line = class.line;
            self.check_class(&format!("{module}.{name}"))?;
            self.class(class)?;
        }
        unit.functions.values().try_for_each(|function| self.function(function, None))
    }

    fn syntax(&self, ParseError { error, line }: &ParseError) -> AuditError {
        let place = Place { line: *line, ..self.place.clone() };
        AuditError::Code { what: error.to_string(), place }
    }

    /// Refuses a class of C++, and one that the archive does not define.
    pub fn check_class(&self, name: &str) -> Checked {
        match self.module.class(name) {
            Some(_) if !name.starts_with(CPP_CLASSES) && !name.contains(".quantized.") => Ok(()),
            _ => self.refuse(format!("the class {name}")),
        }
    }

    fn class(&mut self, class: &'a Class) -> Checked {
        if let Some(base) = class.base.as_ref().filter(|base| !BASES.contains(&&***base)) {
            return self.refuse(format!("a class derived from {base}"));
        }
        self.variables.clear();
        for attribute in class.attributes.values() {
            self.place.line = attribute.line;
            attribute.annotation.iter().try_for_each(|annotation| self.check_type(annotation))?;
            attribute.value.iter().try_for_each(|value| self.expression(value))?;
        }
        class.methods.values().try_for_each(|method| self.function(method, Some(class)))
    }

    fn function(&mut self, function: &'a Function, class: Option<&'a Class>) -> Checked {
        self.place.line = function.line;
        self.variables.clear();
        self.aliases.clear();
        for parameter in &function.parameters {
            parameter.annotation.iter().try_for_each(|annotation| self.check_type(annotation))?;
            parameter.default.iter().try_for_each(|default| self.expression(default))?;
        }
        function.returns.iter().try_for_each(|returns| self.check_type(returns))?;
        let body = function.body.as_ref().map_err(|error| self.syntax(error))?;
        self.variables = variables(function, body);
        let is_self = function.parameters.first().is_some_and(|first| first.name == "self");
        self.class = class.filter(|_| is_self && !assigns(body, "self"));
        if let Some(name) = RESERVED.iter().find(|name| self.variables.contains_key(*name)) {
            return self.refuse(format!("a variable with the name {name}"));
        }
        self.block(body)
    }

    fn block(&mut self, block: &'a [Line]) -> Checked {
        for line in block {
            self.place.line = line.number;
            match &line.statement {
                Statement::Pass => {}
                Statement::Expression(value) | Statement::Return(value) => {
                    self.expression(value)?
                }
                Statement::Assign { target, annotation, value } => {
                    annotation.iter().try_for_each(|annotation| self.check_type(annotation))?;
                    self.expression(value)?;
                    self.expression(target)?;
                    if let (Expr::Name(name), Some(path)) = (target, dotted(value)) {
                        self.aliases.insert(name, path);
                    }
                }
                Statement::If(condition, then, otherwise) => {
                    self.expression(condition)?;
                    self.block(then)?;
                    self.block(otherwise)?;
                }
                Statement::For(_, values, body) | Statement::While(values, body) => {
                    self.expression(values)?;
                    self.block(body)?;
                }
            }
        }
        Ok(())
    }

    fn expressions<'b>(&mut self, items: impl IntoIterator<Item = &'b Expr>) -> Checked {
        items.into_iter().try_for_each(|item| self.expression(item))
    }

    fn expression(&mut self, expression: &Expr) -> Checked {
        match expression {
            Expr::None | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Text(_) => Ok(()),
            Expr::Name(name) => {
                match self.variables.contains_key(&**name) || ["inf", "nan"].contains(&&**name) {
                    true => Ok(()),
                    false => self.refuse(format!("{name}, which is not a variable")),
                }
            }
            Expr::List(items) | Expr::Tuple(items) => self.expressions(items),
            Expr::Dict(items) => {
                self.expressions(items.iter().flat_map(|(key, value)| [key, value]))
            }
            Expr::Negative(inner) => self.expression(inner),
            Expr::Index(of, index) => self.expressions([&**of, index]),
            Expr::Slice(bounds) => self.expressions(&**bounds),
            Expr::Attribute(of, name) => match self.global(expression) {
                Some(path) => self.path(&path),
                None => {
                    self.expression(of)?;
                    self.member(of, name)
                }
            },
            Expr::Call { function, arguments, named } => {
                self.call(function, arguments, named)?;
                self.expressions(named.iter().map(|(_, value)| value))
            }
        }
    }

    /// The path of a name that is not a variable, such as `torch.relu`.
    fn global<'b>(&self, expression: &'b Expr) -> Option<Vec<&'b str>> {
        dotted(expression).filter(|path| !self.variables.contains_key(path[0]))
    }

    /// Checks an attribute of a value. It is an operation, unless the value's class has an attribute or a method of that name,
    /// which is known for `self` only.
    fn member(&self, of: &Expr, name: &str) -> Checked {
        let is_own = |class: &Class| {
            let attribute = class.attributes.get(name).is_some_and(|it| it.value.is_none());
            *of == Expr::Name("self".into()) && (attribute || class.methods.contains_key(name))
        };
        match aten(name) {
            _ if self.class.is_some_and(is_own) => Ok(()),
            Some(Err(reason)) => self.refuse(format!("{name}, which {reason}")),
            _ => Ok(()),
        }
    }

    /// Checks a name of torch or of the archive.
    fn path(&self, path: &[&str]) -> Checked {
        let name = path.join(".");
        match path {
            ["torch", operation] | ["ops", "aten", operation] => match aten(operation) {
                Some(Ok(())) => Ok(()),
                Some(Err(reason)) => self.refuse(format!("{name}, which {reason}")),
                None => self.refuse(format!("{name}, which PyTorch 2.13 does not have")),
            },
            ["ops", "prim", operation] if prim(operation) => Ok(()),
            ["CONSTANTS", _] => Ok(()),
            ["__torch__", ..] if !format!("{name}.").starts_with(CPP_CLASSES) => {
                let parent = name.rsplit_once('.').map_or("", |(parent, _)| parent);
                let defined =
                    self.module.function(&name).is_ok() || self.module.class(&name).is_some();
                // `__new__`, or a value of an enum.
                match defined || self.module.class(parent).is_some() {
                    true => Ok(()),
                    false => self.refuse(format!("{name}, which it does not define")),
                }
            }
            _ => self.refuse(name),
        }
    }

    fn call(&mut self, function: &Expr, arguments: &[Expr], named: &[(String, Expr)]) -> Checked {
        match function {
            Expr::Name(name) if self.variables.contains_key(&**name) => {
                if let Some(path) = self.aliases.get(&**name).cloned() {
                    self.note_mode(&path, arguments, named);
                }
            }
            Expr::Name(name) => return self.call_function(name, arguments),
            _ => {
                if let Some(path) = self.global(function) {
                    self.note_mode(&path, arguments, named);
                }
                self.expression(function)?;
            }
        }
        // The argument of `Class.__new__` is a class.
        self.expressions(arguments)
    }

    fn note_mode(&mut self, path: &[&str], arguments: &[Expr], named: &[(String, Expr)]) {
        if let Some(what) = mode::fixed(self.module, path, arguments, named) {
            self.facts.fixed_mode.get_or_insert((what, self.place.clone()));
        }
    }

    /// Refuses a cast that may take a tuple for one of another length, or an object for one of another class. libtorch checks
    /// all other types at run time.
    fn check_cast(&self, kind: &Expr, value: &Expr) -> Checked {
        let kind = text(kind);
        let known = match value {
            Expr::Name(name) => self.variables.get(&**name).and_then(|known| known.as_ref()),
            _ => None,
        };
        match known.is_some_and(|known| **known == *kind)
            || !(kind.contains("Tuple[") || kind.contains("__torch__"))
        {
            true => Ok(()),
            false => self.refuse(format!(
                "an unchecked_cast to {kind} of a value that is not known to be Optional[{kind}]"
            )),
        }
    }

    /// Checks a call of a function of the language.
    fn call_function(&mut self, name: &str, arguments: &[Expr]) -> Checked {
        match (name, arguments) {
            ("annotate" | "unchecked_cast", [kind, value]) => {
                self.check_type(kind)?;
                if name == "unchecked_cast" {
                    self.check_cast(kind, value)?;
                }
                self.expression(value)
            }
            ("uninitialized", [kind]) => self.check_type(kind),
            ("isinstance", [value, kinds]) => {
                self.expression(value)?;
                self.check_types(kinds)
            }
            ("getattr", [of, Expr::Text(name)]) if !name.contains('\\') => {
                self.expression(of)?;
                self.member(of, name)
            }
            ("getattr", _) => self.refuse("getattr with a name that is not plain"),
            ("print", _) => {
                self.facts.prints.get_or_insert_with(|| self.place.clone());
                self.expressions(arguments)
            }
            _ if FUNCTIONS.contains(&name) => self.expressions(arguments),
            _ => self.refuse(format!("a call of {name}, which is not a function on tensors")),
        }
    }
}
