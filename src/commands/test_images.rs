//! The test images of a report, which the networks of its runs classify.

use std::path::Path;

use anyhow::Result;
use stitch::dataset::Split;
use stitch::dataset::source::{self, Half, OFFICIAL, Origin};
use stitch::evaluate;
use stitch::report::{Images, ImagesError, Run};
use stitch::run_folder::{SAFETENSORS, TORCHSCRIPT};
use tch::Device;

use super::{Console, inputs};
use crate::cli::{DataArgs, ReportArgs};

/// The test images, or why a report has none, and the device of the networks.
pub struct TestImages {
    images: Result<(Split, Origin), ImagesError>,
    device: Device,
}

impl TestImages {
    /// Reads the images. If `--data` is given, they must exist.
    pub fn open(args: &ReportArgs) -> Result<Self> {
        let device = inputs::compute(&args.compute)?;
        Ok(Self { images: read(&args.data)?, device })
    }

    /// The images of a run's section, or why it has none.
    pub fn of_run(
        &self,
        run: &Run,
        folder: &Path,
        console: Console,
    ) -> Result<Result<Images, ImagesError>> {
        let (test, origin) = match &self.images {
            Ok(images) => images,
            Err(why) => return Ok(Err(why.clone())),
        };
        let of_run = |name: &str| run.config.data.sha256.get(name);
        let is_test = |name: &str| OFFICIAL.iter().any(|f| f.name == name && f.half == Half::Test);
        let mut tested = origin.files.iter().filter(|file| is_test(file.name));
        if tested.any(|file| of_run(file.name) != Some(&file.sha256)) {
            return Ok(Err(ImagesError::OtherData));
        }
        let weights = folder.join(SAFETENSORS);
        if !weights.exists() {
            return Ok(Err(ImagesError::NoWeights));
        }
        let model = match run.model.is_script() {
            true => {
                let network = folder.join(TORCHSCRIPT);
                let network = inputs::network(&network, None, None, self.device, console)?;
                network.for_images(test.shape, self.device)?.model
            }
            false => inputs::model(&weights, Some(run.model), None, self.device, console)?.model,
        };
        let model = model.with_normalize(run.config.settings.normalize.clone());
        let logits = evaluate::logits(&model, &test.images);
        Ok(Images::new(run, &model, test, &logits))
    }
}

fn read(args: &DataArgs) -> Result<Result<(Split, Origin), ImagesError>> {
    let found = match inputs::find(args) {
        Ok(found) => found,
        Err(error) if args.data.is_some() => return Err(error),
        Err(_) => return Ok(Err(ImagesError::NoData)),
    };
    Ok(Ok(source::load_test(found)?))
}
