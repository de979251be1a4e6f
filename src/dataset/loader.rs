//! `torch.utils.data.DataLoader` with `num_workers=0` over a data set in memory: batches of samples, and their order
//! in an epoch.

use std::ops::{Div, Sub};

use tch::{Device, Kind, Tensor};

use stitch_run::{Augment, Normalize};

use super::{Split, transforms};
use crate::libtorch::{filled, generator, in_parts};
use crate::rng::torch::Generator;

/// Minimum number of bytes per thread.
const GRAIN: usize = 1 << 14;

/// Images and labels of one training step.
///
/// ```
/// use stitch::dataset::loader::Batch;
/// use tch::{Device, Kind};
///
/// let batch = Batch { pixels: vec![255; 2 * 784], labels: vec![3, 7] };
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.images(&[1, 28, 28], Kind::Float, Device::Cpu).size(), [2, 1, 28, 28]);
/// assert_eq!(batch.labels(Device::Cpu).int64_value(&[1]), 7);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The bytes of each image ([`Split::images`]).
    pub pixels: Vec<u8>,
    /// One label per image.
    pub labels: Vec<u8>,
}

impl Batch {
    /// Number of images, which is smaller in the last batch if the batch size does not divide the data set.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether the batch has no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images as a normalized tensor, see [`images`].
    pub fn images(&self, shape: &[i64], kind: Kind, device: Device) -> Tensor {
        images(&self.pixels, shape, kind, device)
    }

    /// The labels as an int64 tensor (N).
    pub fn labels(&self, device: Device) -> Tensor {
        let labels: Vec<i64> = self.labels.iter().map(|&label| label.into()).collect();
        Tensor::from_slice(&labels).to_device(device)
    }
}

/// Normalizes the bytes of N images to a tensor (N, shape…): each byte is divided by 255 in float64 and then converted to
/// `kind`, as by `torch.tensor(X / 255.0, dtype=…)`. `shape` has as many elements as an image has bytes.
///
/// ```
/// use stitch::dataset::loader::images;
/// use tch::{Device, Kind};
///
/// let xs = images(&[51; 784], &[1, 28, 28], Kind::Float, Device::Cpu);
/// assert_eq!(xs.size(), [1, 1, 28, 28]);
/// assert_eq!(xs.double_value(&[0, 0, 0, 0]), f64::from(0.2f32));
/// ```
///
/// # Panics
/// If `kind` is neither float32 nor float64, or the bytes are not those of whole images of this shape.
pub fn images(pixels: &[u8], shape: &[i64], kind: Kind, device: Device) -> Tensor {
    normalized_images(pixels, shape, (kind, device), &Normalize::default())
}

/// [`images`], then `torchvision.transforms.Normalize` of torchvision 0.28 in the type `kind`.
///
/// # Panics
/// As [`images`].
pub fn normalized_images(
    pixels: &[u8],
    shape: &[i64],
    (kind, device): (Kind, Device),
    normalize: &Normalize,
) -> Tensor {
    let bytes = shape.iter().product::<i64>() as usize;
    assert!(bytes > 0 && pixels.len().is_multiple_of(bytes), "images of {bytes} bytes");
    let n = (pixels.len() / bytes) as i64;
    let size = [&[n], shape].concat();
    let xs = match kind {
        Kind::Float => {
            normalized::<f32>(pixels, &size, &channel_values(normalize, |value| value as f32))
        }
        Kind::Double => normalized::<f64>(pixels, &size, &channel_values(normalize, |value| value)),
        kind => panic!("images of type {kind:?}: Float or Double is expected"),
    };
    xs.to_device(device)
}

fn normalized<T: tch::kind::Element + Copy + Send + Sync>(
    pixels: &[u8],
    size: &[i64],
    channels: &[[T; 256]],
) -> Tensor {
    filled(size, |xs: &mut [T]| {
        let [values] = channels else {
            // Each channel of an image has a plane of its own.
            let plane = size[1..].iter().product::<i64>() as usize / channels.len();
            let planes =
                xs.chunks_mut(plane).zip(pixels.chunks(plane)).zip(channels.iter().cycle());
            return planes.for_each(|((xs, bytes), values)| {
                xs.iter_mut().zip(bytes).for_each(|(x, &byte)| *x = values[usize::from(byte)]);
            });
        };
        in_parts((pixels.len(), GRAIN), [xs], [pixels], |[xs], [bytes]| {
            for (x, &byte) in xs.iter_mut().zip(bytes) {
                *x = values[usize::from(byte)];
            }
        });
    })
}

