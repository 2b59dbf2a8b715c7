//! Presence: that a node is there, what its roles are, and which configuration it serves.
//!
//! Every node says it, whether it probes or not. It is of the moment: said again every few seconds
//! and kept by nobody.

use serde::{Deserialize, Serialize};

use super::wire::{self, Dropped, Kind};
use crate::health::Prober;

/// Longest version of a program.
const VERSION_MAX: usize = 32;
const DNS: u8 = 1;
const PROBE: u8 = 1 << 1;
const PROXY: u8 = 1 << 2;

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// It answers queries.
    pub dns: bool,
    /// It probes.
    pub probe: bool,
    /// It passes requests on.
    pub proxy: bool,
}

impl Roles {
    /// Their names in node.toml.
    pub fn names(self) -> Vec<&'static str> {
        let all = [(self.dns, "dns"), (self.probe, "probe"), (self.proxy, "proxy")];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
    }
}

/// That a node is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Which node.
    pub writer: Prober,
    /// What it does.
    pub roles: Roles,
    /// The version of its program: up to 32 characters of a-z, A-Z, 0-9, `.`, `-` and `+`.
    pub version: String,
    /// The first 48 bits of the digest of the configuration that it serves; `None`: it serves
    /// nothing yet.
    pub config: Option<u64>,
}

/// A presence as it is sent. Its form never changes.
#[derive(Serialize, Deserialize)]
struct Body<'a> {
    region: &'a str,
    node: &'a str,
    /// One bit each; those to come are passed over.
    roles: u8,
    version: &'a str,
    config: Option<u64>,
}

impl Presence {
    /// The message.
    pub fn encode(&self) -> Vec<u8> {
        let Self { writer: Prober { region, node }, roles, version, config } = self;
        let bits = [(roles.dns, DNS), (roles.probe, PROBE), (roles.proxy, PROXY)];
        let roles = bits.into_iter().filter(|(has, _)| *has).fold(0, |all, (_, bit)| all | bit);
        wire::seal(Kind::Presence, &Body { region, node, roles, version, config: *config })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Why it is dropped.
    pub fn decode(message: &[u8]) -> Result<Self, Dropped> {
        let mut body = wire::open(Kind::Presence, message)?;
        let Body { region, node, roles, version, config } = wire::take(&mut body)?;
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+');
        let is_version = version.len() <= VERSION_MAX && version.bytes().all(plain);
        if ![region, node].into_iter().all(wire::is_name) || !is_version {
            return Err(Dropped::Malformed);
        }
        let has = |bit: u8| roles & bit != 0;
        Ok(Self {
            writer: Prober { region: region.to_owned(), node: node.to_owned() },
            roles: Roles { dns: has(DNS), probe: has(PROBE), proxy: has(PROXY) },
            version: version.to_owned(),
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence() -> Presence {
        let writer = Prober { region: "eu".into(), node: "fra-1".into() };
        let roles = Roles { dns: true, probe: false, proxy: true };
        Presence { writer, roles, version: "1.2.3-rc.1+x".into(), config: Some(7) }
    }

    #[test]
    fn a_presence_comes_out_as_it_went_in() {
        let silent = Presence { config: None, roles: Roles::default(), ..presence() };
        for one in [presence(), silent] {
            assert_eq!(Presence::decode(&one.encode()), Ok(one));
        }
        let mut later = presence().encode();
        later.push(1);
        assert_eq!(Presence::decode(&later), Ok(presence()), "fields to come are ignored");
        assert_eq!(presence().roles.names(), ["dns", "proxy"]);
    }

    #[test]
    fn what_no_node_would_say_is_dropped() {
        let named = |region: &str, node: &str| Presence {
            writer: Prober { region: region.into(), node: node.into() },
            ..presence()
        };
        let version = |version: &str| Presence { version: version.into(), ..presence() };
        for (what, wrong) in [
            ("a region that is no name", named("EU", "a")),
            ("a node without a name", named("eu", "")),
            ("markup in the version", version("<b>")),
            ("too long a version", version(&"1".repeat(VERSION_MAX + 1))),
        ] {
            assert_eq!(Presence::decode(&wrong.encode()), Err(Dropped::Malformed), "{what}");
        }
        let good = presence().encode();
        assert_eq!(Presence::decode(&good[..good.len() - 1]), Err(Dropped::Malformed));
    }
}
