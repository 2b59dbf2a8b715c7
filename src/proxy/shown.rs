//! How clients are spoken to over TLS: the certificates that they are shown and the authorities of
//! their own are those of the snapshot, so that a reload replaces them.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tracing::error;

use crate::model::{Certificates, ClientAuthorities, Proxy};
use crate::snapshot::Snapshot;
use crate::tls;

/// What a client over QUIC may speak.
const PROTOCOLS_QUIC: [&[u8]; 1] = [b"h3"];
/// What a client over TLS may speak, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How clients are spoken to over TLS.
pub(super) struct Tls {
    shown: Arc<Shown>,
    /// For the authorities that were asked for last.
    made: ArcSwap<Made>,
}

/// What handshakes go by, for as long as the clients' authorities stay the same.
struct Made {
    /// `None`: no certificate is asked for.
    authorities: Option<u64>,
    acceptor: TlsAcceptor,
    quic: Arc<QuicServerConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// How the listeners speak TLS.
    pub(super) fn new(snapshot: &Arc<ArcSwap<Snapshot>>, proxy: &Proxy) -> io::Result<Self> {
        let first = proxy.certificates.clone();
        let shown = Arc::new(Shown { snapshot: snapshot.clone(), first });
        let made = ArcSwap::from_pointee(Made::new(&shown, proxy.client_ca.as_ref())?);
        Ok(Self { shown, made })
    }

    /// For one handshake. Other authorities are another configuration, whose ticket keys are
    /// its own: no session that others vouched for is resumed. `None`: there can be none.
    pub(super) fn acceptor(&self, proxy: &Proxy) -> Option<TlsAcceptor> {
        self.made(proxy).map(|made| made.acceptor.clone())
    }

    /// The same for a handshake of QUIC.
    pub(super) fn quic(&self, proxy: &Proxy) -> io::Result<Arc<QuicServerConfig>> {
        let made = self.made(proxy).map(|made| made.quic.clone());
        made.ok_or_else(|| io::Error::other("handshakes cannot be made"))
    }

    fn made(&self, proxy: &Proxy) -> Option<Arc<Made>> {
        let made = self.made.load_full();
        let asked = proxy.client_ca.as_ref().map(|authorities| authorities.identity);
        if made.authorities == asked {
            return Some(made);
        }
        match Made::new(&self.shown, proxy.client_ca.as_ref()) {
            Ok(made) => {
                let made = Arc::new(made);
                self.made.store(made.clone());
                Some(made)
            }
            Err(error) => {
                error!(%error, "handshakes cannot be made");
                None
            }
        }
    }
}

impl Made {
    fn new(shown: &Arc<Shown>, clients: Option<&ClientAuthorities>) -> io::Result<Self> {
        // Whether a certificate has to be there is for the route to say.
        let roots = clients.map(|clients| (clients.roots.clone(), true));
        // RFC 9325 section 3.1.1: TLS 1.2 and 1.3, nothing older.
        let config = tls::server_config_for(shown.clone(), &PROTOCOLS, roots.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config.map_err(io::Error::other)?));
        // RFC 9001 section 4.2: QUIC takes TLS 1.3 alone of what is offered here.
        let config = tls::server_config_for(shown.clone(), &PROTOCOLS_QUIC, roots);
        let config = config.map_err(io::Error::other)?;
        let quic = Arc::new(QuicServerConfig::try_from(config).map_err(io::Error::other)?);
        Ok(Self { authorities: clients.map(|clients| clients.identity), acceptor, quic })
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
