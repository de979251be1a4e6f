//! Collects the images of both halves in one size and with the same channels.

use std::fmt::Display;
use std::path::Path;

use super::error::Size;
use super::{Form, ImportError, Imported, ImportedHalf, Options, Progress, Unreadable};
use crate::ImageShape;
use crate::classes::{Classes, MOST_CLASSES};
use crate::idx::LONGEST_SIDE;
use crate::picture::Raster;
use crate::source::Half;

/// Most bytes of the images of a half.
const MOST_BYTES: u64 = 16 << 30;

/// The images and labels that were read so far.
pub(super) struct Halves<'a> {
    pub options: &'a Options,
    /// What the caller should know.
    pub notes: Vec<String>,
    pub classes: Option<Classes>,
    /// Whether images are added class by class.
    pub is_by_class: bool,
    report: &'a mut dyn FnMut(Progress),
    halves: [ImportedHalf; 2],
    /// 1 until there is an image with colours.
    channels: usize,
    /// The size of all images, and the place of the first.
    first: Option<(Size, String)>,
    unreadable: Vec<Unreadable>,
}

impl<'a> Halves<'a> {
    pub fn new(
        options: &'a Options,
        notes: Vec<String>,
        report: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let channels = options.channels.unwrap_or(1);
        let (halves, unreadable) = Default::default();
        let (classes, is_by_class, first) = Default::default();
        Self { options, notes, classes, is_by_class, report, halves, channels, first, unreadable }
    }

    /// Adds an image. `place` names it in messages, and `total` is the number of images of the half.
    pub fn add(
        &mut self,
        half: Half,
        image: Raster,
        label: u8,
        place: &dyn Display,
        total: Option<usize>,
    ) -> Result<(), ImportError> {
        let image = self.fitted(image);
        let size = Size(image.height, image.width);
        match &self.first {
            Some((first_size, first)) if *first_size != size => {
                let (first, first_size) = (first.clone(), *first_size);
                let (other, other_size) = (place.to_string(), size);
                return Err(ImportError::Sizes { first, first_size, other, other_size });
            }
            Some(_) => {}
            None if [size.0, size.1]
                .iter()
                .all(|side| (1..=LONGEST_SIDE as usize).contains(side)) =>
            {
                self.first = Some((size, place.to_string()));
            }
            None => {
                let wrong = format!("{size}: 1 to {LONGEST_SIDE} pixels per side are expected");
                return Err(ImportError::Content(place.to_string(), wrong));
            }
        }
        let into = &mut self.halves[half as usize];
        // An allocation that fails would end the process.
        let bytes = image.pixels.len();
        let too_many = (into.pixels.len() + bytes) as u64 > MOST_BYTES
            || into.labels.len() == u32::MAX as usize;
        if too_many || into.pixels.try_reserve(bytes).is_err() {
            return Err(ImportError::TooLarge(MOST_BYTES));
        }
        into.pixels.extend(image.pixels);
        into.labels.push(label);
        self.progress(half, total);
        Ok(())
    }

    fn progress(&mut self, half: Half, total: Option<usize>) {
        (self.report)(Progress { half, done: self.halves[half as usize].labels.len(), total });
    }

    /// The image with the channels and the size of the others.
    fn fitted(&mut self, image: Raster) -> Raster {
        let image = match self.options.channels {
            Some(channels) => image.convert(channels),
            None if image.is_grey() => image.convert(1),
            None => {
                if self.channels == 1 {
                    self.channels = 3;
                    for half in &mut self.halves {
                        half.pixels = half.pixels.iter().flat_map(|&grey| [grey; 3]).collect();
                    }
                }
                image
            }
        };
        let image = image.convert(self.channels);
        match self.options.size {
            Some((height, width)) if (height, width) != (image.height, image.width) => {
                image.resize(height, width)
            }
            _ => image,
        }
    }

    /// Records an image that cannot be read.
    pub fn unreadable(&mut self, file: &dyn Display, reason: impl Into<String>) {
        self.unreadable.push(Unreadable { file: file.to_string(), reason: reason.into() });
    }

