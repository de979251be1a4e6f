//! Follows a forward pass in evaluation mode, statement by statement, on values that stand for tensors.
//! Calls, branches and loops are resolved; nothing is computed but numbers such as sizes.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use tensor_files::TensorSpec;

use super::arguments::Arguments;
use super::memory::{Storage, TensorCell};
use super::objects::joined;
use super::syntax::{Expr, Function, Statement};
use super::values::{Object, Source, Value, Values, What};
use super::{Expected, ScriptModule};

/// What a forward pass does that cannot be followed: a clause such as "it uses `with`".
pub(super) type Refusal = String;

/// Most expressions that are evaluated: far more than any network has.
const STEPS: usize = 1 << 20;
/// Deepest nesting of calls.
const CALLS: usize = 64;
/// Longest list.
pub(super) const LONGEST_LIST: usize = 1 << 12;
/// What follows a forward pass.
pub(super) struct Interpreter<'a> {
    pub(super) values: &'a mut Values,
    pub(super) expected: &'a Expected,
    /// Parameters and buffers of the network, by their names.
    pub(super) specs: HashMap<&'a str, &'a TensorSpec>,
    pub(super) module: Option<&'a ScriptModule>,
    pub(super) cells: Vec<TensorCell>,
    pub(super) storages: Vec<Storage>,
    pub(super) state: HashMap<String, usize>,
    /// Numbers among the tensors of the code.
    pub(super) constants: Vec<Option<Rc<Cell<i64>>>>,
    steps: usize,
    calls: usize,
    /// An operation in place on what may share its memory with something unknown.
    pub(super) doubt: Option<String>,
    pub(super) unknown_operation: bool,
}

/// The variables of a call.
pub(super) type Variables = HashMap<String, Value>;

/// How a block ends.
enum Flow {
    Next,
    Return(Value),
}

impl<'a> Interpreter<'a> {
    pub fn new(
        values: &'a mut Values,
        expected: &'a Expected,
        module: Option<&'a ScriptModule>,
    ) -> Self {
        Self {
            values,
            expected,
            specs: expected.state.iter().map(|spec| (&*spec.name, spec)).collect(),
            module,
            cells: Vec::new(),
            storages: Vec::new(),
            state: HashMap::new(),
            constants: Vec::new(),
            steps: STEPS,
            calls: 0,
            doubt: None,
            unknown_operation: false,
        }
    }

    /// The value that the file's module returns.
    pub fn run_module(&mut self, module: &ScriptModule) -> Result<usize, Refusal> {
        let cell = |number: &Option<i64>| number.map(|number| Rc::new(Cell::new(number)));
        self.constants = module.archive().constants().iter().map(cell).collect();
        let root = Object { path: String::new(), source: Source::File(module.archive().root()) };
        let input = Value::Tensor(self.input());
        let result = self.call_method(&Rc::new(root), "forward", vec![input], Vec::new())?;
        let now = self.constants.iter().map(|constant| constant.as_ref().map(|it| it.get()));
        match now.eq(module.archive().constants().iter().copied()) {
            true => self.result(&result),
            false => Err("it changes a constant of its code".into()),
        }
    }

    /// The value that the body of a model's `forward(self, x)` returns.
    pub fn run_body(&mut self, body: &[Statement]) -> Result<usize, Refusal> {
        let model = Object { path: String::new(), source: Source::Model };
        let input = Value::Tensor(self.input());
        let mut variables = HashMap::from([
            ("self".to_string(), Value::Object(Rc::new(model))),
            ("x".to_string(), input),
        ]);
        match self.block(body, &mut variables)? {
            Flow::Return(result) => self.result(&result),
            Flow::Next => Err("it returns nothing".into()),
        }
    }

    fn input(&mut self) -> usize {
        let sizes = self.expected.input.iter().map(|&size| size as i64);
        let shape = std::iter::once(-1).chain(sizes).collect();
        let value = self.values.number(What::Input, Some(shape));
        self.new_tensor(value)
    }

