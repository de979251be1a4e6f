//! The engines on the command line, from [`Engine::ALL`].

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use stitch::train::Engine;

/// The parser of an engine's name.
pub fn parser() -> impl TypedValueParser<Value = Engine> {
    let value = |engine: Engine| PossibleValue::new(engine.name()).help(engine.description());
    PossibleValuesParser::new(Engine::ALL.map(value)).try_map(|name| Engine::named(&name))
}
