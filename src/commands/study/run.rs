//! `stitch study run`: runs the rows without a result, several processes at a time.

mod table;

use std::collections::BTreeMap;
use std::env;
use std::io::Read;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stitch::run_folder::DataConfig;
use stitch::study::plan as plans;
use stitch::study::results::Record;
use stitch::train::TrainConfig;

use table::Table;

use super::{read_plan, read_result};
use crate::cli::StudyRunArgs;
use crate::commands::signals::{self, Interrupted};
use crate::commands::{Console, Outcome, inputs, training};

/// Interval of checks for a signal.
const POLL: Duration = Duration::from_millis(50);
/// Attempts at a row whose process is killed.
const ATTEMPTS: usize = 3;

/// The rows to run, shared by the worker threads.
struct Rows<'a> {
    args: &'a StudyRunArgs,
    /// The rows to run, last row first.
    queue: Mutex<Vec<Waiting>>,
    /// Pipes to the stdin of running rows; dropping one stops its row.
    alive: Mutex<BTreeMap<usize, ChildStdin>>,
    /// The data set in shared memory, where supported.
    data: Option<Data>,
}

#[derive(Clone)]
struct Waiting {
    row: usize,
    settings: TrainConfig,
    /// How many times its process was killed.
    killed: usize,
}

/// How a row's process ended.
enum Ended {
    /// With a result.
    Record(Box<Record>),
    /// By a signal, for example when memory runs out.
    Killed(ExitStatus),
}

#[cfg(target_os = "linux")]
type Data = stitch::dataset::shared::Shared;
#[cfg(not(target_os = "linux"))]
type Data = std::convert::Infallible;

/// An event of a row.
pub enum Event {
    /// The process of the row with this number has started.
    Started(usize),
    /// It has a result.
    Ended(usize, Box<Record>),
    /// Its process was killed; it will run again after the others.
    Killed(usize, ExitStatus),
    /// Its process was killed in every attempt: it has no result, and the other rows continue.
    GivenUp(usize, ExitStatus),
    /// Its process failed without a result: the study ends.
    Failed(anyhow::Error),
}

pub fn run(args: &StudyRunArgs, console: Console) -> Result<Outcome> {
    let plan = read_plan(&args.study)?;
    let rows = args.rows.clone().unwrap_or(0..plan.len());
    if rows.end > plan.len() {
        bail!("--rows {}..{}: the plan has {} rows", rows.start, rows.end, plan.len());
    }
    let (mut missing, mut done, mut failed) = (Vec::new(), 0, 0);
    let mut data_sha256 = None;
    for row in rows.rev() {
        match read_result(&args.study, &plans::id(&plan[row]))? {
            Some(record) if record.is_done() => {
                done += 1;
                data_sha256 = record.outcome.data_sha256.or(data_sha256);
            }
            Some(_) if !args.retry_failed => failed += 1,
            _ => missing.push(Waiting { row, settings: plan[row].clone(), killed: 0 }),
        }
    }
    let jobs = jobs(args, &missing)?;
    let data =
        if missing.is_empty() { None } else { share(args, data_sha256.as_deref(), console)? };
    let mut table = Table::new(console, missing.len(), done, failed, jobs);
    if !missing.is_empty() {
        signals::stop_training();
        let (queue, alive) = (Mutex::new(missing), Mutex::default());
        let rows = Rows { args, queue, alive, data };
        work(&rows, jobs, &plan, &mut table)?;
    }
    if let Some(given_up) = table.given_up() {
        bail!("{given_up}");
    }
    console.show(&table.summary(&args.study))?;
    console.document(|| Ok(table.document(&args.study)))?;
    Ok(if table.failed() == 0 { Outcome::Done } else { Outcome::CheckFailed })
}

/// Number of rows to run at the same time.
fn jobs(args: &StudyRunArgs, missing: &[Waiting]) -> Result<usize> {
    let cores = thread::available_parallelism().context("the number of cores is unknown")?.get();
    let threads = missing.iter().map(|waiting| waiting.settings.threads.unwrap_or(1));
    let threads = threads.max().unwrap_or(1);
    let fitting = (cores / threads).max(1);
    let jobs = args.jobs.map_or(fitting, |jobs| jobs as usize);
    Ok(jobs.min(missing.len()).max(1))
}

/// Reads the data set and copies it to shared memory for the rows' processes. It must be that of the results so far.
fn share(args: &StudyRunArgs, so_far: Option<&str>, console: Console) -> Result<Option<Data>> {
    let dataset = inputs::dataset(&args.data, console)?;
    let digest = DataConfig::from(&dataset).digest();
    if let Some(so_far) = so_far.filter(|it| *it != digest) {
        bail!(
            "{} is another data set (SHA-256 {digest}) than that of the results in {} (SHA-256 {so_far}): give that one with \
             --data, or plan another study",
            dataset.origin.found.directory.display(),
            args.study.display()
        );
    }
    #[cfg(target_os = "linux")]
    {
        use stitch::dataset::shared::Shared;
        Ok(Some(Shared::new(&dataset).context("the data set cannot be copied to shared memory")?))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dataset;
        Ok(None)
    }
}

