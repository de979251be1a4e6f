//! Answers as text, JSON or CSV, piece by piece: there may be more of them than memory holds.

use anyhow::Result;
use serde::Serialize;
use stitch::dataset::{CLASSES, classes};
use stitch::stitch_run::rows::{float, table_writer};

use super::super::documents::Failure;
use super::super::terminal::visible_line;
use super::sources::Name;
use crate::cli::PredictArgs;

/// What the model says of a picture.
pub struct Answer {
    /// The picture.
    pub name: Name,
    /// Whether its light ground was made dark.
    pub inverted: bool,
    /// By label.
    pub probabilities: [f64; CLASSES],
}

impl Answer {
    /// Labels, the most probable first; the first of equals first.
    fn ranked(&self) -> [usize; CLASSES] {
        let mut labels = std::array::from_fn(|label| label);
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

/// Text of answers, to be printed: whole lines.
pub struct Answers {
    format: Format,
    top_k: usize,
    text: String,
    begun: bool,
    /// Whether some of it was.
    taken: bool,
    /// The last record of JSON, until it is known whether a comma follows.
    pending: Option<String>,
}

/// An answer in JSON.
#[derive(Serialize)]
struct Record {
    file: String,
    index: Option<usize>,
    inverted: bool,
    label: usize,
    class: &'static str,
    top: Vec<Guess>,
    /// By label, whatever `top` shows.
    probabilities: [f64; CLASSES],
}

#[derive(Serialize)]
struct Guess {
    label: usize,
    class: &'static str,
    probability: f64,
}

impl Answers {
    pub fn new(args: &PredictArgs, json: bool) -> Self {
        let format = match (json, args.csv) {
            (true, _) => Format::Json,
            (_, true) => Format::Csv,
            _ => Format::Text,
        };
        let text = String::new();
        Self { format, top_k: args.top_k.into(), text, begun: false, taken: false, pending: None }
    }

    /// Adds an answer.
    pub fn add(&mut self, answer: &Answer) -> Result<()> {
        self.begin();
        match self.format {
            Format::Text => self.text.push_str(&line(answer, self.top_k)),
            Format::Csv => self.text.push_str(&rows(answer, self.top_k)?),
            Format::Json => {
                let record = serde_json::to_string(&record(answer, self.top_k))?;
                if let Some(record) = self.pending.replace(record) {
                    self.text.push_str(&format!("  {record},\n"));
                }
            }
        }
        Ok(())
    }

    /// What comes before the first answer.
    fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.text.push_str(match self.format {
                Format::Text => "",
                Format::Json => "[\n",
                Format::Csv => "file,index,rank,label,class,probability\n",
            });
        }
    }

    /// What comes behind the answers when no more can be had: of JSON that is begun, an element that
    /// tells why, so that it is a document.
    pub fn break_off(&mut self, error: &anyhow::Error) -> Result<String> {
        if self.format != Format::Json || !self.taken {
            return Ok(String::new());
        }
        let failure = Failure { error: format!("{error:#}"), exit_code: 2 };
        if let Some(record) = self.pending.replace(serde_json::to_string(&failure)?) {
            self.text.push_str(&format!("  {record},\n"));
        }
        Ok(self.end())
    }

    /// What has been added since.
    pub fn take(&mut self) -> String {
        self.taken |= !self.text.is_empty();
        std::mem::take(&mut self.text)
    }

    /// What comes behind the last answer.
    pub fn end(&mut self) -> String {
        self.begin();
        if let Some(record) = self.pending.take() {
            self.text.push_str(&format!("  {record}\n"));
        }
        if self.format == Format::Json {
            self.text.push_str("]\n");
        }
        self.take()
    }
}

/// `shoe.png: Ankle boot 0.9821, Sneaker 0.0142, Sandal 0.0031`
fn line(answer: &Answer, top_k: usize) -> String {
    let guess =
        |&label: &usize| format!("{} {:.4}", classes::NAMES[label], answer.probabilities[label]);
    let guesses: Vec<String> = answer.ranked()[..top_k].iter().map(guess).collect();
    format!("{}: {}\n", visible_line(&answer.name.to_string()), guesses.join(", "))
}

/// A row for each of the most probable classes.
fn rows(answer: &Answer, top_k: usize) -> Result<String> {
    let mut writer = table_writer();
    let file = answer.name.path.to_string_lossy();
    let index = answer.name.index.map(|index| index.to_string()).unwrap_or_default();
    for (rank, label) in (1..).zip(&answer.ranked()[..top_k]) {
        let [rank, label_text]: [String; 2] = [rank, *label].map(|n: usize| n.to_string());
        let probability = float(answer.probabilities[*label]);
        let class = classes::NAMES[*label];
        writer.write_record([&*file, &index, &rank, &label_text, class, &probability])?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn record(answer: &Answer, top_k: usize) -> Record {
    let ranked = answer.ranked();
    let guess = |&label: &usize| Guess {
        label,
        class: classes::NAMES[label],
        probability: answer.probabilities[label],
    };
    Record {
        file: answer.name.path.to_string_lossy().into_owned(),
        index: answer.name.index,
        inverted: answer.inverted,
        label: ranked[0],
        class: classes::NAMES[ranked[0]],
        top: ranked[..top_k].iter().map(guess).collect(),
        probabilities: answer.probabilities,
    }
}
