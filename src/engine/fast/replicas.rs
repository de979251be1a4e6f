//! One training step: the forward and backward pass of all replicas, then the optimizer's update, both multithreaded.

use std::any::Any;
use std::ops::Range;

use tch::{Device, Kind, Tensor};

use super::adam::{self, ParameterChunk, Update};
use super::batch_norm::{Factors, Sums};
use super::network::Network;
use super::replica::{BatchPart, Replica, Segment, StepInput, segments};
use crate::dataset::PIXELS;
use crate::dataset::loader::{Batch, byte_values};
use crate::engine::Criterion;
use crate::libtorch::{Vectors, filled, in_parts, values, values_mut};
use crate::nn::{Model, Operation};
use crate::optim::{Adam, Optimizer};

/// One replica of the network per thread.
#[derive(Debug)]
pub struct Replicas {
    network: Network,
    vectors: Vectors,
    /// The range of each parameter in the flat tensor of all parameters.
    ranges: Vec<Range<usize>>,
    /// For the pass over the output of each convolution.
    factors: Vec<Factors>,
    replicas: Vec<Replica>,
    criterion: Criterion,
    /// The normalized value of each byte of an image.
    pixel_values: [f32; 256],
}

impl Replicas {
    /// Creates replicas of a model's network, for batches of about `batch_size` images: one per thread, but no more than blocks
    /// of images.
    pub fn new(
        network: Network,
        model: &Model,
        (threads, batch_size): (usize, usize),
        criterion: Criterion,
    ) -> Self {
        let vectors = vectors(threads, batch_size);
        let lanes = vectors.lanes();
        let threads = threads.min(batch_size.div_ceil(lanes)).max(1);
        let count = model.flat().all().numel();
        Self {
            ranges: model.flat().ranges().collect(),
            factors: (network.convolutions.iter())
                .map(|layer| Factors::new(layer.output.channels))
                .collect(),
            replicas: (0..threads).map(|_| Replica::new(&network, count, lanes)).collect(),
            network,
            vectors,
            criterion,
            pixel_values: byte_values(model.normalize().channels().first(), |value| value as f32),
        }
    }

    /// Computes the gradients for one batch, and updates the running statistics; returns its mean loss.
    pub fn forward_backward(&mut self, model: &Model, batch: &Batch) -> f64 {
        let noise = self.draw_noise(batch.len());
        let parts = parts(batch, self.replicas.len(), self.vectors.lanes());
        let segments = segments(&self.network);
        for (number, &segment) in segments.iter().enumerate() {
            self.synchronize(segment, model);
            let Self { network, vectors, ranges, factors, replicas, criterion, pixel_values } =
                self;
            let step = StepInput {
                network,
                vectors: *vectors,
                parameters: values(model.flat().all()),
                ranges,
                factors,
                noise: &noise,
                batch_size: batch.len(),
                criterion: *criterion,
                pixel_values,
            };
            let is_last = number + 1 == segments.len();
            in_parts((replicas.len(), 1), [replicas], [&parts], |[replicas], [parts]| {
                for (replica, &part) in replicas.iter_mut().zip(parts) {
                    replica.run(segment, is_last, &step, part);
                }
            });
        }
        self.replicas.iter().map(|replica| replica.loss).sum::<f64>() / batch.len() as f64
    }

    /// Draws the factors of dropout, by libtorch's operation on ones, so that the draws are PyTorch's.
    fn draw_noise(&self, batch_size: usize) -> Vec<Vec<f32>> {
        let draw = |layer: &super::network::Linear| {
            let Some(dropout) = layer.dropout else { return Vec::new() };
            let shape = [batch_size as i64, layer.outputs as i64];
            let ones = Tensor::ones(shape, (Kind::Float, Device::Cpu));
            values(&dropout.forward(&[&ones], true).contiguous()).to_vec()
        };
        self.network.linears.iter().map(draw).collect()
    }

