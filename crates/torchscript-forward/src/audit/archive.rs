//! Checks the records and the values of an archive.

use super::super::ScriptModule;
use super::AuditError;

/// Prefix of the classes that are written in C++.
pub(super) const CPP_CLASSES: &str = "__torch__.torch.classes.";

impl ScriptModule {
    /// Checks that libtorch finds no other code than [`ScriptModule::read`] has read.
    pub(super) fn check_records(&self) -> Result<(), AuditError> {
        self.archive().records().iter().try_for_each(|name| check_record(name))
    }

    /// Checks that libtorch makes nothing but tensors, and objects of classes in the code.
    pub(super) fn check_values(&self) -> Result<(), AuditError> {
        if let Some(problem) = self.archive().problem() {
            return Err(AuditError::Archive(problem.escape_debug().to_string()));
        }
        match self.archive().classes().find(|name| self.class(name).is_none()) {
            Some(name) => Err(AuditError::Archive(format!(
                "an object of {}, which is not defined in its code",
                name.escape_debug()
            ))),
            None => Ok(()),
        }
    }
}

/// Refuses a name that libtorch may take for a file of code or a pickle: it ignores the case of letters, and looks for a
/// class `a.b` in `code/a.py`, whatever characters `a` has.
fn check_record(name: &str) -> Result<(), AuditError> {
    let lower = name.to_ascii_lowercase();
    let is_debug = lower.starts_with("code/") && lower.ends_with(".py.debug_pkl");
    let is_code =
        lower.starts_with("code/") || lower.ends_with(".py") || lower.starts_with(".data/ts_code");
    let allowed = match name.strip_prefix("code/").and_then(|path| path.strip_suffix(".py")) {
        Some(path) => path.split('/').all(is_identifier),
        // The format before PyTorch 1.4 has its code elsewhere.
        None => {
            is_debug
                || !(is_code || lower == "model.json" || (lower.ends_with(".pkl") && lower != name))
        }
    };
    match allowed {
        true => Ok(()),
        false => Err(AuditError::Archive(format!("the record {name:?}"))),
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}
