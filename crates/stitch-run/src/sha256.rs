//! SHA-256 in hex.

use std::io::{self, Read};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tensor_files::TensorSpec;

/// The SHA-256 of `bytes` in hex.
pub fn of(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes.as_ref()))
}

/// Reads to the end: the number of bytes and their SHA-256 in hex.
///
/// # Errors
/// Those of `from`.
pub fn of_reader(mut from: impl Read) -> io::Result<(u64, String)> {
    let mut sum = Sum::default();
    let length = for_each_part(&mut from, &mut |part| sum.update(part))?;
    Ok((length, sum.finish()))
}

/// Calls `each` with parts of what is read, to the end, and returns the number of bytes. Every part but the last is a
/// multiple of 64 bytes, so that no element of a tensor is divided.
///
/// # Errors
/// Those of `from`.
pub fn for_each_part(from: &mut impl Read, each: &mut impl FnMut(&[u8])) -> io::Result<u64> {
    const PART: u64 = 1 << 18;
    let (mut part, mut length) = (Vec::with_capacity(PART as usize), 0);
    loop {
        part.clear();
        from.by_ref().take(PART).read_to_end(&mut part)?;
        if part.is_empty() {
            return Ok(length);
        }
        each(&part);
        length += part.len() as u64;
    }
}

/// The SHA-256 of tensors, given each with the SHA-256 of its elements in hex: the same for every format of file that holds
/// them, in any order, with any metadata.
///
/// It is that of a text with one line per tensor, sorted by the bytes of the names: the compact JSON array of name, dtype,
/// shape and SHA-256 of the elements (row-major, little-endian), and a line feed.
///
/// ```
/// use stitch_run::sha256;
/// use tensor_files::{Dtype, TensorSpec};
///
/// let spec = TensorSpec { name: "fc.bias".into(), dtype: Dtype::F32, shape: vec![2] };
/// let elements = sha256::of([1.0f32, 2.0].map(f32::to_le_bytes).concat());
/// let line = format!("[\"fc.bias\",\"float32\",[2],\"{elements}\"]\n");
/// assert_eq!(sha256::of_tensors([(&spec, &*elements)]), sha256::of(line));
/// ```
pub fn of_tensors<'a>(tensors: impl IntoIterator<Item = (&'a TensorSpec, &'a str)>) -> String {
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    tensors.sort_by_key(|(spec, _)| &spec.name);
    let line = |(spec, elements): &(&TensorSpec, &str)| {
        format!("{}\n", serde_json::json!([spec.name, spec.dtype.name(), spec.shape, elements]))
    };
    of(tensors.iter().map(line).collect::<String>())
}

/// Whether a text is a SHA-256 in hex: 64 hexadecimal digits.
pub fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The SHA-256 of bytes that come in parts.
#[derive(Debug, Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The SHA-256 of all bytes in hex.
    pub fn finish(self) -> String {
        HEXLOWER.encode(&self.0.finalize())
    }
}
