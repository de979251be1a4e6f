//! Changes of tensors on the way from one file to another: names, element types, order of the dimensions.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use stitch_parity::closest_names;
use stitch_run::closest::{closest_match, did_you_mean};
use tensor_files::{Dtype, Glob, LONGEST_NAME, NamedTensor, Overflow};

use super::RuleError;

/// A rule `GLOB=REPLACEMENT` that gives tensors another name: each `*` of the replacement repeats one of the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    text: String,
    from: Glob,
    to: Glob,
}

/// A rule `DTYPE`, for all floating-point tensors, or `GLOB=DTYPE` that converts tensors to another element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtypeRule {
    text: String,
    /// `None`: all floating-point tensors.
    names: Option<Glob>,
    to: Dtype,
}

/// A rule `GLOB` that reverses the dimensions of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    text: String,
    names: Glob,
}

fn glob(text: &str) -> Result<Glob, RuleError> {
    Glob::parse(text).map_err(|what| RuleError::Invalid(format!("the pattern {text:?}: {what}")))
}

fn dtype(name: &str) -> Result<Dtype, RuleError> {
    let unknown = || {
        let closest = did_you_mean(closest_dtype(name));
        format!("unknown dtype {name:?}: PyTorch's names are expected, such as float32{closest}")
    };
    Dtype::from_alias(name).ok_or_else(|| RuleError::Invalid(unknown()))
}

/// The type that a name may mean: one in capitals, one of another library, such as `fp16`, or one with a typing error.
fn closest_dtype(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let lower = lower.strip_prefix("torch.").unwrap_or(&lower);
    let kinds = [("bf", "bfloat"), ("fp", "float"), ("f", "float"), ("i", "int"), ("u", "uint")];
    let spelled = kinds.iter().find_map(|(short, long)| {
        let bits = lower.strip_prefix(short)?.parse::<u32>().ok()?;
        Dtype::from_name(&format!("{long}{bits}"))
    });
    let known = spelled.or_else(|| Dtype::from_alias(lower)).map(Dtype::name);
    known.or_else(|| closest_match(lower, Dtype::ALL.map(Dtype::name)))
}

impl FromStr for Rename {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let invalid = |what: String| Err(RuleError::Invalid(what));
        let Some((from, to)) = text.split_once('=').filter(|(_, to)| !to.contains('=')) else {
            return invalid(
                "expected GLOB=REPLACEMENT, such as 'fc.*=head.*'; write * for a = that is part of a name".into(),
            );
        };
        if to.is_empty() {
            return invalid(format!("{text}: the new name is empty"));
        }
        let (from, to) = (glob(from)?, glob(to)?);
        if to.stars() > from.stars() {
            return invalid(format!(
                "the new name has {} *, the pattern only {}: each * of the name repeats one of the pattern",
                to.stars(),
                from.stars()
            ));
        }
        Ok(Self { text: text.into(), from, to })
    }
}

impl FromStr for DtypeRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (names, to) = match text.rsplit_once('=') {
            Some((names, to)) => (Some(glob(names)?), dtype(to)?),
            None => (None, dtype(text)?),
        };
        Ok(Self { text: text.into(), names, to })
    }
}

impl FromStr for Transpose {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        Ok(Self { text: text.into(), names: glob(text)? })
    }
}

macro_rules! display_text {
    ($($rule:ty),+) => {
        $(impl fmt::Display for $rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        })+
    };
}
display_text!(Rename, DtypeRule, Transpose);

impl DtypeRule {
    /// The type that it converts to.
    pub fn dtype(&self) -> Dtype {
        self.to
    }

    /// The rule with another type.
    pub fn with(&self, to: Dtype) -> String {
        match self.text.rsplit_once('=') {
            Some((names, _)) => format!("{names}={to}"),
            None => to.to_string(),
        }
    }

    /// Whether it converts this tensor.
    pub fn matches(&self, tensor: &NamedTensor) -> bool {
        match &self.names {
            Some(names) => names.captures(&tensor.name).is_some(),
            None => tensor.dtype.is_floating_point(),
        }
    }
}

/// All rules of an export. Those for types and dimensions apply to the names in the file; of several for the type of one
/// tensor, the last one counts. Names are changed last, by one rule after the other.
#[derive(Debug, Clone, Default)]
pub struct Rules<'a> {
    /// New names.
    pub renames: &'a [Rename],
    /// Other element types.
    pub dtypes: &'a [DtypeRule],
    /// Reversed dimensions.
    pub transposes: &'a [Transpose],
}

