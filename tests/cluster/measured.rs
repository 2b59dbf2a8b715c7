//! Round trips and loads between nodes, by both engines.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, StorageType};
use meridian::clock;
use meridian::cluster::{Create, Grade, Report, examine, view_name};
use meridian::health::Prober;
use meridian::latency::{Client, Measured, Rtt, Way};
use meridian::load::Sample;
use meridian::prefix::Prefix;
use tokio::time::timeout;

use crate::node::{Ground, PATIENCE, Sharing, prober};
use crate::support::nats::NatsServer;

/// More pages than are taken at once of those that were kept.
const PAGES: u32 = 900;

/// A page of one client, whose round trip says which version of the page it is.
fn page(writer: &Prober, number: u32, seq: u64) -> Report {
    let address = (0x1800_0000 + (number << 8)).to_be_bytes();
    let client = Client::of(Prefix::holding(address.into(), 24)).unwrap();
    let (settled, age) = (Rtt::from_ms(20.0 * seq as f64), Duration::ZERO);
    let measured = vec![Measured { client, settled, samples: 9, age }];
    let way = || Way { to: "us".into(), settled: Rtt::from_ms(90.0), samples: 3 };
    let ways = if number == 0 { vec![way()] } else { Vec::new() };
    Report { writer: writer.clone(), epoch: 5, seq, ways, measured }
}

/// Waits until every page was heard as it was told last.
async fn hear(node: &mut Sharing, wanted: &BTreeMap<Client, Report>, what: &str) {
    let mut missing: Vec<Client> = wanted.keys().copied().collect();
    let heard = timeout(PATIENCE, async {
        while !missing.is_empty() {
            let report = node.reported.recv().await.expect("a task that lives");
            let client = report.measured[0].client;
            if wanted.get(&client) == Some(&report) {
                missing.retain(|other| *other != client);
            }
        }
    });
    let heard = heard.await;
    assert!(heard.is_ok(), "{what}: {} of {} pages are missing", missing.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trips_reach_those_who_listen_and_those_who_come_later() {
    for ground in Ground::all() {
        ground.prepare().await;
        let name = ground.name();
        let a = ground.node("eu", "a").share(Some(5));
        let mut early = ground.node("us", "b").share(None);
        // A connection may be there before its subscriptions are.
        let mut told = BTreeMap::new();
        let first = page(&a.me, 0, 1);
        let met = timeout(PATIENCE, async {
            loop {
                a.tells.send((0, first.clone())).await.unwrap();
                let wait = Duration::from_millis(100);
                if let Ok(Some(heard)) = timeout(wait, early.reported.recv()).await {
                    assert_eq!(heard, first, "{name}");
                    return;
                }
            }
        });
        met.await.expect("a page");
        for number in 0..PAGES {
            let seq = 2 + u64::from(number % 3);
            let report = page(&a.me, number, seq);
            told.insert(report.measured[0].client, report.clone());
            a.tells.send((number, report)).await.unwrap();
            // As a node does, which sends some dozens at a time.
            if number % 64 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        hear(&mut early, &told, name).await;
        let mut later = ground.node("ap", "c").share(None);
        hear(&mut later, &told, &format!("{name}, later")).await;
        let dropped = &later.metrics.cluster.dropped;
        for why in ["overrun", "full", "malformed", "forged"] {
            assert_eq!(dropped.with_label_values(&[why]).get(), 0, "{name}: {why}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_reach_those_who_listen_and_are_not_kept() {
    for ground in Ground::all() {
        ground.prepare().await;
        let name = ground.name();
        let a = ground.node("eu", "a").share(Some(5));
        let b = ground.node("us", "b").share(None);
        let sample = |requests| Sample { requests, ..Sample::default() };
        let mut requests = 100.0;
        let heard = timeout(PATIENCE, async {
            loop {
                for region in ["eu", "us"] {
                    a.loads.report("web", region, "a", sample(requests), clock::now()).unwrap();
                }
                if let Some(found) = b.loads.of("web", "eu", clock::now()) {
                    return found.sum.requests;
                }
                requests += 1.0;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let heard = heard.await.expect("a load");
        assert!((100.0..=requests).contains(&heard), "{name}: {heard} of {requests}");
        assert_eq!(b.loads.of("web", "us", clock::now()), None, "{name}: it is not a's region");
        drop(a);
        let late = ground.node("ap", "c").share(None);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(late.loads.of("web", "eu", clock::now()), None, "{name}: of the moment");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_an_earlier_version_learns_to_keep_round_trips() {
    let server = NatsServer::open();
    let client = async_nats::connect(server.address.to_string()).await.unwrap();
    let kept = ["health", "beat"].map(|kind| format!("meridian.v1.{kind}.>"));
    let earlier = Config {
        name: view_name("meridian"),
        subjects: kept.to_vec(),
        storage: StorageType::Memory,
        max_messages_per_subject: 1,
        ..Config::default()
    };
    jetstream::new(client).create_stream(earlier).await.unwrap();
    let me = prober("eu", "operator");
    for (create, grade) in [(Create::Nothing, Grade::Warning), (Create::Streams, Grade::Fine)] {
        let found = examine(&server.nats(), &me, false, create).await.unwrap();
        let view = found.iter().find(|found| found.what == "view").unwrap();
        assert_eq!(view.grade, grade, "{view:?}");
        let told = view.detail.contains("does not keep `meridian.v1.latency.>`");
        assert_eq!(told, grade == Grade::Warning, "{view:?}");
    }
}
