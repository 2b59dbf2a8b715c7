//! An authority of our own and the certificates it signs.

use std::time::Duration;

use meridian::probe::Tls;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;

const DAY: u64 = 86_400;

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key, both in PEM form.
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A certificate for `name`, from `from` to `until` days after now.
    pub(crate) fn sign(&self, name: &str, from: i64, until: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = meridian::clock::unix_seconds().cast_signed();
        let at = |days: i64| {
            let seconds = (now + days * DAY.cast_signed() + 60).cast_unsigned();
            date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds)
        };
        (params.not_before, params.not_after) = (at(from), at(until));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// Its own certificate in PEM form.
    #[allow(dead_code)] // For tests that trust it through a file.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Trusts this authority alone.
    #[allow(dead_code)] // As above, the other way round.
    pub(crate) fn tls(&self) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        Tls::trusting_in(roots).unwrap()
    }
}
