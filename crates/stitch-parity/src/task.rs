//! Differences of predictions, confusion matrix, accuracy and losses.

use serde::Serialize;

use stitch_trace::stage;
use tensor_files::Dtype;

use crate::element::bits;
use crate::error::SideError;
use crate::json;
use crate::layout::element_count;
use crate::side::{Item, Side};

/// A test image whose prediction differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictionDifference {
    /// Position among the test images.
    pub index: usize,
    /// The true class, if it is known.
    pub truth: Option<i64>,
    /// Class predicted by the reference.
    pub expected: i64,
    /// Class predicted by the candidate.
    pub actual: i64,
    /// Largest logit minus second largest, in the reference and in the candidate, if both recorded logits. A small
    /// margin is a near tie.
    #[serde(serialize_with = "json::pair")]
    pub margins: Option<[f64; 2]>,
}

/// A cell of the confusion matrix that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CellDifference {
    /// Row: the true class.
    pub truth: usize,
    /// Column: the predicted class.
    pub predicted: usize,
    /// Count of the reference.
    pub expected: i64,
    /// Count of the candidate.
    pub actual: i64,
}

/// Differences of predictions, confusion matrix, accuracy and losses; empty where they are equal, or where one side
/// does not have them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TaskView {
    /// Predictions that differ.
    #[serde(rename = "answers")]
    pub predictions: Vec<PredictionDifference>,
    /// Cells of the confusion matrix that differ.
    pub cells: Vec<CellDifference>,
    /// Accuracy of the reference and of the candidate, from 0 to 1, whether or not they differ; that of the predictions if
    /// none is recorded and the labels are known.
    #[serde(serialize_with = "json::pair")]
    pub accuracy: Option<[f64; 2]>,
    /// Epoch, and its mean loss in the reference and in the candidate, where these differ beyond the tolerance.
    #[serde(serialize_with = "json::losses")]
    pub losses: Vec<(usize, f64, f64)>,
}

/// Most elements of a tensor that is looked at.
const MOST: usize = 1 << 22;

/// Compares the predictions, confusion matrices, accuracies and losses of both sides.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn differences(
    reference: &mut Side,
    candidate: &mut Side,
) -> Result<TaskView, SideError> {
    let mut view = TaskView::default();
    let sides = &mut [reference, candidate];
    let mut computed = None;
    if let Some([expected, actual]) = integers(sides, stage::PREDICTIONS)? {
        let truth = truth(sides)?;
        let logits = logits(sides)?;
        computed = truth.as_ref().filter(|truth| truth.len() == expected.len()).map(|truth| {
            [&expected, &actual].map(|predicted| {
                let right = predicted.iter().zip(truth).filter(|(one, other)| one == other).count();
                right as f64 / truth.len() as f64
            })
        });
        for (index, (&expected, &actual)) in expected.iter().zip(&actual).enumerate() {
            if expected != actual {
                let truth = truth.as_ref().and_then(|truth| truth.get(index).copied());
                let margins = logits.as_ref().and_then(|[expected, actual]| {
                    Some([margin(expected, index)?, margin(actual, index)?])
                });
                view.predictions.push(PredictionDifference {
                    index,
                    truth,
                    expected,
                    actual,
                    margins,
                });
            }
        }
    }
    if let Some([expected, actual]) = integers(sides, stage::CONFUSION_MATRIX)? {
        let matrix = of_stage(sides[0], stage::CONFUSION_MATRIX);
        let matrix = matrix.iter().find(|item| item.dtype == Dtype::I64.name());
        let classes = matrix.and_then(|item| item.shape.last().copied()).unwrap_or(1);
        for (i, (&expected, &actual)) in expected.iter().zip(&actual).enumerate() {
            if expected != actual {
                let (truth, predicted) = (i / classes, i % classes);
                view.cells.push(CellDifference { truth, predicted, expected, actual });
            }
        }
    }
    let recorded = floats(sides, stage::ACCURACY)?.map(|sides| sides.map(|side| side[0].1));
    view.accuracy = recorded.or(computed);
    if let Some([expected, actual]) = floats(sides, stage::EPOCH_LOSS)? {
        let both = expected.into_iter().zip(actual);
        let both = both.map(|((epoch, expected), (_, actual))| (epoch, expected, actual));
        view.losses = both.filter(|(_, e, a)| e.to_bits() != a.to_bits()).collect();
    }
    Ok(view)
}

