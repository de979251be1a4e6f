//! The values of a file that are not tensors of the weights and are skipped.

/// A value in a checkpoint that is not a tensor of the weights. It is skipped unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its key, or keys joined by dots. The text is from the file and may hold any characters.
    pub path: String,
    /// Its type or class, such as `int` or `argparse.Namespace`. From the file, too.
    pub what: String,
}

/// Things that [`Skipped::summary`] names.
const NAMED: usize = 5;

impl Skipped {
    /// The first few for a note, such as `args (argparse.Namespace), epoch (int)`; control characters are
    /// replaced.
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

/// Most things that are listed; a checkpoint has a few.
const MOST: usize = 100;

/// What was passed over in a file.
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
