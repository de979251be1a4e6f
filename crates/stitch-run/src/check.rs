//! The checks of the settings' ranges.

use serde_json::Value;

use crate::setting_error::{SettingError, expected};
use crate::{Loss, LrSchedule, Optimizer, TrainConfig, sha256};

/// Allowed numbers of threads.
pub const THREADS: std::ops::RangeInclusive<usize> = 1..=4096;

impl TrainConfig {
    /// Checks the ranges of all settings. `stitch::train::check` also checks the model's name, and what its library and the
    /// engine support.
    ///
    /// # Errors
    /// [`SettingError::Wrong`], for the first setting out of range.
    pub fn check(&self) -> Result<(), SettingError> {
        let wrong = |name: &str| {
            let found = self.to_map().get(name).map_or("null".into(), Value::to_string);
            Err(SettingError::wrong(name, &found, expected(name)))
        };
        let numbers = [
            ("epochs", Some(self.epochs)),
            ("batch_size", Some(self.batch_size)),
            ("val", self.val),
            ("patience", self.patience),
        ];
        if let Some((name, _)) = numbers.into_iter().find(|(_, number)| *number == Some(0)) {
            return wrong(name);
        }
        let lr_is_valid = self.lr.is_finite() && self.lr > 0.0;
        let is_decay = |it: f64| it.is_finite() && it >= 0.0;
        for (name, value, is_valid) in [
            ("lr", self.lr, lr_is_valid),
            ("dropout", self.dropout, (0.0..=1.0).contains(&self.dropout)),
            ("momentum", self.momentum, is_decay(self.momentum)),
            ("weight_decay", self.weight_decay(), is_decay(self.weight_decay())),
            ("label_smoothing", self.label_smoothing, (0.0..=1.0).contains(&self.label_smoothing)),
        ] {
            if !is_valid {
                return Err(SettingError::wrong(name, &value.to_string(), expected(name)));
            }
        }
        self.check_together()?;
        if self.init.as_ref().is_some_and(|init| !sha256::is_hex(&init.sha256)) {
            return wrong("init");
        }
        if self.model_sha256.as_deref().is_some_and(|sum| !sha256::is_hex(sum)) {
            return wrong("model_sha256");
        }
        if !(1..=256).contains(&self.classes) {
            return wrong("classes");
        }
        if self.threads.is_some_and(|threads| !THREADS.contains(&threads)) {
            return wrong("threads");
        }
        if let (Some(patience), None) = (self.patience, self.val) {
            let expected = "omitted without val: set val too";
            return Err(SettingError::wrong("patience", &patience.to_string(), expected));
        }
        Ok(())
    }

    /// Refuses options of one optimizer or loss function together with another.
    fn check_together(&self) -> Result<(), SettingError> {
        let Self { optimizer, momentum, loss, label_smoothing, lr_schedule, .. } = *self;
        let has_momentum = matches!(optimizer, Optimizer::Sgd | Optimizer::RmsProp);
        let is_sgd = optimizer == Optimizer::Sgd;
        let cycles = lr_schedule == LrSchedule::OneCycle;
        for (is_valid, name, found, expected) in [
            (
                momentum == 0.0 || has_momentum,
                "momentum",
                momentum.to_string(),
                "0, unless optimizer is sgd or rmsprop",
            ),
            (
                !self.nesterov || (is_sgd && momentum > 0.0),
                "nesterov",
                "true".into(),
                "false, unless optimizer is sgd with a momentum above 0",
            ),
            (
                label_smoothing == 0.0 || loss == Loss::CrossEntropy,
                "label_smoothing",
                label_smoothing.to_string(),
                "0, unless loss is cross-entropy",
            ),
            (
                !cycles || optimizer != Optimizer::Adadelta,
                "lr_schedule",
                lr_schedule.to_string(),
                "none, step or cosine for adadelta, which has no momentum that OneCycleLR could change",
            ),
        ] {
            if !is_valid {
                return Err(SettingError::wrong(name, &found, expected));
            }
        }
        Ok(())
    }
}
