//! Predictions as text, JSON or CSV, printed batch by batch, since there may be more than fit in memory.

use anyhow::Result;
use serde::Serialize;
use stitch::dataset::classes::Classes;
use stitch::stitch_run::rows::{float, table_writer};

use super::super::documents::Failure;
use super::super::terminal::visible_line;
use super::sources::Name;
use crate::cli::PredictArgs;

/// The prediction for an image.
pub struct Prediction {
    pub name: Name,
    /// Whether the image was inverted.
    pub inverted: bool,
    /// The probability of each label.
    pub probabilities: Vec<f64>,
}

impl Prediction {
    /// The labels, most probable first; ties in label order.
    fn ranked(&self) -> Vec<usize> {
        let mut labels: Vec<usize> = (0..self.probabilities.len()).collect();
        labels.sort_by(|&a, &b| self.probabilities[b].total_cmp(&self.probabilities[a]));
        labels
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Csv,
}

/// Formats predictions, as text of whole lines.
pub struct Predictions {
    format: Format,
    top_k: usize,
    /// The names of the classes.
    classes: Classes,
    text: String,
    started: bool,
    /// Whether text was taken.
    taken: bool,
    /// The last JSON record, kept until it is known whether a comma follows.
    pending: Option<String>,
}

/// A prediction as JSON.
#[derive(Serialize)]
struct Record {
    file: String,
    index: Option<usize>,
    inverted: bool,
    label: usize,
    class: String,
    top: Vec<Probability>,
    /// The probability of each label, whatever the length of `top`.
    probabilities: Vec<f64>,
}

#[derive(Serialize)]
struct Probability {
    label: usize,
    class: String,
    probability: f64,
}

impl Predictions {
    /// The predictions of these classes in the format of the flags.
    pub fn new(args: &PredictArgs, classes: Classes, json: bool) -> Self {
        let format = match (json, args.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Text,
        };
        let (text, top_k) = (String::new(), usize::from(args.top_k));
        Self { format, top_k, classes, text, started: false, taken: false, pending: None }
    }

    /// Adds a prediction.
    pub fn add(&mut self, prediction: &Prediction) -> Result<()> {
        self.start();
        match self.format {
            Format::Text => self.text.push_str(&self.line(prediction)),
            Format::Csv => self.text.push_str(&self.rows(prediction)?),
            Format::Json => {
                let record = serde_json::to_string(&self.record(prediction))?;
                if let Some(record) = self.pending.replace(record) {
                    self.text.push_str(&format!("  {record},\n"));
                }
            }
        }
        Ok(())
    }

    /// Adds the text before the first prediction.
    fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            self.text.push_str(match self.format {
                Format::Text => "",
                Format::Json => "[\n",
                Format::Csv => "file,index,rank,label,class,probability\n",
            });
        }
    }

    /// The text that ends the output after an error: if JSON was printed already, the error as the last element, so that
    /// the output is valid JSON.
    pub fn fail(&mut self, error: &anyhow::Error) -> Result<String> {
        if self.format != Format::Json || !self.taken {
            return Ok(String::new());
        }
        let failure = Failure { error: format!("{error:#}"), exit_code: 2 };
        if let Some(record) = self.pending.replace(serde_json::to_string(&failure)?) {
            self.text.push_str(&format!("  {record},\n"));
        }
        Ok(self.end())
    }

    /// Takes the text that was added since the last call.
    pub fn take(&mut self) -> String {
        self.taken |= !self.text.is_empty();
        std::mem::take(&mut self.text)
    }

    /// The remaining text, with the end of the output.
    pub fn end(&mut self) -> String {
        self.start();
        if let Some(record) = self.pending.take() {
            self.text.push_str(&format!("  {record}\n"));
        }
        if self.format == Format::Json {
            self.text.push_str("]\n");
        }
        self.take()
    }

    /// A prediction as text: `shoe.png: Ankle boot 0.9821, Sneaker 0.0142, Sandal 0.0031`.
    fn line(&self, prediction: &Prediction) -> String {
        let Prediction { name, probabilities, .. } = prediction;
        let class =
            |&label: &usize| format!("{} {:.4}", self.classes.name(label), probabilities[label]);
        let classes: Vec<String> = prediction.ranked()[..self.top_k].iter().map(class).collect();
        format!("{}: {}\n", visible_line(&name.to_string()), classes.join(", "))
    }

    /// A prediction as CSV, one row per class.
    fn rows(&self, prediction: &Prediction) -> Result<String> {
        let mut writer = table_writer();
        let file = prediction.name.path.to_string_lossy();
        let index = prediction.name.index.map(|index| index.to_string()).unwrap_or_default();
        for (rank, label) in (1..).zip(&prediction.ranked()[..self.top_k]) {
            let [rank, label_text]: [String; 2] = [rank, *label].map(|n: usize| n.to_string());
            let probability = float(prediction.probabilities[*label]);
            let class = &self.classes.name(*label);
            writer.write_record([&*file, &index, &rank, &label_text, class, &probability])?;
        }
        Ok(String::from_utf8(writer.into_inner()?)?)
    }

    /// A prediction as JSON.
    fn record(&self, prediction: &Prediction) -> Record {
        let ranked = prediction.ranked();
        let probability = |&label: &usize| Probability {
            label,
            class: self.classes.name(label),
            probability: prediction.probabilities[label],
        };
        Record {
            file: prediction.name.path.to_string_lossy().into_owned(),
            index: prediction.name.index,
            inverted: prediction.inverted,
            label: ranked[0],
            class: self.classes.name(ranked[0]),
            top: ranked[..self.top_k].iter().map(probability).collect(),
            probabilities: prediction.probabilities.clone(),
        }
    }
}
