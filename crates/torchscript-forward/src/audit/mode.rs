//! Finds operations whose mode, training or evaluation, is written into the code. Code that `torch.jit.script` has made passes
//! `self.training` on; `torch.jit.trace` records the value that it had.

use super::super::ScriptModule;
use super::super::syntax::Expr;

/// Operations that depend on the mode: the position and the name of the argument that says which.
const OPERATIONS: [(&str, usize, &str); 18] = [
    ("alpha_dropout", 2, "train"),
    ("alpha_dropout_", 2, "train"),
    ("batch_norm", 5, "training"),
    ("dropout", 2, "train"),
    ("dropout_", 2, "train"),
    ("feature_alpha_dropout", 2, "train"),
    ("feature_alpha_dropout_", 2, "train"),
    ("feature_dropout", 2, "train"),
    ("feature_dropout_", 2, "train"),
    ("gru", 6, "train"),
    ("instance_norm", 5, "use_input_stats"),
    ("lstm", 6, "train"),
    ("native_dropout", 2, "train"),
    ("rnn_relu", 6, "train"),
    ("rnn_tanh", 6, "train"),
    ("rrelu", 3, "training"),
    ("rrelu_", 3, "training"),
    ("_batch_norm_impl_index", 5, "training"),
];

/// The mode that a call of `path` fixes, such as "torch.dropout with train=False".
pub(super) fn fixed(
    module: &ScriptModule,
    path: &[&str],
    arguments: &[Expr],
    named: &[(String, Expr)],
) -> Option<String> {
    let argument = |position: Option<usize>, name: &str| {
        let named = || named.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        position.and_then(|position| arguments.get(position)).or_else(named)
    };
    // A probability that is not written into the code may be that of the mode.
    let drops = |value: Option<&Expr>| match value {
        Some(Expr::Float(p)) => *p != 0.0,
        Some(Expr::Int(p)) => *p != 0,
        _ => false,
    };
    let (flag, name, has_effect) = match path {
        ["torch", operation] => {
            let &(_, position, name) = OPERATIONS.iter().find(|(name, ..)| name == operation)?;
            let has_effect = match *operation {
                // Without running statistics, the mode makes no difference.
                "batch_norm" | "instance_norm" | "_batch_norm_impl_index" => {
                    argument(Some(3), "running_mean") != Some(&Expr::None)
                }
                "lstm" | "gru" | "rnn_relu" | "rnn_tanh" => drops(argument(Some(5), "dropout")),
                "rrelu" | "rrelu_" => true,
                _ => drops(argument(Some(1), "p")),
            };
            (argument(Some(position), name), name, has_effect)
        }
        ["__torch__", "torch", "nn", "functional", ..] => {
            let function = module.function(&path.join(".")).ok()?;
            let position = |name: &str| function.parameters.iter().position(|it| it.name == name);
            let name =
                ["training", "use_input_stats"].into_iter().find(|it| position(it).is_some())?;
            let has_effect = match position("p") {
                Some(p) => drops(argument(Some(p), "p")),
                None => argument(position("running_mean"), "running_mean") != Some(&Expr::None),
            };
            (argument(position(name), name), name, has_effect)
        }
        _ => return None,
    };
    match flag {
        Some(Expr::Bool(mode)) if has_effect => {
            let mode = if *mode { "True" } else { "False" };
            Some(format!("{} with {name}={mode}", path.join(".")))
        }
        _ => None,
    }
}
