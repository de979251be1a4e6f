//! Downloads the official files. An interrupted download is resumed; a file is checked by its SHA-256 sum before it is
//! renamed to its final name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::{Agent, Body, http};

use super::{OFFICIAL, OfficialFile, load_file};

/// The web site of the data set's authors. It supports HTTP only; the SHA-256 sums protect the download.
pub const PUBLISHER: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

/// Retries after a temporary fault, and the wait before the first of them (it doubles each time).
const RETRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Most redirections that are followed.
const REDIRECTS: u32 = 5;

/// A file that could not be downloaded. The first field is its address, or its path.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every attempt failed because the server could not be reached, closed the connection or was overloaded: the last
    /// error.
    #[error(
        "{0} could not be fetched: {1}. Try again later (the download is resumed), or from another server"
    )]
    Unreachable(String, String),
    /// Not an address of a file on a server: why.
    #[error(
        "{0} is not an address that can be fetched ({1}): expected a complete one, such as http://host/folder"
    )]
    Address(String, String),
    /// The server refuses the request: its status code.
    #[error("{0} could not be fetched: the server responded with {1}")]
    Refused(String, StatusCode),
    /// More redirections than are followed.
    #[error("{0} could not be fetched: the server redirected it more than {REDIRECTS} times")]
    Redirected(String),
    /// The TLS handshake failed, most often because of the server's certificate: why.
    #[error("{0} could not be fetched: no secure connection could be made ({1})")]
    Untrusted(String, String),
    /// The download is not the official file: why.
    #[error("{0} is not the official file: {1}. It was not kept")]
    Corrupt(String, String),
    /// The file cannot be written.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

