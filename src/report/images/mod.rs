//! The images of a report: misclassified test images, and the first layer's filters with their responses.

#[cfg(feature = "libtorch")]
mod draw;

use crate::metrics::Confusion;

/// A PNG image as a `data:` URI.
pub type Uri = String;

/// The images of a run's report.
#[derive(Debug)]
pub struct Images {
    /// The most frequent confusions, each with its most confident mistakes.
    pub(super) pairs: Vec<(Confusion, Vec<Example>)>,
    /// The images with the greatest loss, greatest first.
    pub(super) hardest: Vec<Example>,
    /// The first layer's filters, if it is a convolution of the gray image.
    pub(super) filters: Option<Filters>,
    /// Number of images for which the weights do not give the class in the run's files.
    pub(super) differing: usize,
}

/// A test image with its prediction.
#[derive(Debug, Clone)]
pub struct Example {
    /// Index in the test images.
    pub index: usize,
    /// True class.
    pub truth: usize,
    /// Predicted class.
    pub predicted: usize,
    /// Probability of the predicted class.
    pub of_predicted: f64,
    /// Probability of the true class.
    pub of_truth: f64,
    /// Cross-entropy: negative logarithm of `of_truth`.
    pub loss: f64,
    /// The image as a PNG `data:` URI.
    pub image: Uri,
}

/// The filters of the first layer, a convolution whose output has the size of the image.
#[derive(Debug)]
pub struct Filters {
    /// Height and width of a filter.
    pub side: usize,
    /// Greatest absolute weight: the end of the color scale.
    pub greatest: f64,
    /// Sample images with their classes, one for each of the first classes that occur.
    pub samples: Vec<(usize, Uri)>,
    /// Number of images over which responses are averaged.
    pub averaged: usize,
    /// One per output channel of the convolution.
    pub filters: Vec<Filter>,
}

/// A filter of the first layer.
#[derive(Debug)]
pub struct Filter {
    /// Image of the weights.
    pub weights: Uri,
    /// Images of the responses (of the image's size, after ReLU) to the samples, scaled to the filter's greatest response.
    pub responses: Vec<Uri>,
    /// Class with the greatest mean response, and the mean.
    pub most: (usize, f64),
    /// Class with the least mean response, and the mean.
    pub least: (usize, f64),
}

/// Why a report has no images of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImagesError {
    /// The test images are not those of the run.
    #[error("the test labels do not match predictions.csv")]
    OtherImages,
    /// The weights give NaN or infinite logits.
    #[error("the logits computed with the weights are not finite")]
    NotFinite,
    /// No data set was found.
    #[error("the data set was not found")]
    NoData,
    /// Another data set was found.
    #[error("the data set found is not that of the run (the checksums differ)")]
    OtherData,
    /// Nothing can be computed.
    #[error("this stitch was built without libtorch")]
    NoLibtorch,
    /// The run has no weights.
    #[error("the run folder contains no weights.safetensors")]
    NoWeights,
}
