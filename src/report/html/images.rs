//! The images of a run in its report: misclassified test images, and the filters of the first layer.

use super::text::probability;
use crate::dataset::classes::Classes;
use crate::report::figures::thousands;
use crate::report::images::{Example, Filters, Images};

/// The images of a run.
pub struct ImagesView<'a> {
    pub note: Option<String>,
    pub rows: Vec<Row<'a>>,
    pub hardest: Vec<Image<'a>>,
    pub filters: Option<FiltersView<'a>>,
}

/// The most confident mistakes of a pair of classes.
pub struct Row<'a> {
    pub truth: &'a str,
    pub predicted: &'a str,
    pub images: Vec<Image<'a>>,
}

/// A test image with its prediction.
pub struct Image<'a> {
    pub uri: &'a str,
    pub alt: String,
    pub truth: &'a str,
    pub predicted: &'a str,
    pub of_truth: String,
    pub of_predicted: String,
    pub loss: String,
}

/// The filters of the first layer.
pub struct FiltersView<'a> {
    pub count: usize,
    pub side: usize,
    pub greatest: String,
    pub averaged: String,
    /// A class and the URI of its sample image.
    pub samples: Vec<(&'a str, &'a String)>,
    pub filters: Vec<FilterView<'a>>,
}

/// A filter, and its responses.
pub struct FilterView<'a> {
    pub number: usize,
    pub weights: &'a str,
    /// A class and the URI of the response to its sample image.
    pub responses: Vec<(&'a str, &'a String)>,
    pub most: String,
    pub least: String,
}

impl<'a> ImagesView<'a> {
    /// The images of a run with these classes.
    pub fn new(images: &'a Images, classes: &'a Classes) -> Self {
        let image = |example: &'a Example| image(example, classes);
        let note = (images.differing > 0).then(|| {
        format!(
            "For {} of the test images, the weights give another class here than in predictions.csv. A few are \
             expected with another CPU or number of threads, which sum in a different order; more mean that the \
             weights are of another run.",
            thousands(images.differing as u64)
        )
    });
        let rows = images.pairs.iter().map(|(pair, examples)| Row {
            truth: &classes.names()[pair.truth],
            predicted: &classes.names()[pair.predicted],
            images: examples.iter().map(image).collect(),
        });
        Self {
            note,
            rows: rows.collect(),
            hardest: images.hardest.iter().map(image).collect(),
            filters: images.filters.as_ref().map(|it| filters(it, classes)),
        }
    }
}

fn image<'a>(example: &'a Example, classes: &'a Classes) -> Image<'a> {
    let [truth, predicted] =
        [example.truth, example.predicted].map(|class| classes.names()[class].as_str());
    let of_predicted = probability(example.of_predicted);
    let alt = format!(
        "Test image {}: {truth}, classified as {predicted} with probability {of_predicted}",
        example.index
    );
    Image {
        uri: &example.image,
        alt,
        truth,
        predicted,
        of_truth: probability(example.of_truth),
        of_predicted,
        loss: format!("{:.2}", example.loss),
    }
}

fn filters<'a>(filters: &'a Filters, classes: &'a Classes) -> FiltersView<'a> {
    let name = |class: usize| classes.names()[class].as_str();
    let of_class =
        |what: &str, (class, mean): (usize, f64)| format!("{what} {} ({mean:.3})", name(class));
    let classes = || filters.samples.iter().map(|&(class, _)| name(class));
    FiltersView {
        count: filters.filters.len(),
        side: filters.side,
        greatest: format!("{:.2}", filters.greatest),
        averaged: thousands(filters.averaged as u64),
        samples: classes().zip(filters.samples.iter().map(|(_, uri)| uri)).collect(),
        filters: (1..)
            .zip(&filters.filters)
            .map(|(number, filter)| FilterView {
                number,
                weights: &filter.weights,
                responses: classes().zip(&filter.responses).collect(),
                most: of_class("most for", filter.most),
                least: of_class("least for", filter.least),
            })
            .collect(),
    }
}
