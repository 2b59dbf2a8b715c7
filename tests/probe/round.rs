//! Scheduler, checks and health together, on real connections.

use std::sync::Arc;
use std::time::Duration;

use meridian::clock;
use meridian::health::{HealthTable, HostAddresses, Level};
use meridian::model::{Address, Check, EndpointId, Fleet, ProbeAddress, TcpCheck};
use meridian::probe::{Checker, ProbeResult, Scheduler, Targets, Tls};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::nginx::{address, free_ports};

const INTERVAL: Duration = Duration::from_millis(200);

/// Two endpoints: one that is there, one that is not.
fn fleet(live: u16, dead: u16) -> Fleet {
    let check = Check::Tcp(TcpCheck::connecting(live));
    let probe = ProbeAddress { address: Address::Ip(address()), port: None };
    let mut fleet = crate::fleet(check, probe, INTERVAL / 2);
    let mut second = fleet.endpoints[0].clone();
    second.probe = Some(ProbeAddress { address: Address::Ip(address()), port: Some(dead) });
    fleet.endpoints.push(second);
    fleet.pools[0].endpoints = 0..2;
    fleet
}

/// Takes in results until `done`, at most ten seconds long; says how long that took.
async fn follow(
    table: &mut HealthTable,
    results: &mut mpsc::Receiver<ProbeResult>,
    done: impl Fn(&HealthTable) -> bool,
) -> Duration {
    let begin = clock::now();
    while !done(table) {
        let next = timeout(Duration::from_secs(10), results.recv()).await;
        let result = next.expect("a result").expect("a scheduler");
        table.observe(result.endpoint, result.monitor, &result.outcome, clock::now());
    }
    clock::now().since(begin)
}

fn level(table: &HealthTable, endpoint: EndpointId) -> Level {
    table.endpoints()[endpoint.0 as usize].level
}

#[tokio::test]
async fn one_round_tells_the_living_from_the_dead_and_a_death_is_seen_in_time() {
    const LIVE: EndpointId = EndpointId(0);
    const DEAD: EndpointId = EndpointId(1);
    let listener = TcpListener::bind((address(), 0)).await.unwrap();
    let live = listener.local_addr().unwrap();
    let fleet = fleet(live.port(), free_ports(1)[0]);
    let rules = crate::Lab::plain().rules;
    let (_targets, list) = watch::channel(Arc::new(Targets::of(&fleet, &rules, 1)));
    let (_hosts, hosts) = watch::channel(Arc::new(HostAddresses::new()));
    let tls = Tls::trusting_in(rustls::RootCertStore::empty()).unwrap();
    let checker = Checker::new(tls, hosts, Arc::default());
    let check = move |target: Arc<meridian::probe::Target>| {
        let checker = checker.clone();
        async move { checker.check(&target).await }
    };
    let (sender, mut results) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let random = fastrand::Rng::with_seed(1);
    let task = Scheduler::spawn(list, sender, check, clock::now, random, stop.clone());

    let mut table = HealthTable::new(&fleet, clock::now());
    let took = follow(&mut table, &mut results, HealthTable::is_fully_observed).await;
    assert!(took < Duration::from_secs(2), "the first round took {took:?}");
    assert_eq!((level(&table, LIVE), level(&table, DEAD)), (Level::Up, Level::Down));
    assert_eq!(&*table.endpoints()[1].cause, "monitor ready: connection refused");

    drop(listener);
    let took = follow(&mut table, &mut results, |table| level(table, LIVE) == Level::Down).await;
    assert!(took <= 2 * INTERVAL + Duration::from_millis(500), "seen after {took:?}");

    let _listener = TcpListener::bind(live).await.unwrap();
    let took = follow(&mut table, &mut results, |table| level(table, LIVE) == Level::Up).await;
    assert!(took <= 2 * INTERVAL + Duration::from_millis(500), "back after {took:?}");
    stop.cancel();
    task.await.unwrap();
}
