//! LeNet-5 of tests/reference/notebook.py as a port to candle, traced for `stitch parity`. examples/cpp/lenet5.py is
//! the loop in Python; docs/ports.md compares the two.
//!
//!     lenet5-candle --reference TRACE --out TRACE [--mkl-sums] [--no-weight-decay]
//!
//! The reference is the trace of the Python run: the port takes its initial parameters, its batches and its dtype.

#[path = "../../reference.rs"]
mod reference;

use std::fs::File;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{AdamW, Conv2d, Conv2dConfig, Linear, Module, Optimizer, ParamsAdamW, loss};
use reference::{Elements, Flags, Reference, Result};
use stitch_trace::{Dtype, Place, Writer, stage};

const LR: f64 = 2e-3;

struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    /// Linear layers sum in the order of MKL.
    mkl_sums: bool,
}

/// Path, class and output of a module.
type Output = (&'static str, &'static str, Tensor);

impl LeNet5 {
    /// The five layers in the order of the notebook; `parameter` gives the initial values by their names.
    fn new(mkl_sums: bool, mut parameter: impl FnMut(&str) -> Result<Tensor>) -> Result<Self> {
        let mut pair = |layer| -> Result<_> {
            let weight = parameter(&format!("{layer}.weight"))?;
            Ok((weight, Some(parameter(&format!("{layer}.bias"))?)))
        };
        let conv = |(weight, bias), padding| {
            Conv2d::new(weight, bias, Conv2dConfig { padding, ..Default::default() })
        };
        let linear = |(weight, bias)| Linear::new(weight, bias);
        Ok(Self {
            conv1: conv(pair("conv1")?, 2),
            conv2: conv(pair("conv2")?, 0),
            fc1: linear(pair("fc1")?),
            fc2: linear(pair("fc2")?),
            fc3: linear(pair("fc3")?),
            mkl_sums,
        })
    }

    /// The outputs of the modules; the last one is the logits.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Vec<Output>> {
        let conv1 = self.conv1.forward(images)?;
        let conv2 = self.conv2.forward(&conv1.relu()?.avg_pool2d(2)?)?;
        let linear = if self.mkl_sums { mkl_linear } else { Linear::forward };
        let fc1 = linear(&self.fc1, &conv2.relu()?.avg_pool2d(2)?.flatten_from(1)?)?;
        let fc2 = linear(&self.fc2, &fc1.relu()?)?;
        let fc3 = linear(&self.fc3, &fc2.relu()?)?;
        Ok(vec![
            ("conv1", "Conv2d", conv1),
            ("conv2", "Conv2d", conv2),
            ("fc1", "Linear", fc1),
            ("fc2", "Linear", fc2),
            ("fc3", "Linear", fc3),
        ])
    }
}

/// A linear layer in the order of MKL (2024.2, with AVX-512): the bias, then the sum of each block of 192 products.
/// candle sums all products, then adds the bias.
fn mkl_linear(layer: &Linear, xs: &Tensor) -> candle_core::Result<Tensor> {
    let (rows, inputs) = xs.dims2()?;
    let bias = layer.bias().expect("all layers have a bias");
    let mut sum = bias.broadcast_as((rows, bias.dim(0)?))?;
    for start in (0..inputs).step_by(192) {
        let length = 192.min(inputs - start);
        let weight = layer.weight().narrow(1, start, length)?;
        sum = (sum + xs.narrow(1, start, length)?.matmul(&weight.t()?)?)?;
    }
    Ok(sum)
}

fn tensor(Elements { dtype, shape, bytes }: Elements) -> Result<Tensor> {
    let dtype = match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        other => return Err(format!("{other} is not expected").into()),
    };
    Ok(Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu)?)
}

/// A trace that takes candle's tensors.
struct Trace(Writer<File, File>);

impl Trace {
    fn record(&mut self, stage: &str, name: &str, at: Place, tensor: &Tensor) -> Result<()> {
        let dtype = match tensor.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I64 => Dtype::I64,
            other => return Err(format!("{other:?} is not recorded").into()),
        };
        let mut bytes = Vec::new();
        tensor.write_bytes(&mut bytes)?;
        Ok(self.0.record(stage, name, at, dtype, tensor.dims(), &bytes)?)
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse(&["--mkl-sums", "--no-weight-decay"])?;
    let mut reference = Reference::open(&flags.reference)?;
    let mut trace = Trace(Writer::create(&flags.out, "lenet5")?);
    // In float64, outputs of conv1 exceed the default limit.
    trace.0.keep_up_to(2 << 20);

    let mut parameters: Vec<(String, Var)> = Vec::new();
    let model = LeNet5::new(flags.has("--mkl-sums"), |name| {
        let initial = Var::from_tensor(&tensor(reference.tensor(&format!("init/{name}"))?)?)?;
        trace.record(stage::INIT, name, Place::RUN, &initial)?;
        parameters.push((name.to_owned(), initial.clone()));
        Ok(initial.as_tensor().clone())
    })?;
    let mut settings = ParamsAdamW { lr: LR, ..Default::default() };
    if flags.has("--no-weight-decay") {
        settings.weight_decay = 0.0;
    }
    let vars = parameters.iter().map(|(_, var)| var.clone()).collect();
    let mut optimizer = AdamW::new(vars, settings)?;

    for step in 1..=reference.steps() {
        let at = Place::step(step);
        let mut batch = |name| tensor(reference.tensor(&format!("batch/step={step}/{name}"))?);
        let (images, labels) = (batch("images")?, batch("labels")?);
        trace.record(stage::BATCH, "images", at, &images)?;
        trace.record(stage::BATCH, "labels", at, &labels)?;

        let outputs = model.forward(&images)?;
        for (module, class, output) in &outputs {
            trace.0.set_class(Some(class));
            trace.record(stage::FORWARD, module, at, output)?;
        }
        trace.0.set_class(None);
        let logits = &outputs[4].2;
        trace.record(stage::LOGITS, "logits", at, logits)?;
        let loss = loss::cross_entropy(logits, &labels)?;
        trace.record(stage::LOSS, "loss", at, &loss)?;

        let gradients = loss.backward()?;
        for (name, parameter) in &parameters {
            let gradient =
                gradients.get(parameter).ok_or_else(|| format!("{name}: no gradient"))?;
            trace.record(stage::GRADIENT, name, at, gradient)?;
        }
        let lr = optimizer.learning_rate().to_le_bytes();
        trace.0.record(stage::LEARNING_RATE, "0", at, Dtype::F64, &[], &lr)?;
        // AdamW does not show its moments.
        optimizer.step(&gradients)?;
        for (name, parameter) in &parameters {
            trace.record(stage::PARAMETER, name, at, parameter)?;
        }
        println!("step {step}: loss {:.6}", loss.to_dtype(DType::F64)?.to_scalar::<f64>()?);
    }
    trace.0.finish()?;
    Ok(())
}
