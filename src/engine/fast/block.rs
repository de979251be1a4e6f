//! The forward and backward pass of one block of images.

use std::ops::Range;

use super::batch_norm::Statistics;
use super::convolution::{Correlate, GradWeight, backward_group, group};
use super::pool::{self, GradientSums, Pooling};
use super::replica::{Block, Scratch, StepInput};
use super::shape::Planes;
use super::{linear, loss};

/// One block, and what its passes read and write.
#[derive(Debug)]
pub struct BlockPass<'a> {
    pub step: &'a StepInput<'a>,
    pub block: &'a mut Block,
    pub scratch: &'a mut Scratch,
    /// The gradients of all parameters. The first block overwrites those of linear layers, the others add to them.
    pub gradients: &'a mut [f32],
    /// The losses of the block are added to it.
    pub loss: &'a mut f64,
    pub labels: &'a [u8],
    /// The number of the first image in the batch.
    pub first: usize,
    /// Whether this is the replica's first block.
    pub is_first: bool,
}

impl BlockPass<'_> {
    /// The forward pass from convolution `first` on, up to the next batch normalization; without one up to the loss,
    /// and then the backward pass.
    pub fn forward(&mut self, first: usize) {
        let convolutions = &self.step.network.convolutions;
        for (i, layer) in convolutions.iter().enumerate().skip(first) {
            self.convolution(i);
            if layer.batch_norm.is_some() {
                return;
            }
        }
        self.linear_forward();
        let logits = self.scratch.outputs.last().expect("a linear layer");
        let grad_logits = self.scratch.grad_outputs.last_mut().expect("a linear layer");
        grad_logits.copy_from_slice(logits);
        let StepInput { batch_size, criterion, vectors, .. } = *self.step;
        *self.loss += loss::loss(criterion, grad_logits, vectors.lanes(), self.labels, batch_size);
        self.linear_backward();
        self.backward(convolutions.len());
    }

    /// The backward pass through the convolutions before `end`, from the last one to the next batch normalization.
    pub fn backward(&mut self, end: usize) {
        for i in (0..end).rev() {
            if self.step.network.convolutions[i].batch_norm.is_some() {
                self.gradient_sums(i);
                return;
            }
            self.convolution_backward(i);
        }
    }

    /// Convolution `i`, with the statistics of its output for batch normalization; without one with ReLU and pooling.
    fn convolution(&mut self, i: usize) {
        let (layer, lanes) = (&self.step.network.convolutions[i], self.step.vectors.lanes());
        let Block { inputs, conv, mask, sums, .. } = &mut *self.block;
        let (inputs, outputs) = inputs.split_at_mut(i + 1);
        let bias = self.step.parameter(layer.parameters[1]);
        sums.clear();
        sums.resize(bias.len(), [0.0; 2]);
        // Tile by tile of filters, so that the second pass over the output finds it in the cache.
        let group = group(bias.len(), lanes);
        let weights = self.scratch.packed[i][0].chunks_exact(group * layer.filter());
        for (number, (weight, bias)) in weights.zip(bias.chunks_exact(group)).enumerate() {
            let channels = number * group..(number + 1) * group;
            let output = &mut conv[i][elements(layer.output, lanes, &channels)];
            self.step.vectors.dispatch(Correlate {
                input: &inputs[i],
                input_shape: layer.input,
                kernel_size: layer.kernel_size,
                weight,
                bias,
                output,
                width: layer.output.width,
            });
            if layer.batch_norm.is_some() {
                let (shape, statistics) = (layer.output, &mut sums[channels]);
                self.step.vectors.dispatch(Statistics { input: output, shape, mask, statistics });
            } else {
                let pooled = &mut outputs[0][elements(layer.pooled, lanes, &channels)];
                let pooling = pooling(self.step, &conv[i], i, channels);
                self.step.vectors.dispatch(pool::Forward(pooling, pooled));
            }
        }
    }

    /// Batch normalization, ReLU and pooling after convolution `i`.
    pub fn pool(&mut self, i: usize) {
        let channels = 0..self.step.network.convolutions[i].output.channels;
        let pooling = pooling(self.step, &self.block.conv[i], i, channels);
        self.step.vectors.dispatch(pool::Forward(pooling, &mut self.block.inputs[i + 1]));
    }

    /// The sums for the backward pass of the batch normalization after convolution `i`.
    fn gradient_sums(&mut self, i: usize) {
        let Block { conv, grad_pooled, sums, .. } = &mut *self.block;
        let mean = &self.step.factors[i].mean;
        let pooling = pooling(self.step, &conv[i], i, 0..mean.len());
        sums.clear();
        sums.resize(mean.len(), [0.0; 2]);
        self.step.vectors.dispatch(GradientSums {
            pooling,
            grad_pooled: &grad_pooled[i],
            mean,
            sums,
        });
    }

    /// The backward pass of pooling, ReLU, batch normalization and convolution `i`.
    pub fn convolution_backward(&mut self, i: usize) {
        let layer = &self.step.network.convolutions[i];
        let (block, grad_conv) = (&mut *self.block, &mut self.scratch.grad_conv[i]);
        let [grad_weight, grad_bias] = &mut self.scratch.grad_parameters[i];
        let (filters, lanes) = (layer.output.channels, self.step.vectors.lanes());
        let group = backward_group(filters, lanes);
        let shape = layer.grad_output(i);
        // As in the forward pass. Without a gradient w.r.t. the input, all tiles use the same memory.
        let tiles = grad_weight.chunks_exact_mut(group * layer.filter() * lanes);
        for (number, grad_weight) in tiles.enumerate() {
            let channels = number * group..(number + 1) * group;
            let stored = if i > 0 { channels.clone() } else { 0..group };
            let grad_conv = &mut grad_conv[elements(shape, lanes, &stored)];
            let grad_pooled = elements(layer.pooled.with_margin(0), lanes, &channels);
            self.step.vectors.dispatch(pool::Backward {
                pooling: pooling(self.step, &block.conv[i], i, channels.clone()),
                grad_pooled: &block.grad_pooled[i][grad_pooled],
                gradient: &self.step.factors[i].gradient[channels.clone()],
                mask: &block.mask,
                grad_conv,
                grad_conv_shape: shape,
                grad_bias: &mut grad_bias[channels.start * lanes..channels.end * lanes],
            });
            self.step.vectors.dispatch(GradWeight {
                input: &block.inputs[i],
                input_shape: layer.input,
                grad_output: grad_conv,
                grad_output_shape: Planes { channels: group, ..shape },
                kernel_size: layer.kernel_size,
                grad_weight,
            });
        }
        if let Some(before) = i.checked_sub(1) {
            self.step.vectors.dispatch(Correlate {
                input: grad_conv,
                input_shape: shape,
                kernel_size: layer.kernel_size,
                weight: &self.scratch.packed[i][1],
                bias: &vec![0.0; layer.input.channels],
                output: &mut block.grad_pooled[before],
                width: layer.input.width,
            });
        }
    }

    /// The linear layers, each with ReLU and dropout.
    fn linear_forward(&mut self) {
        let Scratch { outputs, noise, .. } = &mut *self.scratch;
        for (l, layer) in self.step.network.linears.iter().enumerate() {
            let (before, rest) = outputs.split_at_mut(l);
            let (input, output) = (before.last().or(self.block.inputs.last()), &mut rest[0]);
            let [weight, bias] = layer.parameters.map(|i| self.step.parameter(i));
            let input = input.expect("an input");
            self.step.vectors.dispatch(linear::Forward { input, weight, bias, output });
            if layer.relu {
                // NaN stays NaN.
                output.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
            }
            if layer.dropout.is_some() {
                let first = &self.step.noise[l][self.first * layer.outputs..];
                load_noise(first, self.labels.len(), self.step.vectors.lanes(), &mut noise[l]);
                output.iter_mut().zip(noise[l].iter()).for_each(|(x, &factor)| *x *= factor);
            }
        }
    }

    /// The backward pass of the linear layers, from the gradient w.r.t. the logits.
    fn linear_backward(&mut self) {
        let Scratch { outputs, grad_outputs, noise, transposed, .. } = &mut *self.scratch;
        for (l, layer) in self.step.network.linears.iter().enumerate().rev() {
            let (before, rest) = grad_outputs.split_at_mut(l);
            let (grad_input, grad_output) =
                (before.last_mut().or(self.block.grad_pooled.last_mut()), &mut rest[0]);
            if layer.dropout.is_some() {
                grad_output.iter_mut().zip(noise[l].iter()).for_each(|(x, &factor)| *x *= factor);
            }
            if layer.relu {
                // Where dropout has set the output to 0, the gradient is 0 already.
                let outputs = outputs[l].iter();
                let pairs = grad_output.iter_mut().zip(outputs);
                pairs.for_each(|(grad, &output)| *grad = if output > 0.0 { *grad } else { 0.0 });
            }
            let input = outputs[..l].last().or(self.block.inputs.last()).expect("an input");
            let ranges = layer.parameters.map(|i| self.step.ranges[i].clone());
            let gradients = self.gradients.get_disjoint_mut(ranges);
            let [grad_weight, grad_bias] = gradients.expect("parameters do not overlap");
            self.step.vectors.dispatch(linear::Backward {
                input,
                weight: self.step.parameter(layer.parameters[0]),
                grad_output,
                transposed,
                is_first: self.is_first,
                grad_weight,
                grad_bias,
                grad_input: grad_input.expect("an input"),
            });
        }
    }
}

