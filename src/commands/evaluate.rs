//! `stitch evaluate`: accuracy, report and result files of a weights file.

use std::time::Instant;

use anyhow::Result;
use stitch::dataset::source;
use stitch::evaluate::evaluate;
use stitch::run_folder::RunFolder;

use super::train::write_evaluation;
use super::{Console, Outcome, inputs, tables};
use crate::cli::EvaluateArgs;

pub fn run(args: &EvaluateArgs, console: Console) -> Result<Outcome> {
    let device = inputs::compute(&args.compute)?;
    let folder = match &args.out {
        Some(out) => Some(RunFolder::claim_for_evaluation(out, inputs::claim(args.force, false))?),
        None => None,
    };
    let model = inputs::model(&args.file, args.model, device, console)?;
    let (test, origin) = source::load_test(source::find(args.data.data.as_deref())?)?;
    inputs::warn_of(&origin, console);
    let start = Instant::now();
    let evaluation = evaluate(model.as_ref(), &test);
    let seconds = start.elapsed().as_secs_f64();
    console.note(&format!("{} images in {seconds:.3} s", test.labels.len()));
    if let Some(folder) = &folder {
        write_evaluation(folder, &test.labels, &evaluation, None)?;
    }
    console.print(&tables::scores(&evaluation.report))?;
    console.print(&format!("most confused:\n{}", tables::most_confused(&evaluation.matrix)))?;
    console.print(&format!(
        "{}: test accuracy {:.4} ({} of {})",
        model.architecture(),
        evaluation.report.accuracy,
        evaluation.matrix.correct(),
        evaluation.matrix.total()
    ))?;
    Ok(Outcome::Done)
}
