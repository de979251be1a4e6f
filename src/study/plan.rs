//! The plan of a study: `plan.csv`, a row a run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::formats::csv::table_writer;
use crate::models::{self, ModelEntry, UnknownModel};
use crate::train::{ConfigError, Engine, TrainConfig, UnknownEngine};

/// The file's name in the folder of a study.
pub const FILE: &str = "plan.csv";
/// More rows than this are a mistake.
const MOST_ROWS: usize = 1_000_000;

/// The settings of one run: all that its bits depend on, besides the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The model.
    pub model: &'static ModelEntry,
    /// Epochs, batch size, learning rate, seed and engine; on the CPU.
    pub config: TrainConfig,
    /// Threads of libtorch within an operation.
    pub threads: u32,
}

impl Settings {
    /// The row's name in every study that has these settings: `lenet5-b64-lr0.001-e5-s0-t1`.
    pub fn id(&self) -> String {
        let TrainConfig { epochs, batch_size, lr, seed, engine, .. } = self.config;
        id(self.model.name, engine.name(), (epochs, batch_size, lr), seed, self.threads)
    }
}

/// See [`Settings::id`].
pub(super) fn id(
    model: &str,
    engine: &str,
    (epochs, batch_size, lr): (usize, usize, f64),
    seed: u64,
    threads: u32,
) -> String {
    let engine = match engine {
        exact if exact == Engine::Exact.name() => String::new(),
        other => format!("-{other}"),
    };
    format!("{model}{engine}-b{batch_size}-lr{lr:?}-e{epochs}-s{seed}-t{threads}")
}

/// The lists whose every combination is a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The models.
    pub models: Vec<&'static ModelEntry>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Batch sizes; none: the model's own.
    pub batch_sizes: Vec<usize>,
    /// Learning rates; none: the model's own.
    pub lrs: Vec<f64>,
    /// Numbers of epochs; none: the model's own.
    pub epochs: Vec<usize>,
    /// The engine.
    pub engine: Engine,
    /// Threads of each run.
    pub threads: u32,
}

/// The seeds that `text` stands for: `7`, or `0..50` (50 not included).
///
/// # Errors
/// [`PlanError::Seeds`], or too many for a plan.
pub fn seeds(text: &str) -> Result<Vec<u64>, PlanError> {
    let number = |part: &str| part.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        None => number(text).map(|seed| seed..=seed),
        Some((from, to)) => {
            number(from).zip(number(to)).and_then(|(from, to)| Some(from..=to.checked_sub(1)?))
        }
    };
    let range = range.filter(|range| !range.is_empty());
    let range = range.ok_or_else(|| PlanError::Seeds(text.into()))?;
    if range.end() - range.start() >= MOST_ROWS as u64 {
        return Err(PlanError::TooMany);
    }
    Ok(range.collect())
}

/// A plan that cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No seeds.
    #[error("seeds {0:?}: a number is wanted, or N..M with M above N, such as 0..50 for fifty")]
    Seeds(String),
    /// A model that there is not.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// An engine that there is not.
    #[error(transparent)]
    Engine(#[from] UnknownEngine),
    /// Two engines at once.
    #[error("engine and fast are both given: fast = true is short for engine = \"fast\"")]
    TwoEngines,
    /// A number of threads out of its range.
    #[error("{0} threads: 1 to 4096 are wanted")]
    Threads(u32),
    /// A file that is no grid.
    #[error("{0}")]
    Toml(String),
    /// Nothing to run.
    #[error("it has no row: give at least one seed")]
    Empty,
    /// Too much to run.
    #[error("it has more than {MOST_ROWS} rows: give fewer values")]
    TooMany,
    /// A setting out of its range.
    #[error("{id}: {error}")]
    Setting {
        /// The run.
        id: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// A file that is no plan.
    #[error("{0}")]
    Csv(String),
}

/// The runs of all grids, a run that several of them have only once.
///
/// # Errors
/// See [`PlanError`].
pub fn rows(grids: &[Grid]) -> Result<Vec<Settings>, PlanError> {
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    for grid in grids {
        let lists = [grid.models.len(), grid.seeds.len()];
        let optional = [grid.batch_sizes.len(), grid.lrs.len(), grid.epochs.len()];
        let lengths = lists.into_iter().chain(optional.map(|length| length.max(1)));
        let count = lengths.into_iter().try_fold(1usize, usize::checked_mul);
        if count.is_none_or(|count| count > MOST_ROWS) {
            return Err(PlanError::TooMany);
        }
        for settings in combinations(grid) {
            let id = settings.id();
            let checked = settings.config.check(settings.model);
            checked.map_err(|error| PlanError::Setting { id: id.clone(), error })?;
            if seen.insert(id) {
                rows.push(settings);
            }
        }
    }
    match rows.len() {
        0 => Err(PlanError::Empty),
        count if count > MOST_ROWS => Err(PlanError::TooMany),
        _ => Ok(rows),
    }
}

/// The seeds of a configuration side by side.
fn combinations(grid: &Grid) -> Vec<Settings> {
    /// The values, or the model's own.
    fn or<T: Copy>(values: &[T], own: T) -> Vec<T> {
        if values.is_empty() { vec![own] } else { values.to_vec() }
    }
    let mut all = Vec::new();
    for &model in &grid.models {
        let own = TrainConfig::notebook(model);
        for epochs in or(&grid.epochs, own.epochs) {
            for batch_size in or(&grid.batch_sizes, own.batch_size) {
                for lr in or(&grid.lrs, own.lr) {
                    for &seed in &grid.seeds {
                        let engine = grid.engine;
                        let device = Device::Cpu;
                        let config =
                            TrainConfig { epochs, batch_size, lr, seed, device, engine, ..own };
                        all.push(Settings { model, config, threads: grid.threads });
                    }
                }
            }
        }
    }
    all
}

/// A line of `plan.csv`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    row: usize,
    id: String,
    model: String,
    engine: String,
    epochs: usize,
    batch_size: usize,
    lr: f64,
    seed: u64,
    threads: u32,
}

