//! Balances as clients meet them: by the client's address, and by how soon endpoints reply.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use crate::Front;
use crate::origin::{Origin, Talk};
use crate::support::free_address;
use crate::support::peers::Nginx;

/// Requests that are in nobody's way, whatever was ejected or spent before.
const ALONE: &str = "eject = \"off\"\nretry = { budget = 1.0 }";

/// A pool of three, and a route to it for each of these balances, with its name as host.
fn pool(name: &str, front: &Front, port: u16, first: u8, balances: &[&str]) -> String {
    let endpoint = |number: u8| {
        let address = front.site.address(first + number);
        format!("{{ region = \"eu\", address = \"{address}\" }}")
    };
    let endpoints = [0, 1, 2].map(endpoint).join(", ");
    let route = |balance: &&str| {
        format!(
            "[[route]]\nhosts = [\"{balance}.test\"]\npool = \"{name}\"\n\
             balance = \"{balance}\"\nupstream = {{ port = {port} }}\n{ALONE}\n"
        )
    };
    let routes: String = balances.iter().map(route).collect();
    format!("[pool.{name}]\nendpoints = [{endpoints}]\n{routes}")
}

/// Who serves each of these clients.
fn served(front: &Front, balance: &str, clients: u8) -> BTreeMap<u8, String> {
    // The threads of the proxy have the same keys.
    let mut talks = [(); 4].map(|()| Talk::to(front.http));
    let mut ask = |client: u8| {
        let talk = &mut talks[usize::from(client) % 4];
        talk.say(format!(
            "GET / HTTP/1.1\r\nHost: {balance}.test\r\nX-Forwarded-For: 198.51.100.{client}\r\n\r\n"
        ));
        let reply = talk.hear().expect("a reply");
        assert_eq!(reply.status, 200, "{balance}: {}", reply.text());
        reply.text()
    };
    (0..clients).map(|client| (client, ask(client))).collect()
}

#[test]
fn clients_keep_their_endpoint_and_only_those_of_a_dead_one_move() {
    const BALANCES: [&str; 3] = ["ip-hash", "ring-hash", "maglev"];
    const CLIENTS: u8 = 150;
    let front = Front::new("trusted_proxies = [\"127.0.0.0/8\"]", "");
    let addresses = [10, 11, 12].map(|number| front.site.address(number));
    let port = free_address(addresses[0].into()).port();
    let mut backends = addresses.map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    front.fleet(&pool("web", &front, port, 10, &BALANCES));
    let _meridian = front.serve();
    let all = || BALANCES.map(|balance| served(&front, balance, CLIENTS));
    let before = all();
    for (balance, by_client) in BALANCES.iter().zip(&before) {
        let mut counts = BTreeMap::<_, u8>::new();
        for text in by_client.values() {
            *counts.entry(text).or_default() += 1;
        }
        let least = counts.values().min().unwrap();
        assert!(counts.len() == 3 && *least >= CLIENTS / 6, "{balance}: {counts:?}");
    }
    assert_eq!(all(), before, "each client has its endpoint");
    for (backend, address) in backends.iter_mut().zip(addresses) {
        backend.stop();
        for ((balance, before), now) in BALANCES.iter().zip(&before).zip(all()) {
            let is_dead = |text: &String| text.contains(&address.to_string());
            let mut heirs = BTreeSet::new();
            for (client, text) in before {
                if is_dead(text) {
                    heirs.insert(now[client].clone());
                } else {
                    assert_eq!(&now[client], text, "{balance} without {address}");
                }
            }
            assert!(heirs.len() == 2 && !heirs.iter().any(is_dead), "{balance}: {heirs:?}");
        }
        backend.start_again();
        assert_eq!(all(), before, "they come back");
    }
}

#[test]
fn an_endpoint_that_replies_late_gets_few_requests() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";
    const ASKED: usize = 150;
    let front = Front::new("", "");
    let slow = Origin::start(front.site.address(10), |_, stream| {
        sleep(Duration::from_millis(300));
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let port = slow.address.port();
    let quick = [11, 12].map(|number| {
        let at = (front.site.address(number), port).into();
        Origin::at(at, |_, stream| stream.write_all(OK.as_bytes()).is_ok())
    });
    front.fleet(&pool("web", &front, port, 10, &["least-response-time"]));
    let _meridian = front.serve();
    let mut talk = Talk::to(front.http);
    for _ in 0..ASKED {
        talk.say("GET / HTTP/1.1\r\nHost: least-response-time.test\r\n\r\n");
        assert_eq!(talk.hear().expect("a reply").status, 200);
    }
    // Chance alone would give each a third.
    let (slow, quick) = (slow.asked().len(), quick.map(|origin| origin.asked().len()));
    assert_eq!(slow + quick[0] + quick[1], ASKED);
    assert!(
        slow <= ASKED / 10 && quick.iter().all(|count| *count >= ASKED / 10),
        "{slow}, {quick:?}"
    );
}