/// Runs the queue until it is empty, a signal is received, or a row fails without a result.
fn work(rows: &Rows, jobs: usize, plan: &[TrainConfig], table: &mut Table) -> Result<()> {
    let mut failure = None;
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| end_with_signal(rows, &is_done));
        let (events, received) = mpsc::channel();
        for _ in 0..jobs {
            let events = events.clone();
            scope.spawn(move || worker(rows, &events));
        }
        drop(events);
        for event in received {
            match event {
                Event::Started(row) => table.start(row, &plans::id(&plan[row])),
                Event::Ended(row, record) => table.end(row, &record),
                Event::Killed(row, status) => table.retry(row, &plans::id(&plan[row]), status),
                Event::GivenUp(row, status) => table.give_up(row, &plans::id(&plan[row]), status),
                Event::Failed(error) => {
                    // The other workers finish their rows and start no more.
                    rows.queue.lock().expect("no thread panics with the queue").clear();
                    failure.get_or_insert(error);
                }
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    table.finish();
    match failure {
        Some(_) if signals::received().is_some() => Err(Interrupted::new(format!(
            "the study was stopped; to resume it: {}",
            training::repeated_command()
        ))
        .into()),
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Stops all rows when a signal is received, which may have been sent to this process only.
fn end_with_signal(rows: &Rows, is_done: &AtomicBool) {
    while !is_done.load(Ordering::Relaxed) {
        if signals::received().is_some() {
            rows.queue.lock().expect("no thread panics with the queue").clear();
            rows.alive.lock().expect("no thread panics with the rows").clear();
        }
        thread::sleep(POLL);
    }
}

/// Runs rows from the queue until it is empty.
fn worker(rows: &Rows, events: &Sender<Event>) {
    loop {
        let next = rows.queue.lock().expect("no thread panics with the queue").pop();
        let Some(waiting) = next else { return };
        let Waiting { row, ref settings, killed } = waiting;
        // Cannot fail: the receiver is dropped after all workers have ended.
        let _ = events.send(Event::Started(row));
        let ended = match run_row(rows, row, settings) {
            Ok(Ended::Record(record)) => Event::Ended(row, record),
            Ok(Ended::Killed(status)) if killed + 1 < ATTEMPTS => {
                let again = Waiting { killed: killed + 1, ..waiting };
                rows.queue.lock().expect("no thread panics with the queue").insert(0, again);
                Event::Killed(row, status)
            }
            Ok(Ended::Killed(status)) => Event::GivenUp(row, status),
            Err(error) => Event::Failed(error),
        };
        let _ = events.send(ended);
    }
}

/// Runs a row in its own process.
fn run_row(rows: &Rows, row: usize, settings: &TrainConfig) -> Result<Ended> {
    let (args, id) = (rows.args, plans::id(settings));
    let mut child = start(rows, row).with_context(|| format!("row {row}, {id}"))?;
    // Stdin is closed when the row ends, when a signal is received, or when this process ends.
    let alive = || rows.alive.lock().expect("no thread panics with the rows");
    alive().extend(child.stdin.take().map(|stdin| (row, stdin)));
    let mut errors = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut errors);
    }
    let status = child.wait().with_context(|| format!("row {row}, {id}"))?;
    alive().remove(&row);
    if let Some(record) = read_result(&args.study, &id)?.filter(|record| fits(record, status)) {
        return Ok(Ended::Record(Box::new(record)));
    }
    if signals::received().is_some() {
        bail!("row {row}, {id}: stopped");
    }
    let last = errors.lines().last().unwrap_or("its process failed without an error message");
    let last = last.strip_prefix("error: ").unwrap_or(last);
    match status.code() {
        Some(_) => bail!("row {row}, {id}: {last}"),
        None => Ok(Ended::Killed(status)),
    }
}

/// Whether a result matches the exit status of the process.
fn fits(record: &Record, status: ExitStatus) -> bool {
    status.code() == Some(if record.is_done() { 0 } else { 1 })
}

fn start(rows: &Rows, row: usize) -> Result<Child> {
    let args = rows.args;
    let mut command = Command::new(env::current_exe().context("the stitch binary is not found")?);
    command.args(["study", "run"]).arg(&args.study).args(["--row", &row.to_string(), "--worker"]);
    if args.retry_failed {
        command.arg("--retry-failed");
    }
    if args.keep_runs {
        command.arg("--keep-runs");
    }
    #[cfg(target_os = "linux")]
    if let Some(data) = &rows.data {
        command.arg("--shared-data").arg(data.path());
    }
    if let Some(data) = &args.data.data {
        command.arg("--data").arg(data);
    }
    command.arg("--quiet");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().context("its process cannot be started")
}
