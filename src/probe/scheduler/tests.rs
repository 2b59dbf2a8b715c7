//! The scheduler task on paused time.

use std::sync::Mutex;

use tokio::time::{sleep, timeout};

use super::*;
use crate::health::CauseKind;
use crate::probe::sample::{fleet, monitor, targets};

const SECOND: Duration = Duration::from_secs(1);

/// A running scheduler whose checks take `took` and fail on the second endpoint.
struct Running {
    targets: watch::Sender<Arc<Targets>>,
    results: mpsc::Receiver<ProbeResult>,
    started: Arc<Mutex<Vec<Duration>>>,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

fn start(first: Targets, took: Duration, capacity: usize) -> Running {
    let (targets, list) = watch::channel(Arc::new(first));
    let (sender, results) = mpsc::channel(capacity);
    let started = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let begin = tokio::time::Instant::now();
    let log = started.clone();
    let check = move |target: Arc<Target>| {
        log.lock().unwrap().push(begin.elapsed());
        async move {
            sleep(took).await;
            match target.identity.address.to_string().as_str() {
                "10.0.0.1" => Outcome::failure(CauseKind::Refused, "connection refused"),
                "10.0.0.13" => panic!("a check with a fault"),
                _ => Outcome::Success,
            }
        }
    };
    let now = move || Tick(begin.elapsed().as_millis() as u64);
    let random = fastrand::Rng::with_seed(1);
    let task = Scheduler::spawn(list, sender, check, now, random, stop.clone());
    Running { targets, results, started, task, stop }
}

impl Running {
    async fn next(&mut self) -> ProbeResult {
        timeout(60 * SECOND, self.results.recv()).await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn every_target_has_a_result_in_the_first_round() {
    let fleet = fleet(0..3, vec![monitor("a", SECOND), monitor("b", SECOND)]);
    let mut running = start(targets(&fleet, 10, 7), SECOND / 20, 100);
    let begin = tokio::time::Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        let result = running.next().await;
        assert_eq!(result.generation, 7);
        assert_eq!(result.outcome.is_success(), result.endpoint.0 != 1);
        seen.insert((result.endpoint, result.monitor));
    }
    assert_eq!(seen.len(), 6);
    assert!(begin.elapsed() < SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_receiver_stalls_the_probes_and_nothing_piles_up() {
    let fleet = fleet(0..50, vec![monitor("port", SECOND)]);
    let mut running = start(targets(&fleet, 5, 1), SECOND / 10, 3);
    sleep(30 * SECOND).await;
    assert_eq!(running.started.lock().unwrap().len(), 8, "3 in the channel, 5 places");
    for _ in 0..100 {
        running.next().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_takes_effect_within_an_interval() {
    let monitors = vec![monitor("port", SECOND)];
    let mut running = start(targets(&fleet(0..2, monitors.clone()), 10, 1), SECOND / 10, 100);
    for _ in 0..10 {
        running.next().await;
    }
    let begin = tokio::time::Instant::now();
    running.targets.send_replace(Arc::new(targets(&fleet(1..2, monitors), 10, 2)));
    let mut late = Vec::new();
    while begin.elapsed() < 5 * SECOND {
        let result = running.next().await;
        if begin.elapsed() > SECOND {
            late.push((result.endpoint.0, result.generation, result.outcome.is_success()));
        }
    }
    assert!(late.len() >= 3);
    assert!(late.iter().all(|result| *result == (0, 2, false)), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_one_check_stays_there() {
    let mut running =
        start(targets(&fleet(12..15, vec![monitor("port", SECOND)]), 1, 1), SECOND / 100, 100);
    let mut endpoints = Vec::new();
    for _ in 0..20 {
        endpoints.push(running.next().await.endpoint.0);
    }
    assert!(!endpoints.contains(&1));
    assert!((8..=12).contains(&endpoints.iter().filter(|id| **id == 0).count()));
    assert!(running.started.lock().unwrap().len() >= 28, "the faulty one is tried again");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_token_and_with_its_channels() {
    let make = || start(targets(&fleet(0..3, vec![monitor("port", SECOND)]), 9, 1), SECOND, 1);
    let running = make();
    running.stop.cancel();
    timeout(SECOND, running.task).await.unwrap().unwrap();

    let running = make();
    drop(running.targets);
    timeout(SECOND, running.task).await.unwrap().unwrap();

    let running = make();
    drop(running.results);
    timeout(5 * SECOND, running.task).await.unwrap().unwrap();
}