/// What follows these channels of convolution `i`, whose output is `conv`.
fn pooling<'a>(
    step: &'a StepInput,
    conv: &'a [f32],
    i: usize,
    channels: Range<usize>,
) -> Pooling<'a> {
    let (layer, factors) = (&step.network.convolutions[i], &step.factors[i]);
    Pooling {
        pool: layer.pool,
        conv: &conv[elements(layer.output, step.vectors.lanes(), &channels)],
        conv_shape: layer.output,
        pooled_shape: layer.pooled,
        scale: &factors.scale[channels.clone()],
        shift: &factors.shift[channels],
    }
}

/// The range of the elements of channels.
fn elements(shape: Planes, lanes: usize, channels: &Range<usize>) -> Range<usize> {
    let plane = shape.plane() * lanes;
    channels.start * plane..channels.end * plane
}

/// Writes the factors (N, outputs) of a block's images, one image per lane; lanes without an image are 0.
fn load_noise(factors: &[f32], images: usize, lanes: usize, noise: &mut [f32]) {
    let outputs = noise.len() / lanes;
    noise.fill(0.0);
    for (lane, row) in factors.chunks_exact(outputs).take(images).enumerate() {
        noise[lane..].iter_mut().step_by(lanes).zip(row).for_each(|(to, &from)| *to = from);
    }
}
