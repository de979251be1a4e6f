//! An HTTP/1.1 server on a free port of this machine, for the tests of fetching.
//!
//! It answers one request a connection, at most a given number of them, remembers each, and ends
//! when it is dropped.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A peer that says nothing for this long is given up, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is sent of an endless body if nobody hangs up.
const NEARLY_ENDLESS: usize = 64 << 20;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `/folder/name`.
    pub path: String,
    /// The value of the header `Range`.
    pub range: Option<String>,
}

/// What is answered.
pub struct Reply {
    status: &'static str,
    headers: Vec<String>,
    body: Cow<'static, [u8]>,
    then: Then,
}

/// What follows the body.
#[derive(PartialEq)]
enum Then {
    /// The end.
    End,
    /// The body again and again.
    Endless,
    /// Nothing, and no end.
    Silence,
}

impl Reply {
    /// No body.
    pub fn status(status: &'static str) -> Self {
        Self {
            status,
            headers: vec!["Content-Length: 0".into()],
            body: (&[]).into(),
            then: Then::End,
        }
    }

    /// 302 to another path of this server.
    pub fn redirect(path: &str) -> Self {
        let mut reply = Self::status("302 Found");
        reply.headers.push(format!("Location: {path}"));
        reply
    }

    /// 200 with the whole file.
    pub fn whole(body: impl Into<Cow<'static, [u8]>>) -> Self {
        let body = body.into();
        let headers = vec![format!("Content-Length: {}", body.len())];
        Self { status: "200 OK", headers, body, then: Then::End }
    }

    /// 200 that promises the whole file and breaks off after `sent` bytes.
    pub fn cut_short(body: &'static [u8], sent: usize) -> Self {
        Self { body: body[..sent].into(), ..Self::whole(body) }
    }

    /// 200 that promises the whole file, and after `sent` bytes says nothing more.
    pub fn stalled(body: &'static [u8], sent: usize) -> Self {
        Self { then: Then::Silence, ..Self::cut_short(body, sent) }
    }

    /// 206 with what follows the first `start` bytes.
    pub fn part(body: &'static [u8], start: usize) -> Self {
        let range = format!("Content-Range: bytes {start}-{}/{}", body.len() - 1, body.len());
        let mut reply = Self { status: "206 Partial Content", ..Self::whole(&body[start..]) };
        reply.headers.push(range);
        reply
    }

    /// 200 with a body of no stated length that does not end.
    pub fn endless() -> Self {
        let body = vec![0; 1 << 16].into();
        Self { status: "200 OK", headers: Vec::new(), body, then: Then::Endless }
    }

    /// The part that was asked for, or all of it.
    pub fn as_asked(request: &Request, body: &'static [u8]) -> Self {
        let start = request.range.as_deref().and_then(|range| {
            range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        match start {
            Some(start) if start < body.len() => Self::part(body, start),
            Some(_) => Self::status("416 Range Not Satisfiable"),
            None => Self::whole(body),
        }
    }

    fn send(&self, mut to: &TcpStream) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", self.status);
        self.headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        to.write_all(format!("{head}\r\n").as_bytes())?;
        to.write_all(&self.body)?;
        match self.then {
            Then::End => Ok(()),
            Then::Endless => {
                let repetitions = NEARLY_ENDLESS / self.body.len();
                (0..repetitions).try_for_each(|_| to.write_all(&self.body))
            }
            // Until the other side hangs up.
            Then::Silence => to.read(&mut [0]).map(drop),
        }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers up to `limit` requests; `reply` is given each with its number, from 0.
    pub fn start(limit: usize, reply: impl Fn(usize, &Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let stopping = Arc::<AtomicBool>::default();
        let (seen, stop) = (requests.clone(), stopping.clone());
        let serve = move || {
            for number in 0..limit {
                let Ok((stream, _)) = listener.accept() else { return };
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(request) = read_request(&stream) else { continue };
                seen.lock().unwrap().push(request.clone());
                // The client may hang up: that is its affair.
                let _ = reply(number, &request).send(&stream);
            }
        };
        Self { address, requests, stopping, thread: Some(thread::spawn(serve)) }
    }

    /// A folder on it.
    pub fn url(&self) -> String {
        format!("http://{}/mirror", self.address)
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stopping.store(true, Ordering::SeqCst);
        if !thread.is_finished() {
            // Wakes `accept`.
            let _ = TcpStream::connect(self.address);
        }
        let _ = thread.join();
    }
}

fn read_request(stream: &TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream).lines();
    let mut next = || lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let start = next()?;
    let mut request =
        Request { path: start.split(' ').nth(1).unwrap_or_default().into(), range: None };
    loop {
        let line = next()?;
        match line.split_once(':') {
            _ if line.is_empty() => return Ok(request),
            Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                request.range = Some(value.trim().into());
            }
            _ => {}
        }
    }
}
