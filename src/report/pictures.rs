//! The test images behind the numbers, and the responses of the first layer's filters to some of them.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use colorous::{PURPLE_ORANGE, VIRIDIS};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tch::{Device, Kind, Tensor};

use super::Run;
use crate::dataset::loader::images;
use crate::dataset::{CLASSES, PIXELS, SIDE, Split};
use crate::evaluate::{elements, rows};
use crate::metrics::Confusion;
use crate::nn::{Conv2dOp, Model, Operand};

/// Confusions that are shown with images.
const PAIRS: usize = 5;
/// Images of each.
const EACH: usize = 8;
/// Images of the greatest loss.
const HARDEST: usize = 30;
/// Images over which a filter's responses are averaged.
const AVERAGED: usize = 1000;

/// An image as a `data:` URI of a PNG.
pub type Uri = String;

/// The images of a run.
#[derive(Debug)]
pub struct Pictures {
    /// The most frequent confusions, each with those of its images that the model was surest of.
    pub pairs: Vec<(Confusion, Vec<Example>)>,
    /// The images of the greatest loss, the greatest first.
    pub hardest: Vec<Example>,
    /// The first layer, if it is a convolution of the gray image.
    pub filters: Option<Filters>,
    /// Images that the weights classify otherwise than the run's files say.
    pub differing: usize,
}

/// A test image with what the model says of it.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its place in the test images, from 0 on.
    pub index: usize,
    /// Its class.
    pub truth: usize,
    /// The class that was predicted.
    pub predicted: usize,
    /// Probability of the predicted class.
    pub of_predicted: f64,
    /// Probability of its class.
    pub of_truth: f64,
    /// Cross-entropy: the negative logarithm of the latter.
    pub loss: f64,
    /// The image.
    pub image: Uri,
}

/// The first layer of a model, a convolution whose output has the size of the image.
#[derive(Debug)]
pub struct Filters {
    /// Rows and columns of a filter.
    pub side: usize,
    /// The greatest absolute weight: where the colors end.
    pub greatest: f64,
    /// The sample images, one a class that occurs.
    pub samples: Vec<(usize, Uri)>,
    /// Images that the means are over, at most: the first.
    pub averaged: usize,
    /// Each filter.
    pub filters: Vec<Filter>,
}

/// A filter of the first layer.
#[derive(Debug)]
pub struct Filter {
    /// Its weights.
    pub weights: Uri,
    /// Its responses (28x28, after ReLU) to the samples, from nothing to its greatest response.
    pub responses: Vec<Uri>,
    /// The class with the greatest mean response, and the mean.
    pub most: (usize, f64),
    /// The class with the least.
    pub least: (usize, f64),
}

/// Why a report has no images of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PicturesError {
    /// The images are not those of the run.
    #[error("the test labels are not those of predictions.csv")]
    OtherImages,
    /// The weights give no probabilities.
    #[error("the logits of the weights are not finite")]
    NotFinite,
    /// There are no images.
    #[error("the data set was not found")]
    NoData,
    /// The data set is not the run's.
    #[error("the data set that was found is not the run's (its SHA-256 differs)")]
    OtherData,
    /// There are no weights.
    #[error("the run folder holds no weights.safetensors")]
    NoWeights,
}

impl Pictures {
    /// `logits` (N, 10) are those of `model` for the images of `test`.
    ///
    /// # Errors
    /// [`PicturesError`].
    pub fn new(
        run: &Run,
        model: &Model,
        test: &Split,
        logits: &Tensor,
    ) -> Result<Self, PicturesError> {
        if run.truth != test.labels {
            return Err(PicturesError::OtherImages);
        }
        // The logarithm of each class's probability, image by image.
        let answers = rows(&logits.log_softmax(-1, Kind::Double));
        if answers.iter().flatten().any(|log| log.is_nan()) {
            return Err(PicturesError::NotFinite);
        }
        let example = |index: usize| example(run, test, &answers[index], index);
        let pair = |confusion: Confusion| {
            let of_pair = |&index: &usize| {
                usize::from(run.truth[index]) == confusion.truth
                    && usize::from(run.predicted[index]) == confusion.predicted
            };
            let images = (0..test.len()).filter(of_pair);
            let sure = |&index: &usize| answers[index][confusion.predicted];
            (confusion, greatest(images, sure, EACH).into_iter().map(example).collect())
        };
        let loss = |&index: &usize| -answers[index][usize::from(run.truth[index])];
        let hardest = greatest(0..test.len(), loss, HARDEST);
        let best = |answer: &[f64; CLASSES]| {
            // The first of equals, as argmax.
            let better = |best, class| if answer[class] > answer[best] { class } else { best };
            (0..CLASSES).reduce(better).unwrap_or(0)
        };
        let other = |&(answer, &said): &(&[f64; CLASSES], &u8)| best(answer) != usize::from(said);
        Ok(Self {
            pairs: run.matrix.most_confused(PAIRS).into_iter().map(pair).collect(),
            hardest: hardest.into_iter().map(example).collect(),
            filters: Convolution::of(model).map(|first| filters(&first, test)),
            differing: answers.iter().zip(&run.predicted).filter(other).count(),
        })
    }
}

/// The `n` with the greatest `value`, the greatest first; of equals those that come first.
fn greatest(
    images: impl Iterator<Item = usize>,
    value: impl Fn(&usize) -> f64,
    n: usize,
) -> Vec<usize> {
    let mut images: Vec<usize> = images.collect();
    images.sort_by(|a, b| value(b).total_cmp(&value(a)));
    images.truncate(n);
    images
}

