//! Prefixes that wrappers add to the names of all tensors: Lightning's `model.`, `DataParallel`'s `module.`,
//! `torch.compile`'s `_orig_mod.`, or several of them.

use std::collections::HashSet;
use std::fmt;

/// Name of the counter of `torch.optim.swa_utils.AveragedModel`, beside the model in its `module.`.
const COUNT: &str = "n_averaged";
const AVERAGED: &str = "module.";
/// Names of the wrapped network in Lightning and other programs, `DataParallel` and `torch.compile`.
const WRAPPERS: [&str; 4] = ["model", "net", "module", "_orig_mod"];
/// Most nested wrappers.
const PARTS: usize = 8;

/// A change of tensor names that removes a prefix from all of them.
///
/// ```
/// use tensor_files::Renaming;
///
/// let names = ["model.fc.weight", "model.fc.bias"];
/// let renaming = Renaming::between(&names, &["fc.bias", "fc.weight"]).unwrap();
/// assert_eq!(renaming.prefix(), "model.");
/// assert_eq!(renaming.of("model.fc.bias"), Some("fc.bias"));
/// assert_eq!(Renaming::between(&names, &["fc.bias"]), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Renaming {
    prefix: String,
    left_out: Option<String>,
}

impl Renaming {
    /// Removes the shortest prefix of `names` that makes them equal to `expected`, in any order. The counter of an
    /// `AveragedModel` may be left out. `None` if no prefix makes them equal.
    pub fn between<S: AsRef<str>, W: AsRef<str>>(names: &[S], expected: &[W]) -> Option<Self> {
        if !(expected.len()..=expected.len() + 1).contains(&names.len()) {
            return None;
        }
        let set: HashSet<&str> = expected.iter().map(AsRef::as_ref).collect();
        let distinct: HashSet<&str> = names.iter().map(AsRef::as_ref).collect();
        if distinct.len() < names.len() || set.len() < expected.len() {
            return None;
        }
        shared_prefixes(names).take(PARTS + 1).map(Self::losing).find_map(|mut renaming| {
            let rest = |name: &S| renaming.of(name.as_ref()).is_some_and(|name| set.contains(name));
            let others: Vec<&S> = names.iter().filter(|name| !rest(name)).collect();
            match others[..] {
                [] if names.len() == expected.len() => Some(renaming),
                [count] if renaming.counts_in(count.as_ref()) => {
                    renaming.left_out = Some(count.as_ref().into());
                    Some(renaming)
                }
                _ => None,
            }
        })
    }

    /// Makes the names of two files equal: removes a prefix from those of the second file, or else of the first, or else
    /// of both; the latter must be prefixes of wrappers (`model.`, `net.`, `module.`,
    /// `_orig_mod.`): `fc1.weight` is not `fc2.weight`.
    pub fn both<S: AsRef<str>, W: AsRef<str>>(first: &[S], second: &[W]) -> Option<[Self; 2]> {
        if let Some(second) = Self::between(second, first) {
            return Some([Self::default(), second]);
        }
        if let Some(first) = Self::between(first, second) {
            return Some([first, Self::default()]);
        }
        let wrappers = |prefix: &str| {
            let mut parts = prefix.split_terminator('.');
            parts.all(|part| WRAPPERS.contains(&part))
        };
        let prefix = shared_prefix(first);
        if !wrappers(prefix) {
            return None;
        }
        let bare: Vec<&str> =
            first.iter().filter_map(|n| n.as_ref().strip_prefix(prefix)).collect();
        let both = [Self::between(first, &bare)?, Self::between(second, &bare)?];
        both.iter().all(|renaming| wrappers(renaming.prefix())).then_some(both)
    }

    fn losing(prefix: &str) -> Self {
        Self { prefix: prefix.into(), left_out: None }
    }

    /// Whether `name` is the count of an `AveragedModel` whose tensors lose the prefix.
    fn counts_in(&self, name: &str) -> bool {
        let before = self.prefix.strip_suffix(AVERAGED);
        before.is_some_and(|before| name.strip_prefix(before) == Some(COUNT))
    }

    /// The new name; `None` for a tensor that is left out.
    pub fn of<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&self.prefix[..]).filter(|_| self.left_out.as_deref() != Some(name))
    }

    /// The prefix that all names lose; empty if they are unchanged.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The tensor that is left out: an `AveragedModel`'s `n_averaged`.
    pub fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }
}

