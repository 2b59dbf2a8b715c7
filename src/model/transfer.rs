//! Zone transfers: the keys that sign them, and who is on the other end.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::name::Name;

/// A shared secret with its name (RFC 8945 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Both ends know the key by this name.
    pub name: Name,
    /// What is done with it.
    pub algorithm: Algorithm,
    /// The secret.
    pub secret: Secret,
}

/// A keyed hash (RFC 8945 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl Algorithm {
    /// All of them, by the names that configuration and DNS use alike.
    pub const ALL: [(&'static str, Self); 3] = [
        ("hmac-sha256", Self::HmacSha256),
        ("hmac-sha384", Self::HmacSha384),
        ("hmac-sha512", Self::HmacSha512),
    ];
}

/// Octets that no log and no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the octets.
    pub fn new(octets: Vec<u8>) -> Self {
        Self(octets.into())
    }

    /// The octets, for whoever signs.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Who may transfer this node's zones; at least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secondary {
    /// Where it asks from, and the port at which it is told of changes; `None`: anywhere, and it
    /// is told nothing.
    pub to: Option<SocketAddr>,
    /// The key that must have signed; `None`: the address is enough.
    pub key: Option<Arc<Key>>,
}

impl Secondary {
    /// Whether a request from this address, signed with this key, is one of its own.
    pub fn is(&self, address: IpAddr, signed: Option<&Key>) -> bool {
        let place = self.to.is_none_or(|to| to.ip() == address);
        place && self.key.as_deref().is_none_or(|key| signed == Some(key))
    }
}

/// Where a zone is fetched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its address and port.
    pub address: SocketAddr,
    /// The key that both ends sign with; `None`: neither signs.
    pub key: Option<Arc<Key>>,
}

/// What a transfer holds for a steered name, since the other end cannot steer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flattened {
    /// What a client of unknown place is answered from.
    #[default]
    Default,
    /// Nothing.
    Omit,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_key_must_both_be_right_where_both_are_given() {
        let key = |name: &str| Key {
            name: Name::parse(name, &Name::root()).unwrap(),
            algorithm: Algorithm::HmacSha256,
            secret: Secret::new(vec![1; 32]),
        };
        let (own, other) = (key("xfr."), key("other."));
        let to = || Some("192.0.2.53:53".parse().unwrap());
        let here: IpAddr = "192.0.2.53".parse().unwrap();
        let there: IpAddr = "192.0.2.54".parse().unwrap();
        let shared = || Some(Arc::new(own.clone()));
        let both = Secondary { to: to(), key: shared() };
        let place = Secondary { to: to(), key: None };
        let sign = Secondary { to: None, key: shared() };
        for (what, secondary, address, signed, expected) in [
            ("both", &both, here, Some(&own), true),
            ("no signature", &both, here, None, false),
            ("another key", &both, here, Some(&other), false),
            ("another address", &both, there, Some(&own), false),
            ("the address alone", &place, here, None, true),
            ("the address, signed for someone else", &place, here, Some(&other), true),
            ("a wrong address", &place, there, None, false),
            ("the key from anywhere", &sign, there, Some(&own), true),
            ("no key", &sign, here, None, false),
        ] {
            assert_eq!(secondary.is(address, signed), expected, "{what}");
        }
        assert_eq!(format!("{:?}", own.secret), "Secret(..)");
    }
}
