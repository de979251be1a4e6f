//! One thread's part of a step: its blocks of images, its buffers and its gradients.

use std::ops::Range;

use aligned_vec::{AVec, avec};
use pulp::{Simd, WithSimd};

use super::batch_norm::{Factors, Sums};
use super::block::BlockPass;
use super::convolution::{pack, pack_transposed};
use super::linear;
use super::network::Network;
use super::shape::Planes;
use crate::dataset::{PIXELS, SIDE};
use crate::engine::Criterion;
use crate::libtorch::Vectors;

/// The images and labels of a batch that one replica processes.
#[derive(Debug, Clone, Copy)]
pub struct BatchPart<'a> {
    /// Pixels (N, 784).
    pub pixels: &'a [u8],
    /// Labels (N).
    pub labels: &'a [u8],
    /// The number of its first image in the batch.
    pub first: usize,
}

/// What all replicas read in a step.
#[derive(Debug, Clone, Copy)]
pub struct StepInput<'a> {
    pub network: &'a Network,
    pub vectors: Vectors,
    /// The flat tensor of all parameters.
    pub parameters: &'a [f32],
    /// The range of each parameter in it.
    pub ranges: &'a [Range<usize>],
    /// The factors of batch normalization after each convolution.
    pub factors: &'a [Factors],
    /// For each linear layer with dropout, the factor of each output (N, outputs); else empty.
    pub noise: &'a [Vec<f32>],
    /// Number of images in the whole batch, over which the loss is averaged.
    pub batch_size: usize,
    pub criterion: Criterion,
    /// The normalized value of each byte of an image.
    pub pixel_values: &'a [f32; 256],
}

impl<'a> StepInput<'a> {
    /// The values of parameter `i`.
    pub fn parameter(&self, i: usize) -> &'a [f32] {
        &self.parameters[self.ranges[i].clone()]
    }
}

/// A part of a step between two points at which the replicas wait for each other: batch normalization needs the sums of
/// the whole batch. It starts after such a point, and ends before the next one or at the end of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// From the beginning.
    Start,
    /// The forward pass from the batch normalization of this convolution on.
    Forward(usize),
    /// The backward pass from the batch normalization of this convolution on.
    Backward(usize),
}

/// The segments of a step, in order.
pub fn segments(network: &Network) -> Vec<Segment> {
    let convolutions = network.convolutions.iter().enumerate();
    let normalized = convolutions.filter(|(_, it)| it.batch_norm.is_some()).map(|(i, _)| i);
    let forward = normalized.clone().map(Segment::Forward);
    let backward = normalized.rev().map(Segment::Backward);
    std::iter::once(Segment::Start).chain(forward).chain(backward).collect()
}

/// One thread's gradients and buffers. Every buffer starts at a cache line.
#[derive(Debug)]
pub struct Replica {
    /// Sum of the losses of this replica's images.
    pub loss: f64,
    /// Gradients of the mean loss of the whole batch, summed over this replica's images, in the layout
    /// of the parameters.
    pub gradients: AVec<f32>,
    /// With batch normalization, the activations of all blocks of the part; else those of one block.
    blocks: Vec<Block>,
    scratch: Scratch,
}

/// Activations of one block that are kept between segments, and the gradients w.r.t. them.
#[derive(Debug)]
pub struct Block {
    /// The input of each convolution and of the first linear layer.
    pub inputs: Vec<AVec<f32>>,
    /// The output of each convolution.
    pub conv: Vec<AVec<f32>>,
    /// The gradient w.r.t. the pooled output of each convolution.
    pub grad_pooled: Vec<AVec<f32>>,
    /// 1 in lanes with an image, else 0.
    pub mask: AVec<f32>,
    /// Number of images.
    images: usize,
    /// Two sums per channel, for the next batch normalization.
    pub sums: Vec<[f64; 2]>,
}

/// Buffers that are not kept between blocks, and sums over all blocks.
#[derive(Debug)]
pub struct Scratch {
    /// Weights in the layouts of [`pack`] and [`pack_transposed`], for each convolution.
    pub packed: Vec<[AVec<f32>; 2]>,
    /// The gradient w.r.t. the output of each convolution.
    pub grad_conv: Vec<AVec<f32>>,
    /// The gradients w.r.t. weight and bias of each convolution, lane by lane.
    pub grad_parameters: Vec<[AVec<f32>; 2]>,
    /// The output of each linear layer after ReLU and dropout, and the gradient w.r.t. it.
    pub outputs: Vec<AVec<f32>>,
    pub grad_outputs: Vec<AVec<f32>>,
    /// The factors of dropout of each linear layer.
    pub noise: Vec<AVec<f32>>,
    pub transposed: AVec<f32>,
}

fn zeros(count: usize, lanes: usize) -> AVec<f32> {
    avec![0.0; count * lanes]
}

impl Block {
    fn new(network: &Network, lanes: usize) -> Self {
        let of = |shape: Planes| zeros(shape.len(), lanes);
        let layers = &network.convolutions;
        let last = layers.last().map(|it| of(it.pooled));
        Self {
            inputs: layers.iter().map(|it| of(it.input)).chain(last).collect(),
            conv: layers.iter().map(|it| of(it.output)).collect(),
            grad_pooled: layers.iter().map(|it| of(it.pooled.with_margin(0))).collect(),
            mask: zeros(1, lanes),
            images: 0,
            sums: Vec::new(),
        }
    }

