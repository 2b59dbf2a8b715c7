//! Scopes: clients inside one returned scope are answered alike, and no scope is narrower than the
//! rules of its service ask for.

// Tests may fail loudly and measure real time, which the shared files do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

#[path = "scope/clients.rs"]
mod clients;
#[path = "scope/oracle.rs"]
mod oracle;
mod support;
#[path = "scope/world.rs"]
mod world;

use std::net::{IpAddr, SocketAddr};

use clients::{Borders, address, by_family, embedded, number, span, width};
use meridian::dns::{Peer, Reply, Transport, answer};
use meridian::snapshot::Snapshot;
use oracle::Oracle;
use support::seeded;
use support::wire::{Ask, Reply as Decoded};
use world::{SERVICES, Service, TYPES, World, name};

/// Pairs of clients that are compared.
const PAIRS: usize = 100_000;
/// Clients whose scope is compared with what the oracle allows.
const SCOPES: usize = 20_000;

/// A reply to a query with a client subnet.
struct Answered {
    message: Vec<u8>,
    /// The returned scope.
    scope: u8,
    /// All of the message but what repeats the question's client subnet: its lengths and address.
    rest: Vec<u8>,
}

impl Answered {
    fn decode(&self) -> Decoded {
        Decoded::decode(&self.message).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Asks on behalf of the first `length` bits of a client.
fn ask(snapshot: &Snapshot, ask: &Ask, client: IpAddr, length: u8, random: u64) -> Answered {
    let query = ask.clone().with_subnet(client, length).encode(7);
    let address = SocketAddr::from(([198, 51, 100, 1], 53));
    let peer = Peer { address, transport: Transport::Udp, unix_seconds: 0 };
    let mut message = vec![0; 1232];
    let answered = answer(snapshot, &query, peer, random, &mut message);
    let Reply::Length(octets) = answered.reply else { panic!("no reply to {ask:?}") };
    message.truncate(octets);
    // The query ends with the option: code, length, family, source, scope and address.
    let address = usize::from(length.div_ceil(8));
    let option = &query[query.len() - 8 - address..][..7];
    let at = message.windows(7).position(|seven| seven == option).expect("a client subnet");
    let scope = message[at + 7];
    assert_eq!(scope, answered.facts.scope, "{ask:?} {client}");
    // Two octets before the option are the length of all options.
    let rest = [&message[..at - 2], &[scope], &message[at + 8 + address..]].concat();
    Answered { message, scope, rest }
}

/// A service and a type to ask for.
fn question(random: &mut fastrand::Rng) -> (usize, &'static Service, Ask) {
    let at = random.usize(..SERVICES.len());
    let service = &SERVICES[at];
    // Mostly addresses; negative answers and aliases come with the other types.
    let rtype = TYPES[if random.u8(..) < 200 { random.usize(..2) } else { random.usize(..5) }];
    (at, service, Ask::new(&name(service), rtype))
}

fn borders(world: &World) -> Borders {
    let state = world.snapshots[0].state.as_ref().expect("a state");
    Borders::new(state.loaded.ground.runs().map(|(first, ..)| first))
}

#[test]
fn clients_inside_one_returned_scope_get_equal_answers() {
    let mut random = seeded("pairs");
    let world = World::load(&mut random);
    let borders = borders(&world);
    let (mut compared, mut located) = (0, 0);
    while compared < PAIRS {
        let (_, _, asked) = question(&mut random);
        let snapshot = &world.snapshots[random.usize(..world.snapshots.len())];
        let chance = random.u64(..);
        let client = borders.client(&mut random);
        let source = match random.u8(0..4) {
            0 => random.u8(1..=width(client)),
            1 => by_family(client, 24, 56),
            _ => width(client),
        };
        let one = ask(snapshot, &asked, client, source, chance);
        // RFC 7871 section 7.3.1: a resolver keeps such an answer for the source prefix alone.
        if one.scope > source {
            continue;
        }
        let other = match one.scope {
            // For everyone, of either family.
            0 => borders.client(&mut random),
            scope => borders.companion(client, scope, &mut random),
        };
        let length = random.u8(one.scope.max(1)..=width(other));
        let two = ask(snapshot, &asked, other, length, chance);
        assert!(
            one.rest == two.rest,
            "{asked:?}, generation {}: {client} with scope {} and {other}\n{:?}\n{:?}",
            snapshot.generation,
            one.scope,
            one.decode(),
            two.decode()
        );
        // Whether others can read it is looked at now and then.
        if compared % 8 == 0 {
            one.decode();
        }
        compared += 1;
        located += usize::from(one.scope > 0);
    }
    assert!(located > PAIRS / 3, "{located} of {PAIRS} answers depend on the client");
}

#[test]
fn clients_without_a_subnet_are_answered_by_their_own_address() {
    let mut random = seeded("peers");
    let world = World::load(&mut random);
    let borders = borders(&world);
    for _ in 0..20_000 {
        let (_, _, asked) = question(&mut random);
        let snapshot = &world.snapshots[random.usize(..world.snapshots.len())];
        let (client, chance) = (borders.client(&mut random), random.u64(..));
        let subnet = ask(snapshot, &asked, client, width(client), chance);
        let peer = Peer {
            address: SocketAddr::new(client, 53),
            transport: Transport::Tcp,
            unix_seconds: 0,
        };
        let mut out = vec![0; 65_535];
        let plain = answer(snapshot, &asked.encode(7), peer, chance, &mut out);
        let Reply::Length(octets) = plain.reply else { panic!("no reply to {asked:?}") };
        let reply = Decoded::decode(&out[..octets]).expect("a reply");
        let expected = subnet.decode();
        assert_eq!(reply.answer, expected.answer, "{asked:?} {client}");
        assert_eq!(reply.authority, expected.authority, "{asked:?} {client}");
        assert_eq!(plain.facts.scope, subnet.scope, "{asked:?} {client}");
    }
}

/// The scope that the service's picks ask for by themselves.
fn picked(service: &Service, client: IpAddr) -> u8 {
    match (service.rules.affinity, embedded(client)) {
        (None, _) => 0,
        (Some((v4, _)), Some((_, offset))) => offset + v4,
        (Some((v4, v6)), None) => by_family(client, v4, v6),
    }
}

/// Whether some client with the same bits but the last of `scope` may be answered otherwise, or for
/// another reason.
fn bordered(
    (at, service): (usize, &Service),
    oracle: &mut Oracle,
    borders: &Borders,
    (client, scope): (IpAddr, u8),
) -> bool {
    let own = oracle.know(client);
    let own = oracle.outcomes(at, &service.rules, own).clone();
    if scope == 1 {
        // The next wider scope is 0, which speaks for everyone, of either family.
        return (0..oracle.known()).any(|known| *oracle.outcomes(at, &service.rules, known) != own);
    }
    // An address inside another: its bits count from where it begins.
    let (client, scope) = match embedded(client) {
        Some((_, offset)) if scope <= offset => return true,
        Some((inner, offset)) => (IpAddr::V4(inner), scope - offset),
        None => (client, scope),
    };
    let beside = number(client) ^ (1 << (width(client) - scope));
    let beside = span(address(client, beside), scope);
    let starts = borders.within(client, beside).iter().copied();
    starts.chain([beside.0]).any(|start| {
        let other = address(client, start);
        // Addresses that carry others have scopes of their own.
        let known = oracle.know(other);
        embedded(other).is_some() || *oracle.outcomes(at, &service.rules, known) != own
    })
}

#[test]
fn scopes_end_where_a_client_may_be_answered_otherwise_and_not_before() {
    let mut random = seeded("scopes");
    let world = World::load(&mut random);
    let borders = borders(&world);
    let mut oracle = Oracle::new();
    let mut located = 0;
    for _ in 0..SCOPES {
        let (at, service, _) = question(&mut random);
        let asked = Ask::new(&name(service), TYPES[random.usize(..2)]);
        let client = borders.client(&mut random);
        let snapshot = &world.snapshots[random.usize(..world.snapshots.len())];
        let scope = ask(snapshot, &asked, client, width(client), 7).scope;
        let (rules, picked) = (&service.rules, picked(service, client));
        assert!(scope >= picked, "{asked:?} {client}/{scope}: picked by {picked} bits");
        let other = borders.companion(client, scope, &mut random);
        let (one, two) = (oracle.know(client), oracle.know(other));
        let one = oracle.outcomes(at, rules, one).clone();
        let alike = one == *oracle.outcomes(at, rules, two);
        assert!(alike, "{asked:?} {client}/{scope} holds {other}, who may be answered otherwise");
        let needed = (at, service);
        let needed = scope <= picked || bordered(needed, &mut oracle, &borders, (client, scope));
        assert!(needed, "{asked:?} {client}/{scope}: nobody beside it is ever answered otherwise");
        located += usize::from(scope > picked);
    }
    assert!(located > SCOPES / 3, "{located} of {SCOPES} scopes are due to the client's place");
}
