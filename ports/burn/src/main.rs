//! LeNet-5 of tests/reference/notebook.py as a port to burn, traced for `stitch parity`. examples/cpp/lenet5.py is the
//! loop in Python; docs/ports.md compares the two.
//!
//!     lenet5-burn --reference TRACE --out TRACE [--fused-conv1] [--float64-adam] [--python-epsilon]
//!
//! The reference is the trace of the Python run: the port takes its initial parameters, its batches and its dtype.

mod adam;
mod parameters;
#[path = "../../reference.rs"]
mod reference;

use std::collections::HashMap;
use std::fs::File;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::module::unfold4d;
use burn::tensor::ops::UnfoldOptions;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use stitch_trace::{Dtype, Place, Writer, stage};

use adam::{Adam, Step};
use parameters::{Initialize, Values};
use reference::{Elements, Flags, Reference, Result};

const LR: f64 = 2e-3;

#[derive(Module, Debug)]
struct LeNet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: AvgPool2d,
}

/// Path, class and output of a module.
type Output = (&'static str, &'static str, TensorData);

impl LeNet5 {
    fn new(device: &Device) -> Self {
        let padding_2 = PaddingConfig2d::Explicit(2, 2, 2, 2);
        Self {
            conv1: Conv2dConfig::new([1, 6], [5, 5]).with_padding(padding_2).init(device),
            conv2: Conv2dConfig::new([6, 16], [5, 5]).init(device),
            fc1: LinearConfig::new(400, 120).init(device),
            fc2: LinearConfig::new(120, 84).init(device),
            fc3: LinearConfig::new(84, 10).init(device),
            pool: AvgPool2dConfig::new([2, 2]).init(),
        }
    }

    /// With the initial values of the Python run.
    fn initialized(self, reference: &mut Reference, device: &Device) -> Result<Self> {
        let mut values = HashMap::new();
        for (name, _) in Values::of_parameters(&self) {
            let value = data(reference.tensor(&format!("init/{name}"))?)?;
            values.insert(name, value);
        }
        Ok(self.map(&mut Initialize::new(values, device)))
    }

    /// The logits, and the outputs of the modules.
    fn forward(&self, images: Tensor<4>, fused_conv1: bool) -> (Tensor<2>, Vec<Output>) {
        let conv1 = match fused_conv1 {
            true => fused_conv1_forward(&self.conv1, images),
            false => self.conv1.forward(images),
        };
        let conv2 = self.conv2.forward(self.pool.forward(relu(conv1.clone())));
        let fc1 = self.fc1.forward(self.pool.forward(relu(conv2.clone())).flatten(1, 3));
        let fc2 = self.fc2.forward(relu(fc1.clone()));
        let fc3 = self.fc3.forward(relu(fc2.clone()));
        let outputs = vec![
            ("conv1", "Conv2d", conv1.into_data()),
            ("conv2", "Conv2d", conv2.into_data()),
            ("fc1", "Linear", fc1.into_data()),
            ("fc2", "Linear", fc2.into_data()),
            ("fc3", "Linear", fc3.to_data()),
        ];
        (fc3, outputs)
    }
}

/// conv1 as a product of matrices, (6, 25) x (N, 25, 784), which burn computes with fused multiply-adds, as Python does
/// conv1. burn's convolution of few channels rounds each product before it is added.
fn fused_conv1_forward(conv1: &Conv2d, images: Tensor<4>) -> Tensor<4> {
    let [samples, ..] = images.dims();
    let patches = unfold4d(images, [5, 5], UnfoldOptions::new([1, 1], [2, 2], [1, 1]));
    let weight: Tensor<3> = conv1.weight.val().reshape([1, 6, 25]);
    let bias: Tensor<3> = conv1.bias.as_ref().expect("conv1 has a bias").val().reshape([1, 6, 1]);
    (weight.matmul(patches) + bias).reshape([samples, 6, 28, 28])
}