/// The normalized value of each byte in each channel; one channel if all are alike.
fn channel_values<T: Copy + Sub<Output = T> + Div<Output = T>>(
    normalize: &Normalize,
    convert: impl Fn(f64) -> T,
) -> Vec<[T; 256]> {
    match normalize.channels() {
        [] => vec![byte_values(None, convert)],
        channels => channels.iter().map(|it| byte_values(Some(it), &convert)).collect(),
    }
}

/// The normalized value of each byte: divided by 255 in float64, converted, then `sub(mean).div_(std)` with the channel's
/// converted mean and standard deviation.
pub(crate) fn byte_values<T: Copy + Sub<Output = T> + Div<Output = T>>(
    channel: Option<&[f64; 2]>,
    convert: impl Fn(f64) -> T,
) -> [T; 256] {
    std::array::from_fn(|byte| {
        let x = convert(byte as f64 / 255.0);
        channel.map_or(x, |&[mean, std]| (x - convert(mean)) / convert(std))
    })
}

/// The batches of one epoch. Not an iterator, because each batch reuses the memory of the previous one.
///
/// ```
/// use stitch::dataset::loader::Batches;
/// # use stitch::dataset::Split;
/// # let split = Split::new(vec![51; 5 * 784], vec![0, 1, 2, 3, 4]);
/// let mut batches = Batches::new(&split, &[4, 2, 0], 2);
/// assert_eq!(batches.next_batch().unwrap().labels, [4, 2]);
/// assert_eq!(batches.next_batch().unwrap().labels, [0]);
/// assert!(batches.next_batch().is_none());
/// ```
#[derive(Debug)]
pub struct Batches<'a> {
    split: &'a Split,
    order: &'a [u32],
    batch_size: usize,
    augment: Option<&'a Augment>,
    drop_last: bool,
    batch: Batch,
}

impl<'a> Batches<'a> {
    /// Divides the samples `order` of `split` into batches of `batch_size`; the last one may be smaller.
    pub fn new(split: &'a Split, order: &'a [u32], batch_size: usize) -> Self {
        let batch = Batch::default();
        Self { split, order, batch_size, augment: None, drop_last: false, batch }
    }

    /// Sets whether the last batch is left out if it is smaller than the others.
    pub fn drop_last(self, drop_last: bool) -> Self {
        Self { drop_last, ..self }
    }

    /// Applies random transforms to each image when its batch is read, in the order of the samples. Skipped batches draw
    /// nothing.
    pub fn augment(self, augment: &'a Augment) -> Self {
        Self { augment: Some(augment), ..self }
    }

    /// Skips the first `batches` batches.
    pub fn skip(mut self, batches: usize) -> Self {
        let samples = self.order.len().min(batches.saturating_mul(self.batch_size));
        self.order = &self.order[samples..];
        self
    }

    /// The next batch; `None` at the end.
    ///
    /// # Panics
    /// If a sample is not in the split.
    pub fn next_batch(&mut self) -> Option<&Batch> {
        if self.drop_last && self.order.len() < self.batch_size {
            return None;
        }
        let (indices, rest) = self.order.split_at(self.order.len().min(self.batch_size));
        self.order = rest;
        let Batch { pixels, labels } = &mut self.batch;
        // First, since an index that is out of range panics here, and would abort the process in `gather`.
        labels.clear();
        labels.extend(indices.iter().map(|&i| self.split.labels[i as usize]));
        gather(self.split, indices, pixels);
        if let Some(augment) = self.augment {
            let shape = self.split.shape;
            pixels.chunks_mut(shape.bytes()).for_each(|it| transforms::apply(augment, it, shape));
        }
        (!indices.is_empty()).then_some(&self.batch)
    }
}

/// Replaces `pixels` by those of the images `indices`, in that order. Multithreaded: most of the time, the images are not in the
/// cache.
fn gather(split: &Split, indices: &[u32], pixels: &mut Vec<u8>) {
    let bytes = split.shape.bytes();
    pixels.resize(indices.len() * bytes, 0);
    in_parts((indices.len(), GRAIN.div_ceil(bytes)), [pixels], [indices], |[pixels], [indices]| {
        for (pixels, &i) in pixels.chunks_exact_mut(bytes).zip(indices) {
            pixels.copy_from_slice(split.image(i as usize));
        }
    });
}

