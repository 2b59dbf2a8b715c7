//! What a real bus does to its nodes: it dies, freezes, comes back, or is too old.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use meridian::cluster::{ControlError, Entries};
use meridian::health::{PeerEvent, Verdict};
use meridian::model::Nats;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::node::{Ground, Node, PATIENCE, control, stopper};
use crate::support::nats::NatsServer;

/// Lets three nodes know that the subscriptions of all are there: a connection is used at once,
/// and the server may see a message before another client's subscription.
pub(crate) async fn acquaint(a: &mut Node, b: &mut Node, c: &mut Node) {
    for _ in 0..2 {
        hear_each_other(a, b).await;
        hear_each_other(a, c).await;
        hear_each_other(b, c).await;
    }
    // Nothing of it may be left over.
    for node in [a, b, c] {
        drain(node).await;
    }
}

async fn drain(node: &mut Node) {
    let pause = Duration::from_millis(200);
    while timeout(pause, node.engine.signal(true)).await.is_ok() {}
}

async fn hear_each_other(one: &mut Node, other: &mut Node) {
    for _ in 0..2 {
        let (from, to) = (&mut *one, &mut *other);
        let subject = format!("meridian.v1.beat.{}.{}", from.me.region, from.me.node);
        let heard = timeout(PATIENCE, async {
            loop {
                from.say("beat", &subject, "hello");
                let wait = timeout(Duration::from_millis(100), to.message());
                if wait.await.is_ok_and(|(found, _)| found == subject) {
                    return;
                }
            }
        });
        heard.await.expect("nodes that hear each other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_killed_and_comes_back_is_used_again() {
    let ground = Ground::Nats(NatsServer::open());
    ground.prepare().await;
    let Ground::Nats(mut server) = ground else { unreachable!() };
    let a = Node::on(server.nats(), "eu", "a");
    let b = Node::on(server.nats(), "us", "b");
    let (a, mut b) = (a.share(Some(5)), b.share(None));
    a.say(Verdict::Up);
    b.hear_votes(&a.me, Verdict::Up).await;
    let state = TempDir::new().unwrap();
    let (stop, _guard) = stopper();
    let table = control(server.nats(), "n", state.path(), &stop);
    let mut seen = table.watch();
    timeout(PATIENCE, seen.wait_for(|t| t.current)).await.unwrap().unwrap();
    table.put("override.a", "drain", 0).await.unwrap();
    let put = |entries: &std::sync::Arc<Entries>| entries.entries.contains_key("override.a");
    timeout(PATIENCE, seen.wait_for(put)).await.unwrap().unwrap();
    server.process.kill();
    b.hear("the link's end", |event| *event == PeerEvent::Link { up: false }).await;
    timeout(PATIENCE, seen.wait_for(|t| !t.current)).await.unwrap().unwrap();
    assert!(put(&table.watch().borrow().clone()), "what was last known holds");
    let refused = table.put("override.b", "drain", 0).await;
    assert!(matches!(refused, Err(ControlError::Unavailable(_))), "{refused:?}");
    a.say(Verdict::Down);
    server.start_again();
    b.hear_votes_and_link(&a.me, Verdict::Down).await;
    timeout(PATIENCE, seen.wait_for(|t| t.current && put(t))).await.unwrap().unwrap();
    assert!(b.metrics.cluster.events.with_label_values(&["connected"]).get() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bus_said_last_is_known_after_a_restart_without_it() {
    let (folder, state) = (NatsServer::open(), TempDir::new().unwrap());
    let ground = Ground::Nats(folder);
    ground.prepare().await;
    {
        let (table, _guard) = ground.control(state.path());
        table.put("override.a", "drain", 0).await.ok();
        let mut seen = table.watch();
        timeout(PATIENCE, async {
            while table.put("override.a", "drain", 0).await != Err(ControlError::Conflict) {}
            seen.wait_for(|t| t.entries.contains_key("override.a")).await.unwrap();
        })
        .await
        .unwrap();
    }
    drop(ground);
    let nowhere = Nats {
        servers: vec![format!("nats://{}", crate::support::nats::address())],
        credentials: None,
        tls: None,
        prefix: "meridian".into(),
    };
    let (stop, _guard) = stopper();
    let table = control(nowhere, "n", state.path(), &stop).watch();
    let known = table.borrow().clone();
    assert_eq!(known.entries["override.a"].value, "drain");
    assert!(!known.current);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_freezes_is_noticed_and_used_again_when_it_thaws() {
    let server = NatsServer::open();
    let mut node = Node::on(server.nats(), "eu", "a");
    node.up().await;
    server.process.signal("STOP");
    let frozen = Instant::now();
    node.down().await;
    assert!(frozen.elapsed() < Duration::from_secs(12), "{:?}", frozen.elapsed());
    server.process.signal("CONT");
    node.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = vec![format!("nats://{}", listener.local_addr().unwrap())];
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let info = "INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"max_payload\":1048576,\
                        \"headers\":true,\"proto\":1}\r\n";
            stream.write_all(info.as_bytes()).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while let Some(Ok(line)) = lines.next() {
                if line.starts_with("PING") {
                    stream.write_all(b"PONG\r\n").unwrap();
                }
            }
        }
    });
    let nats = Nats { servers, credentials: None, tls: None, prefix: "meridian".into() };
    let mut node = Node::on(nats, "eu", "a");
    node.down().await;
    let refused = node.metrics.cluster.events.with_label_values(&["refused"]).clone();
    timeout(PATIENCE, async {
        while refused.get() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}
