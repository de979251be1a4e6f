//! Parsers of flag values.

use std::num::NonZeroU64;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::builder::{PathBufValueParser, TypedValueParser};
use serde::Serialize;
use serde_json::Value;
use stitch::dataset::ImageShape;
use stitch::stitch_run::{CheckpointEvery, THREADS, expected};
use stitch_parity::Pattern;

/// A number, or `off`, which overrides the number of a `config.json`. Zero is refused by the check of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NumberOrOff {
    Off,
    Number(usize),
}

/// A parser of integers in a range. Its error is the range; clap adds the flag and what was found.
pub fn integer<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T> + Clone + Send + Sync {
    move |text: &str| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let (start, end) = (range.start(), range.end());
        number.and_then(|number| T::try_from(number).ok()).with_context(|| match *end {
            u64::MAX => format!("expected an integer of at least {start}"),
            end => format!("expected an integer from {start} to {end}"),
        })
    }
}

/// A parser of the setting `name`. Its error is the type and range of the setting; the range is checked with all settings.
pub fn setting<T: FromStr>(name: &'static str) -> impl Fn(&str) -> Result<T> + Clone + Send + Sync {
    move |text: &str| text.parse().ok().with_context(|| format!("expected {}", expected(name)))
}

/// Parses a number of threads, in the range of the settings.
pub fn threads() -> impl Fn(&str) -> Result<u32> + Clone + Send + Sync {
    integer(*THREADS.start() as u64..=*THREADS.end() as u64)
}

/// A number as JSON; one that is not finite becomes a string, which the check of the settings refuses.
pub fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

/// Parses `30s`, `500steps` or `off`.
pub fn parse_checkpoint_every(text: &str) -> Result<CheckpointEvery> {
    if text == "off" {
        return Ok(CheckpointEvery::Never);
    }
    let steps = text.strip_suffix("steps").and_then(|number| number.parse().ok());
    let seconds = text.strip_suffix('s').and_then(|number| number.parse().ok());
    let seconds = seconds.map(NonZeroU64::get);
    match (steps, seconds) {
        (Some(steps), _) => Ok(CheckpointEvery::Steps(steps)),
        (None, Some(seconds)) => Ok(CheckpointEvery::Time(Duration::from_secs(seconds))),
        _ => bail!("expected a number of seconds (30s), a number of steps (500steps), or off"),
    }
}

/// Parses `5000` or `off`.
pub fn parse_number_or_off(text: &str) -> Result<NumberOrOff> {
    if text == "off" {
        return Ok(NumberOrOff::Off);
    }
    let number = text.parse().map(NumberOrOff::Number);
    number.context("expected an integer of at least 1, or off")
}

/// Parses `on` or `off`.
pub fn parse_on_or_off(text: &str) -> Result<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => bail!("expected on or off"),
    }
}

/// Parses `7` or `0..5`.
pub fn parse_indices(text: &str) -> Result<Range<usize>> {
    let parsed = match text.split_once("..") {
        None => text.parse().ok().map(|index: usize| index..index.saturating_add(1)),
        Some((from, to)) => from.parse().ok().zip(to.parse().ok()).map(|(from, to)| from..to),
    };
    let expected = "expected N or N..M with M above N, such as 7, or 0..5 for the first five";
    parsed.filter(|range| !range.is_empty()).context(expected)
}

/// Parses the height and width of an image: `28x28`.
pub fn parse_size(text: &str) -> Result<(usize, usize)> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=4096).contains(side));
    let size = text.split_once('x').and_then(|(height, width)| side(height).zip(side(width)));
    size.context("expected HEIGHTxWIDTH in pixels, each 1 to 4096, such as 28x28")
}

/// Parses a tolerance, a number of at least 0.
pub fn parse_tolerance(text: &str) -> Result<f64> {
    match text.parse() {
        Ok(number) if number >= 0.0 && f64::is_finite(number) => Ok(number),
        _ => bail!("expected a number of at least 0, such as 1e-6"),
    }
}

/// Parses a pattern for tensors with their absolute and relative tolerance.
pub fn parse_named_tolerance(text: &str) -> Result<(Pattern, f64, f64)> {
    let (name, numbers) = text.rsplit_once('=').context("expected NAME=ATOL or NAME=ATOL,RTOL")?;
    let (atol, rtol) = numbers.split_once(',').unwrap_or((numbers, "0"));
    let pattern = Pattern::parse(name).map_err(|what| anyhow!("the name {name:?}: {what}"))?;
    Ok((pattern, parse_tolerance(atol)?, parse_tolerance(rtol)?))
}

/// Parses a path to write to; `-` is refused, since it usually means stdout.
pub fn written_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("cannot write to stdout; give a path (./- for a file named -)"),
        false => Ok(path),
    })
}

/// Parses `HEIGHTxWIDTH` or `HEIGHTxWIDTHxCHANNELS`.
pub fn parse_image_size(text: &str) -> Result<ImageShape, String> {
    let expected = || {
        "HEIGHTxWIDTH or HEIGHTxWIDTHx3, such as 28x28 or 32x32x3, is expected; a side has 1 to 4096 pixels".to_owned()
    };
    let sizes = text.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>();
    let (height, width, channels) = match sizes.as_deref() {
        Ok(&[height, width]) => (height, width, 1),
        Ok(&[height, width, channels @ (1 | 3)]) => (height, width, channels),
        _ => return Err(expected()),
    };
    let is_side = |side: usize| (1..=4096).contains(&side);
    let shape = ImageShape { channels, height, width };
    if is_side(height) && is_side(width) { Ok(shape) } else { Err(expected()) }
}
