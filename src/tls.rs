//! The certificate that this server shows, and how the server speaks TLS: with ring.

mod anyone;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use anyone::AnyCertificate;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

/// Certificates a chain may have; no authority issues nearly as many.
const CHAIN_MAX: usize = 16;
/// Characters of a subject that are shown.
const SUBJECT_MAX: usize = 100;

/// Certificates of authorities a file may have: more than any system trusts.
const AUTHORITIES_MAX: usize = 1_024;

/// A certificate with its chain and the key that belongs to it.
#[derive(Clone)]
pub struct Certificate {
    certified: Arc<CertifiedKey>,
    /// The hostnames it is for, in lower case; `*.` at the start stands for one label.
    names: Vec<String>,
    /// Seconds since 1970-01-01 UTC, as the certificate says.
    not_before: i64,
    not_after: i64,
}

/// What is wrong with a certificate, by the file to blame; without naming it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// The chain cannot be used: why.
    Chain(String),
    /// The key cannot be used: why.
    Key(String),
    /// Each could be used, but they do not belong together.
    Mismatch,
}

impl fmt::Display for CertificateError {
    /// As what the file does: `holds no private key in PEM form`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain(why) | Self::Key(why) => why,
            Self::Mismatch => "holds a key that does not belong to its certificate",
        })
    }
}

impl Certificate {
    /// Reads a chain, the server's own certificate first, and its key from PEM files.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .take(CHAIN_MAX)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::Chain(unreadable(&error)))?;
        let first = chain.first().ok_or_else(|| {
            CertificateError::Chain("holds no certificate in PEM form".to_owned())
        })?;
        let malformed =
            || CertificateError::Chain("holds a certificate that is malformed".to_owned());
        let (_, parsed) = parse_x509_certificate(first).map_err(|_| malformed())?;
        let names = hostnames(&parsed);
        let validity = parsed.validity();
        let (not_before, not_after) =
            (validity.not_before.timestamp(), validity.not_after.timestamp());
        let key = private_key(key).map_err(CertificateError::Key)?;
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| {
                match error {
                    Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        CertificateError::Mismatch
                    }
                    Error::InvalidCertificate(_) => malformed(),
                    _ => CertificateError::Key(
                        "holds a key of an unknown kind, expected RSA, ECDSA or Ed25519".to_owned(),
                    ),
                }
            })?;
        Ok(Self { certified: Arc::new(certified), names, not_before, not_after })
    }

    /// What the TLS library signs with.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// The hostnames it is for, in lower case; `*.` at the start stands for one label.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// First and last second at which it is valid, since 1970-01-01 UTC.
    pub fn validity(&self) -> (i64, i64) {
        (self.not_before, self.not_after)
    }
}

/// The hostnames of a certificate (RFC 5280 section 4.2.1.6).
fn hostnames(certificate: &X509Certificate<'_>) -> Vec<String> {
    let found = certificate.subject_alternative_name().ok().flatten();
    let names = found.into_iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

/// The certificates of the authorities in a PEM file; the error says what is wrong with it.
pub fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem).take(AUTHORITIES_MAX);
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in &found {
        roots.add(certificate.clone()).map_err(|_| "holds a certificate that is malformed")?;
    }
    if found.is_empty() {
        return Err("holds no certificate in PEM form".to_owned());
    }
    Ok(found)
}

/// The authorities that the system trusts.
pub fn system_authorities() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// What trusts these authorities; those that cannot be read are left out.
pub fn roots(authorities: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    roots
}

/// How a client speaks TLS that trusts these authorities and shows this certificate, if any.
///
/// # Errors
/// When the TLS library supports no common version, which ours does.
pub fn client_config(
    authorities: &[CertificateDer<'static>],
    shown: Option<&Certificate>,
) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authorities));
    Ok(match shown {
        Some(certificate) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(
            certificate.certified().clone(),
        ))),
        None => config.with_no_client_auth(),
    })
}

/// How a client speaks TLS to servers of its own side, by this protocol alone (ALPN); `None` as
/// authorities: any certificate will do.
///
/// # Errors
/// When the TLS library supports no common version, which ours does.
pub fn upstream_config(
    authorities: Option<&[CertificateDer<'static>]>,
    shown: Option<&Certificate>,
    protocol: &[u8],
) -> Result<ClientConfig, Error> {
    let mut config = client_config(authorities.unwrap_or_default(), shown)?;
    if authorities.is_none() {
        config.dangerous().set_certificate_verifier(Arc::new(AnyCertificate::new()));
    }
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

/// The day of a second since 1970-01-01 UTC, such as `2026-09-21`.
pub fn day(seconds: i64) -> String {
    let time = ASN1Time::from_timestamp(seconds);
    time.map_or_else(|_| seconds.to_string(), |time| time.to_datetime().date().to_string())
}

impl fmt::Debug for Certificate {
    // Nothing of the key may get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.certified.cert.len())
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// How a server speaks TLS: these application protocols (ALPN), these versions, the certificate
/// that `certificates` gives at each handshake, tickets to resume a session and no early data.
///
/// # Errors
/// When the system has no randomness to make ticket keys from.
pub fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    finish(config, protocols)
}

/// [`server_config`] in all versions of TLS; with `clients`, for clients that show a certificate
/// of these authorities, or may do without where the flag says so.
///
/// # Errors
/// When there is no authority, or no randomness.
pub fn server_config_for(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
    clients: Option<(Arc<RootCertStore>, bool)>,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((roots, optional)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier =
                if optional { verifier.allow_unauthenticated() } else { verifier }.build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| Error::General(error.to_string()))?,
            )
        }
    };
    finish(builder.with_cert_resolver(certificates), protocols)
}

/// What all servers have in common.
fn finish(mut config: ServerConfig, protocols: &[&[u8]]) -> Result<ServerConfig, Error> {
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // What a client needs to resume lies with the client, so that many clients cost no memory.
    config.ticketer = ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Whom a certificate is of: its common name, or all of its subject.
pub fn subject(certificate: &CertificateDer<'_>) -> String {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else {
        return "certificate".to_owned();
    };
    let subject = parsed.subject();
    let common = subject.iter_common_name().next().and_then(|name| name.as_str().ok());
    let name = common.map_or_else(|| subject.to_string(), str::to_owned);
    let shown: String = name.chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect();
    if shown.is_empty() { "certificate".to_owned() } else { shown }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(text) => {
            "holds an encrypted key, expected one without a passphrase".to_owned()
        }
        pem::Error::NoItemsFound => "holds no private key in PEM form".to_owned(),
        error => unreadable(&error),
    })
}

fn is_encrypted(text: &[u8]) -> bool {
    let mark: &[u8] = b"BEGIN ENCRYPTED PRIVATE KEY";
    text.windows(mark.len()).any(|window| window == mark)
}

/// Why a PEM file cannot be read; nothing of its content is repeated.
fn unreadable(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section starts wrongly",
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "a section cannot be read",
    };
    format!("is not in PEM form: {what}")
}
