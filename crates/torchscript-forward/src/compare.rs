//! Compares the values that two forward passes return.

use std::collections::HashSet;

use super::error::Refusal;
use super::interpreter::Interpreter;
use super::values::{Argument, Values, What};
use super::{Expected, ForwardError, ScriptModule, parser};

impl ScriptModule {
    /// Compares the module's forward pass with the expected one, in evaluation mode.
    ///
    /// # Errors
    /// The first operation that differs, or why one of the two cannot be followed.
    pub fn compare(&self, expected: &Expected) -> Result<(), ForwardError> {
        let mut values = Values::default();
        let own = own_value(&mut values, expected)?;
        let mut interpreter = interpreter(&mut values, expected, Some(self));
        let found = interpreter.run_module(self)?;
        let doubt = interpreter.doubt.take();
        match (found == own, doubt) {
            (true, None) => Ok(()),
            (true, Some(what)) => Err(ForwardError::NotFollowed(what)),
            (false, _) => Err(first_difference(&values, found, own)),
        }
    }
}

fn interpreter<'a>(
    values: &'a mut Values,
    expected: &'a Expected,
    module: Option<&'a ScriptModule>,
) -> Interpreter<'a> {
    Interpreter::new(values, (&expected.input, expected.dtype), &expected.state, module)
}

/// The result of the expected forward pass.
fn own_value(values: &mut Values, expected: &Expected) -> Result<usize, ForwardError> {
    let code = format!("def forward(self, x):\n{}", expected.forward);
    let mut interpreter = interpreter(values, expected, None);
    let mut run = || {
        let unit = parser::parse(&code).map_err(|error| error.to_string())?;
        let function = unit.functions.get("forward").ok_or("it is not a function")?;
        let body = function.body.as_ref().map_err(|error| error.to_string())?;
        let result = interpreter.run_body(body)?;
        interpreter.doubt.take().map_or(Ok(result), |what| Err(Refusal::from(what)))
    };
    run().map_err(|why| ForwardError::NotFollowed(format!("the expected forward pass: {why}")))
}

/// The first operation of the file that the network does not have, or the other way round.
fn first_difference(values: &Values, found: usize, expected: usize) -> ForwardError {
    let (ours, theirs) = (values.operations(expected), values.operations(found));
    let [own, other] = [&ours, &theirs].map(|values| values.iter().collect::<HashSet<_>>());
    let position = theirs.iter().position(|value| !own.contains(value));
    let missing = ours.iter().find(|value| !other.contains(value));
    match (position, missing) {
        (Some(at), Some(&missing)) => {
            let [found, expected] = [(theirs[at], missing), (missing, theirs[at])]
                .map(|(a, b)| described(values, a, b));
            let found = if found == expected { format!("{found} of another value") } else { found };
            ForwardError::Operation { position: at + 1, found, expected }
        }
        (Some(at), None) => ForwardError::Longer {
            found: described(values, theirs[at], theirs[at]),
            expected: described(values, expected, expected),
        },
        (None, Some(&missing)) => {
            ForwardError::Shorter { expected: described(values, missing, missing) }
        }
        (None, None) => ForwardError::NotFollowed("it returns another of its values".into()),
    }
}

/// An operation with its parameters and the arguments in which it differs from `other`.
fn described(values: &Values, value: usize, other: usize) -> String {
    let What::Operation(name, arguments) = values.what(value) else { return "its input".into() };
    let same = match values.what(other) {
        What::Operation(other_name, arguments) if other_name == name && other != value => {
            Some(arguments)
        }
        _ => None,
    };
    let mut shown = Vec::new();
    for (index, (argument_name, argument)) in arguments.iter().enumerate() {
        match argument {
            Argument::Value(operand) => {
                if let What::State(state) = values.what(*operand) {
                    shown.push(state.clone());
                }
            }
            Argument::None if same.is_none() => {}
            _ => {
                let differs = same.is_some_and(|same| same.get(index) != arguments.get(index));
                let first = same.is_none() && shown.is_empty();
                if argument_name.is_empty() && (differs || same.is_none()) {
                    shown.push(argument.to_string());
                } else if differs || first {
                    shown.push(format!("{argument_name}={argument}"));
                }
            }
        }
    }
    if shown.is_empty() { name.clone() } else { format!("{name}({})", shown.join(", ")) }
}
