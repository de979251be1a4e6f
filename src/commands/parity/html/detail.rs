//! The details of a tensor: its values, the measures of the difference, and their histogram.

use stitch_parity::{Comparison, DECADES, Element, Outcome, Report, TensorResult};

use super::size::relative;
use crate::commands::parity::flags::{flag, has_size, message, sensible};
use crate::commands::terminal::visible_line;

/// Most tensors with details, besides the first.
const SHOWN: usize = 200;

/// The details of a tensor.
#[derive(Debug)]
pub struct Detail {
    pub id: String,
    /// Where it is, and how much of it differs.
    pub title: String,
    /// Names of measures and their values.
    pub measures: Vec<(&'static str, String)>,
    pub histogram: Vec<Bin>,
}

/// A bin of a histogram.
#[derive(Debug, PartialEq, Eq)]
pub struct Bin {
    pub label: String,
    pub count: u64,
    /// Width of the bar.
    pub percent: u64,
}

/// Which tensors have details: the first divergence, and the first of the others that differ.
#[derive(Debug, Default)]
pub struct Links {
    first: Option<usize>,
    /// Positions in the report, in order.
    pub others: Vec<usize>,
    /// Number of tensors that differ, without details.
    pub more: usize,
}

impl Links {
    pub fn new(report: &Report) -> Self {
        let differing = (0..report.tensors.len()).filter(|&i| !report.tensors[i].passes());
        let mut others: Vec<usize> = differing.filter(|&i| report.first != Some(i)).collect();
        let more = others.len().saturating_sub(SHOWN);
        others.truncate(SHOWN);
        Self { first: report.first, others, more }
    }

    /// The link to the details of tensor `i`.
    pub fn of(&self, i: usize) -> Option<String> {
        match self.first {
            Some(first) if first == i => Some("#first".into()),
            _ => self.others.binary_search(&i).ok().map(|_| format!("#{}", id(i))),
        }
    }
}

fn id(i: usize) -> String {
    format!("tensor-{}", i + 1)
}

impl Detail {
    /// The details of tensor `i`.
    pub fn new(report: &Report, i: usize) -> Self {
        let tensor = &report.tensors[i];
        let comparison = match &tensor.outcome {
            Outcome::Different(c) => Some(c),
            _ => None,
        };
        Self {
            id: id(i),
            title: comparison.map_or_else(|| visible_line(&message(tensor)), |c| title(tensor, c)),
            measures: comparison.map_or_else(Vec::new, |c| measures(tensor, c)),
            histogram: comparison.map_or_else(Vec::new, |c| bins(&c.histogram)),
        }
    }
}

/// Where a tensor is, and how much of it differs.
fn title(tensor: &TensorResult, c: &Comparison) -> String {
    let percent = 100.0 * c.failing as f64 / c.elements as f64;
    let (failing, elements) = (c.failing, c.elements);
    visible_line(&format!(
        "{}: {failing} of {elements} elements differ ({percent:.3} %)",
        tensor.place()
    ))
}

/// The outcome of a tensor in a few words.
pub fn brief(tensor: &TensorResult) -> String {
    let at = match (tensor.epoch, tensor.step) {
        (_, Some(step)) => format!("step {step}: "),
        (Some(epoch), None) => format!("epoch {epoch}: "),
        (None, None) => String::new(),
    };
    match &tensor.outcome {
        // The sign says it.
        Outcome::Equal => String::new(),
        Outcome::Within(c) => format!("{at}within tolerance, {}", size(c)),
        Outcome::Different(c) => {
            format!("{at}{} of {} elements differ, {}", c.failing, c.elements, size(c))
        }
        _ => visible_line(&message(tensor)),
    }
}

fn size(c: &Comparison) -> String {
    format!("relative error {:.1e}", relative(c))
}

/// The measures of a difference.
fn measures(tensor: &TensorResult, c: &Comparison) -> Vec<(&'static str, String)> {
    let at = |element: Element| {
        let index = tensor.index(element.index);
        let at = if index.is_empty() { String::new() } else { format!("at {index}: ") };
        format!("{at}{}", c.values(element))
    };
    let greatest = |value: f64, element| format!("{value:.3e} {}", at(element));
    let number = |value: f64| format!("{value:.3e}");
    let mut all = vec![("type and shape", format!("{} {:?}", c.dtype.name(), tensor.shape))];
    all.extend(c.first.map(|first| ("first element that differs", at(first))));
    if c.nan > 0 {
        all.push(("NaN on one side or both", format!("{} elements", c.nan)));
    }
    if !has_size(tensor) {
        return all;
    }
    all.extend(c.abs.map(|abs| ("greatest absolute difference", greatest(abs.value, abs.at))));
    all.extend(c.rel.map(|rel| ("greatest relative difference", greatest(rel.value, rel.at))));
    all.extend(c.ulp.map(|ulp| ("greatest distance", format!("{} ULP {}", ulp.value, at(ulp.at)))));
    all.extend([
        ("mean, absolute and relative", format!("{:.3e}, {:.3e}", c.mean, c.mean_rel)),
        ("median, 90 % and 99 % up to", [c.median, c.p90, c.p99].map(number).join(", ")),
        ("relative error (of the norm)", number(relative(c))),
        ("signal-to-noise ratio", format!("{:.1} dB", c.snr)),
        ("cosine", format!("{:.9}", c.cosine)),
    ]);
    let flags: Vec<String> = sensible(tensor, c).iter().map(|it| flag(it, tensor, c)).collect();
    if !flags.is_empty() {
        all.push(("passes with", visible_line(&flags.join(", or "))));
    }
    all
}

/// The bins of a histogram from the first that is not empty to the last, and that of no difference.
fn bins(histogram: &[u64]) -> Vec<Bin> {
    let Some((&zeros, decades)) = histogram.split_first() else { return Vec::new() };
    let filled = |count: &u64| *count > 0;
    let begin = decades.iter().position(filled).unwrap_or(decades.len());
    let end = decades.iter().rposition(filled).map_or(begin, |last| last + 1);
    let most = histogram.iter().copied().max().unwrap_or(1).max(1);
    // At least 1, so that every count is seen.
    let bin =
        |label: String, count: u64| Bin { label, count, percent: (100 * count).div_ceil(most) };
    let labels = DECADES.map(|decade| match decade {
        // The first bin has no lower end.
        _ if decade == DECADES.start => format!("below 1e{}", decade + 1),
        _ => format!("1e{decade}"),
    });
    let zero = (zeros > 0).then(|| bin("0".into(), zeros));
    let filled = labels.zip(decades).skip(begin).take(end - begin);
    zero.into_iter().chain(filled.map(|(label, &count)| bin(label, count))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_begins_and_ends_with_a_count() {
        let mut histogram = vec![0; DECADES.len() + 1];
        assert!(bins(&histogram).is_empty());
        (histogram[0], histogram[1], histogram[3]) = (1000, 1, 500);
        let shown: Vec<(String, u64, u64)> =
            bins(&histogram).into_iter().map(|bin| (bin.label, bin.count, bin.percent)).collect();
        let wanted = [("0", 1000, 100), ("below 1e-19", 1, 1), ("1e-19", 0, 0), ("1e-18", 500, 50)];
        assert_eq!(shown, wanted.map(|(label, count, percent)| (label.to_owned(), count, percent)));
    }
}
