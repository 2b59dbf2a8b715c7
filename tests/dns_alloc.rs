//! Answering a query allocates nothing, and neither does choosing an endpoint.

#![allow(clippy::unwrap_used)] // Test.
#![allow(unsafe_code)] // A global allocator cannot be written without it.

mod dns_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dns_support::{Query, peer, script};
use meridian::clock::Tick;
use meridian::dns::limit::{Limited, Limiter};
use meridian::dns::{Draws, Parsed, Random, Reply, Transport, answer, engine};

use meridian::model::Balance;
use meridian::proxy::balance::{Balancer, Candidate, Key, Member};
use meridian::proxy::guard::{Bounds, RequestGuard};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator; the count is a plain cell of
// the calling thread that never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_answer_allocates() {
    let world = script::world(include_str!("data/dns/properties.world"));
    let address = "192.0.2.0".parse().unwrap();
    let mut out = vec![0; 65535];
    let draws = Draws::default();
    let names = "www no no.no.no x.w one a x.d q.grow x.sub big geo apart near _s bound";
    for name in names.split(' ') {
        for qtype in [1, 28, 16, 33, 43, 65, 255] {
            let name = format!("{name}.example.com.");
            let plain = Query::new(&name, qtype);
            for query in [plain.clone(), plain.subnet(address, 24)] {
                let wire = query.wire();
                for transport in Transport::ALL {
                    let before = ALLOCATIONS.get();
                    let random = Random::shared(7, &draws, 1_800_000_000);
                    let reply = answer(&world, &wire, peer(transport), random, &mut out).reply;
                    let allocations = ALLOCATIONS.get() - before;
                    assert!(matches!(reply, Reply::Length(_)));
                    assert_eq!(allocations, 0, "{name} {qtype}");
                }
            }
        }
    }
}

#[test]
fn neither_cookies_nor_limits_allocate() {
    let options =
        "option secret=e5e973e5a6b2a43f48e7dc849e37bfcf\noption positive=20\noption slip=2";
    let world = include_str!("data/dns/properties.world");
    let world = script::world(&format!("{world}\n{options}"));
    let rates = &world.options.response_rates;
    let limiter = Limiter::new([1, 2]);
    let peer = peer(Transport::Udp);
    let mut out = vec![0; 4096];
    let mut parsed = Parsed::default();
    let (mut limited, mut random) = (Vec::with_capacity(100), fastrand::Rng::with_seed(1));
    for cookie in
        [&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8][..], &[&[0, 10, 0, 24][..], &[7; 24]].concat()]
    {
        let query = Query::new("www.example.com.", 1).edns(1232, cookie).wire();
        for _ in 0..50 {
            let random = random.u64(..);
            let before = ALLOCATIONS.get();
            let client = limiter.client(peer.address.ip());
            parsed.parse(&query);
            engine::locate(&world, &mut parsed);
            limiter.touch(client);
            let mut given = engine::respond(&world, &query, &parsed, peer, random, &mut out);
            let kind = (given.facts.kind, given.facts.standing);
            let ruling = limiter.rule(rates, client, kind, Tick(0), random);
            if let Some(limited) = ruling.limited {
                given = engine::curb(&world, &query, &parsed, given, limited, &mut out);
            }
            assert_eq!(ALLOCATIONS.get() - before, 0);
            limited.push(given.facts.limited);
        }
    }
    for fate in [None, Some(Limited::Dropped), Some(Limited::Slipped)] {
        assert!(limited.contains(&fate), "{fate:?}");
    }
}

#[test]
fn no_choice_of_an_endpoint_allocates() {
    let members: Vec<Member> = (0..20).map(|id| Member { id: id * 7919, weight: 10.0 }).collect();
    let candidate = |member: &Member| Candidate {
        id: member.id,
        weight: if member.id.is_multiple_of(2) { 10.0 } else { 3.0 },
        in_flight: member.id as u32 % 5,
        latency_ewma_ms: 5.0,
    };
    let candidates: Vec<Candidate> = members.iter().skip(3).map(candidate).collect();
    for kind in Balance::ALL {
        let mut balancer = Balancer::new(kind, &members, 1);
        let before = ALLOCATIONS.get();
        for number in 0..1000_u64 {
            let key = Key::text(&number.to_le_bytes());
            assert!(balancer.pick(&candidates, key, number << 40).is_some());
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{kind:?}");
    }
}

#[test]
fn no_head_that_comes_whole_allocates_in_its_guard() {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\nx-a: b\r\n\r\nabc";
    let mut guard = RequestGuard::new(Bounds::default(), false);
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        assert!(guard.feed(head).is_ok());
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
