//! The notebook's LeNet-5 loop in candle, with the flags and the `metrics.json` of
//! `benches/contenders/pytorch.py`. Same model, same bounds of the initial weights, Adam without
//! weight decay; not the same draws, so its bits are its own.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Conv2d, Conv2dConfig, Linear, Module, Optimizer, ParamsAdamW, loss};
use clap::Parser;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

#[derive(Parser)]
struct Args {
    /// Folder with the four unpacked files of the data set
    #[arg(long)]
    data: PathBuf,
    /// Folder to write metrics.json to
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Images of each epoch to train on, for a part of an epoch
    #[arg(long, default_value_t = 60_000)]
    images: usize,
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Checked only: candle takes its threads from RAYON_NUM_THREADS
    #[arg(long)]
    threads: Option<usize>,
}

struct Lenet5 {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

/// Draws parameters within PyTorch's default bounds, 1 / sqrt(fan-in), and keeps them for Adam.
struct Draws {
    rng: StdRng,
    vars: Vec<Var>,
}

impl Draws {
    fn layer(&mut self, shape: &[usize]) -> Result<(Tensor, Option<Tensor>)> {
        let bound = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
        Ok((self.uniform(shape, bound)?, Some(self.uniform(&shape[..1], bound)?)))
    }

    fn uniform(&mut self, shape: &[usize], bound: f32) -> Result<Tensor> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.rng.random_range(-bound..bound)).collect();
        let var = Var::from_vec(values, shape, &Device::Cpu)?;
        self.vars.push(var.clone());
        Ok(var.as_tensor().clone())
    }
}

impl Lenet5 {
    fn new(draws: &mut Draws) -> Result<Self> {
        let mut linear = |shape| draws.layer(shape).map(|(ws, bs)| Linear::new(ws, bs));
        let (fc1, fc2, fc3) = (linear(&[120, 400])?, linear(&[84, 120])?, linear(&[10, 84])?);
        let mut conv = |shape, padding| {
            let config = Conv2dConfig { padding, ..Default::default() };
            draws.layer(shape).map(|(ws, bs)| Conv2d::new(ws, bs, config))
        };
        let (conv1, conv2) = (conv(&[6, 1, 5, 5], 2)?, conv(&[16, 6, 5, 5], 0)?);
        Ok(Self { conv1, conv2, fc1, fc2, fc3 })
    }
}

impl Module for Lenet5 {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let xs = self.conv1.forward(xs)?.relu()?.avg_pool2d(2)?;
        let xs = self.conv2.forward(&xs)?.relu()?.avg_pool2d(2)?.flatten_from(1)?;
        let xs = self.fc2.forward(&self.fc1.forward(&xs)?.relu()?)?.relu()?;
        self.fc3.forward(&xs)
    }
}

/// Images (N, 1, 28, 28) divided by 255, labels (N).
fn load(folder: &Path, half: &str) -> std::result::Result<(Tensor, Tensor), Box<dyn Error>> {
    let images = fs::read(folder.join(format!("{half}-images-idx3-ubyte")))?;
    let labels = fs::read(folder.join(format!("{half}-labels-idx1-ubyte")))?;
    let pixels: Vec<f32> =
        images[16..].iter().map(|&byte| (f64::from(byte) / 255.0) as f32).collect();
    let labels: Vec<u32> = labels[8..].iter().map(|&label| u32::from(label)).collect();
    let n = labels.len();
    Ok((
        Tensor::from_vec(pixels, (n, 1, 28, 28), &Device::Cpu)?,
        Tensor::from_vec(labels, n, &Device::Cpu)?,
    ))
}

/// One pass over the training images; returns the mean loss.
fn epoch(
    model: &Lenet5,
    adam: &mut AdamW,
    (images, labels): (&Tensor, &Tensor),
    order: &[u32],
    batch_size: usize,
) -> Result<f64> {
    let mut total = 0.0;
    for batch in order.chunks(batch_size) {
        let indices = Tensor::from_slice(batch, batch.len(), &Device::Cpu)?;
        let (xs, ys) = (images.index_select(&indices, 0)?, labels.index_select(&indices, 0)?);
        let loss = loss::cross_entropy(&model.forward(&xs)?, &ys)?;
        adam.backward_step(&loss)?;
        total += f64::from(loss.to_scalar::<f32>()?) * batch.len() as f64;
    }
    Ok(total / order.len() as f64)
}

fn accuracy(model: &Lenet5, images: &Tensor, labels: &Tensor) -> Result<f64> {
    let predicted = model.forward(images)?.argmax(D::Minus1)?;
    let right = predicted.eq(labels)?.to_dtype(DType::F64)?;
    right.mean_all()?.to_scalar()
}

fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok().map(|kib: u64| kib * 1024)
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.threads.is_some_and(|threads| threads != candle_core::utils::get_num_threads()) {
        return Err("--threads differs from RAYON_NUM_THREADS".into());
    }
    let (images, labels) = load(&args.data, "train")?;
    let mut draws = Draws { rng: StdRng::seed_from_u64(args.seed), vars: Vec::new() };
    let model = Lenet5::new(&mut draws)?;
    let Draws { mut rng, vars } = draws;
    let mut adam =
        AdamW::new(vars, ParamsAdamW { lr: args.lr, weight_decay: 0.0, ..Default::default() })?;
    let mut order: Vec<u32> = (0..labels.elem_count() as u32).collect();
    let start = Instant::now();
    let mut train_loss = 0.0;
    for _ in 0..args.epochs {
        order.shuffle(&mut rng);
        let part = &order[..args.images.min(order.len())];
        train_loss = epoch(&model, &mut adam, (&images, &labels), part, args.batch_size)?;
    }
    let train_seconds = start.elapsed().as_secs_f64();
    let (test_images, test_labels) = load(&args.data, "t10k")?;
    let metrics = serde_json::json!({
        "test_accuracy": accuracy(&model, &test_images, &test_labels)?,
        "train_loss": train_loss,
        "train_seconds": train_seconds,
        "peak_rss_bytes": peak_rss_bytes(),
    });
    fs::create_dir_all(&args.out)?;
    fs::write(args.out.join("metrics.json"), format!("{metrics:#}\n"))?;
    Ok(())
}
