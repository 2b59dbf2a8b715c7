//! Certificates and keys that belong together, and those that do not.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd};

use super::*;

/// A chain of one and its key.
fn pair(key: &KeyPair) -> (String, String) {
    let mut params = CertificateParams::new(vec!["ns1.example.com".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    (params.self_signed(key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_chain_and_its_key_are_read_with_their_dates() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
        let (chain, key) = pair(&KeyPair::generate_for(algorithm).unwrap());
        let both = format!("{chain}{key}");
        for (chain, key) in [(&chain, &key), (&both, &both)] {
            let read = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(read.validity(), (1_577_836_800, 4_733_510_400));
            let shown = format!("{read:?}");
            assert_eq!(shown, "Certificate { chain: 1, not_after: 4733510400, .. }");
        }
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let (chain, key) = pair(&KeyPair::generate().unwrap());
    let (_, other) = pair(&KeyPair::generate().unwrap());
    let of_chain = |why: &str| CertificateError::Chain(why.to_owned());
    let of_key = |why: &str| CertificateError::Key(why.to_owned());
    let cut = &chain[..chain.len() / 2];
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let strange = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (what, chain, key, expected) in [
        ("an empty chain", "", &*key, of_chain("holds no certificate in PEM form")),
        ("a key for a chain", &*key, &*key, of_chain("holds no certificate in PEM form")),
        ("half a chain", cut, &*key, of_chain("is not in PEM form: a section has no end")),
        ("no certificate", empty, &*key, of_chain("holds a certificate that is malformed")),
        ("an empty key", &*chain, "", of_key("holds no private key in PEM form")),
        ("a chain for a key", &*chain, &*chain, of_key("holds no private key in PEM form")),
        (
            "a key with a passphrase",
            &*chain,
            encrypted,
            of_key("holds an encrypted key, expected one without a passphrase"),
        ),
        (
            "a key of an unknown kind",
            &*chain,
            strange,
            of_key("holds a key of an unknown kind, expected RSA, ECDSA or Ed25519"),
        ),
        ("the key of another certificate", &*chain, &*other, CertificateError::Mismatch),
    ] {
        let read = Certificate::from_pem(chain.as_bytes(), key.as_bytes());
        assert_eq!(read.map(|_| ()).unwrap_err(), expected, "{what}");
    }
}
