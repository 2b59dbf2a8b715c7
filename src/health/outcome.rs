//! What one probe found.

use std::sync::Arc;

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All the monitor asks for was there.
    Success,
    /// Something was not.
    Failure {
        /// What sort of failure, for metrics.
        kind: CauseKind,
        /// The failure in a few exact words: `status 503, expected 200-299`.
        cause: Arc<str>,
    },
    /// This node could not look, through no fault of the endpoint: what was known stays.
    Missed(Arc<str>),
    /// Nothing can be known any more: what was known is forgotten.
    Unknown(Arc<str>),
}

impl Outcome {
    /// A failure of this sort and in these words.
    pub fn failure(kind: CauseKind, cause: impl Into<Arc<str>>) -> Self {
        Self::Failure { kind, cause: cause.into() }
    }

    /// The word in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Success => "ok",
            Self::Failure { .. } => "failed",
            Self::Missed(_) => "missed",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether the probe succeeded.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
}

/// The sorts of failure: a bounded label for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CauseKind {
    /// The hostname has no address.
    Resolve,
    /// The address may not be probed.
    Denied,
    /// The connection was refused.
    Refused,
    /// No connection for another reason, such as no route.
    Connect,
    /// No result in time.
    Timeout,
    /// The connection broke, or what came back is not the protocol.
    Protocol,
    /// The TLS handshake failed for a reason other than the certificate.
    Tls,
    /// The certificate does not hold.
    Certificate,
    /// The certificate holds but ends too soon.
    Expiry,
    /// The status is not among those expected.
    Status,
    /// The body does not match.
    Body,
    /// Others say that it is down.
    Reported,
    /// Nobody has said for too long how it is.
    Stale,
}

impl CauseKind {
    /// All of them, for metrics that show zeros.
    pub const ALL: [Self; 13] = [
        Self::Resolve,
        Self::Denied,
        Self::Refused,
        Self::Connect,
        Self::Timeout,
        Self::Protocol,
        Self::Tls,
        Self::Certificate,
        Self::Expiry,
        Self::Status,
        Self::Body,
        Self::Reported,
        Self::Stale,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Tls => "tls",
            Self::Certificate => "certificate",
            Self::Expiry => "expiry",
            Self::Status => "status",
            Self::Body => "body",
            Self::Reported => "reported",
            Self::Stale => "stale",
        }
    }
}