    fn result(&mut self, result: &Value) -> Result<usize, Refusal> {
        match result {
            &Value::Tensor(tensor) => self.value_of(tensor),
            other => Err(format!("it returns {}, where one tensor is expected", other.kind())),
        }
    }

    /// Executes statements.
    fn block(&mut self, block: &[Statement], variables: &mut Variables) -> Result<Flow, Refusal> {
        for statement in block {
            match statement {
                Statement::Pass => {}
                Statement::Expression(expression) => drop(self.evaluate(expression, variables)?),
                Statement::Assign(target, expression) => {
                    let value = self.evaluate(expression, variables)?;
                    bind(target, &value, variables)?;
                }
                Statement::Return(expression) => {
                    return Ok(Flow::Return(self.evaluate(expression, variables)?));
                }
                Statement::If(condition, then, otherwise) => {
                    let chosen =
                        if self.condition(condition, variables)? { then } else { otherwise };
                    if let returned @ Flow::Return(_) = self.block(chosen, variables)? {
                        return Ok(returned);
                    }
                }
                Statement::For(name, values, body) => {
                    for value in self.iterated(values, variables)? {
                        variables.insert(name.clone(), value);
                        if let returned @ Flow::Return(_) = self.block(body, variables)? {
                            return Ok(returned);
                        }
                    }
                }
                Statement::While(condition, body) => {
                    while self.condition(condition, variables)? {
                        if let returned @ Flow::Return(_) = self.block(body, variables)? {
                            return Ok(returned);
                        }
                    }
                }
            }
        }
        Ok(Flow::Next)
    }

    fn condition(&mut self, condition: &Expr, variables: &Variables) -> Result<bool, Refusal> {
        match self.evaluate(condition, variables)? {
            Value::Bool(value) => Ok(value),
            other => Err(format!("a branch of it depends on {}", other.kind())),
        }
    }

    /// The values that a loop goes over.
    fn iterated(&mut self, values: &Expr, variables: &Variables) -> Result<Vec<Value>, Refusal> {
        if let Expr::Call { function, arguments, .. } = values
            && **function == Expr::Name("range".into())
        {
            let bounds = arguments.iter().map(|argument| self.evaluate(argument, variables));
            let (start, end) = match bounds.collect::<Result<Vec<_>, _>>()?[..] {
                [Value::Int(end)] => (0, end),
                [Value::Int(start), Value::Int(end)] => (start, end),
                _ => return Err("the number of turns of a loop is not known".into()),
            };
            // Each turn counts as a step, so that an endless loop ends.
            self.steps = self
                .steps
                .checked_sub(end.saturating_sub(start).max(0) as usize)
                .ok_or(TOO_LONG)?;
            return Ok((start..end).map(Value::Int).collect());
        }
        match self.evaluate(values, variables)? {
            Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
            other => Err(format!("a loop goes over {}", other.kind())),
        }
    }

    /// The value of an expression.
    pub(super) fn evaluate(
        &mut self,
        expression: &Expr,
        variables: &Variables,
    ) -> Result<Value, Refusal> {
        self.step()?;
        match expression {
            Expr::None => Ok(Value::None),
            &Expr::Bool(value) => Ok(Value::Bool(value)),
            &Expr::Int(value) => Ok(Value::Int(value)),
            &Expr::Float(value) => Ok(Value::Float(value)),
            Expr::Text(text) => Ok(Value::Text(text.as_str().into())),
            Expr::Name(name) => Ok(match (variables.get(name), name.as_str()) {
                (Some(value), _) => value.clone(),
                (None, "inf") => Value::Float(f64::INFINITY),
                (None, "nan") => Value::Float(f64::NAN),
                (None, name) => Value::Global(name.into()),
            }),
            Expr::List(items) => Ok(Value::List(self.new_list(items, variables)?)),
            Expr::Tuple(items) => Ok(Value::Tuple(self.new_list(items, variables)?)),
            Expr::Negative(inner) => match self.evaluate(inner, variables)? {
                Value::Int(value) => Ok(Value::Int(value.wrapping_neg())),
                Value::Float(value) => Ok(Value::Float(-value)),
                other => Err(format!("it negates {}", other.kind())),
            },
            Expr::Attribute(of, name) => match self.evaluate(of, variables)? {
                Value::Object(object) => self.attribute(&object, name),
                Value::Global(global) if *global == *"CONSTANTS" => Ok(self.code_constant(name)),
                Value::Global(global) => Ok(Value::Global(joined(&global, name)?.into())),
                other => Err(format!("it reads the attribute {name} of {}", other.kind())),
            },
            Expr::Index(of, index) => {
                let (of, index) = (self.evaluate(of, variables)?, self.evaluate(index, variables)?);
                super::builtins::item(&of, &index)
            }
            Expr::Call { function, arguments, named } => {
                self.call(function, arguments, named, variables)
            }
        }
    }

