//! The operator's lists of clients, laid over the address space.

use std::collections::HashMap;
use std::net::IpAddr;

use super::address::Address;
use super::ranges::Ranges;
use crate::model::{Network, NetworkId};
use crate::place::{Country, Place};
use crate::prefix::{Prefix, embedded_ipv4};

/// All networks of a fleet: the longest prefix wins, then autonomous systems, then countries; of
/// equals the network with the lowest id.
#[derive(Debug)]
pub(super) struct Lists {
    /// 0: in no prefix list; else the network's id plus one.
    pub(super) v4: Ranges<u32>,
    /// As `v4`.
    pub(super) v6: Ranges<u128>,
    asns: HashMap<u32, NetworkId>,
    countries: HashMap<Country, NetworkId>,
}

impl Lists {
    /// Lays out `networks`, whose ids are their positions.
    pub(super) fn new(networks: &[Network]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut asns, mut countries) = (HashMap::new(), HashMap::new());
        for (network, id) in networks.iter().zip((0..).map(NetworkId)) {
            for prefix in network.prefixes.iter().filter_map(|prefix| located(*prefix)) {
                let label = u32::from(id.0) + 1;
                let (first, last, length) = (prefix.address(), prefix.last(), prefix.length());
                v4.extend(u32::of(first).zip(u32::of(last)).map(|(f, l)| (f, length, label, l)));
                v6.extend(u128::of(first).zip(u128::of(last)).map(|(f, l)| (f, length, label, l)));
            }
            for asn in &network.asns {
                asns.entry(*asn).or_insert(id);
            }
            for country in &network.countries {
                countries.entry(*country).or_insert(id);
            }
        }
        Self { v4: longest(v4), v6: longest(v6), asns, countries }
    }

    /// The network of a client at `place` with this label of the prefix lists.
    pub(super) fn network(&self, label: u32, place: &Place) -> Option<NetworkId> {
        let by_prefix = label.checked_sub(1).map(|id| NetworkId(id as u16));
        let by_asn = || self.asns.get(&place.asn?).copied();
        let by_country = || self.countries.get(&place.country?).copied();
        by_prefix.or_else(by_asn).or_else(by_country)
    }
}

/// The prefix that clients are looked up by: IPv4 for prefixes of addresses that carry one.
///
/// `None` for a prefix that ends before the carried address starts: it says which translator the
/// client uses, not who it is.
fn located(prefix: Prefix) -> Option<Prefix> {
    let embedded = match prefix.address() {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_ipv4(v6),
    };
    let Some(embedded) = embedded else { return Some(prefix) };
    let length = prefix.length().checked_sub(embedded.offset).filter(|length| *length > 0)?;
    Some(Prefix::holding(IpAddr::V4(embedded.address), length))
}

/// Labels each address by the longest of the prefixes (first, length, label, last) that hold it,
/// by the lowest label among equals, or by 0.
fn longest<A: Address>(mut prefixes: Vec<(A, u8, u32, A)>) -> Ranges<A> {
    prefixes.sort_unstable();
    prefixes.dedup_by_key(|(first, length, ..)| (*first, *length));
    let mut ranges = Ranges::whole(0);
    // The prefixes around the current one, widest first: at most one for each length.
    let mut open: Vec<(A, u32)> = Vec::new();
    let label_of = |open: &[(A, u32)]| open.last().map_or(0, |(_, label)| *label);
    let ends = prefixes.iter().map(|prefix| Some(prefix.0)).chain([None]);
    for (next, prefix) in ends.zip(prefixes.iter().map(Some).chain([None])) {
        while let Some((last, _)) = open.pop_if(|(last, _)| next.is_none_or(|next| *last < next)) {
            if let Some(after) = last.after() {
                ranges.push(after, label_of(&open));
            }
        }
        if let Some((first, _, label, last)) = prefix {
            open.push((*last, *label));
            ranges.push(*first, *label);
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(prefixes: &[&str], asns: &[u32], countries: &[&str]) -> Network {
        Network {
            name: String::new(),
            prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
            asns: asns.to_vec(),
            countries: countries.iter().filter_map(|code| Country::parse(code)).collect(),
            regions: Vec::new(),
        }
    }

    #[test]
    fn the_longest_prefix_of_all_networks_wins() {
        let lists = Lists::new(&[
            network(&["10.0.0.0/8", "10.1.2.0/24", "255.255.255.255/32"], &[], &[]),
            network(&["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/32", "0.0.0.0/0"], &[], &[]),
        ]);
        for (address, expected) in [
            ("9.255.255.255", 1),
            ("10.0.0.0", 1),
            ("10.0.0.1", 0),
            ("10.0.255.255", 0),
            ("10.1.0.0", 1),
            ("10.1.2.0", 0),
            ("10.1.2.255", 0),
            ("10.1.3.0", 1),
            ("10.2.0.0", 0),
            ("11.0.0.0", 1),
            ("255.255.255.254", 1),
            ("255.255.255.255", 0),
        ] {
            let label = lists.v4.find(u32::of(address.parse().unwrap()).unwrap());
            let found = lists.network(label, &Place::default());
            assert_eq!(found, Some(NetworkId(expected)), "{address}");
        }
    }

    #[test]
    fn prefixes_beat_autonomous_systems_and_those_beat_countries() {
        let lists = Lists::new(&[
            network(&[], &[], &["DE"]),
            network(&[], &[64500], &["DE", "FR"]),
            network(&["192.0.2.0/24"], &[64500], &[]),
        ]);
        let place =
            |asn, country| Place { asn, country: Country::parse(country), ..Place::default() };
        for (label, place, expected) in [
            (3, place(Some(64500), "DE"), Some(2)),
            (0, place(Some(64500), "DE"), Some(1)),
            (0, place(Some(64501), "DE"), Some(0)),
            (0, place(None, "FR"), Some(1)),
            (0, place(Some(64501), "GB"), None),
            (0, Place::default(), None),
        ] {
            assert_eq!(lists.network(label, &place), expected.map(NetworkId), "{place:?}");
        }
    }

    #[test]
    fn prefixes_of_translated_addresses_are_those_of_the_ipv4_inside() {
        for (prefix, expected) in [
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("2002:a00::/24", Some("10.0.0.0/8")),
            ("64:ff9b::c000:200/120", Some("192.0.2.0/24")),
            ("2002::/16", None),
            ("2001:0:1::/64", None),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
        ] {
            let found = located(prefix.parse().unwrap());
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{prefix}");
        }
    }
}
