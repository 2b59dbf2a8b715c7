//! Who a client is by its certificate: what routes ask for, and what endpoints are told.

use std::net::IpAddr;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;

use super::failure::Failure;
use super::head::Authority;
use crate::model::ClientCertificate;

/// The certificate of the client (RFC 9440 section 2).
const CERTIFICATE: HeaderName = HeaderName::from_static("client-cert");
/// What clients may not say themselves (RFC 9440 section 4): those fields, and their names as
/// gateway interfaces would confuse them.
const CLAIMS: [HeaderName; 4] = [
    CERTIFICATE,
    HeaderName::from_static("client-cert-chain"),
    HeaderName::from_static("client_cert"),
    HeaderName::from_static("client_cert_chain"),
];

/// What a client has shown in its handshake, where certificates are asked for.
#[derive(Debug)]
pub(super) struct Session {
    /// The name that it asked for.
    name: Option<String>,
    /// Its certificate, as a field holds it.
    certificate: Option<HeaderValue>,
}

impl Session {
    /// What is known after the handshake: the name that was asked for, and what the client showed.
    pub(super) fn new(name: Option<&str>, chain: &[CertificateDer<'_>]) -> Self {
        let certificate = chain.first().and_then(|certificate| {
            // RFC 9440 section 2.1: a byte sequence of RFC 8941.
            HeaderValue::from_str(&format!(":{}:", BASE64.encode(certificate))).ok()
        });
        let name = name.map(str::to_ascii_lowercase);
        Self { name, certificate }
    }

    /// Whether the handshake was for this host. Addresses are asked for without a name.
    fn is_for(&self, authority: Option<&Authority<'_>>) -> bool {
        let Some(host) = authority.map(|authority| &authority.host) else { return false };
        match &self.name {
            Some(name) => name == host,
            None => host.starts_with('[') || host.parse::<IpAddr>().is_ok(),
        }
    }
}

/// Holds a request to what its route asks for, and tells the endpoint who it is from.
pub(super) fn present(
    rule: ClientCertificate,
    session: Option<&Session>,
    authority: Option<&Authority<'_>>,
    headers: &mut HeaderMap,
) -> Result<(), Failure> {
    for name in CLAIMS {
        headers.remove(name);
    }
    if rule == ClientCertificate::Off {
        return Ok(());
    }
    // RFC 9110 section 7.4: what was shown to one name is not meant for another one.
    if session.is_some_and(|session| !session.is_for(authority)) {
        return Err(Failure::Misdirected);
    }
    match session.and_then(|session| session.certificate.as_ref()) {
        Some(certificate) => drop(headers.insert(CERTIFICATE, certificate.clone())),
        None if rule == ClientCertificate::Required => return Err(Failure::CertificateRequired),
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_get_what_they_ask_for_and_nobody_claims_to_be_another() {
        use ClientCertificate::{Off, Optional, Required};
        let session = |name: Option<&str>, shown: bool| {
            let certificate = shown.then(|| HeaderValue::from_static(":AA==:"));
            Some(Session { name: name.map(str::to_owned), certificate })
        };
        let (passes, bare) = (Ok(true), Ok(false));
        for (case, rule, session, host, expected) in [
            ("off", Off, session(Some("b.test"), true), "a.test", bare),
            ("shown", Required, session(Some("a.test"), true), "a.test", passes),
            ("shown, though optional", Optional, session(Some("a.test"), true), "a.test", passes),
            ("optional", Optional, session(Some("a.test"), false), "a.test", bare),
            ("in the clear", Optional, None, "a.test", bare),
            (
                "required",
                Required,
                session(Some("a.test"), false),
                "a.test",
                Err(Failure::CertificateRequired),
            ),
            ("required in the clear", Required, None, "a.test", Err(Failure::CertificateRequired)),
            (
                "another name",
                Required,
                session(Some("b.test"), true),
                "a.test",
                Err(Failure::Misdirected),
            ),
            ("no name", Optional, session(None, true), "a.test", Err(Failure::Misdirected)),
            ("an address", Required, session(None, true), "192.0.2.1", passes),
            ("an address of IPv6", Required, session(None, true), "[2001:db8::1]", passes),
        ] {
            let mut headers = HeaderMap::new();
            for name in CLAIMS {
                headers.insert(name, HeaderValue::from_static("forged"));
            }
            let authority = Authority { host: host.into(), port: None };
            let told = present(rule, session.as_ref(), Some(&authority), &mut headers);
            let told = told.map(|()| headers.contains_key(CERTIFICATE));
            assert_eq!(told, expected, "{case}");
            assert!(headers.values().all(|value| value != "forged"), "{case}");
        }
    }
}
