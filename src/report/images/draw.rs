//! Computes and draws the images of a run.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use colorous::{PURPLE_ORANGE, VIRIDIS};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use tch::{Device, Kind, Tensor};

use super::{Example, Filter, Filters, Images, ImagesError, Uri};
use crate::dataset::{Split, picture};
use crate::evaluate::{elements, rows};
use crate::metrics::Confusion;
use crate::nn::{Conv2dOp, Model, Operand};
use crate::report::Run;

/// Number of confusions shown with images.
const PAIRS: usize = 5;
/// Number of images per confusion.
const EACH: usize = 8;
/// Number of images with the greatest loss.
const HARDEST: usize = 30;
/// Number of classes whose images the filters are shown with.
const SAMPLES: usize = 10;
/// Number of images over which a filter's responses are averaged.
const AVERAGED: usize = 1000;

impl Images {
    /// The images of a run; `logits` (N, classes) are those of `model` for the images of `test`.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn new(
        run: &Run,
        model: &Model,
        test: &Split,
        logits: &Tensor,
    ) -> Result<Self, ImagesError> {
        if run.truth != test.labels {
            return Err(ImagesError::OtherImages);
        }
        let log_probabilities = rows(&logits.log_softmax(-1, Kind::Double));
        if log_probabilities.iter().flatten().any(|log| log.is_nan()) {
            return Err(ImagesError::NotFinite);
        }
        let example = |index: usize| example(run, test, &log_probabilities[index], index);
        let pair = |confusion: Confusion| {
            let of_pair = |&index: &usize| {
                usize::from(run.truth[index]) == confusion.truth
                    && usize::from(run.predicted[index]) == confusion.predicted
            };
            let images = (0..test.len()).filter(of_pair);
            let confidence = |&index: &usize| log_probabilities[index][confusion.predicted];
            (confusion, greatest(images, confidence, EACH).into_iter().map(example).collect())
        };
        let loss = |&index: &usize| -log_probabilities[index][usize::from(run.truth[index])];
        let hardest = greatest(0..test.len(), loss, HARDEST);
        let argmax = |values: &[f64]| {
            // The first one in case of a tie, as in PyTorch.
            let better = |best, class| if values[class] > values[best] { class } else { best };
            (0..values.len()).reduce(better).unwrap_or(0)
        };
        let differs =
            |&(values, &predicted): &(&Vec<f64>, &u8)| argmax(values) != usize::from(predicted);
        Ok(Self {
            pairs: run.matrix.most_confused(PAIRS).into_iter().map(pair).collect(),
            hardest: hardest.into_iter().map(example).collect(),
            filters: Convolution::of(model).map(|first| filters(&first, test)),
            differing: log_probabilities.iter().zip(&run.predicted).filter(differs).count(),
        })
    }
}

/// The `n` images with the greatest `value`, greatest first; ties in their original order.
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

fn example(run: &Run, test: &Split, log_probabilities: &[f64], index: usize) -> Example {
    let [truth, predicted] = [&run.truth, &run.predicted].map(|labels| usize::from(labels[index]));
    Example {
        index,
        truth,
        predicted,
        of_predicted: log_probabilities[predicted].exp(),
        of_truth: log_probabilities[truth].exp(),
        // Adding 0 turns -0 into 0.
        loss: -log_probabilities[truth] + 0.0,
        image: image_uri(test, index),
    }
}

/// A test image as a PNG `data:` URI.
fn image_uri(test: &Split, index: usize) -> Uri {
    data_uri(&picture::to_png(test.image(index), test.shape).expect("the pixels of an image"))
}

/// A model's first operation, a convolution of the gray image.
struct Convolution<'a> {
    model: &'a Model,
    /// (C, 1, K, K)
    weight: &'a Tensor,
    /// C
    filters: usize,
    /// K
    side: usize,
    /// Size of the image and of the layer's output.
    size: (usize, usize),
}

impl<'a> Convolution<'a> {
    /// The first operation of a model; `None` if it is not such a convolution, or its filters are not square.
    fn of(model: &'a Model) -> Option<Self> {
        let first = model.graph().nodes().first()?;
        first.operation.downcast_ref::<Conv2dOp>()?;
        let Some(&Operand::Parameter(weight)) = first.inputs.get(1) else { return None };
        let weight = &model.parameters()[weight];
        let &[1, height, width] = model.graph().input() else { return None };
        let side = weight.size()[3];
        let square = weight.size()[1..] == [1, side, side];
        let fits = square && first.shape[2..] == [height, width];
        let (filters, side) = (weight.size()[0] as usize, side as usize);
        let size = (height as usize, width as usize);
        fits.then_some(Self { model, weight, filters, side, size })
    }

