//! How endpoints are spoken to: which HTTP, over TLS or in the clear, and for whom.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::proxy_header::Version;

/// What connections to the endpoints of a route have in common.
#[derive(Clone, Debug, Default)]
pub struct Way {
    /// HTTP/2, whose connections many requests share; else HTTP/1.1.
    pub http2: bool,
    /// `None`: in the clear.
    pub tls: Option<Arc<UpstreamTls>>,
    /// The PROXY header that each connection begins with; `None`: none does.
    pub header: Option<Version>,
    /// The same for all ways that are equal, so that their connections can be shared; 0: HTTP/1.1
    /// in the clear without a header.
    pub identity: u64,
}

/// TLS to endpoints.
#[derive(Debug)]
pub struct UpstreamTls {
    /// What endpoints' certificates must be for; `None`: the hostname or address of each.
    pub name: Option<ServerName<'static>>,
    /// Whom to trust and what to show; one for all connections, so that sessions are resumed.
    pub config: Arc<ClientConfig>,
}
