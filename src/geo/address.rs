//! The two address spaces as numbers, and the parts of IPv6 where clients are located by IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::prefix::{EMBEDDING, embedded_ipv4};

/// An address of one family as a number.
pub(super) trait Address: Copy + Ord + Into<u128> + 'static {
    /// Bits of an address.
    const WIDTH: u8;
    /// The lowest address.
    const FIRST: Self;
    /// The highest address.
    const LAST: Self;

    /// The number of `ip`; `None` for the other family.
    fn of(ip: IpAddr) -> Option<Self>;
    /// The address of this number.
    fn ip(self) -> IpAddr;
    /// The address below; the highest for the lowest.
    fn before(self) -> Self;
    /// The address above; `None` for the highest.
    fn after(self) -> Option<Self>;
    /// The blocks that together make up the address space, in ascending order.
    fn blocks() -> Vec<Block<Self>>;
}

/// What the addresses of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Clients to be looked up as they are.
    Native,
    /// Clients whose IPv4 address, carried inside, is looked up in their place.
    Folded,
    /// No clients.
    Void,
}

/// A prefix of the address space and what its addresses are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<A> {
    /// The lowest address.
    pub(super) first: A,
    /// Leading bits all addresses share.
    pub(super) length: u8,
    /// What the addresses are.
    pub(super) kind: Kind,
}

impl Address for u32 {
    const WIDTH: u8 = 32;
    const FIRST: Self = 0;
    const LAST: Self = u32::MAX;

    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(v4) => Some(v4.into()),
            IpAddr::V6(_) => None,
        }
    }

    fn ip(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self))
    }

    fn before(self) -> Self {
        self.wrapping_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn blocks() -> Vec<Block<Self>> {
        vec![Block { first: 0, length: 0, kind: Kind::Native }]
    }
}

/// The block under which databases keep their IPv4 tree, though no client comes from there
/// (RFC 4291 section 2.5.5.1).
const VOID: (u128, u8) = (0, 96);

impl Address for u128 {
    const WIDTH: u8 = 128;
    const FIRST: Self = 0;
    const LAST: Self = u128::MAX;

    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.into()),
        }
    }

    fn ip(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self))
    }

    fn before(self) -> Self {
        self.wrapping_sub(1)
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn blocks() -> Vec<Block<Self>> {
        let mut blocks = Vec::new();
        // Bounded: one split for every bit of the six special prefixes.
        let mut open = vec![(0u128, 0u8)];
        while let Some((first, length)) = open.pop() {
            let last = first | u128::MAX.checked_shr(length.into()).unwrap_or(0);
            let mut special = EMBEDDING.into_iter().chain([VOID]);
            let kind = match special.find(|block| (first..=last).contains(&block.0)) {
                None => Kind::Native,
                Some(block) if block != (first, length) => {
                    open.push((first | 1 << (127 - length), length + 1));
                    open.push((first, length + 1));
                    continue;
                }
                Some(VOID) => Kind::Void,
                Some(_) => Kind::Folded,
            };
            blocks.push(Block { first, length, kind });
        }
        blocks
    }
}

/// The address to look up for a client: the IPv4 address inside an IPv6 one where there is one;
/// `None` where no client can be.
pub(super) fn looked_up(client: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = client else { return Some(client) };
    match embedded_ipv4(v6) {
        Some(embedded) => Some(IpAddr::V4(embedded.address)),
        None => (u128::from(v6) >> 32 != 0).then_some(client),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_cover_the_space_in_order_without_gaps() {
        let blocks = u128::blocks();
        assert!(blocks.len() < 500, "{}", blocks.len());
        let mut next = Some(0u128);
        for block in blocks {
            assert_eq!(next, Some(block.first));
            let last = block.first | u128::MAX.checked_shr(block.length.into()).unwrap_or(0);
            next = last.after();
        }
        assert_eq!(next, None);
    }

    #[test]
    fn the_blocks_agree_with_the_folding_of_addresses() {
        for block in u128::blocks() {
            let last = block.first | u128::MAX.checked_shr(block.length.into()).unwrap_or(0);
            for address in [block.first, last, block.first + (last - block.first) / 3] {
                let kind = match looked_up(address.ip()) {
                    None => Kind::Void,
                    Some(IpAddr::V4(_)) => Kind::Folded,
                    Some(IpAddr::V6(_)) => Kind::Native,
                };
                assert_eq!(kind, block.kind, "{}", address.ip());
            }
        }
    }
}
