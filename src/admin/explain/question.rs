//! The question that an explanation asks the engine, as a resolver would ask it.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::Message;

use crate::dns::{Facts, Peer, Reply, Transport, answer};
use crate::name::Name;
use crate::prefix::Prefix;
use crate::snapshot::Snapshot;
use crate::steering::Family;

/// Bits of a client's address that resolvers pass on (RFC 7871 section 11.1).
const SUBNET_V4: u8 = 24;
const SUBNET_V6: u8 = 56;

/// The types that can be explained; A when nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A or AAAA.
    Addresses(Family),
    /// HTTPS, whose hints are addresses of both families.
    Https,
}

impl Default for Asked {
    fn default() -> Self {
        Self::Addresses(Family::V4)
    }
}

impl Asked {
    /// The type of this name, in whatever case; `None`: it cannot be explained.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "A" => Some(Self::Addresses(Family::V4)),
            "AAAA" => Some(Self::Addresses(Family::V6)),
            "HTTPS" => Some(Self::Https),
            _ => None,
        }
    }
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name asked for.
    pub name: Name,
    /// The type asked for.
    pub asked: Asked,
    /// Whose answer it is.
    pub client: IpAddr,
    /// Who asks for the client; `None`: the client itself.
    pub resolver: Option<IpAddr>,
}

impl Question {
    /// The name of the type.
    pub fn rtype(&self) -> &'static str {
        match self.asked {
            Asked::Addresses(Family::V4) => "A",
            Asked::Addresses(Family::V6) => "AAAA",
            Asked::Https => "HTTPS",
        }
    }

    /// The client subnet that is sent: with a resolver between, a prefix of the client.
    pub fn subnet(&self) -> Option<Prefix> {
        let bits = if self.client.is_ipv4() { SUBNET_V4 } else { SUBNET_V6 };
        self.resolver.map(|_| Prefix::holding(self.client, bits))
    }

    /// Asks the engine over TCP, so that nothing is cut.
    pub fn ask(&self, snapshot: &Snapshot) -> Result<(Message, Facts), String> {
        let peer = Peer {
            // Any port but 0, which the engine does not answer.
            address: SocketAddr::new(self.resolver.unwrap_or(self.client), 53),
            transport: Transport::Tcp,
            // The query has no cookie.
            unix_seconds: 0,
        };
        let mut out = vec![0; usize::from(u16::MAX)];
        let answered = answer(snapshot, &self.wire(), peer, fastrand::u64(..), &mut out);
        let Reply::Length(length) = answered.reply else {
            return Err("the engine gave no answer".to_owned());
        };
        let reply = out.get(..length).unwrap_or_default();
        let message = Message::from_vec(reply)
            .map_err(|error| format!("the engine's answer does not decode: {error}"))?;
        Ok((message, answered.facts))
    }

    /// The query: header, question, OPT with client subnet (RFC 1035, 6891, 7871).
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = vec![0x4d, 0x52, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        wire.extend_from_slice(self.name.as_wire());
        let rtype = match self.asked {
            Asked::Addresses(Family::V4) => 1,
            Asked::Addresses(Family::V6) => 28,
            Asked::Https => 65,
        };
        wire.extend_from_slice(&[0, rtype, 0, 1]);
        let option = self.subnet().map_or_else(Vec::new, |subnet| {
            let (family, octets) = match subnet.address() {
                IpAddr::V4(address) => (1, address.octets().to_vec()),
                IpAddr::V6(address) => (2, address.octets().to_vec()),
            };
            let kept = usize::from(subnet.length().div_ceil(8));
            let mut option = vec![0, 8, 0, 4 + kept as u8, 0, family, subnet.length(), 0];
            option.extend(octets.into_iter().take(kept));
            option
        });
        wire.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, option.len() as u8]);
        wire.extend_from_slice(&option);
        wire
    }
}