impl Rules<'_> {
    /// Reverses the dimensions of the tensors that a rule matches.
    ///
    /// # Errors
    /// [`RuleError::NoMatch`].
    pub fn transpose(&self, tensors: &mut [NamedTensor]) -> Result<(), RuleError> {
        for Transpose { text, names } in self.transposes {
            let is_match = |tensor: &NamedTensor| names.captures(&tensor.name).is_some();
            check_match(text, text, tensors, is_match)?;
        }
        let matches = |tensor: &NamedTensor| {
            self.transposes.iter().any(|rule| rule.names.captures(&tensor.name).is_some())
        };
        for tensor in tensors.iter_mut().filter(|tensor| matches(tensor)) {
            *tensor = tensor.transposed();
        }
        Ok(())
    }

    /// Converts the tensors that a rule matches.
    ///
    /// # Errors
    /// [`RuleError::NoMatch`]; [`RuleError::Convert`], also for a number that would become infinite.
    pub fn convert(&self, tensors: &mut [NamedTensor]) -> Result<(), RuleError> {
        for rule in self.dtypes {
            match rule.text.rsplit_once('=') {
                Some((names, _)) => {
                    check_match(&rule.text, names, tensors, |tensor| rule.matches(tensor))?;
                }
                None if tensors.iter().any(|tensor| rule.matches(tensor)) => {}
                None => return Err(RuleError::NoFloat(rule.to)),
            }
        }
        for tensor in tensors {
            let Some(rule) = self.dtypes.iter().rev().find(|rule| rule.matches(tensor)) else {
                continue;
            };
            *tensor = tensor.converted(rule.to, Overflow::Refuse).map_err(|error| {
                RuleError::Convert { rule: rule.text.clone(), name: tensor.name.clone(), error }
            })?;
        }
        Ok(())
    }

    /// Gives the tensors that a rule matches their new names.
    ///
    /// # Errors
    /// [`RuleError::NoMatch`], [`RuleError::EmptyName`], [`RuleError::LongName`], [`RuleError::Duplicate`].
    pub fn rename(&self, tensors: &mut [NamedTensor]) -> Result<(), RuleError> {
        let originals: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        for Rename { text, from, to } in self.renames {
            let pattern = text.split_once('=').map_or("", |(from, _)| from);
            let is_match = |tensor: &NamedTensor| from.captures(&tensor.name).is_some();
            check_match(text, pattern, tensors, is_match)?;
            let mut known = HashMap::with_capacity(tensors.len());
            for (tensor, original) in tensors.iter_mut().zip(&originals) {
                if let Some(captures) = from.captures(&tensor.name) {
                    tensor.name = to.fill(&captures);
                }
                let (rule, name) = (text.clone(), tensor.name.clone());
                if name.is_empty() {
                    return Err(RuleError::EmptyName { rule, original: original.clone() });
                }
                if name.len() > LONGEST_NAME && name.len() > original.len() {
                    let (original, length) = (original.clone(), name.len());
                    return Err(RuleError::LongName { rule, original, length });
                }
                if let Some(other) = known.insert(name.clone(), original) {
                    let originals = [other, original].map(Clone::clone);
                    return Err(RuleError::Duplicate { rule, name, originals });
                }
            }
        }
        Ok(())
    }
}