/// `plan.csv`: `row,id,model,engine,epochs,batch_size,lr,seed,threads`, rows counted from 0.
pub fn write(rows: &[Settings]) -> Vec<u8> {
    let mut writer = table_writer();
    for (row, settings) in rows.iter().enumerate() {
        let TrainConfig { epochs, batch_size, lr, seed, engine, .. } = settings.config;
        let line = Line {
            row,
            id: settings.id(),
            model: settings.model.name.into(),
            engine: engine.name().into(),
            epochs,
            batch_size,
            lr,
            seed,
            threads: settings.threads,
        };
        // Into memory, and every line has the same fields.
        writer.serialize(line).expect("a line is a record");
    }
    writer.into_inner().expect("a Vec takes every byte")
}

/// Reads what [`write()`] gave, or somebody edited.
///
/// # Errors
/// [`PlanError`]; the sentence names the line.
pub fn read(bytes: &[u8]) -> Result<Vec<Settings>, PlanError> {
    let mut reader = csv::Reader::from_reader(bytes);
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    for line in reader.deserialize() {
        let line: Line = line.map_err(|error| PlanError::Csv(error.to_string()))?;
        let row = rows.len();
        let wrong = |what: String| PlanError::Csv(format!("row {row}: {what}"));
        let settings = settings_of(&line).map_err(wrong)?;
        if line.row != row {
            return Err(wrong(format!("it is numbered {}, where rows count from 0", line.row)));
        }
        let id = settings.id();
        if line.id != id {
            return Err(wrong(format!("its id is {:?}, and its settings are {id}", line.id)));
        }
        if !seen.insert(id) {
            return Err(wrong(format!("{} is there twice", line.id)));
        }
        if row >= MOST_ROWS {
            return Err(PlanError::TooMany);
        }
        rows.push(settings);
    }
    if rows.is_empty() { Err(PlanError::Empty) } else { Ok(rows) }
}

pub(super) fn check_threads(threads: u32) -> Result<(), PlanError> {
    if (1..=4096).contains(&threads) { Ok(()) } else { Err(PlanError::Threads(threads)) }
}

fn settings_of(line: &Line) -> Result<Settings, String> {
    let model = models::named(&line.model).map_err(|error| error.to_string())?;
    let engine = Engine::named(&line.engine).map_err(|error| error.to_string())?;
    let Line { epochs, batch_size, lr, seed, threads, .. } = *line;
    check_threads(threads).map_err(|error| error.to_string())?;
    let own = TrainConfig::notebook(model);
    let config = TrainConfig { epochs, batch_size, lr, seed, device: Device::Cpu, engine, ..own };
    config.check(model).map_err(|error| error.to_string())?;
    Ok(Settings { model, config, threads })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::named;

    fn grid() -> Grid {
        Grid {
            models: vec![named("lenet5").unwrap(), named("mlp").unwrap()],
            seeds: vec![0, 1, 7],
            batch_sizes: vec![16, 64],
            lrs: vec![1e-3, 5e-4],
            epochs: vec![],
            engine: Engine::Exact,
            threads: 1,
        }
    }

    #[test]
    fn every_combination_is_a_row_once_and_a_plan_reads_back() {
        let more = Grid { seeds: vec![7, 8], ..grid() };
        let rows = rows(&[grid(), more]).unwrap();
        assert_eq!(rows.len(), 2 * 2 * 2 * 3 + 2 * 2 * 2);
        assert_eq!(rows[0].id(), "lenet5-b16-lr0.001-e5-s0-t1");
        assert_eq!(rows[12].id(), "mlp-b16-lr0.001-e20-s0-t1");
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn settings_out_of_range_and_grids_without_end_are_refused() {
        let refused = |grid: Grid| rows(&[grid]).unwrap_err().to_string();
        assert!(refused(Grid { lrs: vec![-1.0], ..grid() }).contains("--lr is -1"));
        assert!(refused(Grid { seeds: vec![1 << 40], ..grid() }).contains("--seed"));
        assert!(refused(Grid { seeds: vec![], ..grid() }).contains("no row"));
        let seeds = (0..1001).collect();
        let batch_sizes = (1..1001).collect();
        assert!(refused(Grid { seeds, batch_sizes, ..grid() }).contains("more than 1000000 rows"));
    }

    #[test]
    fn a_plan_that_is_none_is_refused_with_its_line() {
        let good = String::from_utf8(write(&rows(&[grid()]).unwrap())).unwrap();
        for (from, to, part) in [
            ("\n1,lenet5", "\n2,lenet5", "row 1: it is numbered 2"),
            ("-s7-t1", "-s8-t1", "row 2: its id is"),
            (
                ",exact,",
                ",exactly,",
                "row 0: unknown engine \"exactly\": the engines are eager, exact, fast",
            ),
            (",16,", ",0,", "row 0: --batch-size is 0"),
            (",16,", ",-1,", "line: 2"),
            ("row,", "rows,", "unknown field `rows`"),
            ("lenet5,exact", "lenet,exact", "row 0: unknown model \"lenet\": the models are"),
        ] {
            let sentence = read(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(sentence.contains(part), "{from} to {to}: {sentence}");
        }
        assert!(read(b"").is_err());
    }
}
