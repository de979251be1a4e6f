//! `metrics.json` as it is read: a field of a wrong type is an error, where a flattened struct would be left out.

use serde::Deserialize;

use super::{Average, Metrics, TrainingMetrics, ValidationMetrics};

/// The fields of the file.
#[derive(Deserialize)]
pub(super) struct Fields {
    test_accuracy: f64,
    macro_avg: Average,
    weighted_avg: Average,
    train_loss: Option<f64>,
    epochs_run: Option<usize>,
    train_seconds: Option<f64>,
    validation: Option<ValidationMetrics>,
    peak_rss_bytes: Option<u64>,
}

impl TryFrom<Fields> for Metrics {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { test_accuracy, macro_avg, weighted_avg, validation, .. } = fields;
        let training = match (fields.train_loss, fields.epochs_run, fields.train_seconds) {
            (Some(train_loss), Some(epochs_run), Some(train_seconds)) => {
                Some(TrainingMetrics { train_loss, epochs_run, train_seconds, validation })
            }
            (None, None, None) if validation.is_none() => None,
            _ => {
                let all = "train_loss, epochs_run and train_seconds";
                return Err(format!("it has some of {all}, and not all of them"));
            }
        };
        let peak_rss_bytes = fields.peak_rss_bytes;
        Ok(Self { test_accuracy, macro_avg, weighted_avg, training, peak_rss_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_wrong_type_is_an_error_and_one_that_is_left_out_is_too() {
        let whole = serde_json::json!({
            "test_accuracy": 0.5,
            "macro_avg": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "weighted_avg": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "train_loss": 0.25, "epochs_run": 2, "train_seconds": 1.5,
            "validation": {
                "images": 10, "loss": 0.5, "accuracy": 0.5, "best_epoch": 1, "best_loss": 0.5,
                "best_accuracy": 0.5, "best_test_accuracy": 0.5,
            },
            "peak_rss_bytes": 1,
        });
        let read = |value| serde_json::from_value::<Metrics>(value);
        assert_eq!(read(whole.clone()).unwrap().training.unwrap().epochs_run, 2);
        assert_eq!(serde_json::to_value(read(whole.clone()).unwrap()).unwrap(), whole);
        for field in whole.as_object().unwrap().keys() {
            let mut wrong = whole.clone();
            wrong[field] = "0.5".into();
            assert!(read(wrong).is_err(), "{field} as text");
            if ["train_loss", "epochs_run", "train_seconds"].contains(&field.as_str()) {
                let mut without = whole.clone();
                without.as_object_mut().unwrap().remove(field);
                assert!(read(without).is_err(), "without {field}");
            }
        }
    }
}
