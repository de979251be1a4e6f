//! What a file holds besides its tensors, and is not read.

/// Something in a checkpoint that is no tensor: it is passed over unread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is: the key, or keys joined by dots. A text of the file's, of any letters.
    pub path: String,
    /// Its type or class, such as `int` or `argparse.Namespace`. A text of the file's too.
    pub what: String,
}

/// Most things that are named; a checkpoint has a few.
const MOST: usize = 100;

/// What was passed over in a file.
#[derive(Debug, Clone, Default)]
pub(super) struct List(Vec<Skipped>);

impl List {
    /// Names one more, unless there are many already.
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
