//! A recipe against what there is: the model, the seeds that its library takes, the engines that train it.

use stitch_run::recipe::{parse, shown};

use super::{Config, RecipeError};
use crate::models;
use crate::train::Engine;

/// Reads the bytes of a `config.json`, of stitch or of `notebook.py`, as the settings of a run to repeat.
///
/// # Errors
/// See [`RecipeError`]; each names the field, or lists the names that there are.
pub fn read_recipe(bytes: &[u8]) -> Result<Config, RecipeError> {
    let config = parse(bytes)?;
    let model =
        models::named(&config.model).map_err(|unknown| RecipeError::Name(unknown.into()))?;
    let largest = model.library.largest_seed();
    if config.seed > largest {
        let wanted = format!("an integer from 0 to {largest} for {model}");
        let found = config.seed.to_string();
        return Err(RecipeError::Wrong { field: "seed", found, wanted });
    }
    if let Some(name) = &config.engine {
        let on_cpu = config.device == "cpu";
        // On a GPU older versions wrote exact for what is eager.
        let engines = Engine::ALL.into_iter().filter(|&it| on_cpu || it != Engine::Fast);
        let engines = engines.filter(|engine| engine.supports(model)).map(Engine::name);
        let names: Vec<&str> = engines.collect();
        if !names.contains(&name.as_str()) {
            let place = if on_cpu { "the CPU" } else { "a GPU" };
            let wanted = format!("{} for {model} on {place}", names.join(" or "));
            let found = shown(&format!("{name:?}"));
            return Err(RecipeError::Wrong { field: "engine", found, wanted });
        }
    }
    Ok(config)
}
