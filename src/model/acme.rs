//! Certificates that the proxy orders by itself (RFC 8555).

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;

use super::Secret;
use crate::tls::Certificate;

/// `[proxy.acme]`
#[derive(Clone, Debug)]
pub struct Acme {
    /// URL of the authority's directory.
    pub directory: String,
    /// Whom the directory's own certificate is to be of; `None`: whom the system trusts.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// Mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// The account elsewhere that a new one is bound to (RFC 8555 section 7.3.4); `None`: to none.
    pub external: Option<ExternalAccount>,
    /// What is ordered, each under another first name.
    pub certificates: Vec<Ordered>,
}

/// An account that an authority knows by other means than ACME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// What the authority calls it.
    pub key_id: String,
    /// The key that shows that it is ours, for HMAC-SHA256.
    pub secret: Secret,
}

/// One certificate that is ordered.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// The names it is for, in lower case; `*.` at the start stands for one label.
    pub names: Vec<String>,
    /// How it is shown that they are ours.
    pub challenge: ChallengeKind,
    /// File of the certificate and its key, in the state folder.
    pub file: PathBuf,
    /// What that file held when it was read; `None`: nothing that can be used.
    pub held: Option<Certificate>,
}

impl Ordered {
    /// When the certificate that is there begins and ends, in seconds since 1970-01-01 UTC;
    /// `None`: there is none of exactly these names.
    pub fn validity(&self) -> Option<(i64, i64)> {
        let held = self.held.as_ref()?;
        let covers =
            |names: &[String], others: &[String]| names.iter().all(|name| others.contains(name));
        let same = covers(held.names(), &self.names) && covers(&self.names, held.names());
        same.then(|| held.validity())
    }
}

/// How an authority is shown that names are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// By a file that the proxy serves (RFC 8555 section 8.3).
    Http,
    /// By a TXT record that the zones answer (RFC 8555 section 8.4).
    Dns,
}

impl ChallengeKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Dns => "dns-01",
        }
    }
}
