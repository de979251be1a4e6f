//! Patterns for names, in which `*` stands for any characters.

/// A pattern for names: the texts before, between and after its stars. `\*` and `\\` are the characters themselves.
///
/// ```
/// use tensor_files::Glob;
///
/// let conv = Glob::parse("conv*.weight").unwrap();
/// assert_eq!(conv.captures("conv1.weight"), Some(vec!["1"]));
/// assert_eq!(conv.captures("conv1.bias"), None);
/// assert_eq!(Glob::parse("layer.*").unwrap().fill(&["1"]), "layer.1");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong with it: it is empty, or a star or a backslash is where it must not be.
    pub fn parse(pattern: &str) -> Result<Self, &'static str> {
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
    pub fn stars(&self) -> usize {
        self.0.len() - 1
    }

    /// What the stars stand for in `name`, each as short as possible; `None` if the name does not match.
    pub fn captures<'a>(&self, name: &'a str) -> Option<Vec<&'a str>> {
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
    pub fn fill(&self, captures: &[&str]) -> String {
        let after =
            captures.iter().zip(&self.0[1..]).map(|(capture, text)| format!("{capture}{text}"));
        self.0[0].clone() + &after.collect::<String>()
    }

    /// The pattern that matches this name alone.
    pub fn literal(name: &str) -> Self {
        Self(vec![name.into()])
    }

    /// The text of the pattern that matches this name alone.
    pub fn escape(name: &str) -> String {
        name.replace('\\', "\\\\").replace('*', "\\*")
    }
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
        assert_eq!(Glob::parse(&Glob::escape(name)).unwrap().captures(name), Some(vec![]));
    }
}
