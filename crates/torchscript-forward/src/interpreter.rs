//! Follows a forward pass in evaluation mode, statement by statement, on symbolic values in place of tensors. Branches
//! and loops are resolved; only numbers such as sizes are computed.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use tensor_files::TensorSpec;

use super::error::{Refusal, refuse};
use super::memory::{Storage, TensorCell};
use super::objects::joined;
use super::syntax::{Expr, Line, Statement};
use super::values::{Object, Source, Value, Values, What};
use super::{Dtype, ScriptModule};

/// Most expressions that are evaluated: far more than any network needs.
const STEPS: usize = 1 << 20;
/// Longest list.
pub(super) const LONGEST_LIST: usize = 1 << 12;

/// Follows a forward pass.
pub(super) struct Interpreter<'a> {
    pub(super) values: &'a mut Values,
    /// Shape of the input without the batch, and the element type of the network.
    input: &'a [usize],
    pub(super) dtype: Dtype,
    /// Parameters and buffers of the network, by their names.
    pub(super) specs: HashMap<&'a str, &'a TensorSpec>,
    pub(super) module: Option<&'a ScriptModule>,
    pub(super) cells: Vec<TensorCell>,
    pub(super) storages: Vec<Storage>,
    pub(super) state: HashMap<String, usize>,
    /// `CONSTANTS.c0` and so on: those that are single integers.
    pub(super) constants: Vec<Option<Rc<Cell<i64>>>>,
    /// Expressions that may still be evaluated.
    steps: usize,
    /// Calls of the code's functions that have not returned.
    pub(super) calls: usize,
    /// An in-place operation on memory that an unknown operation may share.
    pub(super) doubt: Option<String>,
    /// Whether an operation was met whose result may share memory with its operands.
    pub(super) unknown_operation: bool,
}

/// The variables of a call.
pub(super) type Variables = HashMap<String, Value>;

/// How a block ends.
pub(super) enum Flow {
    Next,
    Return(Value),
}

impl<'a> Interpreter<'a> {
    pub fn new(
        values: &'a mut Values,
        (input, dtype): (&'a [usize], Dtype),
        state: &'a [TensorSpec],
        module: Option<&'a ScriptModule>,
    ) -> Self {
        Self {
            values,
            input,
            dtype,
            specs: state.iter().map(|spec| (&*spec.name, spec)).collect(),
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
            false => refuse("it changes a constant of its code"),
        }
    }

    /// The value that the body of a model's `forward(self, x)` returns.
    pub fn run_body(&mut self, body: &[Line]) -> Result<usize, Refusal> {
        let model = Object { path: String::new(), source: Source::Model };
        let input = Value::Tensor(self.input());
        let mut variables = HashMap::from([
            ("self".to_string(), Value::Object(Rc::new(model))),
            ("x".to_string(), input),
        ]);
        match self.block(body, &mut variables)? {
            Flow::Return(result) => self.result(&result),
            Flow::Next => refuse("it returns nothing"),
        }
    }

    fn input(&mut self) -> usize {
        let sizes = self.input.iter().map(|&size| size as i64);
        let shape = std::iter::once(-1).chain(sizes).collect();
        let value = self.values.number(What::Input, Some(shape));
        self.new_tensor(value)
    }

    fn result(&mut self, result: &Value) -> Result<usize, Refusal> {
        match result {
            &Value::Tensor(tensor) => self.value_of(tensor),
            other => refuse(format!("it returns {}, where one tensor is expected", other.kind())),
        }
    }

    /// Executes statements.
    pub(super) fn block(
        &mut self,
        block: &[Line],
        variables: &mut Variables,
    ) -> Result<Flow, Refusal> {
        for line in block {
            match &line.statement {
                Statement::Pass => {}
                Statement::Expression(expression) => drop(self.evaluate(expression, variables)?),
                Statement::Assign { target, value, .. } => {
                    let value = self.evaluate(value, variables)?;
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
            other => refuse(format!("a branch of it depends on {}", other.kind())),
        }
    }

    /// The values that a loop iterates over.
    fn iterated(&mut self, values: &Expr, variables: &Variables) -> Result<Vec<Value>, Refusal> {
        if let Expr::Call { function, arguments, .. } = values
            && **function == Expr::Name("range".into())
        {
            let bounds = arguments.iter().map(|argument| self.evaluate(argument, variables));
            let (start, end) = match bounds.collect::<Result<Vec<_>, _>>()?[..] {
                [Value::Int(end)] => (0, end),
                [Value::Int(start), Value::Int(end)] => (start, end),
                _ => return refuse("the number of iterations of a loop is not known"),
            };
            // Each iteration counts as a step, so that an endless loop ends.
            self.steps = self
                .steps
                .checked_sub(end.saturating_sub(start).max(0) as usize)
                .ok_or(TOO_LONG)?;
            return Ok((start..end).map(Value::Int).collect());
        }
        match self.evaluate(values, variables)? {
            Value::List(items) | Value::Tuple(items) => Ok(items.to_vec()),
            other => refuse(format!("a loop iterates over {}", other.kind())),
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
                other => refuse(format!("it negates {}", other.kind())),
            },
            Expr::Attribute(of, name) => match self.evaluate(of, variables)? {
                Value::Object(object) => self.attribute(&object, name),
                Value::Global(global) if *global == *"CONSTANTS" => Ok(self.code_constant(name)),
                Value::Global(global) => Ok(Value::Global(joined(&global, name)?.into())),
                other => refuse(format!("it reads the attribute {name} of {}", other.kind())),
            },
            Expr::Index(of, index) => {
                let (of, index) = (self.evaluate(of, variables)?, self.evaluate(index, variables)?);
                super::builtins::item(&of, &index)
            }
            Expr::Dict(_) | Expr::Slice(_) => refuse("it has a dict, or a slice of a tuple"),
            Expr::Call { function, arguments, named } => {
                self.call(function, arguments, named, variables)
            }
        }
    }

    /// Counts a step, which takes time or memory.
    pub fn step(&mut self) -> Result<(), Refusal> {
        self.steps = self.steps.checked_sub(1).ok_or(TOO_LONG)?;
        Ok(())
    }

    pub(super) fn all(
        &mut self,
        items: &[Expr],
        variables: &Variables,
    ) -> Result<Vec<Value>, Refusal> {
        if items.len() > LONGEST_LIST {
            return refuse(format!("a list of it has more than {LONGEST_LIST} elements"));
        }
        items.iter().map(|item| self.evaluate(item, variables)).collect()
    }

    /// The items of a new list or tuple. They may be lists, but not lists of lists.
    fn new_list(&mut self, items: &[Expr], variables: &Variables) -> Result<Rc<[Value]>, Refusal> {
        let values = self.all(items, variables)?;
        for value in &values {
            let (Value::List(inner) | Value::Tuple(inner)) = value else { continue };
            for value in inner.iter() {
                self.step()?;
                if matches!(value, Value::List(_) | Value::Tuple(_)) {
                    return refuse("its lists are nested too deeply");
                }
            }
        }
        Ok(values.into())
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
        (Expr::Tuple(_), other) => return refuse(format!("it unpacks {}", other.kind())),
        (Expr::Attribute(_, name), _) => {
            return refuse(format!("it changes its own attribute {name}"));
        }
        _ => return refuse("it assigns to an element of a list"),
    }
    Ok(())
}
