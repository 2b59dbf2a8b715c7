//! A proxy that learns what a pool can take, by driving it beyond that once.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::Front;
use crate::behaviour::{pool, route};
use crate::origin::{Origin, get};
use crate::support::meridian::http_get;
use crate::support::{PATIENCE, poll};

/// What the origin takes for a request; it does one after the other, so 40 a second.
const WORK: Duration = Duration::from_millis(25);
/// Requests a second that it answers as they come, and those that are too many.
const LOADS: [u32; 2] = [10, 60];
/// Requests under way at most, above which clients wait, too.
const UNDER_WAY: usize = 120;
/// Requests at the lower load, until its response times are known.
const QUIET: f64 = 200.0;

#[test]
fn what_a_pool_can_take_is_learnt_when_it_is_at_its_limit() {
    let front = Front::new("", "");
    let turn = Mutex::new(());
    let origin = Origin::start(front.site.address(10), move |_, stream| {
        let turn = turn.lock().unwrap();
        sleep(WORK);
        drop(turn);
        std::io::Write::write_all(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    });
    let port = origin.address.port();
    let web = pool("web", &[front.site.address(10)], "learn_capacity = true\n");
    front.fleet(&(web + &route("web", port, "")));
    let meridian = front.serve();
    let capacity = || {
        let (_, text) = http_get(front.site.admin, "/api/v1/status")?;
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status["pools"][0]["load"]["capacity"].as_f64()
    };
    // 0: clients stop.
    let rate = Arc::new(AtomicU32::new(LOADS[0]));
    let clients = spawn({
        let (rate, http, under_way) = (rate.clone(), front.http, Arc::<AtomicUsize>::default());
        move || {
            let mut due = Instant::now();
            while let Some(pause) = Duration::from_secs(1).checked_div(rate.load(Ordering::Relaxed))
            {
                due = (due + pause).max(Instant::now());
                sleep(due.saturating_duration_since(Instant::now()));
                if under_way.load(Ordering::Relaxed) < UNDER_WAY {
                    under_way.fetch_add(1, Ordering::Relaxed);
                    let under_way = under_way.clone();
                    spawn(move || {
                        assert_eq!(get(http, "web.test", "/").status, 200);
                        under_way.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        }
    });
    let pause = Duration::from_millis(200);
    let answered = || meridian.metric("meridian_proxy_upstream_duration_seconds_count", &[]);
    let quiet = poll(4 * PATIENCE, pause, || (answered() >= QUIET).then_some(()));
    quiet.expect("answers at the lower load");
    assert_eq!(capacity(), None, "nobody knows what it takes before it was at its limit");
    rate.store(LOADS[1], Ordering::Relaxed);
    let learnt = poll(4 * PATIENCE, pause, capacity);
    rate.store(0, Ordering::Relaxed);
    clients.join().unwrap();
    let learnt = learnt.expect("a capacity");
    println!("learnt {learnt:.1} requests a second");
    // A busy machine makes the origin slower than it is said to be, and never faster.
    assert!((f64::from(LOADS[0])..=48.0).contains(&learnt), "{learnt}");
}
