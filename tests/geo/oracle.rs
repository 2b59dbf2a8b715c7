//! What a prefix table must answer, worked out slowly from the ground.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use meridian::geo::{Client, Ground, PrefixTable};
use meridian::prefix::{Prefix, embedded_ipv4};

/// The runs of a ground with the classes of a policy.
pub(crate) struct Oracle<F> {
    v4: Vec<(u128, u32)>,
    v6: Vec<(u128, u32)>,
    class: F,
}

/// The blocks of IPv6 whose addresses are looked up by the IPv4 address inside.
const FOLDED: [&str; 5] =
    ["::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2001::/32", "2002::/16"];

impl<F: Fn(&Client<'_>) -> u32> Oracle<F> {
    /// Lists the runs of `ground`.
    pub(crate) fn new(ground: &Ground, class: F) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (first, _, client) in ground.runs() {
            let runs = if first.is_ipv4() { &mut v4 } else { &mut v6 };
            runs.push((number(first), class(&client)));
        }
        Self { v4, v6, class }
    }

    /// Checks class and scope of one address.
    pub(crate) fn check(&self, ground: &Ground, table: &PrefixTable, address: IpAddr) {
        let (class, scope) = table.lookup(address);
        assert_eq!(class, (self.class)(&ground.client(address)), "class of {address}");
        let prefix = covered(address, scope);
        assert_eq!(prefix.length(), scope);
        assert_eq!(self.uniform(prefix), Some(class), "{prefix} around {address} is not uniform");
        if let Some(wider) = scope.checked_sub(1) {
            let wider = covered(address, wider);
            assert_eq!(self.uniform(wider), None, "{address} could have the scope of {wider}");
        }
    }

    /// The class of all clients in a prefix, if it is the same.
    pub(crate) fn uniform(&self, prefix: Prefix) -> Option<u32> {
        let all = Prefix::holding(Ipv4Addr::UNSPECIFIED.into(), 0);
        let IpAddr::V6(address) = prefix.address() else {
            return same(&self.v4, prefix, &[]);
        };
        if let Some(inside) = embedded_ipv4(address) {
            let block = FOLDED.iter().map(|text| text.parse::<Prefix>().unwrap());
            let block = block.into_iter().find(|block| block.contains(address.into())).unwrap();
            if prefix.length() >= inside.offset {
                let length = prefix.length() - inside.offset;
                return self.uniform(Prefix::holding(inside.address.into(), length));
            }
            if prefix.length() >= block.length() {
                return self.uniform(all);
            }
        }
        let folded: Vec<Prefix> = FOLDED
            .iter()
            .map(|text| text.parse::<Prefix>().unwrap())
            .filter(|block| prefix.contains(block.address()))
            .collect();
        let native = same(&self.v6, prefix, &folded)?;
        (folded.is_empty() || self.uniform(all)? == native).then_some(native)
    }
}

/// The addresses that an answer of this scope speaks for: with 0 for all, of either family, since
/// all of IPv4 lies inside IPv6 too.
fn covered(address: IpAddr, scope: u8) -> Prefix {
    let all = Ipv6Addr::UNSPECIFIED.into();
    Prefix::holding(if scope == 0 { all } else { address }, scope)
}

/// The class of all addresses of a prefix outside `holes`, if it is the same; at least one of them
/// must be outside.
fn same(runs: &[(u128, u32)], prefix: Prefix, holes: &[Prefix]) -> Option<u32> {
    let (first, last) = (number(prefix.address()), number(prefix.last()));
    let from = runs.partition_point(|run| run.0 <= first).saturating_sub(1);
    let within = runs[from..].iter().take_while(|run| run.0 <= last);
    let hidden = |run: &(u128, u32)| {
        // The run before the prefix counts only if it reaches into it past the holes.
        run.0 < first && holes.iter().any(|hole| number(hole.address()) == first)
    };
    let mut classes = within.filter(|run| !hidden(run)).map(|run| run.1);
    let class = classes.next()?;
    classes.all(|other| other == class).then_some(class)
}

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// The address below or above, around the ends of the family.
pub(crate) fn neighbours(address: IpAddr) -> [IpAddr; 2] {
    match address {
        IpAddr::V4(v4) => {
            let bits = u32::from(v4);
            [bits.wrapping_sub(1), bits.wrapping_add(1)].map(|bits| Ipv4Addr::from(bits).into())
        }
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            [bits.wrapping_sub(1), bits.wrapping_add(1)].map(|bits| Ipv6Addr::from(bits).into())
        }
    }
}
