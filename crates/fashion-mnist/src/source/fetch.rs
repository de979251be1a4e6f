//! Downloads the official files: resumable, checked by SHA-256, renamed into place when whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::{Agent, Body, http};

use super::{OFFICIAL, OfficialFile, load_file};

/// The site of the data set's authors (plain HTTP is all it speaks; the SHA-256 sums guard it).
pub const PUBLISHER: &str = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

/// Further tries after a fault that may pass, and the wait before the first of them (it doubles).
const RETRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Redirections that are followed.
const REDIRECTS: u32 = 5;

/// Why a file could not be fetched. The first field is its address, or its path.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Every attempt failed, since the server could not be reached or closed the connection: the last error.
    #[error(
        "{0} could not be fetched: {1}. Try again later (what has arrived is kept and continued), or name another server with --mirror"
    )]
    Unreachable(String, String),
    /// No address of a server, and what is wrong with it.
    #[error(
        "{0} is no address that can be fetched ({1}): give --mirror a whole one, such as http://host/folder"
    )]
    Address(String, String),
    /// The server's answer is final.
    #[error("{0} could not be fetched: the server answered {1}. Name another server with --mirror")]
    Refused(String, StatusCode),
    /// The server sends from one address to the next, more often than is followed.
    #[error(
        "{0} could not be fetched: the server redirected it more than {REDIRECTS} times. Name another server with --mirror"
    )]
    Redirected(String),
    /// The server cannot prove that it is who it should be: what is wrong with its certificate.
    #[error(
        "{0} could not be fetched: no secure connection could be made ({1}). Name another server with --mirror"
    )]
    Untrusted(String, String),
    /// What arrived is not the official file, and why.
    #[error(
        "{0} is not the official file: {1}. It was not kept; name another server with --mirror"
    )]
    Corrupt(String, String),
    /// The disk.
    #[error("{} cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
}

/// What a fetch reports while it runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The file is there already and is the official one.
    Present(&'a str),
    /// `done` of `total` bytes of a file have arrived (`total` when the server says it).
    Bytes {
        /// Name with `.gz`.
        name: &'a str,
        /// Bytes so far, those of an earlier try included.
        done: u64,
        /// Bytes in all.
        total: Option<u64>,
    },
    /// A fault that may pass; the next try follows after `wait`.
    Retry {
        /// The fault.
        reason: &'a str,
        /// Time until the next try.
        wait: Duration,
    },
    /// The file is in place.
    Done(&'a str),
}

/// One fetch of the data set.
pub struct Fetcher<'a> {
    /// Address of the folder that holds the four `.gz` files.
    pub base: &'a str,
    /// Folder to put them in; it is made if need be.
    pub into: &'a Path,
    /// No byte for this long: the connection has stalled.
    pub stalled: Duration,
    /// Called with what happens.
    pub report: &'a mut dyn FnMut(Progress),
}

/// A fault of one try.
enum Fault {
    /// May pass: worth another try.
    Passing(String),
    Final(FetchError),
}

impl Fetcher<'_> {
    /// Fetches what is not there yet. Files that are there and official are left alone.
    ///
    /// # Errors
    /// The first file that could not be had, see [`FetchError`]. A part that has arrived stays as
    /// `NAME.part.gz` and is continued by the next call; a file under its final name is whole.
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
        // `find` takes the .gz when both are there, so that is the one that has to be in order.
        let there = [self.into.join(&name), self.into.join(file.name)];
        let there = there.into_iter().find(|path| path.exists());
        if there.is_some_and(|path| is_official(file, &path)) {
            (self.report)(Progress::Present(&name));
            return Ok(());
        }
        let url = format!("{}/{name}", self.base.trim_end_matches('/'));
        // load_file tells packed from unpacked by the extension, so it stays the last one.
        let part = self.into.join(format!("{}.part.gz", file.name));
        let resumed = part.exists();
        self.download_with_retries(agent, file, &url, &part)?;
        let mut checked = check(file, &url, &part);
        if checked.is_err() && resumed {
            // The earlier part may have been another server's: once more, from the start.
            self.download_with_retries(agent, file, &url, &part)?;
            checked = check(file, &url, &part);
        }
        checked?;
        let whole = self.into.join(&name);
        let write = |error| FetchError::Write(whole.clone(), error);
        File::open(&part).and_then(|part| part.sync_all()).map_err(write)?;
        fs::rename(&part, &whole).map_err(write)?;
        // After a power cut, too, it is there.
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
                Err(Fault::Passing(reason)) => {
                    (self.report)(Progress::Retry { reason: &reason, wait });
                    thread::sleep(wait);
                    wait *= 2;
                }
            }
        }
        self.download(agent, file, url, part).map_err(|fault| match fault {
            Fault::Final(error) => error,
            Fault::Passing(reason) => FetchError::Unreachable(url.into(), reason),
        })
    }

    /// One try: asks for what `part` lacks and appends it.
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
            // The part is as long as the file already, or longer: the check will tell.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
            StatusCode::PARTIAL_CONTENT => {
                return Err(Fault::Passing("the server sent another part than asked for".into()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Fault::Passing(format!("the server answered {status}")));
            }
            status => return Err(Fault::Final(FetchError::Refused(url.into(), status))),
        };
        self.append(file, url, part, done, response.into_body())
    }

    /// Writes `body` behind the first `done` bytes of `part`.
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
                Err(error) => return Err(Fault::Passing(error.to_string())),
            };
            out.write_all(&buffer[..read]).map_err(write)?;
            done += read as u64;
            // gzip never makes a file much larger: a body that goes on is not this file.
            if done > file.bytes + (1 << 16) {
                let _ = fs::remove_file(part);
                let reason = format!("it is longer than {} bytes", file.bytes);
                return Err(Fault::Final(FetchError::Corrupt(url.into(), reason)));
            }
        }
        match total {
            Some(total) if done < total => {
                Err(Fault::Passing(format!("the connection ended after {done} of {total} bytes")))
            }
            _ => Ok(()),
        }
    }
}

/// What kind of fault a request that got no answer is.
fn fault_of(error: ureq::Error, url: &str) -> Fault {
    let (url, reason) = (url.into(), error.to_string());
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
            Fault::Final(FetchError::Address(url, reason))
        }
        ureq::Error::TooManyRedirects => Fault::Final(FetchError::Redirected(url)),
        error if is_of_tls(&error) => Fault::Final(FetchError::Untrusted(url, reason)),
        _ => Fault::Passing(reason),
    }
}

/// Whether the two sides could not agree on TLS: most often a certificate that nobody vouches for.
fn is_of_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        // The handshake gives its error wrapped.
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// Where a `206 Partial Content` says that it starts: `Content-Range: bytes 100-199/200`.
fn range_start(response: &http::Response<Body>) -> Option<u64> {
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn is_official(file: &OfficialFile, path: &Path) -> bool {
    load_file(file, path).is_ok_and(|(_, origin)| origin.official)
}

/// Whether `part` unpacks to the official file; if not, it is removed.
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