    /// Names the classes.
    pub fn name_classes(
        &mut self,
        from: &dyn Display,
        names: Vec<String>,
    ) -> Result<(), ImportError> {
        let text = names.join("\n");
        let wrong = |error| ImportError::Classes(from.to_string(), error);
        let classes = Classes::new(names).map_err(wrong)?;
        // A name with space around it would not be read back.
        if Classes::read(text.as_bytes()).map_err(wrong)? != classes {
            let reason = "class names must not start or end with a space";
            return Err(ImportError::Content(from.to_string(), reason.into()));
        }
        self.classes = Some(classes);
        Ok(())
    }

    /// Checks what was read as a whole.
    pub fn finish(mut self, from: &Path, form: Form) -> Result<Imported, ImportError> {
        if !self.unreadable.is_empty() && !self.options.skip_unreadable {
            return Err(ImportError::Unreadable(self.unreadable));
        }
        let [train, test] = &mut self.halves;
        match self.options.test_last {
            Some(_) if !test.labels.is_empty() => {
                return Err(ImportError::HasTest(from.display().to_string()));
            }
            Some(asked) => {
                let images = train.labels.len();
                if asked >= images {
                    return Err(ImportError::TestLast { asked, images });
                }
                *test = train.split_off_last(asked, self.is_by_class);
            }
            None => {}
        }
        for (half, name) in self.halves.iter().zip(["training", "test"]) {
            if half.labels.is_empty() {
                let reason = format!("no {name} images were read");
                return Err(ImportError::at(from, reason));
            }
        }
        self.check_labels(from)?;
        let Size(height, width) = self.first.map_or(Size(0, 0), |(size, _)| size);
        Ok(Imported {
            form,
            halves: self.halves,
            shape: ImageShape { channels: self.channels, height, width },
            classes: self.classes,
            unreadable: self.unreadable,
            notes: self.notes,
        })
    }

    /// Checks that labels have names, and notes classes that one half does not have.
    fn check_labels(&mut self, from: &Path) -> Result<(), ImportError> {
        let has = [0, 1].map(|half| {
            let mut has = [false; MOST_CLASSES];
            self.halves[half].labels.iter().for_each(|&label| has[usize::from(label)] = true);
            has
        });
        let greatest = (0..MOST_CLASSES).rev().find(|&label| has.iter().any(|has| has[label]));
        let names = self.classes.clone().unwrap_or_else(|| Classes::numbered(MOST_CLASSES));
        if let Some(label) = greatest.filter(|&label| label >= names.len()) {
            let reason =
                format!("there is the label {label}, but there are {} class names", names.len());
            return Err(ImportError::at(from, reason));
        }
        for (half, other, name) in [(0, 1, "training"), (1, 0, "test")] {
            let lacks = (0..MOST_CLASSES).filter(|&label| !has[half][label] && has[other][label]);
            let lacks: Vec<String> = lacks.map(|label| names.name(label)).collect();
            if !lacks.is_empty() {
                self.notes.push(format!("the {name} half has no images of {}", lacks.join(", ")));
            }
        }
        Ok(())
    }
}

impl ImportedHalf {
    /// Removes the last `n` images and returns them; with `by_class`, the last of each run of equal labels, in proportion to its
    /// length.
    fn split_off_last(&mut self, n: usize, by_class: bool) -> Self {
        let images = self.labels.len();
        let image = self.pixels.len() / images;
        let groups = self.labels.chunk_by(|a, b| !by_class || a == b);
        let lengths: Vec<usize> = groups.map(<[u8]>::len).collect();
        let (mut last, mut from, mut kept) = (Self::default(), 0, 0);
        for length in lengths {
            let to = from + length;
            // The shares of all classes so far are rounded down together, so that they add up to `n`.
            let middle = to - (n * to / images - n * from / images);
            last.labels.extend_from_slice(&self.labels[middle..to]);
            last.pixels.extend_from_slice(&self.pixels[middle * image..to * image]);
            self.labels.copy_within(from..middle, kept);
            self.pixels.copy_within(from * image..middle * image, kept * image);
            (from, kept) = (to, kept + middle - from);
        }
        self.labels.truncate(kept);
        self.pixels.truncate(kept * image);
        last
    }
}
