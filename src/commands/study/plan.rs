//! `stitch study plan`: writes the grid of runs to `plan.csv`.

use std::fs;

use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::{Map, json};
use stitch::models::ModelEntry;
use stitch::run_folder::write_whole;
use stitch::study::grids;
use stitch::study::plan::{self as plans, Grid, PlanError};
use stitch::train::{ConfigError, SettingError};

use super::{MAX_TABLE, counted};
use crate::cli::{StudyPlanArgs, number};
use crate::commands::{Console, Outcome, documents, flags, inputs};

/// Maximum size in bytes of a TOML file of grids.
const MAX_GRID: u64 = 1 << 20;

pub fn run(args: &StudyPlanArgs, console: Console) -> Result<Outcome> {
    let grids = match &args.file {
        None => vec![grid(args)?],
        Some(file) => {
            let bytes = inputs::read_limited(file, MAX_GRID).context("--file")?;
            let of_file = || format!("--file {}", file.display());
            let text = String::from_utf8(bytes).context("it is not UTF-8").with_context(of_file)?;
            grids::read(&text).with_context(of_file)?
        }
    };
    let grids = with_networks(grids)?;
    let rows = plans::rows(&grids).map_err(|error| match (&args.file, error) {
        (None, PlanError::Setting(ConfigError::Setting(setting))) => match setting {
            SettingError::Wrong { name, found, expected } if name == "seed" => {
                flags::of_setting(&SettingError::wrong("seeds", &found, &expected))
            }
            setting => flags::of_setting(&setting),
        },
        (None, error) => Error::from(error).context("the plan"),
        (Some(file), error) => Error::from(error).context(format!("--file {}", file.display())),
    })?;
    let output = args.output.display();
    ensure!(!args.output.is_file(), "--output {output} is a file: give a folder");
    let path = args.output.join(plans::FILE);
    let bytes = plans::write(&rows);
    let exists = path.try_exists().unwrap_or(true);
    if exists && inputs::read_limited(&path, MAX_TABLE).is_ok_and(|existing| existing == bytes) {
        console.note(&format!("{} contains this plan already", path.display()));
    } else if exists && !args.force {
        bail!(
            "--output {output} contains another plan. Give --force to replace it (results of rows in both plans \
             are kept), or another folder"
        );
    } else {
        let cannot = || format!("{} cannot be written", path.display());
        fs::create_dir_all(&args.output).with_context(cannot)?;
        write_whole(&path, &bytes).with_context(cannot)?;
    }
    let (runs, plan) = (rows.len(), path.display().to_string());
    console.show(&format!("{} in {plan}", counted(runs)))?;
    console.document(|| Ok(documents::Planned { plan, runs }))?;
    Ok(Outcome::Done)
}

/// The grids with the SHA-256 of each TorchScript file, in a grid of its own.
fn with_networks(grids: Vec<Grid>) -> Result<Vec<Grid>> {
    let of_model = |(model, mut grid): (&'static ModelEntry, Grid)| {
        if model.is_script() {
            let sha256 = inputs::network_sha256(model)?;
            grid.values.insert("model_sha256".into(), sha256.into());
        }
        Ok(Grid { models: vec![model], ..grid })
    };
    let mut all = Vec::new();
    for grid in grids {
        match grid.models.iter().any(|model| model.is_script()) {
            false => all.push(grid),
            true => {
                let models = grid.models.clone().into_iter();
                let parts = models.map(|model| of_model((model, grid.clone())));
                all.extend(parts.collect::<Result<Vec<_>>>()?);
            }
        }
    }
    Ok(all)
}

fn grid(args: &StudyPlanArgs) -> Result<Grid> {
    let seeds = args.seeds.iter().map(|text| plans::seeds(text));
    let seeds = seeds.collect::<Result<Vec<_>, PlanError>>().context("--seeds")?;
    let mut values = Map::new();
    let lists = [
        ("epochs", json!(args.epochs)),
        ("batch_size", json!(args.batch_size)),
        ("lr", args.lr.iter().copied().map(number).collect()),
        ("threads", json!([args.threads])),
        ("engine", json!(Vec::from_iter(args.engine.given()))),
    ];
    for (name, list) in lists {
        if list != json!([]) {
            values.insert(name.into(), list);
        }
    }
    Ok(Grid { models: args.model.clone(), seeds: seeds.concat(), values })
}
