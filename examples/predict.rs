//! predict MODULE IMAGE: the class of a 28x28 picture (binary PGM, light on dark) and its logits, by
//! the torchscript.pt of a run.

use std::error::Error;
use std::{env, fs};

use tch::{CModule, Kind, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let [_, module, image] = &arguments[..] else {
        return Err("usage: predict MODULE IMAGE".into());
    };
    let logits = predict(module, &read_pixels(image)?)?;
    println!("class {}", logits.argmax(None, false).int64_value(&[]));
    println!("logits {:?}", Vec::<f64>::try_from(logits.to_kind(Kind::Double).view([-1]))?);
    Ok(())
}

/// The pixels, (1, 1, 28, 28), after the header of the PGM: `P5`, width, height and the largest value.
pub fn read_pixels(path: &str) -> Result<Tensor, Box<dyn Error>> {
    let file = fs::read(path).map_err(|error| format!("cannot open {path}: {error}"))?;
    let expected = || format!("{path}: expected a binary PGM of 28x28 pixels");
    let (header, pixels) = file.split_last_chunk::<784>().ok_or_else(expected)?;
    let header = String::from_utf8_lossy(header);
    // A # begins a comment.
    let lines = header.lines().filter_map(|line| line.split('#').next());
    if !lines.flat_map(str::split_whitespace).eq(["P5", "28", "28", "255"]) {
        return Err(expected().into());
    }
    Ok(Tensor::from_slice(pixels).view([1, 1, 28, 28]))
}

/// The logits, (1, 10).
pub fn predict(path: &str, pixels: &Tensor) -> Result<Tensor, Box<dyn Error>> {
    let module = CModule::load(path)?;
    let kind = module.named_parameters()?[0].1.kind();
    let xs = (pixels.to_kind(Kind::Double) / 255.0).to_kind(kind);
    let logits = tch::no_grad(|| module.forward_ts(&[xs]))?;
    Ok(logits)
}
