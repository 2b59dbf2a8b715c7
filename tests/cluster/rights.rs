//! The templates of deploy/nats with a real server: who may say what.

use meridian::cluster::{ControlError, Create, Grade, examine};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, control, prober, stopper};
use crate::support::nats::{BusAuthority, NatsServer, address, template};

const OPERATOR: &str = "operator.meridian.example.net";
const PROBER: &str = "fra-1.meridian.example.net";
const READER: &str = "fra-2.meridian.example.net";

/// A server by the template for one server.
fn single() -> (NatsServer, BusAuthority) {
    let (folder, authority, address) = (TempDir::new().unwrap(), BusAuthority::new(), address());
    authority.lay_out(folder.path());
    let replace =
        [("0.0.0.0:4222", address.to_string()), ("127.0.0.1:8222", self::address().to_string())];
    let config = template("single.conf", folder.path(), &replace);
    (NatsServer::start(folder, config, address), authority)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_what_it_must_and_no_more() {
    let (server, authority) = single();
    let nats = |name| authority.nats(server.address, Some(name));
    // The operators make the streams.
    let operator = prober("eu-central", "operator");
    let found = examine(&nats(OPERATOR), &operator, false, Create::Streams).await.unwrap();
    assert!(found.iter().all(|found| found.grade == Grade::Fine), "{found:#?}");
    for (user, node, probes) in [(PROBER, "fra-1", true), (READER, "fra-2", false)] {
        let me = prober("eu-central", node);
        let found = examine(&nats(user), &me, probes, Create::Nothing).await.unwrap();
        assert!(found.iter().all(|found| found.grade == Grade::Fine), "{node}: {found:#?}");
    }
    // A reader that were to probe is told what it lacks.
    let reader = prober("eu-central", "fra-2");
    let found = examine(&nats(READER), &reader, true, Create::Nothing).await.unwrap();
    let wrong = found.iter().filter(|found| found.grade == Grade::Wrong);
    assert_eq!(wrong.map(|found| found.what).collect::<Vec<_>>(), ["rights"; 3], "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_pages_and_overrides_do_not_pass() {
    let (server, authority) = single();
    let nats = |name| authority.nats(server.address, Some(name));
    let operator = prober("eu-central", "operator");
    examine(&nats(OPERATOR), &operator, false, Create::Streams).await.unwrap();
    let mut forger = Node::on(nats(PROBER), "eu-central", "fra-1");
    let mut reader = Node::on(nats(READER), "eu-central", "fra-2");
    forger.up().await;
    reader.up().await;
    let own = "meridian.v1.beat.eu-central.fra-1";
    let heard = timeout(PATIENCE, async {
        loop {
            forger.say("health", "meridian.v1.health.us-east.nyc-1.0", "forged");
            forger.say("beat", own, "true");
            let wait = timeout(std::time::Duration::from_millis(200), reader.message());
            if let Ok(message) = wait.await {
                return message;
            }
        }
    });
    assert_eq!(heard.await.unwrap(), (own.to_owned(), "true".to_owned()));
    let errors = forger.metrics.cluster.events.with_label_values(&["error"]).clone();
    let counted = timeout(PATIENCE, async {
        while errors.get() == 0 {
            tokio::task::yield_now().await;
        }
    });
    counted.await.expect("what the server refuses is counted");
    // An override by who is no operator is never taken.
    let (state, (stop, _guard)) = (TempDir::new().unwrap(), stopper());
    let table = control(nats(PROBER), "fra-1", state.path(), &stop);
    timeout(PATIENCE, table.watch().wait_for(|table| table.current)).await.unwrap().unwrap();
    let refused = table.put("override.region.us", "down", 0).await;
    assert!(matches!(refused, Err(ControlError::Unavailable(_))), "{refused:?}");
    // One by an operator reaches those who may only read.
    let (other, (stop, _guard)) = (TempDir::new().unwrap(), stopper());
    let operators = control(nats(OPERATOR), "operator", other.path(), &stop);
    timeout(PATIENCE, operators.watch().wait_for(|t| t.current)).await.unwrap().unwrap();
    operators.put("override.region.eu", "drain", 0).await.unwrap();
    let mut seen = table.watch();
    let there = |t: &std::sync::Arc<meridian::cluster::Entries>| {
        t.entries.keys().map(String::as_str).eq(["override.region.eu"])
    };
    timeout(PATIENCE, seen.wait_for(there)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_certificate_or_with_anothers_is_refused() {
    let (server, authority) = single();
    let me = prober("eu-central", "fra-1");
    let without = examine(&authority.nats(server.address, None), &me, true, Create::Nothing).await;
    assert!(without.is_err(), "{without:?}");
    let unknown = authority.nats(server.address, Some("stranger.example.net"));
    assert!(examine(&unknown, &me, true, Create::Nothing).await.is_err());
    let stranger = BusAuthority::new().nats(server.address, Some(PROBER));
    assert!(examine(&stranger, &me, true, Create::Nothing).await.is_err());
}
