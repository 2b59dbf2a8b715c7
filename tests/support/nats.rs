//! A real nats-server, and certificates for it and its clients.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use meridian::cluster::{Create, examine};
use meridian::health::Prober;
use meridian::model::{BusTls, Nats};
use meridian::tls::{Certificate, authorities};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::process::Process;
use super::{free_address, wait_for};

/// The server's program, which scripts/test puts there.
pub(crate) fn program() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/nats-server");
    assert!(path.is_file(), "nats-server is missing: run scripts/test --tools");
    path
}

/// A free address on loopback.
pub(crate) fn address() -> SocketAddr {
    free_address(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A running server; its data stays when it is started again.
pub(crate) struct NatsServer {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    config: PathBuf,
    pub(crate) folder: TempDir,
}

impl NatsServer {
    /// A server without TLS and rights.
    pub(crate) fn open() -> Self {
        let (folder, address) = (TempDir::new().unwrap(), address());
        let text = format!(
            "server_name: n1\nlisten: \"{address}\"\nping_interval: \"2s\"\nping_max: 2\n\
             jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: 64MB }}\n",
            folder.path().join("data").display()
        );
        let config = folder.path().join("nats.conf");
        fs::write(&config, text).unwrap();
        Self::start(folder, config, address)
    }

    /// The same with the streams that an operator makes once.
    pub(crate) fn prepared() -> Self {
        let server = Self::open();
        let me = Prober { region: "eu".to_owned(), node: "operator".to_owned() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(examine(&server.nats(), &me, false, Create::Streams)).unwrap();
        server
    }

    /// A server with this configuration, which listens at this address.
    pub(crate) fn start(folder: TempDir, config: PathBuf, address: SocketAddr) -> Self {
        let process = launch(&config, folder.path());
        let server = Self { process, address, config, folder };
        server.wait();
        server
    }

    /// Starts it again after it was killed.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.config, self.folder.path());
        self.wait();
    }

    fn wait(&self) {
        wait_for("nats-server", || TcpStream::connect(self.address).ok());
    }

    /// What a `node.toml` says to have the node reach it without TLS.
    pub(crate) fn cluster(&self) -> String {
        let address = self.address;
        let nats = format!("[cluster.nats]\nservers = [\"nats://{address}\"]\n");
        format!("[cluster]\nengine = \"nats\"\n{nats}")
    }

    /// How a node without TLS reaches it.
    pub(crate) fn nats(&self) -> Nats {
        let servers = vec![format!("nats://{}", self.address)];
        Nats { servers, credentials: None, tls: None, prefix: "meridian".into() }
    }
}

fn launch(config: &Path, folder: &Path) -> Process {
    let name = config.file_stem().unwrap().to_string_lossy().into_owned();
    Process::start(&name, Command::new(program()).arg("-c").arg(config), folder)
}

/// An authority for the bus.
pub(crate) struct BusAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl BusAuthority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names, and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap();
        (certificate.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The files that the templates name, in a folder.
    pub(crate) fn lay_out(&self, folder: &Path) {
        let (chain, key) = self.issue(&["localhost", "127.0.0.1"]);
        fs::write(folder.join("server.pem"), chain).unwrap();
        fs::write(folder.join("server.key"), key).unwrap();
        fs::write(folder.join("ca.pem"), &self.pem).unwrap();
    }

    /// How a client with this name in its certificate reaches a server; `None`: without one.
    pub(crate) fn nats(&self, address: SocketAddr, name: Option<&str>) -> Nats {
        let certificate = name.map(|name| {
            let (chain, key) = self.issue(&[name]);
            Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
        });
        let tls = BusTls { roots: authorities(self.pem.as_bytes()).unwrap(), certificate };
        let servers = vec![format!("tls://{address}")];
        Nats { servers, credentials: None, tls: Some(tls), prefix: "meridian".into() }
    }
}

/// A template of deploy/nats with its paths and addresses put into `folder`; gives the file.
pub(crate) fn template(name: &str, folder: &Path, replace: &[(&str, String)]) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats");
    for entry in fs::read_dir(&shipped).unwrap() {
        let path = entry.unwrap().path();
        let mut text = fs::read_to_string(&path).unwrap();
        text = text.replace("/etc/nats/tls", &folder.display().to_string());
        text = text.replace("/var/lib/nats", &folder.join("data").display().to_string());
        for (from, to) in replace {
            text = text.replace(from, to);
        }
        fs::write(folder.join(path.file_name().unwrap()), text).unwrap();
    }
    folder.join(name)
}