/// The sampler of `DataLoader(dataset, batch_size, shuffle=True)`: the order of an epoch is the `randperm` of a new
/// generator, whose seed is drawn from libtorch's global generator at the start of the epoch. With `shuffle=False`, the
/// order is that of the data set.
///
/// ```
/// use stitch::dataset::loader::RandomSampler;
///
/// tch::manual_seed(0);
/// let mut sampler = RandomSampler::new(5);
/// let mut order = sampler.next_order();
/// assert_eq!(order, sampler.order());
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
#[derive(Debug)]
pub struct RandomSampler {
    n: usize,
    shuffle: bool,
    seed: i64,
}

impl RandomSampler {
    /// Creates a sampler for `n` samples.
    pub fn new(n: usize) -> Self {
        Self { n, shuffle: true, seed: 0 }
    }

    /// Sets whether each epoch has a new random order.
    pub fn shuffle(self, shuffle: bool) -> Self {
        Self { shuffle, ..self }
    }

    /// Draws the order of a new epoch. Like a pass over a `DataLoader`, this draws the base seed of the workers, which
    /// is not used, and then, if it shuffles, the sampler's seed.
    pub fn next_order(&mut self) -> Vec<u32> {
        let _base_seed = generator::random();
        if self.shuffle {
            self.seed = generator::random();
        }
        self.order()
    }

    /// The order of the current epoch.
    pub fn order(&self) -> Vec<u32> {
        match self.shuffle {
            true => Generator::new(self.seed as u64).randperm(self.n as u32),
            false => (0..self.n as u32).collect(),
        }
    }

    /// The seed of the current epoch.
    pub(crate) fn seed(&self) -> i64 {
        self.seed
    }

    /// Sets the seed of the current epoch, to resume it.
    pub(crate) fn set_seed(&mut self, seed: i64) {
        self.seed = seed;
    }
}

/// `DataLoader(TensorDataset(images, labels), batch_size, shuffle)` with float32 images (N, C, H, W) and
/// int64 labels (N).
///
/// ```
/// # use stitch::dataset::{Split, loader::DataLoader};
/// # let train = Split::new(vec![0; 5 * 784], vec![0, 1, 2, 3, 4]);
/// tch::manual_seed(0);
/// let loader = DataLoader::new(&train, 2).shuffle(true);
/// let sizes: Vec<i64> = loader.iter().map(|(_images, labels)| labels.size()[0]).collect();
/// assert_eq!(sizes, [2, 2, 1]);
/// ```
#[derive(Debug)]
pub struct DataLoader<'a> {
    split: &'a Split,
    batch_size: usize,
    shuffle: bool,
    augment: Augment,
}

impl<'a> DataLoader<'a> {
    /// Creates a loader that keeps the order of the data set. A `batch_size` of 0 counts as 1.
    pub fn new(split: &'a Split, batch_size: usize) -> Self {
        Self { split, batch_size: batch_size.max(1), shuffle: false, augment: Augment::default() }
    }

    /// Sets whether each epoch has a new random order.
    pub fn shuffle(self, shuffle: bool) -> Self {
        Self { shuffle, ..self }
    }

    /// Sets random transforms of the images: those of a data set with a `transform`, drawn sample by sample as with
    /// `num_workers=0`.
    pub fn augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }

    /// Starts an epoch and returns its batches: images and labels. As in Python, this draws from libtorch's global
    /// generator even without shuffling.
    pub fn iter(&self) -> impl Iterator<Item = (Tensor, Tensor)> + use<'a> {
        let order = RandomSampler::new(self.split.len()).shuffle(self.shuffle).next_order();
        let (split, batch_size, mut start) = (self.split, self.batch_size, 0);
        let augment = self.augment.clone();
        std::iter::from_fn(move || {
            let batches = Batches::new(split, &order[start..], batch_size);
            let mut batches = batches.augment(&augment);
            let batch = batches.next_batch()?;
            start += batch.len();
            let shape = split.shape.sizes().map(|size| size as i64);
            let images = batch.images(&shape, Kind::Float, Device::Cpu);
            Some((images, batch.labels(Device::Cpu)))
        })
    }
}
