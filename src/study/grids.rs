//! Reads grids from a TOML file, as an alternative to the flags of `stitch study plan`.

use serde::Deserialize;
use serde_json::{Map, Value};
use stitch_run::from_toml;

use super::plan::{Grid, PlanError};
use crate::models;
use crate::train::Engine;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    grid: Vec<Table>,
}

#[derive(Deserialize)]
struct Table {
    model: Names,
    seeds: Seeds,
    #[serde(default)]
    fast: bool,
    /// The other settings: a value, or a list of values.
    #[serde(flatten)]
    values: toml::Table,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "the name of a model, or a list of names, is expected")]
enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "seeds are a number, a list of numbers, or \"0..50\"")]
enum Seeds {
    One(u64),
    Several(Vec<u64>),
    Range(String),
}

/// Reads the grids of a file.
///
/// # Errors
/// [`PlanError`], with the line.
pub fn read(text: &str) -> Result<Vec<Grid>, PlanError> {
    let file: File = toml::from_str(text).map_err(|error| PlanError::Toml(error.to_string()))?;
    file.grid.into_iter().map(grid).collect()
}

fn grid(table: Table) -> Result<Grid, PlanError> {
    let names = match table.model {
        Names::One(name) => vec![name],
        Names::Several(names) => names,
    };
    let models = names.iter().map(|name| models::named(name)).collect::<Result<_, _>>()?;
    let mut values: Map<String, Value> =
        table.values.into_iter().map(|(name, value)| (name, from_toml(value))).collect();
    match (values.get("engine"), table.fast) {
        (Some(_), true) => return Err(PlanError::TwoEngines),
        (Some(Value::String(name)), false) => drop(Engine::named(name)?),
        (_, false) => {}
        (None, true) => drop(values.insert("engine".into(), Engine::Fast.name().into())),
    }
    let seeds = match table.seeds {
        Seeds::One(seed) => vec![seed],
        Seeds::Several(seeds) => seeds,
        Seeds::Range(text) => super::plan::seeds(&text)?,
    };
    Ok(Grid { models, seeds, values })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::{id, rows};

    #[test]
    fn numbers_lists_and_ranges_are_read() {
        let text = "[[grid]]\nmodel = \"lenet5\"\nseeds = \"0..3\"\nbatch_size = [16, 32]\n\
                    lr = 1e-3\nfast = true\n[[grid]]\nmodel = [\"mlp\"]\nseeds = [4, 5]\n\
                    threads = 2\nengine = \"eager\"\n";
        let rows = rows(&read(text).unwrap()).unwrap();
        let ids: Vec<String> = rows.iter().map(id).collect();
        assert_eq!(ids.len(), 8);
        assert_eq!(ids[5], "lenet5-fast-b32-lr0.001-e5-s2-t1");
        assert_eq!(ids[7], "mlp-eager-b200-lr0.001-e20-s5-t2");
    }

    #[test]
    fn invalid_grids_are_refused_with_what_is_expected() {
        let read = |text: &str| rows(&read(text)?);
        let grid = |rest: &str| read(&format!("[[grid]]\nmodel = \"mlp\"\n{rest}"));
        for (file, part) in [
            (grid("seeds = \"5..5\""), "with M above N"),
            (grid("seeds = \"0..99999999999\""), "more than 1000000 rows"),
            (grid("seeds = -1"), "seeds are a number"),
            (grid("seeds = 1\nlr = \"small\""), "lr is \"small\": it must be a number above 0"),
            (grid("seeds = 1\nlearning_rate = 1"), "unknown field \"learning_rate\""),
            (grid("seeds = 1\nlr = nan"), "lr is \"NaN\": it must be a number above 0"),
            (grid("seeds = 1\nlr = 1979-05-27"), "lr is \"1979-05-27\""),
            (grid("seeds = 0\nseed = 5"), "seed: give the seeds of a grid as seeds"),
            (grid("seeds = 0\nlr = []"), "lr is an empty list"),
            (grid("seeds = []"), "seeds is an empty list"),
            (grid("seeds = 0\nbatch-size = 5"), "did you mean batch_size?"),
            (grid("seeds = 1\nthreads = 0"), "threads is 0: it must be"),
            (grid("seeds = 1\nengine = \"quick\""), "the engines are eager, exact, fast"),
            (grid("seeds = 1\nengine = \"exact\"\nfast = true"), "both given"),
            (
                read("[[grid]]\nmodel = \"lenet\"\nseeds = 1"),
                "unknown model \"lenet\": the models are",
            ),
            (read("grid"), "line 1"),
        ] {
            let sentence = file.unwrap_err().to_string();
            assert!(sentence.contains(part), "no {part} in {sentence}");
        }
    }
}
