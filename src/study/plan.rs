//! The plan of a study: `plan.csv`, one row per run.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

pub use super::id::id;
use crate::models::{ModelEntry, UnknownModel};
use crate::train::{self, ConfigError, Device, SettingError, TrainConfig};
use stitch_run::closest::UnknownName;
use stitch_run::rows::{self, TableError};

/// The name of the plan in a study folder.
pub const FILE: &str = "plan.csv";
/// Maximum number of rows; more are a mistake.
const MAX_ROWS: usize = 1_000_000;
/// Maximum length of an id, which becomes the name of a file; file systems allow 255 bytes.
const MAX_ID: usize = 200;

/// Lists of values; every combination is a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Models to train, each with every seed and combination of values.
    pub models: Vec<&'static ModelEntry>,
    /// Seeds, in the order in which they were given.
    pub seeds: Vec<u64>,
    /// Values of other settings, by their names in [`TrainConfig`]. Missing settings have the model's defaults, and
    /// `threads` is 1.
    pub values: Map<String, Value>,
}

impl Grid {
    /// Refuses empty lists, and seeds in the wrong place.
    fn check(&self) -> Result<(), PlanError> {
        let empty = |name: &str| Err(PlanError::EmptyList(name.into()));
        if self.models.is_empty() {
            return empty("model");
        }
        if self.seeds.is_empty() {
            return empty("seeds");
        }
        if self.values.contains_key("seed") {
            return Err(PlanError::Seed);
        }
        if self.values.contains_key("init") {
            return Err(PlanError::Init);
        }
        match self.values.iter().find(|(_, values)| list(values).is_empty()) {
            Some((name, _)) => empty(name),
            None => Ok(()),
        }
    }
}

/// Parses seeds: `7`, or `0..50` (50 excluded).
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
    if range.end() - range.start() >= MAX_ROWS as u64 {
        return Err(PlanError::TooMany);
    }
    Ok(range.collect())
}

/// A plan cannot be created or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A text that is not a list of seeds.
    #[error(
        "seeds {0:?}: expected a number, or N..M with M above N, such as 0..50 for fifty seeds"
    )]
    Seeds(String),
    /// The registry has no model of this name.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// There is no engine of this name.
    #[error(transparent)]
    Engine(#[from] UnknownName),
    /// Both `engine` and `fast` are given.
    #[error("engine and fast are both given: fast = true is short for engine = \"fast\"")]
    TwoEngines,
    /// A file that is not a TOML file of grids.
    #[error("{0}")]
    Toml(String),
    /// The grids make no row.
    #[error("it has no rows: give at least one seed")]
    Empty,
    /// A plan with too many rows.
    #[error("it has more than {MAX_ROWS} rows: give fewer values")]
    TooMany,
    /// An id that is too long for the name of a file.
    #[error(
        "{0} has an id of more than {MAX_ID} characters, too long for a file: give fewer transforms in augment"
    )]
    LongId(String),
    /// A grid gives an empty list for the setting of this name.
    #[error("{0} is an empty list: give at least one value")]
    EmptyList(String),
    /// Initial values from a file.
    #[error(
        "init: the runs of a study draw their initial values. Use `stitch train --init` for one run"
    )]
    Init,
    /// Seeds under the name of the setting.
    #[error("seed: give the seeds of a grid as seeds")]
    Seed,
    /// A setting is unknown, out of range, or does not suit the model.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// A file that is not a table.
    #[error(transparent)]
    Csv(#[from] TableError),
    /// A row of `plan.csv` is invalid.
    #[error("row {row}: {error}")]
    Row {
        /// The row, counted from 0.
        row: usize,
        /// What is wrong.
        error: RowError,
    },
}

/// Why a row of a plan is invalid.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A setting is unknown, out of range, or does not suit the model.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// The number of the row is not its position in the table.
    #[error("its number is {0}; rows are numbered from 0")]
    Number(Value),
    /// The id does not match the settings.
    #[error("its id is {found}, but its settings have the id {expected}")]
    Id {
        /// The id in the file.
        found: Value,
        /// The id of the settings.
        expected: String,
    },
    /// A duplicate of an earlier row.
    #[error("{0} occurs twice")]
    Twice(String),
}

impl From<SettingError> for PlanError {
    fn from(error: SettingError) -> Self {
        Self::Setting(error.into())
    }
}

