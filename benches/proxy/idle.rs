//! Connections that wait for their next request, and what they cost.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::process::Process;

/// Connections that are measured, and those opened before, for what the first ones cost alone.
const CONNECTIONS: usize = 2000;
const BEFORE: usize = 200;
/// Time in which a server settles.
const SETTLE: Duration = Duration::from_secs(1);

/// Opens connections and holds them.
pub(crate) struct Idle {
    address: SocketAddrV4,
    tls: Option<Arc<ClientConfig>>,
    open: Vec<Box<dyn Stream>>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Idle {
    /// The first connections; with `trusted` they speak TLS.
    pub(crate) fn open(address: SocketAddrV4, trusted: Option<&Path>) -> io::Result<Self> {
        let tls = trusted.map(client).transpose()?;
        let mut idle = Self { address, tls, open: Vec::new() };
        idle.add(BEFORE)?;
        Ok(idle)
    }

    /// Octets that each further connection costs a server.
    pub(crate) fn cost(mut self, process: &Process) -> f64 {
        sleep(SETTLE);
        let before = process.memory();
        if let Err(error) = self.add(CONNECTIONS) {
            eprintln!("{}: {error}", self.address);
            return f64::NAN;
        }
        sleep(SETTLE);
        (process.memory() - before) * f64::from(1 << 20) / CONNECTIONS as f64
    }

    fn add(&mut self, count: usize) -> io::Result<()> {
        for _ in 0..count {
            let stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut stream: Box<dyn Stream> = match &self.tls {
                None => Box::new(stream),
                Some(config) => {
                    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                    let client = ClientConnection::new(config.clone(), name);
                    Box::new(StreamOwned::new(client.map_err(io::Error::other)?, stream))
                }
            };
            stream.write_all(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let mut reply = Vec::new();
            while !reply.ends_with(b"xxxxxxxx") {
                let mut part = [0; 4096];
                let length = stream.read(&mut part)?;
                if length == 0 {
                    return Err(io::Error::other("the connection ended"));
                }
                reply.extend(part.iter().take(length));
            }
            self.open.push(stream);
        }
        Ok(())
    }
}

fn client(trusted: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(trusted).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
