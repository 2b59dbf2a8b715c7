//! The beginning of a TLS connection: for which host it is, read without ending TLS.

use rustls::server::Acceptor;

/// Octets that a `ClientHello` may take, with the heads of its records: several times what clients
/// send that offer keys of every kind.
pub const HELLO_MAX: usize = 32 << 10;
/// A fatal alert, `unrecognized_name` (RFC 6066 section 3, RFC 8446 section 6).
pub const NO_SUCH_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Reads a `ClientHello`, in however many records and pieces it comes.
#[derive(Default)]
pub struct HelloReader {
    acceptor: Acceptor,
    seen: Vec<u8>,
}

/// What the first octets of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// Its end has not come yet.
    Part,
    /// A `ClientHello`, and the host that it asks for, in lower case (RFC 6066 section 3).
    Whole(Option<String>),
    /// None, or one that is too long.
    Other,
}

impl std::fmt::Debug for HelloReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HelloReader").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

impl HelloReader {
    /// Takes in the next octets; not to be called after anything but [`Hello::Part`].
    pub fn push(&mut self, octets: &[u8]) -> Hello {
        self.seen.extend_from_slice(octets);
        let mut rest = octets;
        loop {
            match self.acceptor.accept() {
                Ok(None) if rest.is_empty() && self.seen.len() >= HELLO_MAX => return Hello::Other,
                Ok(None) if rest.is_empty() => return Hello::Part,
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    return Hello::Whole(hello.server_name().map(str::to_ascii_lowercase));
                }
                Err(_) => return Hello::Other,
            }
            // It takes as much as it has room for, and makes room when it is asked what it is.
            match self.acceptor.read_tls(&mut rest) {
                Ok(taken) if taken > 0 => {}
                _ => return Hello::Other,
            }
        }
    }

    /// All octets so far, which the endpoint is to get.
    pub fn into_seen(self) -> Vec<u8> {
        self.seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    /// The first octets of a client that asks for this name.
    fn beginning(name: &str, sni: bool) -> Vec<u8> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.enable_sni = sni;
        let name = name.to_owned().try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut octets = Vec::new();
        client.write_tls(&mut octets).unwrap();
        octets
    }

    /// The same message in records of so many octets.
    fn fragmented(octets: &[u8], size: usize) -> Vec<u8> {
        let records = octets[5..].chunks(size);
        records.flat_map(|chunk| [&[22, 3, 1, 0, chunk.len() as u8], chunk].concat()).collect()
    }

    #[test]
    fn a_hello_is_read_whatever_its_records_and_pieces() {
        let asked = Hello::Whole(Some("a.db.test".to_owned()));
        let plain = beginning("A.db.test", true);
        for (case, octets, expected) in [
            ("one record", plain.clone(), asked.clone()),
            ("many records", fragmented(&plain, 7), asked),
            ("no name", beginning("a.db.test", false), Hello::Whole(None)),
            ("an address is no name", beginning("192.0.2.1", true), Hello::Whole(None)),
            ("no TLS", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Hello::Other),
            ("another message", vec![22, 3, 1, 0, 4, 2, 0, 0, 0], Hello::Other),
            ("only a part", plain[..plain.len() - 1].to_vec(), Hello::Part),
            ("too long", [&[22, 3, 1, 64, 0, 1, 0, 255, 255][..], &[0; 1]].concat(), Hello::Part),
        ] {
            assert_eq!(HelloReader::default().push(&octets), expected, "{case}");
            let mut reader = HelloReader::default();
            let mut found = Hello::Part;
            for (at, octet) in octets.iter().enumerate() {
                found = reader.push(&[*octet]);
                if found != Hello::Part {
                    assert!(expected == Hello::Other || at + 1 == octets.len(), "{case}");
                    break;
                }
            }
            assert_eq!(found, expected, "{case}, octet by octet");
            if expected != Hello::Other {
                assert_eq!(reader.into_seen(), octets, "{case}");
            }
        }
    }

    #[test]
    fn a_hello_without_end_is_given_up() {
        let mut reader = HelloReader::default();
        let head = [22, 3, 1, 64, 0, 1, 0, 255, 255];
        assert_eq!(reader.push(&head), Hello::Part);
        let mut pushed = head.len();
        while reader.push(&[0; 512]) == Hello::Part {
            pushed += 512;
            assert!(pushed <= HELLO_MAX, "{pushed} octets");
        }
    }
}
