//! Certificates of clients: whether a route asks for them, and who vouches for them.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;

/// `client_certificate` of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Nobody is asked.
    Off,
    /// Endpoints are told of one that is shown.
    Optional,
    /// Without one there is no reply.
    Required,
}

impl ClientCertificate {
    /// All of them, by their words.
    pub const ALL: [(&'static str, Self); 3] =
        [("off", Self::Off), ("optional", Self::Optional), ("required", Self::Required)];
}

/// `proxy.client_ca`: whose certificates clients may show.
#[derive(Clone)]
pub struct ClientAuthorities {
    /// The authorities.
    pub roots: Arc<RootCertStore>,
    /// The same for the same file.
    pub identity: u64,
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthorities")
            .field("count", &self.roots.len())
            .finish_non_exhaustive()
    }
}