fn example(run: &Run, test: &Split, answer: &[f64; CLASSES], index: usize) -> Example {
    let [truth, predicted] = [&run.truth, &run.predicted].map(|labels| usize::from(labels[index]));
    Example {
        index,
        truth,
        predicted,
        of_predicted: answer[predicted].exp(),
        of_truth: answer[truth].exp(),
        // Of a certain answer it is 0, not -0.
        loss: -answer[truth] + 0.0,
        image: uri(pixels(test, index), SIDE, GRAY),
    }
}

fn pixels(test: &Split, index: usize) -> &[u8] {
    &test.images[index * PIXELS..(index + 1) * PIXELS]
}

/// A model's first operation, if it is a convolution of the gray image.
struct Convolution<'a> {
    model: &'a Model,
    /// (C, 1, K, K)
    weight: &'a Tensor,
    /// C
    filters: usize,
    /// K
    side: usize,
}

impl<'a> Convolution<'a> {
    /// `None` when the model begins with something else, or its filters are not square.
    fn of(model: &'a Model) -> Option<Self> {
        let first = model.graph().nodes().first()?;
        first.operation.downcast_ref::<Conv2dOp>()?;
        let Some(&Operand::Parameter(weight)) = first.inputs.get(1) else { return None };
        let weight = &model.parameters()[weight];
        let (image, side) = (SIDE as i64, weight.size()[3]);
        let square = weight.size()[1..] == [1, side, side];
        let fits = square && first.shape[2..] == [image, image];
        let (filters, side) = (weight.size()[0] as usize, side as usize);
        fits.then_some(Self { model, weight, filters, side })
    }

    /// The layer's output after ReLU (N, C, 28, 28), on the CPU.
    fn forward(&self, pixels: &[u8]) -> Tensor {
        let (input, kind) = (self.model.graph().input(), self.model.kind());
        tch::no_grad(|| {
            let images = images(pixels, input, kind, self.model.device());
            self.model.first_output(&images).relu().to_device(Device::Cpu)
        })
    }
}

/// The filters, with their responses to the first image of each class and, on average, to the classes.
fn filters(first: &Convolution, test: &Split) -> Filters {
    let of_class = |class| test.labels.iter().position(|&label| usize::from(label) == class);
    let samples: Vec<usize> = (0..CLASSES).filter_map(of_class).collect();
    let mut shown = Vec::new();
    samples.iter().for_each(|&index| shown.extend_from_slice(pixels(test, index)));
    let weights = elements(&first.weight.to_device(Device::Cpu));
    let greatest = weights.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let responses = elements(&first.forward(&shown));
    let averages = averages(first, test);
    let size = first.side * first.side;
    let filter = |i: usize| {
        let map = |sample: usize| &responses[(sample * first.filters + i) * PIXELS..][..PIXELS];
        let strongest = (0..samples.len()).flat_map(map).fold(0.0, |a: f64, &b| a.max(b));
        let means = || (0..CLASSES).filter_map(|class| Some((class, averages[class].as_ref()?[i])));
        let by_mean = |a: &(usize, f64), b: &(usize, f64)| -> Ordering { a.1.total_cmp(&b.1) };
        Filter {
            weights: weights_picture(&weights[i * size..][..size], first.side, greatest),
            responses: (0..samples.len()).map(|s| response_picture(map(s), strongest)).collect(),
            most: means().max_by(by_mean).unwrap_or_default(),
            least: means().min_by(by_mean).unwrap_or_default(),
        }
    };
    Filters {
        side: first.side,
        greatest,
        samples: (samples.iter())
            .map(|&at| (usize::from(test.labels[at]), uri(pixels(test, at), SIDE, GRAY)))
            .collect(),
        averaged: test.len().min(AVERAGED),
        filters: (0..first.filters).map(filter).collect(),
    }
}

const GRAY: ExtendedColorType = ExtendedColorType::L8;

/// The mean response of each filter to each class that occurs in the first images.
fn averages(first: &Convolution, test: &Split) -> [Option<Vec<f64>>; CLASSES] {
    let n = test.len().min(AVERAGED);
    let means =
        first.forward(&test.images[..n * PIXELS]).mean_dim([2i64, 3].as_slice(), false, None);
    let means = elements(&means);
    std::array::from_fn(|class| {
        let of_class = || {
            let labelled = means.chunks_exact(first.filters).zip(&test.labels);
            labelled.filter(|(_, label)| usize::from(**label) == class).map(|(mean, _)| mean)
        };
        let count = of_class().count() as f64;
        let mean = |i: usize| of_class().map(|mean| mean[i]).sum::<f64>() / count;
        (count > 0.0).then(|| (0..first.filters).map(mean).collect())
    })
}

/// Orange above zero, purple below, white at it.
fn weights_picture(weights: &[f64], side: usize, greatest: f64) -> Uri {
    let color = |&weight: &f64| {
        let place = if greatest > 0.0 { 0.5 + weight / greatest / 2.0 } else { 0.5 };
        PURPLE_ORANGE.eval_continuous(place.clamp(0.0, 1.0)).into_array()
    };
    let pixels: Vec<u8> = weights.iter().flat_map(color).collect();
    uri(&pixels, side, ExtendedColorType::Rgb8)
}

/// Viridis, from nothing to the strongest response.
fn response_picture(responses: &[f64], strongest: f64) -> Uri {
    let color = |&response: &f64| {
        let place = if strongest > 0.0 { response / strongest } else { 0.0 };
        VIRIDIS.eval_continuous(place.clamp(0.0, 1.0)).into_array()
    };
    let pixels: Vec<u8> = responses.iter().flat_map(color).collect();
    uri(&pixels, SIDE, ExtendedColorType::Rgb8)
}

/// The PNG of a square image; the same pixels give the same bytes.
fn uri(pixels: &[u8], side: usize, kind: ExtendedColorType) -> Uri {
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(pixels, side as u32, side as u32, kind)
        .expect("the pixels of a square, into memory");
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}