/// An event of a running download.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The official file is there already: its name with `.gz`.
    Present(&'a str),
    /// A part of a file has arrived.
    Bytes {
        /// Name of the file with `.gz`.
        name: &'a str,
        /// Bytes so far, with those of earlier attempts.
        done: u64,
        /// Size of the file in bytes, if the server states it.
        total: Option<u64>,
    },
    /// An attempt failed; the next one starts after `wait`.
    Retry {
        /// Why it failed.
        reason: &'a str,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// A file has been downloaded and checked: its name with `.gz`.
    Done(&'a str),
}

/// Downloads the data set ([`Fetcher::run`]).
///
/// ```no_run
/// use fashion_mnist::source::{DEFAULT_DIRECTORY, Fetcher, PUBLISHER};
///
/// let mut fetcher = Fetcher {
///     base: PUBLISHER,
///     into: DEFAULT_DIRECTORY.as_ref(),
///     stalled: std::time::Duration::from_secs(30),
///     report: &mut |event| eprintln!("{event:?}"),
/// };
/// fetcher.run()?;
/// # Ok::<(), fashion_mnist::source::FetchError>(())
/// ```
pub struct Fetcher<'a> {
    /// Address of the folder that holds the four `.gz` files.
    pub base: &'a str,
    /// Folder to write them to; it is created if it does not exist.
    pub into: &'a Path,
    /// Time without a byte after which an attempt has failed.
    pub stalled: Duration,
    /// Called with each event.
    pub report: &'a mut dyn FnMut(Progress),
}

/// Why one attempt failed.
enum Fault {
    /// May be temporary: worth a retry.
    Temporary(String),
    Final(FetchError),
}

impl Fetcher<'_> {
    /// Downloads the files that are missing or not official.
    ///
    /// # Errors
    /// [`FetchError`] of the first file that fails. A partial download stays as `NAME.part.gz` and is resumed by the
    /// next call; a file under its final name is complete and checked.
    pub fn run(&mut self) -> Result<(), FetchError> {
        fs::create_dir_all(self.into)
            .map_err(|error| FetchError::Write(self.into.into(), error))?;
        let agent: Agent = Agent::config_builder()
            .timeout_connect(Some(self.stalled))
            .timeout_recv_response(Some(self.stalled))
            .timeout_per_read(Some(self.stalled))
            .http_status_as_error(false)
            .max_redirects(REDIRECTS)
            .build()
            .into();
        OFFICIAL.iter().try_for_each(|file| self.fetch(&agent, file))
    }

    fn fetch(&mut self, agent: &Agent, file: &OfficialFile) -> Result<(), FetchError> {
        let name = format!("{}.gz", file.name);
        // `find` prefers the .gz, so that is the one that has to be official.
        let there = [self.into.join(&name), self.into.join(file.name)];
        let there = there.into_iter().find(|path| path.exists());
        if there.is_some_and(|path| is_official(file, &path)) {
            (self.report)(Progress::Present(&name));
            return Ok(());
        }
        let url = format!("{}/{name}", self.base.trim_end_matches('/'));
        let part = self.into.join(format!("{}.part.gz", file.name));
        let resumed = part.exists();
        self.download_with_retries(agent, file, &url, &part)?;
        let mut checked = check(file, &url, &part);
        if checked.is_err() && resumed {
            // The partial file may have been another server's: start over.
            self.download_with_retries(agent, file, &url, &part)?;
            checked = check(file, &url, &part);
        }
        checked?;
        let complete = self.into.join(&name);
        let write = |error| FetchError::Write(complete.clone(), error);
        File::open(&part).and_then(|part| part.sync_all()).map_err(write)?;
        fs::rename(&part, &complete).map_err(write)?;
        // The new name survives a power failure, too.
        #[cfg(unix)]
        File::open(self.into).and_then(|folder| folder.sync_all()).map_err(write)?;
        (self.report)(Progress::Done(&name));
        Ok(())
    }

    fn download_with_retries(
        &mut self,
        agent: &Agent,
        file: &OfficialFile,
        url: &str,
        part: &Path,
    ) -> Result<(), FetchError> {
        let mut wait = FIRST_WAIT;
        for _ in 0..RETRIES {
            match self.download(agent, file, url, part) {
                Ok(()) => return Ok(()),
                Err(Fault::Final(error)) => return Err(error),
                Err(Fault::Temporary(reason)) => {
                    (self.report)(Progress::Retry { reason: &reason, wait });
                    thread::sleep(wait);
                    wait *= 2;
                }
            }
        }
        self.download(agent, file, url, part).map_err(|fault| match fault {
            Fault::Final(error) => error,
            Fault::Temporary(reason) => FetchError::Unreachable(url.into(), reason),
        })
    }

    /// One attempt: requests what `part` lacks and appends it.
    fn download(
        &mut self,
        agent: &Agent,
        file: &OfficialFile,
        url: &str,
        part: &Path,
    ) -> Result<(), Fault> {
        let have = fs::metadata(part).map_or(0, |meta| meta.len());
        let mut request = agent.get(url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        let response = request.call().map_err(|error| fault_of(error, url))?;
        let done = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
            // The partial file is as long as the file, or longer: the checksum decides.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
            StatusCode::PARTIAL_CONTENT => {
                return Err(Fault::Temporary(
                    "the server sent another range than requested".into(),
                ));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Fault::Temporary(format!("the server responded with {status}")));
            }
            status => return Err(Fault::Final(FetchError::Refused(url.into(), status))),
        };
        self.append(file, url, part, done, response.into_body())
    }

    /// Writes `body` to `part`, after its first `done` bytes.
    fn append(
        &mut self,
        file: &OfficialFile,
        url: &str,
        part: &Path,
        mut done: u64,
        body: Body,
    ) -> Result<(), Fault> {
        let write = |error| Fault::Final(FetchError::Write(part.to_path_buf(), error));
        let name = format!("{}.gz", file.name);
        let total = body.content_length().map(|rest| done + rest);
        let mut out = OpenOptions::new().create(true).append(true).open(part).map_err(write)?;
        out.set_len(done).map_err(write)?;
        let mut from = body.into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            (self.report)(Progress::Bytes { name: &name, done, total });
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Err(Fault::Temporary(error.to_string())),
            };
            out.write_all(&buffer[..read]).map_err(write)?;
            done += read as u64;
            // gzip hardly makes a file larger: a longer body is another file.
            if done > file.bytes + (1 << 16) {
                let _ = fs::remove_file(part);
                let reason = format!("it is longer than {} bytes", file.bytes);
                return Err(Fault::Final(FetchError::Corrupt(url.into(), reason)));
            }
        }
        match total {
            Some(total) if done < total => {
                Err(Fault::Temporary(format!("the connection ended after {done} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }
}

/// The kind of fault of a request without a response.
fn fault_of(error: ureq::Error, url: &str) -> Fault {
    let (url, reason) = (url.into(), error.to_string());
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Fault::Final(FetchError::Address(url, reason))
        }
        ureq::Error::TooManyRedirects => Fault::Final(FetchError::Redirected(url)),
        error if is_of_tls(&error) => Fault::Final(FetchError::Untrusted(url, reason)),
        _ => Fault::Temporary(reason),
    }
}

/// Whether the TLS handshake failed: most often because of an untrusted certificate.
fn is_of_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        // The error of the handshake is wrapped.
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// The first byte of a `206 Partial Content`: 100 of `Content-Range: bytes 100-199/200`.
fn range_start(response: &http::Response<Body>) -> Option<u64> {
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn is_official(file: &OfficialFile, path: &Path) -> bool {
    load_file(file, path).is_ok_and(|(_, origin)| origin.official)
}

/// Checks that `part` decompresses to the official file; removes it if not.
fn check(file: &OfficialFile, url: &str, part: &Path) -> Result<(), FetchError> {
    let reason = match load_file(file, part) {
        Ok((_, origin)) if origin.official => return Ok(()),
        Ok((_, origin)) => {
            format!("SHA-256 of the unpacked file is {}, not {}", origin.sha256, file.sha256)
        }
        Err(error) => error.to_string(),
    };
    let _ = fs::remove_file(part);
    Err(FetchError::Corrupt(url.into(), reason))
}
