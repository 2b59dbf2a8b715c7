//! A panic over a request costs that request alone.

use std::io::Write as _;
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::Front;
use crate::behaviour::{pool, route};
use crate::origin::{Origin, Talk, curl};
use crate::support::wait_for;

/// Requests that panic, over connections of HTTP/1.1.
const PANICS: u32 = 20;

#[test]
fn a_panic_costs_one_request_and_nothing_else() {
    let front = Front::new("", "");
    let address = front.site.address(10);
    let origin = Origin::start(address, |asked, stream| {
        if asked.head.contains("/slow") {
            sleep(Duration::from_millis(500));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").is_ok()
    });
    front.fleet(&(pool("web", &[address], "") + &route("web", origin.address.port(), "")));
    let mut meridian = front.serve();
    let http = front.http;
    // Requests that are under way on every thread while others panic there.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            spawn(move || {
                let mut talk = Talk::to(http);
                talk.say("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
                talk.hear().expect("a reply").status
            })
        })
        .collect();
    for _ in 0..PANICS {
        let mut talk = Talk::to(http);
        talk.say("GET /failpoint HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let reply = talk.hear().expect("a reply");
        assert_eq!((reply.status, reply.values("x-meridian-cause")), (500, vec!["panic"]));
        assert_eq!(talk.hear().expect("the connection goes on").text(), "yes");
    }
    for slow in slow {
        assert_eq!(slow.join().unwrap(), 200);
    }
    let url = format!("http://{http}/failpoint");
    let status = curl(&["--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}", &url]);
    assert_eq!(status, "500");
    let panics = meridian.metric("meridian_proxy_failures_total", &["cause=\"panic\""]);
    assert_eq!(panics, f64::from(PANICS) + 1.0);
    wait_for("nothing under way", || {
        (meridian.metric("meridian_proxy_requests_in_flight", &[]) == 0.0).then_some(())
    });
    assert!(meridian.process.ended().is_none(), "{}", meridian.process.log());
}