fn data(Elements { dtype, shape, bytes }: Elements) -> Result<TensorData> {
    let dtype = match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        other => return Err(format!("{other} is not expected").into()),
    };
    Ok(TensorData::from_bytes_vec(bytes, shape, dtype))
}

/// A trace that takes burn's tensors, as `TensorData`.
struct Trace(Writer<File, File>);

impl Trace {
    fn record(&mut self, stage: &str, name: &str, at: Place, data: &TensorData) -> Result<()> {
        let dtype = match data.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I64 => Dtype::I64,
            other => return Err(format!("{other:?} is not recorded").into()),
        };
        Ok(self.0.record(stage, name, at, dtype, data.shape().as_slice(), data.as_bytes())?)
    }

    fn record_all(
        &mut self,
        stage: &str,
        at: Place,
        tensors: &[(String, TensorData)],
    ) -> Result<()> {
        tensors.iter().try_for_each(|(name, data)| self.record(stage, name, at, data))
    }
}

fn main() -> Result<()> {
    let flags = Flags::parse(&["--fused-conv1", "--float64-adam", "--python-epsilon"])?;
    let mut reference = Reference::open(&flags.reference)?;
    let mut trace = Trace(Writer::create(&flags.out, "lenet5")?);
    // In float64, outputs of conv1 exceed the default limit.
    trace.0.keep_up_to(2 << 20);

    let device = Device::flex().autodiff();
    let mut model = LeNet5::new(&device).initialized(&mut reference, &device)?;
    trace.record_all(stage::INIT, Place::RUN, &Values::of_parameters(&model))?;

    // burn's default.
    let (mut settings, mut epsilon) = (AdamConfig::new(), 1e-5);
    if flags.has("--python-epsilon") {
        (settings, epsilon) = (settings.with_epsilon(1e-8), 1e-8);
    }
    let adam = match flags.has("--float64-adam") {
        true => Adam::Float64 { epsilon },
        false => Adam::Burn(settings.build()),
    };
    let mut states = HashMap::new();
    let loss_function = CrossEntropyLossConfig::new().init(&device);

    for step in 1..=reference.steps() {
        let at = Place::step(step);
        let mut batch = |name| data(reference.tensor(&format!("batch/step={step}/{name}"))?);
        let (images, labels) = (batch("images")?, batch("labels")?);
        trace.record(stage::BATCH, "images", at, &images)?;
        trace.record(stage::BATCH, "labels", at, &labels)?;

        let dtype = images.dtype();
        let (logits, outputs) =
            model.forward(Tensor::from_data(images, (&device, dtype)), flags.has("--fused-conv1"));
        for (module, class, output) in &outputs {
            trace.0.set_class(Some(class));
            trace.record(stage::FORWARD, module, at, output)?;
        }
        trace.0.set_class(None);
        trace.record(stage::LOGITS, "logits", at, &logits.to_data())?;
        let labels = Tensor::<1, Int>::from_data(labels, (&device, DType::I64));
        let loss = loss_function.forward(logits, labels);
        trace.record(stage::LOSS, "loss", at, &loss.to_data())?;

        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        trace.record_all(stage::GRADIENT, at, &Values::of_gradients(&model, &gradients))?;
        trace.0.record(stage::LEARNING_RATE, "0", at, Dtype::F64, &[], &LR.to_le_bytes())?;
        let mut update = Step::new(&adam, LR, gradients, states);
        model = model.map(&mut update);
        trace.record_all(stage::EXP_AVG, at, &update.exp_avg)?;
        trace.record_all(stage::EXP_AVG_SQ, at, &update.exp_avg_sq)?;
        states = update.states;
        trace.record_all(stage::PARAMETER, at, &Values::of_parameters(&model))?;
        println!("step {step}: loss {:.6}", loss.into_data().iter::<f64>().sum::<f64>());
    }
    trace.0.finish()?;
    Ok(())
}
