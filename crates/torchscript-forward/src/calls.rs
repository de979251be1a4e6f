//! Follows calls: of methods and functions of the code, and of functions of torch.

use std::rc::Rc;

use super::arguments::Arguments;
use super::error::{Refusal, refuse};
use super::interpreter::{Flow, Interpreter, Variables};
use super::syntax::{Expr, Function, Parameter};
use super::values::{Object, Source, Value};

/// Deepest nesting of calls.
const CALLS: usize = 64;

impl<'a> Interpreter<'a> {
    pub(super) fn call(
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
            (None, other) => refuse(format!("it calls {}", other.kind())),
        }
    }

    pub(super) fn call_method(
        &mut self,
        object: &Rc<Object>,
        method: &str,
        mut arguments: Vec<Value>,
        named: Vec<(String, Value)>,
    ) -> Result<Value, Refusal> {
        let (Source::File(id), Some(module)) = (object.source, self.module) else {
            return refuse(format!("it calls the method {method}"));
        };
        let (name, class) = module.class_of(id)?;
        for hooks in ["__forward_hooks__", "__forward_pre_hooks__"] {
            if class.constant(hooks).is_some_and(|list| *list != Expr::List(Vec::new())) {
                return refuse(format!("{name} has {hooks}"));
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
            ("RaiseException", _) => refuse("it raises an exception for images of this shape"),
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
                refuse(format!(
                    "it computes {global} with {}, which is not known",
                    names.join(" and ")
                ))
            }
            (_, None) => super::builtins::call(name, &arguments.positional).ok_or_else(|| {
                let kinds: Vec<_> = arguments.positional.iter().map(Value::kind).collect();
                format!("it computes {global} of {}, which is not known", kinds.join(" and "))
                    .into()
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
            return refuse(format!("{name} is called with too many arguments"));
        }
        if self.calls >= CALLS {
            return refuse(format!("its calls are nested too deeply in {name}"));
        }
        let mut variables = Variables::new();
        let mut arguments = arguments.into_iter();
        for Parameter { name: parameter, default, .. } in &function.parameters {
            let given = arguments.next();
            let given = given.or_else(|| {
                named.iter().find(|(name, _)| name == parameter).map(|(_, value)| value.clone())
            });
            let value = match (given, default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.evaluate(default, &Variables::new())?,
                (None, None) => {
                    return refuse(format!(
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