    /// Counts what takes time or memory.
    pub fn step(&mut self) -> Result<(), Refusal> {
        self.steps = self.steps.checked_sub(1).ok_or(TOO_LONG)?;
        Ok(())
    }

    fn all(&mut self, items: &[Expr], variables: &Variables) -> Result<Vec<Value>, Refusal> {
        if items.len() > LONGEST_LIST {
            return Err(format!("a list of it has more than {LONGEST_LIST} elements"));
        }
        items.iter().map(|item| self.evaluate(item, variables)).collect()
    }

    /// The items of a new list or tuple, which may have lists in it, but these no further ones.
    fn new_list(&mut self, items: &[Expr], variables: &Variables) -> Result<Rc<[Value]>, Refusal> {
        let values = self.all(items, variables)?;
        for value in &values {
            let (Value::List(inner) | Value::Tuple(inner)) = value else { continue };
            for value in inner.iter() {
                self.step()?;
                if matches!(value, Value::List(_) | Value::Tuple(_)) {
                    return Err("its lists are nested too deeply".into());
                }
            }
        }
        Ok(values.into())
    }

    fn call(
        &mut self,
        function: &Expr,
        arguments: &[Expr],
        named: &[(String, Expr)],
        variables: &Variables,
    ) -> Result<Value, Refusal> {
        if let Expr::Name(name) = function
            && matches!(name.as_str(), "annotate" | "unchecked_cast" | "uninitialized")
            && !variables.contains_key(name)
        {
            // The first argument is a type.
            let [_, value] = arguments else { return Ok(Value::None) };
            return self.evaluate(value, variables);
        }
        let method = match function {
            Expr::Attribute(of, method) => match self.evaluate(of, variables)? {
                Value::Object(object) => Some((object, method)),
                _ => None,
            },
            _ => None,
        };
        let callee = match method {
            Some(_) => Value::None,
            None => self.evaluate(function, variables)?,
        };
        let arguments = self.all(arguments, variables)?;
        let value =
            |(name, value): &(String, Expr)| Ok((name.clone(), self.evaluate(value, variables)?));
        let named = named.iter().map(value).collect::<Result<Vec<_>, Refusal>>()?;
        match (method, callee) {
            (Some((object, method)), _) => self.call_method(&object, method, arguments, named),
            (None, Value::Global(global)) => self.call_global(&global, arguments, named),
            (None, other) => Err(format!("it calls {}", other.kind())),
        }
    }

