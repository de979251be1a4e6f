//! A network of your own, trained as the notebook trains LeNet-5: the class, then the loop.
//!
//!     own_model --data data/fashion-mnist --epochs 1 --batch-size 64 --seed 0 --threads 2 --out own.pt
//!
//! `own_model.py` is the same program in Python, line by line and with the same flags. `stitch parity
//! twin.pt own.pt` finds the two files equal, bit for bit.
//!
//! Here it is an example (`cargo run --release --example own_model`). A crate of your own has these files
//! beside `src/main.rs`:
//!
//! Cargo.toml
//! ```toml
//! [package]
//! name = "own_model"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [dependencies]
//! stitch = { path = "../stitch" }
//! tch = "0.26"
//! ```
//! build.rs, so that the program finds libtorch without `LD_LIBRARY_PATH`
//! ```ignore
//! fn main() {
//!     println!("cargo::rustc-link-arg=-Wl,-rpath,{}", std::env::var("DEP_STITCH_LIBTORCH_LIB").unwrap());
//! }
//! ```
//! .cargo/config.toml
//! ```toml
//! [env]
//! LIBTORCH = { value = "../stitch/.libtorch", relative = true }
//! ```

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs};

use stitch::dataset::{loader::DataLoader, source};
use stitch::evaluate::evaluate;
use stitch::nn::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Dropout, Linear, Model, Module, Scope,
    Value, cross_entropy, flatten, max_pool2d, relu,
};
use stitch::optim::{Adam, Optimizer};
use stitch::tensor_files::state_dict;
use tch::Kind;

/// `class Net(nn.Module)`
pub struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    dropout: Dropout,
    fc: Linear,
}

impl Net {
    /// `__init__`
    pub fn new(vs: &Scope) -> Self {
        let padding_1 = Conv2dConfig { padding: [1, 1], ..Default::default() };
        Self {
            conv1: Conv2d::new(vs / "conv1", 1, 8, 3, padding_1),
            bn1: BatchNorm2d::new(vs / "bn1", 8, BatchNorm2dConfig::default()),
            conv2: Conv2d::new(vs / "conv2", 8, 8, 3, padding_1),
            bn2: BatchNorm2d::new(vs / "bn2", 8, BatchNorm2dConfig::default()),
            dropout: Dropout::new(vs / "dropout", 0.25),
            fc: Linear::new(vs / "fc", 8 * 14 * 14, 10),
        }
    }
}

impl Module for Net {
    fn forward(&self, x: Value) -> Value {
        let x = max_pool2d(relu(self.bn1.forward(self.conv1.forward(x))), 2);
        let y = self.bn2.forward(self.conv2.forward(x.clone()));
        let x = relu(x + y);
        let x = self.dropout.forward(flatten(x, 1));
        self.fc.forward(x)
    }
}

fn train(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let data = source::load(source::find(flags.data.as_deref())?)?;
    if let Some(threads) = flags.threads {
        tch::set_num_threads(threads as i32);
    }

    tch::manual_seed(flags.seed);
    let model = Model::new("Net", &[1, 28, 28], Kind::Float, Net::new)?;
    let loader = DataLoader::new(&data.train, flags.batch_size as usize).shuffle(true);
    let mut optimizer = Adam::new(model.parameters(), 1e-3);

    for epoch in 1..=flags.epochs {
        let mut total = 0.0;
        for (xs, ys) in loader.iter() {
            optimizer.zero_grad();
            let logits = model.forward(&xs, true);
            let loss = cross_entropy(&logits, &ys);
            loss.backward();
            optimizer.step();
            total += loss.double_value(&[]) * ys.numel() as f64;
        }
        println!("epoch {epoch}/{}: loss {:.6}", flags.epochs, total / data.train.len() as f64);
    }
    // The same loop, to the same bits, with the kernels of the exact engine in place of autograd:
    //
    //     let config = TrainConfig::new("Net", epochs, batch_size, 1e-3);
    //     let mut trainer = Trainer::pytorch(model, &config, &data.train)?;
    //     let on_event: OnEvent = &mut |_event, _progress, _trainer| ControlFlow::Continue(());
    //     fit(&mut trainer, &config, &data.train, None, Progress::default(), on_event, None)?;
    //     let model = trainer.into_model();

    println!("test accuracy {:.4}", evaluate(&model, &data.test).report.accuracy);
    fs::write(&flags.out, state_dict::write(&model.state_dict())?)
        .map_err(|error| format!("--out {} cannot be written: {error}", flags.out.display()))?;
    Ok(())
}

/// The command line.
pub struct Flags {
    data: Option<PathBuf>,
    epochs: i64,
    batch_size: i64,
    seed: i64,
    threads: Option<i64>,
    out: PathBuf,
}

/// Reads the command line; an error says which flag is wrong.
pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Flags, String> {
    let mut flags = Flags {
        data: None,
        epochs: 1,
        batch_size: 64,
        seed: 0,
        threads: None,
        out: "own.pt".into(),
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(format!("{flag}: its value is missing"))?;
        let whole = |least: i64| match value.parse() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(format!("{flag} is {value}: a whole number of at least {least} is expected")),
        };
        match flag.as_str() {
            "--data" => flags.data = Some(value.into()),
            "--epochs" => flags.epochs = whole(1)?,
            "--batch-size" => flags.batch_size = whole(1)?,
            "--seed" => flags.seed = whole(0)?,
            "--threads" => flags.threads = Some(whole(1)?),
            "--out" => flags.out = value.into(),
            _ => {
                let known = "--data, --epochs, --batch-size, --seed, --threads and --out";
                return Err(format!("{flag} is unknown: the flags are {known}"));
            }
        }
    }
    Ok(flags)
}

fn main() -> ExitCode {
    let done = parse(env::args().skip(1)).map_err(Into::into).and_then(|flags| train(&flags));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
