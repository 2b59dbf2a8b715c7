//! Certificates of an authority that lives as long as a test.

#![allow(dead_code)] // Each test binary uses its own part.

use std::sync::{Arc, LazyLock};

use meridian::tls::Certificate;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

/// The name that all certificates of the tests are for.
pub(crate) const NAME: &str = "ns1.example.com";

/// The authority that all clients of the tests trust.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }
}

/// A new chain and its key in PEM form.
pub(crate) fn pem() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &AUTHORITY.issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A new certificate.
pub(crate) fn certificate() -> Certificate {
    let (chain, key) = pem();
    Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
}

/// The authority's own certificate in PEM form.
pub(crate) fn authority() -> String {
    AUTHORITY.certificate.pem()
}

/// A client that trusts the authority and offers these protocols.
pub(crate) fn client(protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}
