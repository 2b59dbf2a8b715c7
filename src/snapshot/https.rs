//! HTTPS records (RFC 9460) of a service: what its file says, and the addresses of its answers.

use std::net::IpAddr;

use super::answers::{AnswerSet, NO_REGION, ServiceAnswers, SetKind};
use super::{Family, Located, Steered, SteeredKind};
use crate::model::Https;

/// Type number (RFC 9460 section 14.1).
const HTTPS: u16 = 65;
/// Keys of parameters (RFC 9460 section 14.3.2).
const ALPN: u16 = 1;
const PORT: u16 = 3;
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;
/// Owner, type, class, TTL and RDATA length of a record whose owner is a pointer.
const RECORD_FIXED: usize = 12;

/// The RDATA of a service's HTTPS records up to the hints: priority 1, the owner itself as target,
/// `alpn` and `port`, which come before the hints in the order of keys.
#[derive(Debug)]
pub(super) struct Binding(Box<[u8]>);

impl Binding {
    /// The start of the RDATA.
    pub(super) fn new(https: &Https) -> Self {
        let mut head = vec![0, 1, 0];
        let protocols = https.alpn.iter();
        let alpn: Vec<u8> =
            protocols.flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
        let port = https.port.map(|port| (PORT, port.to_be_bytes().to_vec()));
        for (key, value) in [(ALPN, alpn)].into_iter().chain(port) {
            head.extend_from_slice(&key.to_be_bytes());
            head.extend_from_slice(&(value.len() as u16).to_be_bytes());
            head.extend_from_slice(&value);
        }
        Self(head.into())
    }
}

impl ServiceAnswers {
    /// Whether the service answers HTTPS with records of its own.
    pub fn answers_https(&self) -> bool {
        self.binding.is_some()
    }

    /// Writes the HTTPS record for a client of class `at` to the start of `out`, with the
    /// compression pointer `owner` as owner name. Its hints are the addresses that
    /// [`ServiceAnswers::answer`] gives with the same arguments, its TTL the lesser of theirs.
    ///
    /// Where neither family has addresses, this is answered as A or AAAA would be: with an alias
    /// if one of them has one, SERVFAIL if one of them must fail, else with no data.
    pub fn answer_https(
        &self,
        at: Located,
        client: IpAddr,
        random: u64,
        owner: u16,
        out: &mut [u8],
    ) -> Steered<'_> {
        let both = [Family::V4, Family::V6].map(|family| self.set(family, at));
        let is_addressed = |set: &&&AnswerSet| matches!(set.kind(random).0, SetKind::Records(_));
        let addressed = both.iter().flatten().filter(is_addressed);
        let ttl = addressed.map(|set| set.ttl).min();
        let (Some(ttl), Some(Binding(head))) = (ttl, self.binding.as_deref()) else {
            return self.without_addresses(both, at, client, random, owner, out);
        };
        let mut record = Record { out, length: 0 };
        let written = record.write(owner, ttl, head, &both, client, random);
        let (mut ede, mut region, mut explored) = (None, None, false);
        for set in both.into_iter().flatten() {
            if let (SetKind::Records(records), detour) = set.kind(random) {
                explored |= detour;
                ede = ede.or(set.ede);
                region = region.or_else(|| records.first_region(client, random));
            }
        }
        let kind = match written {
            Some(()) => SteeredKind::Records { count: 1, length: record.length },
            None => SteeredKind::NoSpace,
        };
        Steered { kind, ede, region: region.filter(|region| *region != NO_REGION), explored }
    }

    /// The answer while no family has addresses.
    fn without_addresses(
        &self,
        both: [Option<&AnswerSet>; 2],
        at: Located,
        client: IpAddr,
        random: u64,
        owner: u16,
        out: &mut [u8],
    ) -> Steered<'_> {
        let rank = |set: Option<&AnswerSet>| match set.map(|set| &set.kind) {
            Some(SetKind::Cname(_) | SetKind::Aliases { .. }) => 0,
            Some(SetKind::ServFail) | None => 1,
            Some(SetKind::NoData | SetKind::Records(_)) => 2,
        };
        let [v4, v6] = both;
        let family = if rank(v6) < rank(v4) { Family::V6 } else { Family::V4 };
        let mut steered = self.answer(family, at, client, random, owner, out);
        if let SteeredKind::NoData { ttl_max } = &mut steered.kind {
            *ttl_max = both.into_iter().flatten().map(|set| set.ttl).min().unwrap_or(*ttl_max);
        }
        steered
    }
}

/// A record under construction; what does not fit leaves it useless.
struct Record<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl Record<'_> {
    fn write(
        &mut self,
        owner: u16,
        ttl: u32,
        head: &[u8],
        both: &[Option<&AnswerSet>; 2],
        client: IpAddr,
        random: u64,
    ) -> Option<()> {
        self.put(&owner.to_be_bytes())?;
        self.put(&HTTPS.to_be_bytes())?;
        self.put(&[0, 1])?;
        self.put(&ttl.to_be_bytes())?;
        self.put(&[0, 0])?;
        self.put(head)?;
        for (key, set) in [IPV4_HINT, IPV6_HINT].into_iter().zip(both) {
            let Some(SetKind::Records(records)) = set.map(|set| set.kind(random).0) else {
                continue;
            };
            self.put(&key.to_be_bytes())?;
            self.put(&[0, 0])?;
            let start = self.length;
            for address in records.addresses(client, random) {
                self.put(address)?;
            }
            self.patch(start, self.length - start)?;
        }
        self.patch(RECORD_FIXED, self.length - RECORD_FIXED)
    }

    fn put(&mut self, octets: &[u8]) -> Option<()> {
        let end = self.length + octets.len();
        self.out.get_mut(self.length..end)?.copy_from_slice(octets);
        self.length = end;
        Some(())
    }

    /// Writes a length into the two octets before `start`.
    fn patch(&mut self, start: usize, length: usize) -> Option<()> {
        let place = self.out.get_mut(start.checked_sub(2)?..start)?;
        place.copy_from_slice(&u16::try_from(length).ok()?.to_be_bytes());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_the_record_has_its_keys_in_order() {
        let alpn = vec!["h2".to_owned(), "h3".to_owned()];
        let plain = Binding::new(&Https { alpn: alpn.clone(), port: None });
        assert_eq!(*plain.0, *b"\0\x01\0\0\x01\0\x06\x02h2\x02h3");
        let with_port = Binding::new(&Https { alpn, port: Some(8443) });
        assert_eq!(*with_port.0, *b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x20\xfb");
    }
}
