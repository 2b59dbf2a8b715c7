//! The certificates that clients are shown: those of the snapshot, so that a reload replaces them.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use crate::model::{Certificates, Proxy};
use crate::snapshot::Snapshot;
use crate::tls;

/// What a client over TLS may speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How clients are spoken to over TLS.
#[derive(Clone)]
pub(super) struct Tls(pub(super) TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Gives each handshake the certificate of the moment for the name it asks for.
#[derive(Debug)]
struct Shown {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Those from the start, for a listener that outlives its configuration until the restart.
    first: Arc<Certificates>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let snapshot = self.snapshot.load();
        let state = snapshot.state.as_ref();
        let proxy = state.and_then(|state| state.loaded.model.node.proxy.as_ref());
        let found = proxy.and_then(|proxy| proxy.certificates.find(hello.server_name()));
        let found = found.or_else(|| self.first.find(hello.server_name()));
        found.map(|certificate| certificate.certified().clone())
    }
}

/// How the listeners speak TLS.
pub(super) fn acceptor(snapshot: &Arc<ArcSwap<Snapshot>>, proxy: &Proxy) -> io::Result<Tls> {
    let first = proxy.certificates.clone();
    let shown = Arc::new(Shown { snapshot: snapshot.clone(), first });
    // RFC 9325 section 3.1.1: TLS 1.2 and 1.3, nothing older.
    let config = tls::server_config(shown, &PROTOCOLS, rustls::ALL_VERSIONS);
    config.map(|config| Tls(TlsAcceptor::from(Arc::new(config)))).map_err(io::Error::other)
}
