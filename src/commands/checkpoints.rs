//! Checkpoints of a training: when they are written, and what `--resume` goes on from.

use std::env;
use std::ffi::OsStr;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use stitch::checkpoint::{self, Checkpoint, Events};
use stitch::events::EventLog;
use stitch::run_folder::{CHECKPOINTS, Config, EVENTS_PART, FolderError, RunFolder, TENSORBOARD};
use stitch::train::{Event, Progress, TrainState, Trainer};

use super::Console;
use crate::cli::CheckpointEvery;

/// Writes checkpoints beside the training: it goes on while they come to the disk, until the next
/// one is due.
pub struct Writer<'scope> {
    every: CheckpointEvery,
    /// Of an epoch.
    steps: usize,
    last: Instant,
    to: SyncSender<(usize, Checkpoint)>,
    /// The two checkpoints that take turns: one is filled while the other comes to the disk.
    back: Receiver<Checkpoint>,
    thread: ScopedJoinHandle<'scope, Result<(), FolderError>>,
}

impl<'scope> Writer<'scope> {
    /// For a run of this configuration, of `steps` an epoch.
    pub fn new<'a: 'scope>(
        scope: &'scope Scope<'scope, 'a>,
        folder: &'a RunFolder,
        config: Config,
        every: CheckpointEvery,
        steps: usize,
        events: Option<&EventLog>,
    ) -> Result<Self> {
        let events = events.map(EventLog::file).transpose();
        let events = events.context("the file of events cannot be shared")?;
        // No room: who hands one over waits until the one before is on the disk.
        let (to, from) = mpsc::sync_channel::<(usize, Checkpoint)>(0);
        let (give_back, back) = mpsc::sync_channel(2);
        for config in [config.clone(), config] {
            let (progress, state) = (Progress::default(), TrainState::default());
            let empty = Checkpoint { config, progress, state, events: None };
            give_back.send(empty).context("nobody takes the checkpoints")?;
        }
        let write = move || {
            for (step, checkpoint) in from {
                // Its tensors were copied out of a learner: shapes and data agree.
                let bytes = checkpoint.write().map_err(|error| {
                    let error = std::io::Error::other(error);
                    FolderError::Write(folder.path().join(CHECKPOINTS), error)
                })?;
                if let Some(events) = &events {
                    folder.sync(events, TENSORBOARD, EVENTS_PART)?;
                }
                checkpoint::save(folder, step, &bytes)?;
                // Nobody takes it after the last one.
                let _ = give_back.send(checkpoint);
            }
            Ok(())
        };
        let thread = thread::Builder::new().name("checkpoints".into());
        let thread = thread.spawn_scoped(scope, write).context("a thread cannot be had")?;
        Ok(Self { every, steps, last: Instant::now(), to, back, thread })
    }

    /// Whether a checkpoint is due.
    pub fn is_due(&self, event: Event, progress: &Progress) -> bool {
        match (event, self.every) {
            (Event::Epoch(_), _) => true,
            (Event::Step { .. }, CheckpointEvery::Steps(n)) => {
                (progress.count(self.steps) as u64).is_multiple_of(n.get())
            }
            (Event::Step { .. }, CheckpointEvery::Time(time)) => self.last.elapsed() >= time,
            (Event::Step { .. }, CheckpointEvery::Never) => false,
        }
    }

    /// Writes a checkpoint; `events` are in their file. `false`: the writing has failed, and
    /// [`Writer::finish`] tells why.
    pub fn write(
        &mut self,
        progress: &Progress,
        trainer: &Trainer,
        events: Option<Events>,
    ) -> bool {
        self.last = Instant::now();
        let Ok(mut checkpoint) = self.back.recv() else { return false };
        // Into the room of the epochs before them, as the tensors: among the blocks that each step takes
        // and frees, ever new ones would make the heap grow.
        progress.copy_to(&mut checkpoint.progress);
        trainer.copy_state(&mut checkpoint.state);
        checkpoint.events = events;
        self.to.send((progress.count(self.steps), checkpoint)).is_ok()
    }

    /// Waits until everything is on the disk.
    pub fn finish(self) -> Result<(), FolderError> {
        drop(self.to);
        // A panic in the thread goes on here.
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What `--resume` found.
pub enum Start {
    /// Nothing to go on from.
    Anew,
    /// A checkpoint.
    From(Box<Checkpoint>),
    /// A run that is complete.
    Finished,
}

/// What there is to go on from; refuses what is not of the run that `config` and the number of training images
/// describe.
pub fn start(
    folder: &RunFolder,
    config: &Config,
    images: usize,
    console: Console,
) -> Result<Start> {
    let out = folder.path().display();
    let found = checkpoint::find(folder);
    for (path, error) in found.damaged {
        let error = anyhow!(error);
        console.note(&format!("warning: {}: {error:#}", path.display()));
        if found.newest.is_none() {
            bail!(
                "--resume: none of the checkpoints in {out} can be read: {error:#}. Give --force to begin anew, \
                 or another folder"
            );
        }
    }
    if let Some((path, checkpoint)) = found.newest {
        refuse_others(&checkpoint.config, config, &format!("{}", path.display()))?;
        checkpoint::check(&path, &checkpoint, images)
            .with_context(|| format!("--resume: {}", path.display()))?;
        let done = checkpoint.progress.epochs.len();
        let steps = checkpoint.progress.steps;
        console.note(&format!(
            "{}: continued after {done} epochs and {steps} steps, from {}",
            config.model,
            path.display()
        ));
        return Ok(Start::From(Box::new(checkpoint)));
    }
    match folder.read_config()? {
        Some(there) => {
            refuse_others(&there, config, &format!("the finished run in {out}"))?;
            if config.epochs > there.epochs {
                bail!(
                    "--resume: the run in {out} is finished with {} epochs, and its checkpoints are \
                     gone. Give --force to train {} epochs anew, or another folder",
                    there.epochs,
                    config.epochs
                );
            }
            Ok(Start::Finished)
        }
        None => match folder.existing_file() {
            Some(file) => bail!(
                "--resume: {out} holds a part of a run ({file}) and no checkpoint. Give --force to \
                 begin anew, or another folder"
            ),
            None => {
                console.note(&format!("{}: nothing to resume in {out}; begun anew", config.model));
                Ok(Start::Anew)
            }
        },
    }
}

fn refuse_others(then: &Config, now: &Config, place: &str) -> Result<()> {
    let differences = then.differences(now);
    if !differences.is_empty() {
        bail!(
            "--resume: this is not the run of {place}, which differs in: {}. Give the same settings, \
             --force to begin anew, or another folder",
            differences.join("; ")
        );
    }
    Ok(())
}

/// The command that continues this one.
pub fn resuming_command() -> String {
    let kept = env::args_os().filter(|argument| argument != "--force" && argument != "--resume");
    let mut words: Vec<String> = kept.map(|argument| quoted(&argument)).collect();
    words.push("--resume".into());
    words.join(" ")
}

/// An argument as a shell reads it.
fn quoted(argument: &OsStr) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match argument.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => text.into(),
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        // Not UTF-8: by its bytes.
        None => {
            let byte = |&byte: &u8| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            };
            let bytes: String = argument.as_encoded_bytes().iter().map(byte).collect();
            format!("$'{bytes}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_a_shell_reads_them() {
        for (argument, wanted) in
            [("runs/a-1", "runs/a-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(quoted(OsStr::new(argument)), wanted);
        }
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            assert_eq!(quoted(OsStr::from_bytes(b"b\xff'c")), r"$'b\xff\'c'");
        }
    }
}
