//! Any packet: the engine answers it soundly or not at all.

use std::sync::LazyLock;

use meridian::snapshot::Snapshot;

use super::dns_support::{script, sound};

/// Zones with services, wildcards, delegations, DNAME and CNAME chains, and one that is broken.
pub static WORLD: LazyLock<Snapshot> =
    LazyLock::new(|| script::world(include_str!("../../../tests/data/dns/properties.world")));

/// The input is a packet.
pub fn run(input: &[u8]) {
    sound::check(&WORLD, input);
}
