//! The parts of a run that libtorch has no share in, or a small one: assembling a batch, Adam, the
//! data set's files, LeNet-5's weights file.

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use stitch::dataset::{CLASSES, PIXELS, SIDE, Split, idx};
use stitch::formats::{read_weights, state_dict};
use stitch::models::weights::to_named;
use stitch::models::{Lenet5, Mlp, Model};
use stitch::optim::{Optimizer, SklearnAdam, TorchAdam};
use tch::{Device, Tensor};

/// Images of the training half.
const IMAGES: usize = 60_000;

/// Grey with runs of black, so that it packs about as well as clothes do.
fn pixels(count: usize) -> Vec<u8> {
    let byte = |i: u32| if i % 28 < 14 { 0 } else { (i.wrapping_mul(2_654_435_761) >> 24) as u8 };
    (0..(count * PIXELS) as u32).map(byte).collect()
}

/// `Split::gather` of images all over the data set, then the model's input.
fn batches(criterion: &mut Criterion) {
    let labels = (0..IMAGES).map(|i| (i % CLASSES) as u8).collect();
    let split = Split { images: pixels(IMAGES).into(), labels };
    let models: [Box<dyn Model>; 2] =
        [Box::new(Lenet5::zeros(Device::Cpu)), Box::new(Mlp::zeros(Device::Cpu))];
    let mut group = criterion.benchmark_group("batch");
    for size in [64, 1024] {
        let indices: Vec<u32> =
            (0..size).map(|i: u32| i.wrapping_mul(2_654_435_761) % IMAGES as u32).collect();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        group.throughput(Throughput::Elements(u64::from(size)));
        group.bench_function(BenchmarkId::new("gather", size), |bencher| {
            bencher.iter(|| split.gather(black_box(&indices), &mut pixels, &mut labels));
        });
        for model in &models {
            let name = format!("input {}", model.entry());
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| black_box(model.input(black_box(&pixels))));
            });
        }
    }
    group.finish();
}

/// One step over each model's flat buffer.
fn adam(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adam");
    let mut bench = |name: &str, optimizer: &mut dyn Optimizer, parameters: &Tensor| {
        let gradients = [parameters.ones_like() * 1e-3];
        group.throughput(Throughput::Elements(parameters.numel() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| optimizer.step(&gradients)));
    };
    let lenet5 = Lenet5::zeros(Device::Cpu);
    let all = lenet5.flat().all();
    bench("torch, lenet5", &mut TorchAdam::new(vec![all.shallow_clone()], 1e-3), all);
    let mlp = Mlp::zeros(Device::Cpu);
    let all = mlp.flat().all();
    bench("sklearn, mlp", &mut SklearnAdam::new(vec![all.shallow_clone()], 1e-3), all);
    group.finish();
}

/// The training images, from memory.
fn images(criterion: &mut Criterion) {
    let mut plain = Vec::new();
    for number in [idx::IMAGES_MAGIC, IMAGES as u32, SIDE as u32, SIDE as u32] {
        plain.extend(number.to_be_bytes());
    }
    plain.extend(pixels(IMAGES));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).expect("memory can be written");
    let packed = encoder.finish().expect("memory can be written");
    let mut group = criterion.benchmark_group("idx");
    group.sample_size(20).throughput(Throughput::Bytes(plain.len() as u64));
    let read = |from: &mut dyn Read| black_box(idx::read_images(from).unwrap());
    group.bench_function("plain", |bencher| bencher.iter(|| read(&mut &plain[..])));
    group.bench_function("gz", |bencher| bencher.iter(|| read(&mut GzDecoder::new(&packed[..]))));
    group.finish();
}

/// A state_dict of LeNet-5, in memory.
fn weights(criterion: &mut Criterion) {
    let tensors = to_named(&Lenet5::zeros(Device::Cpu));
    let file = state_dict::write(&tensors).expect("the tensors can be written");
    let mut group = criterion.benchmark_group("state_dict");
    group.throughput(Throughput::Bytes(file.len() as u64));
    group.bench_function("write lenet5", |bencher| {
        bencher.iter(|| state_dict::write(black_box(&tensors)).unwrap());
    });
    group.bench_function("read lenet5", |bencher| {
        bencher.iter(|| read_weights(black_box(&file)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, batches, adam, images, weights);
criterion_main!(benches);