    /// The layer's output after ReLU (N, C, H, W), on the CPU.
    fn forward(&self, pixels: &[u8]) -> Tensor {
        tch::no_grad(|| {
            let images = self.model.images(pixels);
            self.model.first_output(&images).relu().to_device(Device::Cpu)
        })
    }
}

/// The filters, with their responses to the first image of each class and their mean responses to the classes.
fn filters(first: &Convolution, test: &Split) -> Filters {
    let of_class = |class| test.labels.iter().position(|&label| usize::from(label) == class);
    let classes = test.classes.len();
    let samples: Vec<usize> = (0..classes).filter_map(of_class).take(SAMPLES).collect();
    let mut shown = Vec::new();
    samples.iter().for_each(|&index| shown.extend_from_slice(test.image(index)));
    let weights = elements(&first.weight.to_device(Device::Cpu));
    let greatest = weights.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
    let responses = elements(&first.forward(&shown));
    let averages = averages(first, test);
    let size = first.side * first.side;
    let pixels = first.size.0 * first.size.1;
    let filter = |i: usize| {
        let map = |sample: usize| &responses[(sample * first.filters + i) * pixels..][..pixels];
        let strongest = (0..samples.len()).flat_map(map).fold(0.0, |a: f64, &b| a.max(b));
        let means = || (0..classes).filter_map(|class| Some((class, averages[class].as_ref()?[i])));
        let by_mean = |a: &(usize, f64), b: &(usize, f64)| -> Ordering { a.1.total_cmp(&b.1) };
        Filter {
            weights: weights_picture(&weights[i * size..][..size], first.side, greatest),
            responses: (0..samples.len())
                .map(|sample| response_picture(map(sample), first.size, strongest))
                .collect(),
            most: means().max_by(by_mean).unwrap_or_default(),
            least: means().min_by(by_mean).unwrap_or_default(),
        }
    };
    Filters {
        side: first.side,
        greatest,
        samples: (samples.iter())
            .map(|&at| (usize::from(test.labels[at]), image_uri(test, at)))
            .collect(),
        averaged: test.len().min(AVERAGED),
        filters: (0..first.filters).map(filter).collect(),
    }
}

/// Mean responses of the filters to each class; `None` for a class that does not occur.
fn averages(first: &Convolution, test: &Split) -> Vec<Option<Vec<f64>>> {
    let n = test.len().min(AVERAGED);
    let means = first.forward(&test.first(n).images).mean_dim([2i64, 3].as_slice(), false, None);
    let means = elements(&means);
    let average = |class: usize| {
        let of_class = || {
            let labelled = means.chunks_exact(first.filters).zip(&test.labels);
            labelled.filter(|(_, label)| usize::from(**label) == class).map(|(mean, _)| mean)
        };
        let count = of_class().count() as f64;
        let mean = |i: usize| of_class().map(|mean| mean[i]).sum::<f64>() / count;
        (count > 0.0).then(|| (0..first.filters).map(mean).collect())
    };
    (0..test.classes.len()).map(average).collect()
}

/// An image of weights: orange above zero, purple below, white at zero.
fn weights_picture(weights: &[f64], side: usize, greatest: f64) -> Uri {
    let color = |&weight: &f64| {
        let place = if greatest > 0.0 { 0.5 + weight / greatest / 2.0 } else { 0.5 };
        PURPLE_ORANGE.eval_continuous(place.clamp(0.0, 1.0)).into_array()
    };
    let pixels: Vec<u8> = weights.iter().flat_map(color).collect();
    uri(&pixels, (side, side))
}

/// An image of responses, in viridis from 0 to the strongest response.
fn response_picture(responses: &[f64], size: (usize, usize), strongest: f64) -> Uri {
    let color = |&response: &f64| {
        let place = if strongest > 0.0 { response / strongest } else { 0.0 };
        VIRIDIS.eval_continuous(place.clamp(0.0, 1.0)).into_array()
    };
    let pixels: Vec<u8> = responses.iter().flat_map(color).collect();
    uri(&pixels, size)
}

/// Encodes colors (R, G, B) of an image of this height and width as PNG; the same pixels give the same bytes.
fn uri(pixels: &[u8], (height, width): (usize, usize)) -> Uri {
    let mut png = Vec::new();
    PngEncoder::new(&mut png)
        .write_image(pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
        .expect("the pixels of an image, into memory");
    data_uri(&png)
}

fn data_uri(png: &[u8]) -> Uri {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png))
}
