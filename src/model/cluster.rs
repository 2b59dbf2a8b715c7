//! How nodes share what they see.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;

use crate::tls::Certificate;

/// What carries verdicts and overrides between nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cluster {
    /// Nothing does: this node is alone.
    #[default]
    Embedded,
    /// A NATS bus.
    Nats(Arc<Nats>),
}

/// A NATS bus and how to get onto it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// URLs of its servers, one at least.
    pub servers: Vec<String>,
    /// What the node proves itself with; `None`: its certificate, or nothing.
    pub credentials: Option<Credentials>,
    /// How it is reached over TLS; `None`: as the URLs say, by the system's authorities.
    pub tls: Option<BusTls>,
    /// What all subjects begin with, and the names of the streams.
    pub prefix: String,
}

/// A credentials file of NATS: a JWT and the seed of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(pub Arc<str>);

impl fmt::Debug for Credentials {
    // The seed must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// TLS on the way to the bus.
#[derive(Clone, Debug)]
pub struct BusTls {
    /// The authorities whose servers are trusted; none: the system's.
    pub roots: Vec<CertificateDer<'static>>,
    /// What the node shows; `None`: nothing.
    pub certificate: Option<Certificate>,
}

impl PartialEq for BusTls {
    fn eq(&self, other: &Self) -> bool {
        let shown = |tls: &Self| tls.certificate.as_ref().map(|c| c.certified().cert.clone());
        self.roots == other.roots && shown(self) == shown(other)
    }
}

impl Eq for BusTls {}
