//! Prefix tables against the ground they are compiled from, and that against the files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;
use meridian::geo::{Client, Databases, Ground, PrefixTable};
use meridian::model::{Network, NetworkId};
use meridian::place::Country;
use meridian::prefix::Prefix;

use crate::oracle::{Oracle, neighbours};
use crate::writer::{Value, Writer, map, saved};

/// Addresses are drawn near these, so that networks nest and touch.
const CENTRES: [&str; 12] = [
    "0.0.0.0",
    "10.0.0.0",
    "10.1.2.0",
    "192.0.2.128",
    "255.255.255.255",
    "::1:0:0:0",
    "2001:0:ffff::",
    "2001:db8::",
    "2001:db8:1:2::",
    "2002::",
    "2a00::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// An address that shares a random number of bits with one of the centres.
fn address(random: &mut Rng) -> IpAddr {
    match CENTRES[random.usize(..CENTRES.len())].parse().unwrap() {
        IpAddr::V4(v4) => {
            let noise = random.u32(..).checked_shr(random.u32(..33)).unwrap_or(0);
            Ipv4Addr::from(u32::from(v4) ^ noise).into()
        }
        IpAddr::V6(v6) => {
            let noise = random.u128(..).checked_shr(random.u32(..129)).unwrap_or(0);
            Ipv6Addr::from(u128::from(v6) ^ noise).into()
        }
    }
}

/// A prefix around such an address.
fn prefix(random: &mut Rng) -> Prefix {
    let address = address(random);
    let longest = if address.is_ipv4() { 32 } else { 128 };
    Prefix::holding(address, random.u8(1..=longest))
}

/// An IPv6 address that carries `v4`, in one of the five ways.
fn carrying(v4: Ipv4Addr, random: &mut Rng) -> Ipv6Addr {
    let bits = u128::from(u32::from(v4));
    Ipv6Addr::from(match random.u8(..5) {
        0 => 0xffff << 32 | bits,
        1 => 0xffff_0000 << 32 | bits,
        2 => 0x0064_ff9b << 96 | bits,
        3 => 0x2002 << 112 | bits << 80 | u128::from(random.u64(..)),
        _ => 0x2001_0000 << 96 | u128::from(random.u64(..)) << 32 | (bits ^ 0xffff_ffff),
    })
}

/// Databases of random networks, each in one of a few systems.
fn databases(random: &mut Rng, networks: usize) -> Databases {
    let count = random.usize(1..=2);
    let files: Vec<_> = (0..count)
        .map(|_| {
            let version = if random.u8(..4) == 0 { 4 } else { 6 };
            let mut writer = Writer::new(version, [24, 28, 32][random.usize(..3)]);
            for _ in 0..networks {
                let prefix = prefix(random);
                if version == 6 || prefix.address().is_ipv4() {
                    writer.add(prefix, &map([("asn", Value::U32(random.u32(1..5)))]));
                }
            }
            saved(&writer.octets())
        })
        .collect();
    let paths: Vec<_> = files.iter().map(|(_, path)| path.clone()).collect();
    Databases::load(&paths).unwrap()
}

/// Random operator networks.
fn networks(random: &mut Rng) -> Vec<Network> {
    let count = random.usize(..4);
    let network = |_| Network {
        name: String::new(),
        prefixes: (0..random.usize(..8)).map(|_| prefix(random)).collect(),
        asns: vec![random.u32(1..50)],
        countries: Vec::new(),
        regions: Vec::new(),
    };
    (0..count).map(network).collect()
}

/// Classes that depend on all that is known of a client in these tests.
fn class(client: &Client<'_>) -> u32 {
    client.place.asn.unwrap_or(0) * 8 + client.network.map_or(0, |id| u32::from(id.0) + 1)
}

#[test]
fn tables_agree_with_the_ground_and_the_files_and_scopes_are_as_wide_as_may_be() {
    for seed in 0..120 {
        println!("seed {seed}");
        let mut random = Rng::with_seed(seed);
        let size = [0, 1, 3, 30, 300][seed as usize % 5];
        let databases = databases(&mut random, size);
        let networks = if seed % 3 == 0 { Vec::new() } else { networks(&mut random) };
        let ground = Ground::new(&databases, &networks);
        let table = ground.compile(class);
        let oracle = Oracle::new(&ground, class);
        let mut addresses: Vec<IpAddr> = (0..300).map(|_| address(&mut random)).collect();
        for (first, last, _) in ground.runs().take(500) {
            addresses.extend([first, last]);
            addresses.extend(neighbours(first));
            addresses.extend(neighbours(last));
        }
        for _ in 0..100 {
            let IpAddr::V4(v4) = addresses[random.usize(..addresses.len())] else { continue };
            addresses.push(carrying(v4, &mut random).into());
        }
        for address in addresses {
            let found = databases.place(address);
            assert_eq!(*ground.client(address).place, found, "{address}");
            oracle.check(&ground, &table, address);
        }
    }
}

#[test]
fn addresses_with_an_ipv4_address_inside_have_its_class_and_its_scope_behind_the_offset() {
    let mut random = Rng::with_seed(1);
    let ground = Ground::new(&databases(&mut random, 300), &[]);
    let table = ground.compile(class);
    for _ in 0..2000 {
        let IpAddr::V4(v4) = address(&mut random) else { continue };
        let (expected, scope) = table.lookup(v4.into());
        let v6 = carrying(v4, &mut random);
        let offset = if v6.octets()[..2] == [0x20, 0x02] { 16 } else { 96 };
        assert_eq!(table.lookup(v6.into()), (expected, offset + scope), "{v4} in {v6}");
    }
}

#[test]
fn where_all_clients_are_alike_the_scope_is_0() {
    let databases = databases(&mut Rng::with_seed(2), 300);
    let ground = Ground::new(&databases, &[]);
    for table in [ground.compile(|_| 7), PrefixTable::constant(7)] {
        let (v4, v6) = table.bytes();
        assert!(v4 + v6 < 100, "{v4} + {v6} octets");
        for address in CENTRES.iter().chain(&["::ffff:10.0.0.1", "2002:a00::1", "::1"]) {
            assert_eq!(table.lookup(address.parse().unwrap()), (7, 0), "{address}");
        }
    }
}

#[test]
fn where_ipv4_is_one_class_and_ipv6_is_not_folded_addresses_have_native_scopes() {
    let mut writer = Writer::new(6, 24);
    writer.add("2a00::/12".parse().unwrap(), &map([("asn", Value::U32(1))]));
    let (_folder, path) = saved(&writer.octets());
    let ground = Ground::new(&Databases::load(&[path]).unwrap(), &[]);
    let table = ground.compile(|client| client.place.asn.unwrap_or(0));
    for (address, expected) in [
        // Not 0, which would speak for IPv6 too.
        ("10.0.0.1", (0, 1)),
        ("192.0.2.1", (0, 1)),
        ("2a00::1", (1, 12)),
        ("2002:a00:1::", (0, 5)),
        ("::ffff:10.0.0.1", (0, 3)),
    ] {
        assert_eq!(table.lookup(address.parse().unwrap()), expected, "{address}");
    }
}

#[test]
fn classes_up_to_the_limit_are_kept_apart() {
    let mut writer = Writer::new(4, 32);
    for asn in 1..=5000u32 {
        let network = Ipv4Addr::from(0x0a00_0000 + asn * 64);
        let record = map([("asn", Value::U32(asn))]);
        writer.add(Prefix::holding(network.into(), 26), &record);
    }
    let (_folder, path) = saved(&writer.octets());
    let ground = Ground::new(&Databases::load(&[path]).unwrap(), &[]);
    let class = |client: &Client<'_>| PrefixTable::CLASSES_MAX - 1 - client.place.asn.unwrap_or(0);
    let table = ground.compile(class);
    let oracle = Oracle::new(&ground, class);
    for asn in 0..=5001u32 {
        oracle.check(&ground, &table, Ipv4Addr::from(0x0a00_0000 + asn * 64 + 63).into());
    }
}

#[test]
fn classify_is_called_once_for_each_distinct_client() {
    let databases = databases(&mut Rng::with_seed(3), 300);
    let ground = Ground::new(&databases, &[]);
    let mut calls = 0;
    ground.compile(|_| {
        calls += 1;
        calls
    });
    assert_eq!(calls as usize, ground.clients().count());
    assert!(calls <= 5, "{calls}");
}

#[test]
fn operator_networks_beat_the_databases_by_longest_prefix() {
    let network = |prefixes: &[&str], asns: &[u32], countries: &[&str]| Network {
        name: String::new(),
        prefixes: prefixes.iter().map(|text| text.parse().unwrap()).collect(),
        asns: asns.to_vec(),
        countries: countries.iter().filter_map(|code| Country::parse(code)).collect(),
        regions: Vec::new(),
    };
    let networks = [
        network(&["203.0.113.0/24", "2001:db8::/32"], &[], &[]),
        network(&["203.0.113.128/25", "2001:db8:1::/48"], &[], &["NL"]),
    ];
    let ground = Ground::new(&Databases::load(&[]).unwrap(), &networks);
    let table = ground.compile(|client| client.network.map_or(0, |id| u32::from(id.0) + 1));
    for (address, network, scope) in [
        ("203.0.113.1", Some(0), 25),
        ("203.0.113.200", Some(1), 25),
        ("::ffff:203.0.113.200", Some(1), 121),
        ("2001:db8:2::", Some(0), 47),
        ("2001:db8:1::", Some(1), 48),
        ("193.0.6.139", Some(1), 20),
    ] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(ground.client(address).network, network.map(NetworkId), "{address}");
        let (class, found) = table.lookup(address);
        assert_eq!(class, network.map_or(0, |id| u32::from(id) + 1), "{address}");
        assert_eq!(found, scope, "{address}");
    }
}
