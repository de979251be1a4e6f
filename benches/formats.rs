//! Reading and writing weights files of 1 GB in the page cache.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, BufReader};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stitch::run_folder::write_whole;
use stitch::tensor_files::{
    Dtype, Metadata, NamedTensor, ReadError, TensorFile, npz, safetensors, state_dict, torchscript,
};

/// Elements of each of the ten tensors of a file.
const ELEMENTS: usize = 25_000_000;

type Write = fn(&[NamedTensor]) -> Result<Vec<u8>, ReadError>;

const FORMATS: [(&str, Write); 4] = [
    ("state_dict", state_dict::write),
    ("torchscript", |tensors| {
        let (class, forward) = ("M".into(), "    return x\n".into());
        let program = torchscript::Program { class, forward, ..Default::default() };
        torchscript::write(&program, tensors)
    }),
    ("safetensors", |tensors| safetensors::write(tensors, &Metadata::new())),
    ("npz", npz::write),
];

fn formats(criterion: &mut Criterion) {
    let tensor = |i: usize| NamedTensor {
        name: format!("layer{i}.weight"),
        dtype: Dtype::F32,
        shape: vec![ELEMENTS],
        data: (0..ELEMENTS as u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect(),
    };
    let tensors: Vec<NamedTensor> = (0..10).map(tensor).collect();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut group = criterion.benchmark_group("1 GB");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for (name, write) in FORMATS {
        let path = folder.path().join(name);
        let encoded = write(&tensors).expect("the tensors can be written");
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        fs::write(&path, encoded).expect("the file can be written");
        group.bench_function(format!("write {name}"), |bencher| {
            bencher.iter(|| write_whole(&path, &write(&tensors).unwrap()).unwrap());
        });
        group.bench_function(format!("read {name}"), |bencher| {
            bencher.iter(|| {
                let mut file =
                    TensorFile::open(BufReader::new(File::open(&path).unwrap())).unwrap();
                for i in 0..file.specs().len() {
                    io::copy(&mut file.stream(i).unwrap(), &mut black_box(io::sink())).unwrap();
                }
            });
        });
        fs::remove_file(&path).expect("the file can be removed");
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
