//! The resolver: what is kept, when it asks again, and a name server of real packets.

use std::future;
use std::sync::Mutex;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Record, rdata};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap()
}

fn v4(addresses: &[&str], ttl: u64) -> Found<Ipv4Addr> {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Found::Addresses(addresses, Duration::from_secs(ttl))
}

fn v6(addresses: &[&str], ttl: u64) -> Found<Ipv6Addr> {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Found::Addresses(addresses, Duration::from_secs(ttl))
}

fn failed<A>() -> Found<A> {
    Found::Failed("timed out".to_owned())
}

fn shown(resolved: &Resolved) -> String {
    let addresses: Vec<String> = resolved.addresses().map(|a| a.to_string()).collect();
    match &resolved.failure {
        Some(failure) => format!("{} ({failure})", addresses.join(" ")),
        None => addresses.join(" "),
    }
}

#[test]
fn keeps_what_was_last_known_until_something_better_comes() {
    let old = absorb(None, LookUp { v4: v4(&["192.0.2.1"], 60), v6: v6(&["2001:db8::1"], 60) }).0;
    let nothing = || LookUp { v4: Found::Nothing, v6: Found::Nothing };
    for (case, old, found, expected, seconds) in [
        (
            "both families, sorted, the shorter ttl",
            None,
            LookUp {
                v4: v4(&["192.0.2.9", "192.0.2.1", "192.0.2.9"], 90),
                v6: v6(&["2001:db8::1"], 30),
            },
            "192.0.2.1 192.0.2.9 2001:db8::1",
            30,
        ),
        (
            "short ttls are stretched",
            None,
            LookUp { v4: v4(&["192.0.2.1"], 0), v6: Found::Nothing },
            "192.0.2.1",
            5,
        ),
        (
            "long ones cut",
            None,
            LookUp { v4: v4(&["192.0.2.1"], 86_400), v6: Found::Nothing },
            "192.0.2.1",
            300,
        ),
        (
            "a family that is gone is gone",
            Some(&old),
            LookUp { v4: Found::Nothing, v6: v6(&["2001:db8::2"], 60) },
            "2001:db8::2",
            60,
        ),
        (
            "a family that failed is kept",
            Some(&old),
            LookUp { v4: failed(), v6: v6(&["2001:db8::2"], 60) },
            "192.0.2.1 2001:db8::2 (timed out)",
            5,
        ),
        (
            "all failed: all kept",
            Some(&old),
            LookUp::failed("timed out"),
            "192.0.2.1 2001:db8::1 (timed out)",
            5,
        ),
        (
            "suddenly nothing: all kept",
            Some(&old),
            nothing(),
            "192.0.2.1 2001:db8::1 (no addresses)",
            5,
        ),
        ("never anything", None, nothing(), " (no addresses)", 5),
        ("never an answer", None, LookUp::failed("timed out"), " (timed out)", 5),
    ] {
        let (resolved, fresh) = absorb(old, found);
        assert_eq!((shown(&resolved).as_str(), fresh.as_secs()), (expected, seconds), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn asks_again_when_the_ttl_ends_and_tells_changes_only() {
    let (names, wanted) = watch::channel(BTreeSet::from([name("a.example."), name("b.example.")]));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let begin = tokio::time::Instant::now();
    let log = asked.clone();
    let look_up = move |name: Name| {
        let seconds = begin.elapsed().as_secs();
        log.lock().unwrap().push((seconds, name.to_string()));
        let address = if seconds < 50 { "192.0.2.1" } else { "192.0.2.2" };
        let found = LookUp { v4: v4(&[address], 20), v6: Found::Nothing };
        future::ready(found)
    };
    let now = move || Tick(begin.elapsed().as_millis() as u64);
    let stop = CancellationToken::new();
    let (mut hosts, task) = keep_resolved(wanted, look_up, now, stop.clone());
    let all = hosts.wait_for(|hosts| hosts.len() == 2).await.unwrap().clone();
    assert_eq!(shown(&all[&name("a.example.")]), "192.0.2.1");

    sleep(45 * SECOND).await;
    assert!(!hosts.has_changed().unwrap(), "the same addresses are no news");
    assert_eq!(asked.lock().unwrap().len(), 6, "at 0, 20 and 40 seconds");
    let moved = |hosts: &Arc<HostAddresses>| hosts.values().all(|h| shown(h) == "192.0.2.2");
    hosts.wait_for(moved).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 60);

    names.send_replace(BTreeSet::from([name("b.example."), name("c.example.")]));
    hosts.wait_for(|hosts| hosts.contains_key(&name("c.example."))).await.unwrap();
    assert!(!hosts.borrow().contains_key(&name("a.example.")));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn slow_and_panicking_look_ups_delay_nobody_else() {
    let many: BTreeSet<Name> = (0..40).map(|n| name(&format!("h{n}.example."))).collect();
    let (_names, wanted) = watch::channel(many);
    let begin = tokio::time::Instant::now();
    let look_up = move |name: Name| async move {
        match name.to_string().as_str() {
            "h0.example." => future::pending().await,
            "h1.example." => panic!("a look-up with a fault"),
            _ => sleep(SECOND / 10).await,
        }
        LookUp { v4: v4(&["192.0.2.1"], 60), v6: Found::Nothing }
    };
    let now = move || Tick(begin.elapsed().as_millis() as u64);
    let (mut hosts, _task) = keep_resolved(wanted, look_up, now, CancellationToken::new());
    hosts.wait_for(|hosts| hosts.len() == 38).await.unwrap();
    assert!(begin.elapsed() < SECOND / 2);
    hosts.wait_for(|hosts| hosts.len() == 39).await.unwrap();
    assert_eq!(shown(&hosts.borrow()[&name("h0.example.")]), " (timed out after 15s)");
}

#[test]
fn the_longest_ttl_seen_with_the_same_addresses_is_kept() {
    let found = |address: &str, ttl| LookUp { v4: v4(&[address], ttl), v6: Found::Nothing };
    let mut resolved = None;
    for (what, found, expected) in [
        ("as it came", found("192.0.2.1", 40), 40),
        ("counted down by a cache", found("192.0.2.1", 12), 40),
        ("from the source again", found("192.0.2.1", 60), 60),
        ("after a failure", LookUp::failed("timed out"), 60),
        ("of other addresses", found("192.0.2.2", 8), 8),
    ] {
        let next = absorb(resolved.as_ref(), found).0;
        assert_eq!(next.ttl, Some(Duration::from_secs(expected)), "{what}");
        resolved = Some(next);
    }
}

/// Answers questions over UDP on loopback: A for `a.example.`, a CNAME before it for `c.example.`.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let query = Message::from_vec(&buffer[..length]).unwrap();
            let question = query.queries[0].clone();
            let mut reply = query.clone().into_response();
            let owner = question.name().clone();
            let target: rr::Name = "a.example.".parse().unwrap();
            let address = RData::A(rdata::A("192.0.2.7".parse().unwrap()));
            match (owner.to_string().as_str(), question.query_type()) {
                ("a.example.", RecordType::A) => {
                    reply.add_answer(Record::from_rdata(owner, 77, address));
                }
                ("c.example.", RecordType::A) => {
                    let alias = RData::CNAME(rdata::CNAME(target.clone()));
                    reply.add_answer(Record::from_rdata(owner, 11, alias));
                    reply.add_answer(Record::from_rdata(target, 77, address));
                }
                ("broken.example.", _) => reply.metadata.response_code = ResponseCode::ServFail,
                ("a.example." | "c.example.", _) => {}
                _ => reply.metadata.response_code = ResponseCode::NXDomain,
            }
            socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn asks_a_real_name_server() {
    let server = NameServer::at(&[name_server().await]).unwrap();
    for (host, expected) in [
        ("a.example.", v4(&["192.0.2.7"], 77)),
        ("c.example.", v4(&["192.0.2.7"], 11)),
        ("gone.example.", Found::Nothing),
    ] {
        let found = server.clone().look_up(name(host)).await;
        assert_eq!(found, LookUp { v4: expected, v6: Found::Nothing }, "{host}");
    }
    let found = server.clone().look_up(name("broken.example.")).await;
    assert!(matches!(found.v4, Found::Failed(why) if why.contains("server failure")));
    assert!(NameServer::system().is_ok());
}