/// The runs of all grids, without duplicates.
///
/// # Errors
/// See [`PlanError`].
pub fn rows(grids: &[Grid]) -> Result<Vec<TrainConfig>, PlanError> {
    let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
    for grid in grids {
        grid.check()?;
        let lists = grid.values.values().map(|values| list(values).len());
        let lengths = lists.chain([grid.models.len(), grid.seeds.len()]);
        let count = lengths.into_iter().try_fold(1usize, usize::checked_mul);
        if count.is_none_or(|count| count > MAX_ROWS) {
            return Err(PlanError::TooMany);
        }
        for settings in combinations(grid)? {
            train::check(&settings)?;
            if id(&settings).len() > MAX_ID {
                return Err(PlanError::LongId(id(&settings)));
            }
            if seen.insert(id(&settings)) {
                rows.push(settings);
            }
        }
    }
    match rows.len() {
        0 => Err(PlanError::Empty),
        count if count > MAX_ROWS => Err(PlanError::TooMany),
        _ => Ok(rows),
    }
}

/// The values of a setting in a grid: one, or a list.
fn list(values: &Value) -> &[Value] {
    match values {
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

/// All combinations of a grid; seeds vary fastest.
fn combinations(grid: &Grid) -> Result<Vec<TrainConfig>, SettingError> {
    let mut all = Vec::new();
    for model in &grid.models {
        let defaults = TrainConfig { threads: Some(1), ..model.config() };
        let mut maps = vec![defaults.to_map()];
        let names = TrainConfig::names();
        let unknown = grid.values.keys().filter(|name| !names.contains(*name));
        // Unknown names come last: `from_map` reports them.
        for name in names.iter().chain(unknown).filter(|name| grid.values.contains_key(*name)) {
            let with = |(map, value): (&Map<_, _>, &Value)| {
                let mut map = map.clone();
                map.insert(name.clone(), value.clone());
                map
            };
            let values = list(&grid.values[name]);
            maps = maps
                .iter()
                .flat_map(|map| values.iter().map(move |it| (map, it)))
                .map(with)
                .collect();
        }
        for map in maps {
            let settings = TrainConfig::from_map(map)?;
            let settings = TrainConfig { engine: Some(settings.engine()), ..settings };
            all.extend(grid.seeds.iter().map(|&seed| TrainConfig { seed, ..settings.clone() }));
        }
    }
    Ok(all)
}

/// A row of `plan.csv`.
#[derive(Serialize)]
struct Line<'a> {
    row: usize,
    id: String,
    #[serde(flatten)]
    settings: &'a TrainConfig,
}

/// Formats `plan.csv`: `row` (counted from 0), `id`, and the settings.
pub fn write(plan: &[TrainConfig]) -> Vec<u8> {
    let line = |(row, settings)| Line { row, id: id(settings), settings };
    rows::write(plan.iter().enumerate().map(line))
}

/// Reads `plan.csv`.
///
/// # Errors
/// [`PlanError`], with the row.
pub fn read(bytes: &[u8]) -> Result<Vec<TrainConfig>, PlanError> {
    let (mut plan, mut seen) = (Vec::new(), BTreeSet::new());
    for (row, (_, map)) in rows::read(bytes)?.into_iter().enumerate() {
        if row >= MAX_ROWS {
            return Err(PlanError::TooMany);
        }
        let settings = settings_of(row, map, &mut seen);
        plan.push(settings.map_err(|error| PlanError::Row { row, error })?);
    }
    if plan.is_empty() { Err(PlanError::Empty) } else { Ok(plan) }
}

fn settings_of(
    row: usize,
    mut map: Map<String, Value>,
    seen: &mut BTreeSet<String>,
) -> Result<TrainConfig, RowError> {
    let number = map.shift_remove("row").unwrap_or_default();
    let found = map.shift_remove("id").unwrap_or_default();
    let settings = settings_from(map)?;
    if number != row {
        return Err(RowError::Number(number));
    }
    let expected = id(&settings);
    if found != expected.as_str() {
        return Err(RowError::Id { found, expected });
    }
    if !seen.insert(expected.clone()) {
        return Err(RowError::Twice(expected));
    }
    Ok(settings)
}

/// Reads and checks the settings of a row of a plan or a table of results. Older versions wrote no device: the CPU.
pub(super) fn settings_from(mut map: Map<String, Value>) -> Result<TrainConfig, ConfigError> {
    map.entry("device").or_insert_with(|| Device::Cpu.to_string().into());
    let settings = TrainConfig::from_map(map)?;
    train::check(&settings)?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::models::named;

    fn values(values: Value) -> Map<String, Value> {
        values.as_object().unwrap().clone()
    }

    fn grid() -> Grid {
        Grid {
            models: vec![named("lenet5").unwrap(), named("mlp").unwrap()],
            seeds: vec![0, 1, 7],
            values: values(json!({ "batch_size": [16, 64], "lr": [1e-3, 5e-4] })),
        }
    }

    #[test]
    fn every_combination_is_a_row_once_and_a_plan_reads_back() {
        let more = Grid { seeds: vec![7, 8], ..grid() };
        let rows = rows(&[grid(), more]).unwrap();
        assert_eq!(rows.len(), 2 * 2 * 2 * 3 + 2 * 2 * 2);
        assert_eq!(id(&rows[0]), "lenet5-b16-lr0.001-e5-s0-t1");
        assert_eq!(id(&rows[12]), "mlp-b16-lr0.001-e20-s0-t1");
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn settings_out_of_range_and_huge_grids_are_refused() {
        let refused = |grid: Grid| rows(&[grid]).unwrap_err().to_string();
        let with = |wrong| Grid { values: values(wrong), ..grid() };
        assert!(refused(with(json!({ "lr": -1.0 }))).contains("lr is -1"));
        assert!(refused(with(json!({ "lr": "small" }))).contains("lr is \"small\""));
        assert!(refused(with(json!({ "pace": [0.5] }))).contains("unknown field \"pace\""));
        assert!(refused(with(json!({ "dropout": [0.5, 2] }))).contains("dropout is 2: it must be"));
        assert!(refused(Grid { seeds: vec![1 << 40], ..grid() }).contains("seed is 1099511627776"));
        assert!(refused(Grid { seeds: vec![], ..grid() }).contains("seeds is an empty list"));
        assert!(refused(with(json!({ "init": "a.pt" }))).contains("--init"));
        let long = with(json!({ "augment": ["flip,".repeat(40) + "flip"] }));
        let lenet5 = Grid { models: vec![named("lenet5").unwrap()], ..long };
        assert!(refused(lenet5).contains("too long for a file"));
        let batch_sizes: Vec<_> = (1..1001).collect();
        let many = with(json!({ "batch_size": batch_sizes }));
        let many = Grid { seeds: (0..1001).collect(), ..many };
        assert!(refused(many).contains("more than 1000000 rows"));
    }

    #[test]
    fn optional_settings_are_in_the_id() {
        let more = values(json!({ "val": 60, "patience": [2, 3], "engine": "fast", "threads": 2 }));
        let models = vec![named("lenet5").unwrap()];
        let rows = rows(&[Grid { models, seeds: vec![0], values: more }]).unwrap();
        let ids: Vec<String> = rows.iter().map(id).collect();
        assert_eq!(ids[1], "lenet5-fast-b32-lr0.002-e5-s0-t2-val60-patience3");
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn options_of_a_plan_read_back_on_or_off() {
        let more = values(json!({
            "batch_norm": [false, true], "dropout": [0, 0.5], "augment": ["none", "crop,flip"],
            "lr_schedule": ["none", "step:5,0.1"]
        }));
        let models = vec![named("deepcnn").unwrap()];
        let rows = rows(&[Grid { models, seeds: vec![0], values: more }]).unwrap();
        assert_eq!(rows.len(), 16);
        let [first, last] = [&rows[0], &rows[15]].map(id);
        assert_eq!(first, "deepcnn-b64-lr0.001-e10-s0-t1");
        let options = "-batch_norm-dropout0.5-augment_crop2+flip0.5-lr_schedule_step5+0.1";
        assert_eq!(last, format!("{first}{options}"));
        assert_eq!(read(&write(&rows)).unwrap(), rows);
    }

    #[test]
    fn invalid_plans_are_refused_with_the_row() {
        let good = String::from_utf8(write(&rows(&[grid()]).unwrap())).unwrap();
        for (from, to, part) in [
            ("\n1,lenet5", "\n2,lenet5", "row 1: its number is 2"),
            ("-s7-t1", "-s8-t1", "row 2: its id is"),
            (",cpu", ",tpu", "row 0: device is \"tpu\": it must be \"cpu\" or \"cuda:N\""),
            (",16,", ",0,", "row 0: batch_size is 0"),
            (",16,", ",-1,", "row 0: batch_size is -1"),
            ("lenet5,5,", "lenet,5,", "row 0: unknown model \"lenet\": the models are"),
            (",lr,", ",rate,", "row 0: unknown field \"rate\""),
            (",threads,", ",lr,", "the column \"lr\" occurs twice"),
        ] {
            let sentence = read(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(sentence.contains(part), "{from} to {to}: {sentence}");
        }
        assert!(read(b"").is_err());
    }
}