    /// Writes the normalized pixels, one image per lane; lanes without an image are 0.
    fn load(&mut self, shape: Planes, pixels: &[u8], values: &[f32; 256]) {
        let lanes = self.mask.len();
        self.images = pixels.len() / PIXELS;
        for (lane, mask) in self.mask.iter_mut().enumerate() {
            *mask = if lane < self.images { 1.0 } else { 0.0 };
        }
        for (y, row) in self.inputs[0].chunks_exact_mut(shape.stride() * lanes).enumerate() {
            let row = &mut row[shape.margin * lanes..][..shape.width * lanes];
            if self.images < lanes {
                row.fill(0.0);
            }
            for (lane, image) in pixels.chunks_exact(PIXELS).enumerate() {
                let bytes = &image[y * SIDE..][..SIDE];
                for (x, &byte) in row[lane..].iter_mut().step_by(lanes).zip(bytes) {
                    *x = values[usize::from(byte)];
                }
            }
        }
    }
}

impl Scratch {
    fn new(network: &Network, lanes: usize) -> Self {
        let (convolutions, linears) = (&network.convolutions, &network.linears);
        let weights = || convolutions.iter().map(|it| it.output.channels * it.filter());
        let outputs = || linears.iter().map(|it| zeros(it.outputs, lanes)).collect();
        let widest = linears.iter().map(|it| it.inputs).max().unwrap_or(0);
        Self {
            packed: weights().map(|size| [zeros(size, 1), zeros(size, 1)]).collect(),
            grad_conv: (convolutions.iter().enumerate())
                .map(|(i, it)| zeros(it.grad_output(i).len(), lanes))
                .collect(),
            grad_parameters: (convolutions.iter().zip(weights()))
                .map(|(it, size)| [zeros(size, lanes), zeros(it.output.channels, lanes)])
                .collect(),
            outputs: outputs(),
            grad_outputs: outputs(),
            noise: outputs(),
            transposed: zeros(linear::stride(widest, lanes), lanes),
        }
    }

    /// Packs the weights, and sets the sums to 0.
    fn prepare(&mut self, step: &StepInput) {
        let lanes = step.vectors.lanes();
        for (i, layer) in step.network.convolutions.iter().enumerate() {
            let weight = step.parameter(layer.parameters[0]);
            let [packed, transposed] = &mut self.packed[i];
            let (filters, channels) = (layer.output.channels, layer.input.channels);
            pack(weight, filters, lanes, packed);
            if i > 0 {
                pack_transposed(weight, filters, channels, lanes, transposed);
            }
        }
        self.grad_parameters.iter_mut().flatten().for_each(|sums| sums.fill(0.0));
    }
}

impl Replica {
    /// Allocates the buffers for a flat tensor of this many parameters, and blocks of `lanes` images.
    pub fn new(network: &Network, parameters: usize, lanes: usize) -> Self {
        let (blocks, scratch) = (Vec::new(), Scratch::new(network, lanes));
        Self { loss: 0.0, gradients: zeros(parameters, 1), blocks, scratch }
    }

    /// The sums of each block with images for the next batch normalization, whose input has `plane` elements per
    /// channel.
    pub fn sums(&self, plane: usize) -> impl Iterator<Item = Sums<'_>> {
        let blocks = self.blocks.iter().filter(|block| block.images > 0);
        blocks.map(move |block| (block.images * plane, &block.sums[..]))
    }

    /// Computes a segment of a step. The segments of a step overwrite loss and gradients.
    pub fn run(&mut self, segment: Segment, is_last: bool, step: &StepInput, part: BatchPart) {
        let lanes = step.vectors.lanes();
        let keeps_blocks = step.network.convolutions.iter().any(|it| it.batch_norm.is_some());
        if segment == Segment::Start {
            self.loss = 0.0;
            // Else all gradients are overwritten; those of batch normalization are in the first replica, and 0 in the others.
            if part.labels.is_empty() {
                self.gradients.fill(0.0);
            }
            self.scratch.prepare(step);
            let blocks = part.labels.len().div_ceil(lanes);
            let count = if keeps_blocks { blocks } else { blocks.min(1) };
            let new = || Block::new(step.network, lanes);
            self.blocks.resize_with(self.blocks.len().max(count), new);
            self.blocks.iter_mut().for_each(|block| block.images = 0);
        }
        let images = part.pixels.chunks(lanes * PIXELS).zip(part.labels.chunks(lanes));
        for (index, (pixels, labels)) in images.enumerate() {
            let block = &mut self.blocks[if keeps_blocks { index } else { 0 }];
            if segment == Segment::Start {
                block.load(step.network.convolutions[0].input, pixels, step.pixel_values);
            }
            let mut pass = BlockPass {
                step,
                block,
                scratch: &mut self.scratch,
                gradients: &mut self.gradients,
                loss: &mut self.loss,
                labels,
                first: part.first + index * lanes,
                is_first: index == 0,
            };
            match segment {
                Segment::Start => pass.forward(0),
                Segment::Forward(i) => {
                    pass.pool(i);
                    pass.forward(i + 1);
                }
                Segment::Backward(i) => {
                    pass.convolution_backward(i);
                    pass.backward(i);
                }
            }
        }
        if is_last {
            step.vectors.dispatch(ReduceLanes(self, step));
        }
    }
}

/// Writes the sums over the lanes of the gradients of the convolutions.
struct ReduceLanes<'a, 'b>(&'a mut Replica, &'a StepInput<'b>);

impl WithSimd for ReduceLanes<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self(Replica { gradients, scratch, .. }, step) = self;
        for (layer, sums) in step.network.convolutions.iter().zip(&scratch.grad_parameters) {
            for (&parameter, sums) in layer.parameters.iter().zip(sums) {
                let gradient = &mut gradients[step.ranges[parameter].clone()];
                for (sum, &lanes) in gradient.iter_mut().zip(S::as_simd_f32s(sums).0) {
                    *sum = simd.reduce_sum_f32s(lanes);
                }
            }
        }
    }
}
