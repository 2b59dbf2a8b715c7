//! How probes speak TLS: with ring, and with or without verifying the certificate.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, Error, RootCertStore};

use crate::tls::AnyCertificate;

/// The two client configurations of probes.
#[derive(Clone, Debug)]
pub struct Tls {
    verifying: Arc<ClientConfig>,
    trusting: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts the authorities of the operating system, or those in the file or folder that
    /// `SSL_CERT_FILE` or `SSL_CERT_DIR` names. Reads files. Also tells what could not be read.
    pub fn system() -> Result<(Self, Vec<String>), Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut problems: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let mut authorities = RootCertStore::empty();
        let (_, ignored) = authorities.add_parsable_certificates(found.certs);
        if ignored > 0 {
            problems.push(format!("{ignored} certificates of authorities are malformed"));
        }
        if authorities.is_empty() {
            problems.push("no certificate of an authority found".to_owned());
        }
        Ok((Self::trusting_in(authorities)?, problems))
    }

    /// Trusts these authorities.
    pub fn trusting_in(authorities: RootCertStore) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
        };
        let verifying = builder()?.with_root_certificates(authorities).with_no_client_auth();
        let anyone = Arc::new(AnyCertificate::new());
        let trusting =
            builder()?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth();
        Ok(Self { verifying: finished(verifying), trusting: finished(trusting) })
    }

    /// The configuration for a monitor that verifies certificates or not, and offers these
    /// protocols.
    pub(super) fn config(&self, verify: bool, alpn: &[&str]) -> ClientConfig {
        let mut config = ClientConfig::clone(if verify { &self.verifying } else { &self.trusting });
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    // A resumed session shows no certificate, so that a bad new one would go unnoticed.
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