/// Writes a note: `all names begin with model., which is left out`.
impl fmt::Display for Renaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.prefix.escape_debug();
        match &self.left_out {
            _ if self.prefix.is_empty() => f.write_str("the names are unchanged"),
            None => write!(f, "all names begin with {prefix}, which is left out"),
            Some(count) => {
                let count = count.escape_debug();
                write!(f, "all names but {count} begin with {prefix}; both are left out")
            }
        }
    }
}

/// The prefixes that all `names` share, from the empty one to the longest; each other one ends with a dot. A name keeps its
/// last part; the counter of an `AveragedModel` is ignored.
pub fn shared_prefixes<S: AsRef<str>>(names: &[S]) -> impl Iterator<Item = &str> {
    let shared = shared_prefix(names);
    let ends = shared.match_indices('.').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).map(|end| &shared[..end])
}

/// The longest common prefix of all `names` that ends at a dot, except the counter of an `AveragedModel`; often
/// empty. A name keeps its last part.
fn shared_prefix<S: AsRef<str>>(names: &[S]) -> &str {
    let is_count = |name: &str| name.rsplit('.').next() == Some(COUNT);
    let mut others = names.iter().map(AsRef::as_ref).filter(|name| !is_count(name));
    let first = others.next().unwrap_or_default();
    let shared = others.fold(first, |shared, name| {
        let same = shared.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let dot = shared.as_bytes()[..same].iter().rposition(|&byte| byte == b'.');
        dot.map_or("", |dot| &shared[..=dot])
    });
    shared.rfind('.').map_or("", |dot| &shared[..=dot])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [&str; 3] = ["conv.weight", "fc.weight", "fc.bias"];

    fn named(prefix: &str) -> Vec<String> {
        LAYERS.iter().rev().map(|name| format!("{prefix}{name}")).collect()
    }

    #[test]
    fn one_wrapper_or_several_are_taken_off() {
        for prefix in ["", "model.", "module.", "_orig_mod.", "net.module._orig_mod."] {
            let renaming = Renaming::between(&named(prefix), &LAYERS).unwrap();
            assert_eq!((renaming.prefix(), renaming.left_out()), (prefix, None));
            assert_eq!(renaming.of(&named(prefix)[0]), Some("fc.bias"));
        }
    }

    #[test]
    fn the_count_of_an_averaged_model_is_left_out_only_there() {
        for (prefix, count) in [("module.", "n_averaged"), ("a.module.", "a.n_averaged")] {
            let names = [named(prefix), vec![count.into()]].concat();
            let renaming = Renaming::between(&names, &LAYERS).unwrap();
            assert_eq!((renaming.prefix(), renaming.left_out()), (prefix, Some(count)));
            assert_eq!(renaming.of(count), None);
        }
        for strange in ["n_averaged", "model.n_averaged", "model.steps"] {
            let names = [named("model."), vec![strange.into()]].concat();
            assert_eq!(Renaming::between(&names, &LAYERS), None, "{strange}");
        }
    }

    #[test]
    fn names_that_differ_by_more_than_a_prefix_stay() {
        assert_eq!(Renaming::between(&["fc1.weight", "fc1.bias"], &["fc.weight", "fc.bias"]), None);
        assert_eq!(Renaming::between(&["model.weight", "net.bias"], &["weight", "bias"]), None);
        assert_eq!(Renaming::between(&["weight", "weight"], &["weight", "bias"]), None);
        assert_eq!(Renaming::between::<&str, &str>(&[], &[]), Some(Renaming::default()));
    }

    #[test]
    fn two_files_meet_where_both_have_wrappers() {
        let [first, second] = Renaming::both(&named("module."), &named("model.net.")).unwrap();
        assert_eq!((first.prefix(), second.prefix()), ("module.", "model.net."));
        let [first, second] = Renaming::both(&named(""), &named("model.")).unwrap();
        assert_eq!((first.prefix(), second.prefix()), ("", "model."));
        assert_eq!(Renaming::both(&["a.x", "a.y"], &["b.x", "b.z"]), None);
    }

    #[test]
    fn a_shared_prefix_ends_at_a_dot_and_leaves_the_last_part() {
        assert_eq!(shared_prefix(&["fc.weight", "fc.wide"]), "fc.");
        assert_eq!(shared_prefix(&["é.a", "è.a"]), "");
        assert_eq!(shared_prefix(&["a.b.c"]), "a.b.");
        assert_eq!(shared_prefix(&["weight", "bias"]), "");
        assert_eq!(shared_prefix::<&str>(&[]), "");
    }
}