    /// Combines the replicas' sums for the batch normalization with which a segment starts.
    fn synchronize(&mut self, segment: Segment, model: &Model) {
        let Self { network, ranges, factors, replicas, .. } = self;
        let (Segment::Forward(i) | Segment::Backward(i)) = segment else { return };
        let layer = &network.convolutions[i];
        let Some(batch_norm) = &layer.batch_norm else { return };
        let ranges = batch_norm.parameters.map(|i| ranges[i].clone());
        let parameters = values::<f32>(model.flat().all());
        let values = ranges.clone().map(|range| &parameters[range]);
        let plane = layer.output.plane();
        let parts: Vec<Sums> = replicas.iter().flat_map(|it| it.sums(plane)).collect();
        if let Segment::Forward(_) = segment {
            factors[i].set_forward(batch_norm, values, &parts, model.buffers());
            return;
        }
        let gradients = factors[i].set_backward(values[0], &parts);
        for (range, gradient) in ranges.into_iter().zip(gradients) {
            replicas[0].gradients[range].copy_from_slice(&gradient);
        }
    }

    /// The gradients of each replica.
    #[cfg(test)]
    pub fn gradients(&self) -> impl Iterator<Item = &[f32]> {
        self.replicas.iter().map(|replica| &replica.gradients[..])
    }

    /// Performs one update of the flat tensor of all parameters.
    pub fn update(&mut self, optimizer: &mut dyn Optimizer) {
        if let Some(adam) = (optimizer as &mut dyn Any).downcast_mut() {
            return self.update_adam(adam);
        }
        let (first, others) = self.replicas.split_first().expect("at least one replica");
        let gradient = filled(&[first.gradients.len() as i64], |sum: &mut [f32]| {
            sum.copy_from_slice(&first.gradients);
            for replica in others {
                sum.iter_mut().zip(replica.gradients.iter()).for_each(|(sum, &x)| *sum += x);
            }
        });
        optimizer.update(&[gradient]);
    }

    /// [`Adam`]'s update; each thread updates one chunk.
    fn update_adam(&mut self, adam: &mut Adam) {
        let factors = adam::Factors::next(adam);
        let written = [&mut adam.parameters[0], &mut adam.exp_avg[0], &mut adam.exp_avg_sq[0]];
        let [parameters, exp_avg, exp_avg_sq] = written.map(values_mut::<f32>);
        let size = parameters.len().div_ceil(self.replicas.len()).next_multiple_of(16);
        let moments = exp_avg.chunks_mut(size).zip(exp_avg_sq.chunks_mut(size));
        let mut chunks: Vec<ParameterChunk> =
            (parameters.chunks_mut(size).zip(moments).enumerate())
                .map(|(i, (parameters, (exp_avg, exp_avg_sq)))| {
                    let range = i * size..i * size + parameters.len();
                    let gradients =
                        self.replicas.iter().map(|r| &r.gradients[range.clone()]).collect();
                    ParameterChunk { parameters, exp_avg, exp_avg_sq, gradients }
                })
                .collect();
        let (count, vectors) = (chunks.len(), self.vectors);
        in_parts::<_, (), 1, 0>((count, 1), [&mut chunks], [], |[chunks], []| {
            for chunk in chunks {
                vectors.dispatch(Update(factors, chunk));
            }
        });
    }
}

/// The longest vectors of this CPU; or half as long ones, if no thread then has more blocks of images: more threads have one, and
/// a block takes at most as long.
fn vectors(threads: usize, batch_size: usize) -> Vectors {
    let longest = Vectors::longest();
    let blocks = |it: &Vectors| batch_size.div_ceil(it.lanes()).div_ceil(threads);
    longest.half().filter(|half| blocks(half) <= blocks(&longest)).unwrap_or(longest)
}

/// The part of a batch of each replica: the same number of full blocks for every replica except the last ones.
fn parts(batch: &Batch, replicas: usize, lanes: usize) -> Vec<BatchPart<'_>> {
    let n = batch.len();
    let size = n.div_ceil(lanes).div_ceil(replicas) * lanes;
    let part = |i: usize| {
        let range = (i * size).min(n)..((i + 1) * size).min(n);
        let pixels = &batch.pixels[range.start * PIXELS..range.end * PIXELS];
        BatchPart { pixels, first: range.start, labels: &batch.labels[range] }
    };
    (0..replicas).map(part).collect()
}