/// Refuses a rule that matches no tensor; names similar to `pattern` are listed.
fn check_match(
    rule: &str,
    pattern: &str,
    tensors: &[NamedTensor],
    matches: impl Fn(&NamedTensor) -> bool,
) -> Result<(), RuleError> {
    if tensors.iter().any(matches) {
        return Ok(());
    }
    let names = tensors.iter().map(|tensor| &*tensor.name);
    let closest = closest_names(&pattern.replace('*', ""), names, 3);
    Err(RuleError::NoMatch { rule: rule.into(), closest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, dtype: Dtype) -> NamedTensor {
        NamedTensor { name: name.into(), dtype, shape: vec![1], data: vec![0; dtype.size()] }
    }

    fn renamed(names: &[&str], rules: &[&str]) -> Result<Vec<String>, String> {
        let renames: Vec<Rename> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let mut tensors: Vec<_> = names.iter().map(|name| tensor(name, Dtype::F32)).collect();
        let rules = Rules { renames: &renames, ..Default::default() };
        rules.rename(&mut tensors).map_err(|error| error.to_string())?;
        Ok(tensors.into_iter().map(|tensor| tensor.name).collect())
    }

    #[test]
    fn names_change_by_one_rule_after_the_other() {
        let names = ["conv1.weight", "conv2.weight", "fc"];
        let found = renamed(&names, &["conv*.*=layer.*.*", "layer.1.*=first.*"]).unwrap();
        assert_eq!(found, ["first.weight", "layer.2.weight", "fc"]);
        let swapped = renamed(&["a", "b"], &["a=t", "b=a", "t=b"]).unwrap();
        assert_eq!(swapped, ["b", "a"]);
        for (rules, error) in [
            (&["fc2=x"][..], "fc2=x: no tensor matches; closest matches: fc, conv2.weight, "),
            (&["*.weight=fc"], "two tensors are called fc after it: conv1.weight and conv2.weight"),
            (&["conv1.weight=fc"], "two tensors are called fc after it: conv1.weight and fc"),
            (&["fc*=*"], "fc*=*: the new name of fc is empty"),
        ] {
            let found = renamed(&names, rules).unwrap_err();
            assert!(found.contains(error), "{found}");
        }
    }

    #[test]
    fn of_several_types_for_one_tensor_the_last_one_counts() {
        let rules = ["float16", "norm.*=float64"].map(|rule| rule.parse::<DtypeRule>().unwrap());
        let rules = Rules { dtypes: &rules, ..Default::default() };
        let all = [
            ("fc.weight", Dtype::F32, Dtype::F16),
            ("norm.weight", Dtype::F32, Dtype::F64),
            ("fc.scale", Dtype::F8_E5M2, Dtype::F16),
            ("fc.steps", Dtype::I64, Dtype::I64),
            ("fc.phase", Dtype::C64, Dtype::C64),
        ];
        let mut tensors = all.map(|(name, dtype, _)| tensor(name, dtype));
        rules.convert(&mut tensors).unwrap();
        assert_eq!(tensors, all.map(|(name, _, dtype)| tensor(name, dtype)));
        let mut integers = [tensor("steps", Dtype::I64)];
        let error = rules.convert(&mut integers).unwrap_err().to_string();
        assert_eq!(
            error,
            "float16: the file has no floating-point tensor; convert others by name, such as '*=float16'"
        );
    }

    #[test]
    fn texts_that_are_no_rules_are_refused() {
        for (text, error) in [
            ("fc", "expected GLOB=REPLACEMENT"),
            ("a=b=c", "expected GLOB=REPLACEMENT"),
            ("a=*", "the new name has 1 *, the pattern only 0"),
            ("a=", "a=: the new name is empty"),
            ("=a", "the pattern \"\": it is empty"),
            ("a**=b", "two * follow each other"),
        ] {
            let found = text.parse::<Rename>().unwrap_err().to_string();
            assert!(found.contains(error), "{text}: {found}");
        }
        let error = "fc=float31".parse::<DtypeRule>().unwrap_err().to_string();
        assert!(error.starts_with("unknown dtype \"float31\""), "{error}");
        assert!("".parse::<Transpose>().is_err());
    }

    #[test]
    fn names_of_types_are_pytorchs_and_others_are_suggested() {
        for (name, expected) in [
            ("torch.float16", Dtype::F16),
            ("half", Dtype::F16),
            ("torch.long", Dtype::I64),
            ("double", Dtype::F64),
            ("w=torch.bfloat16", Dtype::BF16),
        ] {
            assert_eq!(name.parse::<DtypeRule>().unwrap().dtype(), expected, "{name}");
        }
        for (name, expected) in [
            ("fp16", "float16"),
            ("bf16", "bfloat16"),
            ("FLOAT16", "float16"),
            ("Double", "float64"),
            ("f64", "float64"),
            ("u8", "uint8"),
            ("torch.flaot32", "float32"),
        ] {
            let error = name.parse::<DtypeRule>().unwrap_err().to_string();
            assert!(error.ends_with(&format!("; did you mean {expected}?")), "{error}");
        }
    }

    #[test]
    fn names_in_errors_are_escaped_and_long_ones_refused() {
        let error = renamed(&["a\u{1b}\n", "b"], &["*=c"]).unwrap_err();
        assert!(error.ends_with("called c after it: a\\u{1b}\\n and b"), "{error}");
        let rule = format!("a={}", "n".repeat(LONGEST_NAME + 1));
        let error = renamed(&["a"], &[&rule]).unwrap_err();
        assert!(
            error.ends_with("the new name of a has 1025 bytes; at most 1024 are read"),
            "{error}"
        );
        assert!(renamed(&["a"], &[&rule[..rule.len() - 1]]).is_ok());
    }
}
