//! Patterns for names, in which `*` stands for any characters.

use std::fmt;

/// A pattern: the texts before, between and after its stars. `\*` and `\\` are the characters themselves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Glob(Vec<String>);

impl Glob {
    /// Parses a pattern; on failure returns what is wrong with it.
    pub(crate) fn parse(pattern: &str) -> Result<Self, &'static str> {
        let mut texts = vec![String::new()];
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' if characters.peek() == Some(&'*') => {
                    return Err("two * follow each other: write one");
                }
                '*' => {
                    texts.push(String::new());
                    continue;
                }
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err("\\ is only allowed before * and \\"),
                },
                other => other,
            };
            if let Some(text) = texts.last_mut() {
                text.push(literal);
            }
        }
        match pattern {
            "" => Err("it is empty"),
            _ => Ok(Self(texts)),
        }
    }

    /// The number of stars.
    pub(crate) fn stars(&self) -> usize {
        self.0.len() - 1
    }

    /// What the stars stand for in `name`, each as short as possible; `None` if the name does not match.
    pub(crate) fn captures<'a>(&self, name: &'a str) -> Option<Vec<&'a str>> {
        let mut rest = name.strip_prefix(&*self.0[0])?;
        let Some((last, between)) = self.0[1..].split_last() else {
            return rest.is_empty().then(Vec::new);
        };
        let mut captures = Vec::new();
        for text in between {
            let (capture, after) = rest.split_once(&**text)?;
            captures.push(capture);
            rest = after;
        }
        captures.push(rest.strip_suffix(&**last)?);
        Some(captures)
    }

    /// The name with the captures in place of the stars; there must be at least as many.
    pub(crate) fn fill(&self, captures: &[&str]) -> String {
        let after =
            captures.iter().zip(&self.0[1..]).map(|(capture, text)| format!("{capture}{text}"));
        self.0[0].clone() + &after.collect::<String>()
    }
}

/// A pattern for tensors, by name or by `STAGE:NAME`; `*` stands for any characters, `\*` for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    text: String,
    glob: Glob,
}

impl Pattern {
    /// Parses a pattern such as `conv1.weight`, `conv1.*` or `gradient:*`.
    ///
    /// # Errors
    /// What is wrong with it: it is empty, or a star or a backslash is where it must not be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        Ok(Self { text: text.into(), glob: Glob::parse(text)? })
    }

    /// The pattern that matches the tensors of this name alone.
    pub fn of_name(name: &str) -> Self {
        Self { text: escaped(name), glob: Glob(vec![name.into()]) }
    }

    /// Whether it matches a tensor.
    pub fn matches(&self, stage: &str, name: &str) -> bool {
        let is_match = |text: &str| self.glob.captures(text).is_some();
        is_match(name) || self.text.contains(':') && is_match(&format!("{stage}:{name}"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&self.text)
    }
}

/// The pattern that matches this name alone.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('*', "\\*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_capture_as_little_as_possible_and_fill_another_pattern() {
        for (pattern, name, captures) in [
            ("params/Dense_*/kernel", "params/Dense_10/kernel", Some(vec!["10"])),
            ("*.conv*.w", "a.conv1.conv2.w", Some(vec!["a", "1.conv2"])),
            ("fc", "fc", Some(vec![])),
            ("fc", "fc1", None),
            ("a*a", "a", None),
            ("a*a", "aa", Some(vec![""])),
            ("*", "x.y", Some(vec!["x.y"])),
            ("*.w", "w", None),
            (r"\**\\", r"*x\", Some(vec!["x"])),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().captures(name), captures, "{pattern} {name}");
        }
        assert_eq!(Glob::parse("b*.c*").unwrap().fill(&["1", "2", "3"]), "b1.c2");
        for pattern in ["", "a**", "a\\", "\\n"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
        let name = r"a*\b";
        assert_eq!(Glob::parse(&escaped(name)).unwrap().captures(name), Some(vec![]));
    }
}
