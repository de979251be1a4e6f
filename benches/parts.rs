//! The parts of a run that libtorch has no share in, or a small one: assembling a batch, the optimizer, the
//! data set's files, LeNet-5's weights file.

use std::hint::black_box;
use std::io::{Read, Write};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use stitch::dataset::loader::{Batch, images as normalized};
use stitch::dataset::{CLASSES, PIXELS, SIDE, Split, idx};
use stitch::models::{MODELS, named};
use stitch::tensor_files::{read_weights, state_dict};
use stitch::train::Trainer;
use tch::Device;

/// Images of the training half.
const IMAGES: usize = 60_000;

/// Gray with runs of black, so that it packs about as well as clothes do.
fn pixels(count: usize) -> Vec<u8> {
    let byte = |i: u32| if i % 28 < 14 { 0 } else { (i.wrapping_mul(2_654_435_761) >> 24) as u8 };
    (0..(count * PIXELS) as u32).map(byte).collect()
}

/// `Split::gather` of images all over the data set, then the model's input.
fn batches(criterion: &mut Criterion) {
    let labels = (0..IMAGES).map(|i| (i % CLASSES) as u8).collect();
    let split = Split::new(pixels(IMAGES), labels);
    let mut group = criterion.benchmark_group("batch");
    for size in [64, 1024] {
        let indices: Vec<u32> =
            (0..size).map(|i: u32| i.wrapping_mul(2_654_435_761) % IMAGES as u32).collect();
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        group.throughput(Throughput::Elements(u64::from(size)));
        group.bench_function(BenchmarkId::new("gather", size), |bencher| {
            bencher.iter(|| split.gather(black_box(&indices), &mut pixels, &mut labels));
        });
        for entry in MODELS {
            let (shape, kind) = (entry.input, entry.kind());
            group.bench_function(BenchmarkId::new(format!("input {entry}"), size), |bencher| {
                let bytes = black_box(&pixels);
                bencher.iter(|| black_box(normalized(bytes, shape, kind, Device::Cpu)));
            });
        }
    }
    group.finish();
}

/// The optimizer's step of each model, over its buffer of all parameters.
fn optimizer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("optimizer");
    for &entry in MODELS {
        let labels: Vec<u8> = (0..CLASSES as u8).collect();
        let data = Split::new(pixels(CLASSES), labels.clone());
        let mut trainer = Trainer::new(&entry.config(), &data).expect("all classes are there");
        let batch = Batch { pixels: pixels(CLASSES), labels };
        let engine = trainer.engine_mut();
        engine.forward(&batch);
        engine.loss(&batch);
        engine.backward();
        group.throughput(Throughput::Elements(entry.parameter_count()));
        group.bench_function(entry.name, |bencher| bencher.iter(|| engine.step()));
    }
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
    let lenet5 = named("lenet5").expect("the registry has it");
    let tensors = lenet5.zeros(lenet5.options(), Device::Cpu).state_dict();
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

criterion_group!(benches, batches, optimizer, images, weights);
criterion_main!(benches);
