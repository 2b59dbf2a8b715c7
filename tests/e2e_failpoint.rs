//! A worker that panics is back at once, and its panic costs one query. Built with the feature
//! `failpoints`.

// Tests may fail loudly and measure real time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods)] // As above.

mod support;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use support::dns::Client;
use support::site::{Site, zone};
use support::wire::Ask;

const FLEET: &str = "version = 1\n[region.near]\nlocation = { lat = 50, lon = 8 }\n";
const ROUNDS: u16 = 20;
/// Sound queries of a round; the harmful one is among them.
const SOUND: u16 = 60;
/// A worker must be back by then.
const BACK_MS: u128 = 100;

#[test]
fn a_panic_costs_one_query_and_no_time() {
    let site = Site::new("near");
    site.write("config/fleet.toml", FLEET);
    site.write("zones/one.test.zone", &zone("one.test.", 1, "www IN A 192.0.2.1"));
    let mut meridian = site.serve();
    let sound = Ask::new("www.one.test.", 1);
    let harmful = Ask::new("failpoint.one.test.", 1);

    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        // One socket, so that all of a round goes to one worker.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(site.dns).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let harmful_at = round * 3;
        let began = Instant::now();
        for id in 0..SOUND {
            if id == harmful_at {
                socket.send(&harmful.encode(u16::MAX)).unwrap();
            }
            socket.send(&sound.encode(id)).unwrap();
        }
        let mut buffer = [0; 512];
        let mut answered = vec![false; usize::from(SOUND)];
        for _ in 0..SOUND {
            let length = socket.recv(&mut buffer).expect("a reply to each sound query");
            // NOERROR
            assert!(length > 12 && buffer[3].trailing_zeros() >= 4, "{:02x?}", &buffer[..length]);
            answered[usize::from(u16::from_be_bytes([buffer[0], buffer[1]]))] = true;
        }
        waits.push(began.elapsed().as_millis());
        assert!(answered.iter().all(|answered| *answered), "round {round}: {answered:?}");
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!(socket.recv(&mut buffer).is_err(), "the harmful query was answered");
    }
    // The machine may be busy: half of the rounds show what a panic costs.
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < BACK_MS, "milliseconds of all rounds: {waits:?}");

    // Over TCP the connection is lost, and nobody else's.
    let client = Client::new(site.dns);
    assert!(client.ask_tcp(&harmful).is_err());
    assert_eq!(client.ask_tcp(&sound).unwrap().answer.len(), 1);
    assert!(meridian.process.ended().is_none(), "{}", meridian.process.log());
    let panics = meridian.metric("meridian_dns_errors_total", &["kind=\"panic\""]);
    assert!(panics.round() as u16 >= ROUNDS, "{panics}");
}
