//! Grids as a TOML file: the same that the flags of `stitch study plan` say.

use serde::Deserialize;
use tch::Device;

use super::plan::{Grid, PlanError, check_threads, seeds};
use crate::models;
use crate::train::Engine;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    grid: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    model: Names,
    seeds: Seeds,
    #[serde(default)]
    batch_size: Numbers<usize>,
    #[serde(default)]
    lr: Numbers<f64>,
    #[serde(default)]
    epochs: Numbers<usize>,
    engine: Option<String>,
    #[serde(default)]
    fast: bool,
    #[serde(default = "one")]
    threads: u32,
}

fn one() -> u32 {
    1
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a model's name is wanted, or a list of them")]
enum Names {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "seeds are wanted: a number, a list of numbers, or \"0..50\"")]
enum Seeds {
    One(u64),
    Several(Vec<u64>),
    Range(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number is wanted, or a list of numbers")]
enum Numbers<T> {
    One(T),
    Several(Vec<T>),
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl<T> Numbers<T> {
    fn into_list(self) -> Vec<T> {
        match self {
            Self::One(number) => vec![number],
            Self::Several(numbers) => numbers,
        }
    }
}

/// The grids of a file.
///
/// # Errors
/// [`PlanError`]; the sentence shows the line.
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
    check_threads(table.threads)?;
    let engine = match (&table.engine, table.fast) {
        (Some(_), true) => return Err(PlanError::TwoEngines),
        (Some(name), false) => Engine::named(name)?,
        (None, true) => Engine::Fast,
        (None, false) => Engine::default_on(Device::Cpu),
    };
    Ok(Grid {
        models,
        seeds: match table.seeds {
            Seeds::One(seed) => vec![seed],
            Seeds::Several(seeds) => seeds,
            Seeds::Range(text) => seeds(&text)?,
        },
        batch_sizes: table.batch_size.into_list(),
        lrs: table.lr.into_list(),
        epochs: table.epochs.into_list(),
        engine,
        threads: table.threads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::plan::rows;

    #[test]
    fn numbers_lists_and_ranges_are_read() {
        let text = "[[grid]]\nmodel = \"lenet5\"\nseeds = \"0..3\"\nbatch_size = [16, 32]\n\
                    lr = 1e-3\nfast = true\n[[grid]]\nmodel = [\"mlp\"]\nseeds = [4, 5]\n\
                    threads = 2\nengine = \"eager\"\n";
        let rows = rows(&read(text).unwrap()).unwrap();
        let ids: Vec<String> = rows.iter().map(|row| row.id()).collect();
        assert_eq!(ids.len(), 8);
        assert_eq!(ids[5], "lenet5-fast-b32-lr0.001-e5-s2-t1");
        assert_eq!(ids[7], "mlp-eager-b200-lr0.001-e20-s5-t2");
    }

    #[test]
    fn what_is_no_grid_is_refused_with_what_is_wanted() {
        let grid = |rest: &str| read(&format!("[[grid]]\nmodel = \"mlp\"\n{rest}"));
        for (file, part) in [
            (grid("seeds = \"5..5\""), "with M above N"),
            (grid("seeds = \"0..99999999999\""), "more than 1000000 rows"),
            (grid("seeds = -1"), "seeds are wanted"),
            (grid("seeds = 1\nlr = \"small\""), "a number is wanted"),
            (grid("seeds = 1\nlearning_rate = 1"), "unknown field"),
            (grid("seeds = 1\nthreads = 0"), "0 threads"),
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
