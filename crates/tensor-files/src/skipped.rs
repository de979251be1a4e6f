//! Values of a checkpoint that are skipped.

/// A value in a checkpoint that is not a tensor of the weights, and is skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The keys that lead to it, joined by dots. The text is from the file and may hold any characters.
    pub path: String,
    /// Type or class of the value, such as `int` or `argparse.Namespace`; text from the file, too.
    pub what: String,
}

/// [`Skipped::what`] of a tensor.
pub(super) const TENSOR: &str = "a tensor";
/// Values that [`Skipped::summary`] names.
const NAMED: usize = 5;

impl Skipped {
    /// Whether it is a tensor that could be read, outside the dict of tensors.
    pub fn is_tensor(&self) -> bool {
        self.what == TENSOR
    }

    /// Lists the first five for a note, such as `args (argparse.Namespace), epoch (int)`. Control characters are replaced.
    pub fn summary(all: &[Self]) -> String {
        let printable = |text: &str| -> String {
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
        };
        let first = all.iter().take(NAMED);
        let named: Vec<String> = first
            .map(|Self { path, what }| format!("{} ({})", printable(path), printable(what)))
            .collect();
        let more = if all.len() > NAMED { ", …" } else { "" };
        named.join(", ") + more
    }
}

/// Most values that are listed, and most characters of their texts.
const MOST: usize = 100;

/// The skipped values of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct List(Vec<Skipped>);

impl List {
    /// Adds one more, unless there are many already.
    pub fn push(&mut self, path: &str, what: &str) {
        if self.0.len() < MOST {
            let cut = |text: &str| text.chars().take(MOST).collect();
            self.0.push(Skipped { path: cut(path), what: cut(what) });
        }
    }

    /// In the file's order.
    pub fn all(&self) -> &[Skipped] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_a_few_and_steers_no_terminal() {
        let mut list = List::default();
        list.push("a\x1b[2J\n", "int");
        assert_eq!(Skipped::summary(list.all()), "a\u{fffd}[2J\u{fffd} (int)");
        (0..1000).for_each(|i| list.push(&i.to_string(), &"x".repeat(1 << 20)));
        assert_eq!(list.all().len(), MOST);
        assert!(Skipped::summary(list.all()).ends_with(", …"));
        assert!(Skipped::summary(list.all()).len() < 1000);
    }
}