/// Largest logit of an image minus the second largest; `None` when a trace holds too few.
fn margin(logits: &Logits, image: usize) -> Option<f64> {
    let mut sorted = logits.values.chunks_exact(logits.classes).nth(image)?.to_vec();
    sorted.sort_by(|one, other| other.total_cmp(one));
    Some(sorted.first()? - sorted.get(1)?)
}

/// The logits of all images, row by row.
struct Logits {
    values: Vec<f64>,
    /// At least 1.
    classes: usize,
}

/// A scalar and the epoch that it belongs to (0: none).
type EpochValue = (usize, f64);

type Sides<'a, 'b> = &'a mut [&'b mut Side; 2];

/// The tensors of a stage; of a traced run those of the trace, not of the files beside it.
fn of_stage(side: &Side, stage: &str) -> Vec<Item> {
    let items = side.items.iter().filter(|item| item.key.stage == stage);
    let items = items.filter(|item| !side.is_traced() || item.key.file.is_none());
    items
        .filter(|item| element_count(&item.shape).is_some_and(|count| count <= MOST))
        .cloned()
        .collect()
}

/// The first int64 tensor of `stage` on both sides, if there is one of equal length.
fn integers(sides: Sides, stage: &str) -> Result<Option<[Vec<i64>; 2]>, SideError> {
    let mut both = Vec::new();
    for side in sides.iter_mut() {
        let items = of_stage(side, stage).into_iter();
        let Some(item) = items.into_iter().find(|item| item.dtype == Dtype::I64.name()) else {
            return Ok(None);
        };
        let Some(bytes) = side.load(&item.source)? else { return Ok(None) };
        both.push(int64s(&bytes));
    }
    let both: Result<[Vec<i64>; 2], _> = both.try_into();
    Ok(both
        .ok()
        .filter(|[expected, actual]| expected.len() == actual.len() && !expected.is_empty()))
}

/// The float64 scalars of `stage` on both sides with their epochs, if there are equally many.
fn floats(sides: Sides, stage: &str) -> Result<Option<[Vec<EpochValue>; 2]>, SideError> {
    let mut both = Vec::new();
    for side in sides.iter_mut() {
        let mut values = Vec::new();
        let scalars = of_stage(side, stage).into_iter();
        for item in scalars.filter(|item| item.dtype == Dtype::F64.name() && item.shape.is_empty())
        {
            let bytes = side.load(&item.source)?;
            let Some(Ok(bytes)) = bytes.map(<[u8; 8]>::try_from) else { return Ok(None) };
            values.push((item.key.epoch.unwrap_or(0), f64::from_le_bytes(bytes)));
        }
        both.push(values);
    }
    let both: Result<[Vec<_>; 2], _> = both.try_into();
    Ok(both
        .ok()
        .filter(|[expected, actual]| expected.len() == actual.len() && !expected.is_empty()))
}

/// The elements of an int64 tensor.
fn int64s(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks().0.iter().map(|&x| i64::from_le_bytes(x)).collect()
}

/// The true labels, from either side.
fn truth(sides: Sides) -> Result<Option<Vec<i64>>, SideError> {
    for side in sides.iter_mut() {
        let item = of_stage(side, stage::DATA)
            .into_iter()
            .find(|item| item.key.name == "test.labels" && item.dtype == Dtype::I64.name());
        if let Some(item) = item
            && let Some(bytes) = side.load(&item.source)?
        {
            return Ok(Some(int64s(&bytes)));
        }
    }
    Ok(None)
}

/// The test logits of both sides as float64, if both have them.
fn logits(sides: Sides) -> Result<Option<[Logits; 2]>, SideError> {
    let mut both = Vec::new();
    for side in sides.iter_mut() {
        let Some(item) = of_stage(side, stage::TEST_LOGITS).into_iter().next() else {
            return Ok(None);
        };
        let Some(dtype) = Dtype::from_name(&item.dtype) else { return Ok(None) };
        let Some(bytes) = side.load(&item.source)? else { return Ok(None) };
        let values = bytes.chunks_exact(dtype.size()).map(|x| dtype.number(bits(x)));
        let classes = item.shape.last().copied().unwrap_or(1).max(1);
        both.push(Logits { values: values.collect(), classes });
    }
    let both: Result<[Logits; 2], _> = both.try_into();
    Ok(both.ok().filter(|[expected, actual]| expected.values.len() == actual.values.len()))
}
