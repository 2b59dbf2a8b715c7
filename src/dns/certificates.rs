//! The certificate that handshakes are given: that of the snapshot, so that a reload replaces it.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::snapshot::Snapshot;
use crate::tls::{self, Certificate};

/// Gives each handshake the certificate of the moment.
#[derive(Debug)]
struct Certificates {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// The one from the start, for a listener that outlives its configuration until the restart.
    first: Option<Certificate>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.snapshot.load();
        let certificate = snapshot.options.certificate.as_ref().or(self.first.as_ref());
        certificate.map(|certificate| certificate.certified().clone())
    }
}

/// How a listener speaks TLS to clients of the protocol that ALPN calls `protocol`.
pub(super) fn server_config(
    snapshot: &Arc<ArcSwap<Snapshot>>,
    protocol: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<ServerConfig> {
    let first = snapshot.load().options.certificate.clone();
    let certificates = Arc::new(Certificates { snapshot: snapshot.clone(), first });
    tls::server_config(certificates, &[protocol.as_bytes()], versions).map_err(io::Error::other)
}
