//! Where probes may go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Probe;
use crate::prefix::{Prefix, embedded_ipv4};

/// Refuses addresses that no probe may reach, whatever a hostname resolves to.
///
/// It judges the very address that is then connected to, so that nothing can change in between.
/// An IPv4 address inside an IPv6 one is judged as well, since a translator on the way may unpack
/// it.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow_private: bool,
    deny: Vec<Prefix>,
}

impl Guard {
    /// The guard of a node's rules.
    pub fn new(rules: &Probe) -> Self {
        let deny = rules.deny.iter().flat_map(|prefix| [Some(*prefix), unpacked(*prefix)]);
        Self { allow_private: rules.allow_private, deny: deny.flatten().collect() }
    }

    /// Why `address` may not be probed; `None`: it may.
    pub fn refusal(&self, address: IpAddr) -> Option<String> {
        let inside = match address {
            IpAddr::V6(v6) => ipv4_inside(v6),
            IpAddr::V4(_) => [None; 4],
        };
        let inside = inside.into_iter().flatten().map(IpAddr::V4);
        for form in std::iter::once(address).chain(inside) {
            if let Some(prefix) = self.deny.iter().find(|prefix| prefix.contains(form)) {
                return Some(format!("address `{address}` is denied by `{prefix}`"));
            }
            if is_no_host(form) {
                return Some(format!("address `{address}` names no single host"));
            }
            if !self.allow_private && is_private(form) {
                return Some(format!("address `{address}` is private and allow_private is false"));
            }
        }
        None
    }
}

/// The IPv4 prefix inside an IPv6 prefix, when that is long enough to hold one.
fn unpacked(prefix: Prefix) -> Option<Prefix> {
    let IpAddr::V6(v6) = prefix.address() else { return None };
    let inner = embedded_ipv4(v6)?;
    let length = prefix.length().checked_sub(inner.offset)?;
    Some(Prefix::holding(IpAddr::V4(inner.address), length))
}

/// As [`embedded_ipv4`], and the forms no client comes from but a probe could be sent to:
/// compatible (RFC 4291 section 2.5.5.1) and local NAT64 (RFC 8215), of which only the network
/// knows where its translators look for the address: in each of the places of RFC 6052 section 2.2
/// that are left in `64:ff9b:1::/48`.
fn ipv4_inside(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    let compatible = bits >> 32 == 0 && bits > 1;
    if bits >> 80 == 0x0064_ff9b_0001 {
        // The octet of bits 64 to 71 is no part of the address.
        let before = |length: u32| {
            let high = bits << length >> 96;
            let split = (bits << (length + 8)) >> 96;
            let kept = 64 - length;
            let mask = u128::from(u32::MAX) >> kept.min(31) >> u32::from(kept > 31);
            Ipv4Addr::from(((high & !mask) | (split & mask)) as u32)
        };
        // Octets that are not in use are zero, and then a place holds no address.
        let used = |found: Ipv4Addr| Some(found).filter(|found| found.octets().first() != Some(&0));
        return [Some(low), used(before(48)), used(before(56)), used(before(64))];
    }
    let inner = embedded_ipv4(address).map(|inner| inner.address);
    [inner.or(compatible.then_some(low)), None, None, None]
}

/// Multicast and broadcast.
fn is_no_host(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Private, loopback, link-local and shared space, and `0.0.0.0/8` and `::`, which reach this host.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // Shared address space: RFC 6598.
            let is_shared = a == 100 && b & 0xc0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0 || is_shared
        }
        IpAddr::V6(v6) => {
            let top = v6.segments().first().copied().unwrap_or(0);
            let is_unique_local = top & 0xfe00 == 0xfc00; // RFC 4193.
            let is_link_or_site_local = top & 0xff80 == 0xfe80; // RFC 4291, RFC 3879.
            v6.is_loopback() || v6.is_unspecified() || is_unique_local || is_link_or_site_local
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow_private: bool, deny: &[&str]) -> Guard {
        let deny = deny.iter().map(|prefix| prefix.parse().unwrap()).collect();
        Guard::new(&Probe { max_in_flight: 1, rate: None, allow_private, deny })
    }

    #[test]
    fn refuses_what_is_denied_in_any_form() {
        let metadata = guard(true, &["169.254.169.254/32", "2001:db8:bad::/48"]);
        let mapped = guard(true, &["::ffff:169.254.169.254/128"]);
        for (address, refused) in [
            ("169.254.169.254", true),
            ("::ffff:169.254.169.254", true),
            ("::ffff:a9fe:a9fe", true),
            ("::ffff:0:169.254.169.254", true),
            ("::169.254.169.254", true),
            ("64:ff9b::169.254.169.254", true),
            ("64:ff9b:1::169.254.169.254", true),
            ("64:ff9b:1:a9fe:a9:fe00::", true),
            ("64:ff9b:1:a9:fe:a9fe::", true),
            ("64:ff9b:1:0:a9:fea9:fe00:0", true),
            ("64:ff9b:1:a9fe:a9:fd00::", false),
            ("64:ff9b:1::192.0.2.1", false),
            ("2002:a9fe:a9fe::1", true),
            ("2001:0:102:304::5601:5601", true),
            ("169.254.169.253", false),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(metadata.refusal(address).is_some(), refused, "{address}");
            assert_eq!(mapped.refusal(address).is_some(), refused, "{address}, mapped deny");
        }
        let address = "2001:db8:bad::7".parse().unwrap();
        let refusal = "address `2001:db8:bad::7` is denied by `2001:db8:bad::/48`";
        assert_eq!(metadata.refusal(address).as_deref(), Some(refusal));
        assert_eq!(mapped.refusal(address), None);
    }

    #[test]
    fn refuses_private_space_when_told_to() {
        for (address, private) in [
            ("10.1.2.3", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.1", true),
            ("127.8.8.8", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("0.0.0.0", true),
            ("0.1.2.3", true),
            ("192.0.2.1", false),
            ("::1", true),
            ("::", true),
            ("::ffff:127.0.0.1", true),
            ("64:ff9b::10.0.0.1", true),
            ("2002:7f00:1::", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("fec0::1", true),
            ("2001:db8::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(guard(false, &[]).refusal(address).is_some(), private, "{address}");
            assert_eq!(guard(true, &[]).refusal(address), None, "{address}, allowed");
        }
    }

    #[test]
    fn never_probes_groups() {
        for address in ["224.0.0.1", "255.255.255.255", "ff02::1", "::ffff:224.0.0.1"] {
            let refusal = guard(true, &[]).refusal(address.parse().unwrap());
            assert_eq!(refusal, Some(format!("address `{address}` names no single host")));
        }
    }
}
