//! The names of a data set's classes.

use std::sync::Arc;

use crate::CLASSES;

/// Class names of Fashion-MNIST as its authors list them; the index is the label.
pub const NAMES: [&str; CLASSES] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The most classes: labels are bytes.
pub const MOST_CLASSES: usize = 256;
/// The name of label 0 of a data set whose labels start at 1, as torchvision's `EMNIST` names it.
const UNUSED: &str = "N/A";

/// The names of the classes of a data set; the index is the label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(Arc<[String]>);

/// A list of class names that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassesError {
    /// It is not UTF-8 text.
    #[error("it is not UTF-8 text: one class name per line is expected")]
    NotText,
    /// It has no names, or more than labels can number.
    #[error("it has {0} class names: 1 to {MOST_CLASSES} are expected, one per line")]
    Number(usize),
    /// A name is empty or has control characters; its line, from 1.
    #[error("line {0} is not a name: printable characters are expected")]
    Name(usize),
    /// A name that occurs twice.
    #[error("the name {0:?} occurs twice")]
    Duplicate(String),
    /// A label has no name: the label, and the number of names.
    #[error(
        "it has {1} class names, but there is the label {0}: one name per label, from 0, is expected"
    )]
    Label(u8, usize),
}

impl Classes {
    /// The ten classes of Fashion-MNIST.
    pub fn fashion_mnist() -> Self {
        Self(NAMES.map(String::from).into())
    }

    /// `count` classes that have their label as name.
    pub fn numbered(count: usize) -> Self {
        Self((0..count).map(|label| label.to_string()).collect())
    }

    /// Checks the names.
    ///
    /// # Errors
    /// [`ClassesError`] for the first name that cannot be used.
    pub fn new(names: Vec<String>) -> Result<Self, ClassesError> {
        if !(1..=MOST_CLASSES).contains(&names.len()) {
            return Err(ClassesError::Number(names.len()));
        }
        for (i, name) in names.iter().enumerate() {
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(ClassesError::Name(i + 1));
            }
            if names[..i].contains(name) {
                return Err(ClassesError::Duplicate(name.clone()));
            }
        }
        Ok(Self(names.into()))
    }

    /// Reads `classes.txt`: one name per line, in the order of the labels.
    ///
    /// ```
    /// let classes = fashion_mnist::classes::Classes::read(b"cat\ndog\n")?;
    /// assert_eq!(classes.names(), ["cat", "dog"]);
    /// # Ok::<(), fashion_mnist::classes::ClassesError>(())
    /// ```
    ///
    /// # Errors
    /// [`ClassesError`].
    pub fn read(bytes: &[u8]) -> Result<Self, ClassesError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ClassesError::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
        Self::new(text.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Checks that every label has a name. If there is one name per label from 1 on, and no label 0, as for EMNIST's letters,
    /// label 0 is named `N/A`.
    ///
    /// # Errors
    /// [`ClassesError::Label`].
    pub(crate) fn of_labels(self, labels: impl Iterator<Item = u8>) -> Result<Self, ClassesError> {
        let (least, greatest) =
            labels.fold((u8::MAX, 0), |(a, b), label| (a.min(label), b.max(label)));
        match usize::from(greatest).cmp(&self.len()) {
            std::cmp::Ordering::Less => Ok(self),
            std::cmp::Ordering::Equal if least > 0 => {
                let names = [UNUSED.to_owned()].into_iter().chain(self.0.iter().cloned());
                Ok(Self(names.collect()))
            }
            _ => Err(ClassesError::Label(greatest, self.len())),
        }
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The name of a label; the label itself if it has none.
    pub fn name(&self, label: usize) -> String {
        self.0.get(label).cloned().unwrap_or_else(|| label.to_string())
    }

    /// The number of classes.
    #[allow(clippy::len_without_is_empty)] // There is at least one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// These names, followed by numbers up to `count` classes: a network may have more outputs than there are labels.
    pub fn at_least(self, count: usize) -> Self {
        match self.len() < count {
            true => Self((0..count).map(|label| self.name(label)).collect()),
            false => self,
        }
    }
}

impl Default for Classes {
    fn default() -> Self {
        Self::fashion_mnist()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_line_by_line_and_others_are_refused() {
        let read = |text: &str| Classes::read(text.as_bytes()).map(|it| it.names().to_vec());
        assert_eq!(read("\u{feff}a\r\n b c \r\n\n"), Ok(vec!["a".into(), "b c".into()]));
        assert_eq!(read(""), Err(ClassesError::Number(0)));
        assert_eq!(read("a\n\nb"), Err(ClassesError::Name(2)));
        assert_eq!(read("a\tb"), Err(ClassesError::Name(1)));
        assert_eq!(read("a\na"), Err(ClassesError::Duplicate("a".into())));
        assert_eq!(Classes::read(b"\xff"), Err(ClassesError::NotText));
        let many: String = (0..257).map(|i| format!("{i}\n")).collect();
        assert_eq!(read(&many), Err(ClassesError::Number(257)));
    }

    #[test]
    fn every_label_has_a_name() {
        let names = || Classes::read(b"a\nb").unwrap();
        let of =
            |labels: &[u8]| names().of_labels(labels.iter().copied()).map(|it| it.names().to_vec());
        assert_eq!(of(&[1, 0]).unwrap(), ["a", "b"]);
        assert_eq!(of(&[1, 2]).unwrap(), ["N/A", "a", "b"]);
        assert_eq!(of(&[0, 2]), Err(ClassesError::Label(2, 2)));
        assert_eq!(names().at_least(3).names(), ["a", "b", "2"]);
    }
}