    fn call_method(
        &mut self,
        object: &Rc<Object>,
        method: &str,
        mut arguments: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value, Refusal> {
        let (Source::File(id), Some(module)) = (object.source, self.module) else {
            return Err(format!("it calls the method {method}"));
        };
        let (name, class) = module.class_of(id)?;
        for hooks in ["__forward_hooks__", "__forward_pre_hooks__"] {
            if class.constants.get(hooks).is_some_and(|list| *list != Expr::List(Vec::new())) {
                return Err(format!("{name} has {hooks}"));
            }
        }
        let function = class.methods.get(method);
        let function = function.ok_or_else(|| format!("{name} has no method {method}"))?;
        arguments.insert(0, Value::Object(object.clone()));
        self.call_function(&format!("{name}.{method}"), function, arguments, named)
    }

    fn call_global(
        &mut self,
        global: &str,
        arguments: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value, Refusal> {
        if global.starts_with("__torch__.") {
            let module = self.module.ok_or_else(|| format!("it calls {global}"))?;
            return self.call_function(global, module.function(global)?, arguments, named);
        }
        if let ("getattr", [Value::Object(object), Value::Text(name)]) = (global, &arguments[..]) {
            return self.attribute(object, name);
        }
        // `torch.relu`, `ops.aten.relu`, `ops.prim.dtype`, `int`.
        let name =
            ["torch.", "ops.aten.", "ops.prim."].iter().find_map(|it| global.strip_prefix(it));
        let name = name.unwrap_or(global);
        let arguments = Arguments { positional: arguments, named };
        match (name, arguments.first_tensor()) {
            ("RaiseException", _) => Err("it raises an exception for images of this shape".into()),
            ("warn" | "_assert", _) => Ok(Value::None),
            // The message of an exception.
            ("format", _) => Ok(Value::Text("".into())),
            ("__is__", _) => super::builtins::is(&arguments.positional).map(Value::Bool),
            ("__isnot__", _) => {
                super::builtins::is(&arguments.positional).map(|is| Value::Bool(!is))
            }
            (_, Some(tensor)) => self.tensor_function(name, tensor, &arguments),
            (_, None) if !arguments.named.is_empty() => {
                let names: Vec<&str> =
                    arguments.named.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!(
                    "it computes {global} with {}, which is not known",
                    names.join(" and ")
                ))
            }
            (_, None) => super::builtins::call(name, &arguments.positional).ok_or_else(|| {
                let kinds: Vec<_> = arguments.positional.iter().map(Value::kind).collect();
                format!("it computes {global} of {}, which is not known", kinds.join(" and "))
            }),
        }
    }

    fn call_function(
        &mut self,
        name: &str,
        function: &'a Function,
        arguments: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value, Refusal> {
        let body = function.body.as_ref();
        let body = body.map_err(|what| format!("{name} is not understood: it has {what}"))?;
        if arguments.len() > function.parameters.len() {
            return Err(format!("{name} is called with too many arguments"));
        }
        if self.calls >= CALLS {
            return Err(format!("its calls are nested too deeply in {name}"));
        }
        let mut variables = Variables::new();
        let mut arguments = arguments.into_iter();
        for (parameter, default) in &function.parameters {
            let given = arguments.next();
            let given = given.or_else(|| {
                named.iter().find(|(name, _)| name == parameter).map(|(_, value)| value.clone())
            });
            let value = match (given, default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(default, &Variables::new())?,
                (None, None) => {
                    return Err(format!(
                        "{name} takes an argument {parameter} besides one batch of images"
                    ));
                }
            };
            variables.insert(parameter.clone(), value);
        }
        self.calls += 1;
        let flow = self.block(body, &mut variables)?;
        self.calls -= 1;
        Ok(match flow {
            Flow::Return(value) => value,
            Flow::Next => Value::None,
        })
    }
}

const TOO_LONG: &str = "it takes too many steps to follow";

/// Gives a value to a variable, or the items of a tuple to several.
fn bind(target: &Expr, value: &Value, variables: &mut Variables) -> Result<(), Refusal> {
    match (target, value) {
        (Expr::Name(name), value) => drop(variables.insert(name.clone(), value.clone())),
        (Expr::Tuple(targets), Value::Tuple(items) | Value::List(items))
            if targets.len() == items.len() =>
        {
            let pairs = targets.iter().zip(items.iter());
            pairs.into_iter().try_for_each(|(target, item)| bind(target, item, variables))?;
        }
        (Expr::Tuple(_), other) => return Err(format!("it unpacks {}", other.kind())),
        (Expr::Attribute(_, name), _) => {
            return Err(format!("it changes its own attribute {name}"));
        }
        _ => return Err("it assigns to an element of a list".into()),
    }
    Ok(())
}
