//! A server that speaks TLS with a certificate of its own making, on a free port of this machine.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

/// A peer that says nothing for this long is given up, so that a failing test ends.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct TlsServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Vec<usize>>,
}

impl TlsServer {
    /// Takes up to `limit` connections, and answers nothing.
    pub fn start(limit: usize) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config =
            ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = Arc::new(config.with_single_cert(vec![cert.into()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::<AtomicBool>::default();
        let stop = stopping.clone();
        let serve = move || {
            let mut received = Vec::new();
            for stream in listener.incoming().take(limit) {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                received.push(receive(stream.unwrap(), config.clone()).unwrap_or(0));
            }
            received
        };
        Self { address, stopping, thread: thread::spawn(serve) }
    }

    /// A folder on it.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/mirror", self.address.port())
    }

    /// Ends it. How many bytes of requests came over each connection.
    pub fn stop(self) -> Vec<usize> {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes `accept`, if it still waits.
        let _ = TcpStream::connect(self.address);
        self.thread.join().unwrap()
    }
}

/// What the other side says once it trusts this one; an error when it does not.
fn receive(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    Stream::new(&mut connection, &mut stream).read(&mut [0; 1024])
}
