//! The admin listener: where it is and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::RootCertStore;

use crate::tls::Certificate;

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where it listens.
    pub listen: AdminListen,
    /// Names that requests may ask for as host, beside loopback names and the listener's address.
    pub hosts: Vec<String>,
    /// Who may use it; `None`: everybody who can reach it, which are users of this machine, unless
    /// clients show a certificate.
    pub tokens: Option<Vec<Token>>,
    /// How it speaks TLS; `None`: in clear.
    pub tls: Option<AdminTls>,
}

impl Admin {
    /// Whose certificates clients may show; `None`: none are asked for.
    pub fn client_ca(&self) -> Option<&Arc<RootCertStore>> {
        self.tls.as_ref().and_then(|tls| tls.client_ca.as_ref())
    }
}

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A socket file, for its owner alone.
    Unix(PathBuf),
}

impl AdminListen {
    /// Whether only users of this machine can reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything.
    Read,
    /// Change what can be changed.
    Operate,
}

impl Role {
    /// The word in the configuration and in what the API tells.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// A secret that clients show, of which only a digest is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// [`token_digest`] of its text.
    pub digest: [u8; 32],
}

/// What is kept of a token: its SHA-256. Tokens are 32 random octets, which nobody can guess from
/// it; a slow hash, as for passwords, would add nothing.
pub fn token_digest(text: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    octets
}

/// How the admin listener speaks TLS.
#[derive(Clone, Debug)]
pub struct AdminTls {
    /// What it shows.
    pub certificate: Certificate,
    /// Authorities whose clients may do everything; `None`: clients show no certificate.
    pub client_ca: Option<Arc<RootCertStore>>,
}
