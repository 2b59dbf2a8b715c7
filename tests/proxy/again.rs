//! Requests that go to a second endpoint: with their body, after a failure; beside the first, when
//! that is slow.

use std::io::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Front;
use crate::origin::{Origin, Reply, Talk};
use crate::support::meridian::Meridian;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// A route with this to two endpoints, of which the second replies at once.
fn front(
    more: &str,
    first: impl Fn(&mut std::net::TcpStream) -> bool + Send + Sync + 'static,
) -> (Front, Origin, Origin) {
    let front = Front::new("", "");
    let first = Origin::start(front.site.address(10), move |_, stream| first(stream));
    let port = first.address.port();
    let second = Origin::at((front.site.address(11), port).into(), |_, stream| {
        stream.write_all(OK.as_bytes()).is_ok()
    });
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{{ region = \"eu\", address = \"{}\" }}, \
         {{ region = \"eu\", address = \"{}\" }}]\n\
         [[route]]\nname = \"r\"\npool = \"web\"\neject = \"off\"\n\
         upstream = {{ port = {port} }}\n{more}\n",
        first.address.ip(),
        second.address.ip(),
    ));
    (front, first, second)
}

fn ask(front: &Front, request: &[u8]) -> Reply {
    let mut talk = Talk::to(front.http);
    talk.say(request);
    talk.hear().expect("a reply")
}

#[test]
fn bodies_that_are_short_go_to_another_endpoint_when_the_first_breaks_off() {
    let (front, breaking, good) = front("retry = { budget = 1.0 }", |_| false);
    let _meridian = front.serve();
    let whole =
        |length: usize| -> Vec<u8> { (0..length).map(|at| b'a' + (at % 23) as u8).collect() };
    for (case, method, length, chunked, again) in [
        ("a short body", "PUT", 10_000, false, true),
        ("one in chunks", "PUT", 10_000, true, true),
        ("the longest", "PUT", 64 << 10, false, true),
        ("a longer one", "PUT", (64 << 10) + 1, false, false),
        ("a longer one in chunks", "PUT", (64 << 10) + 1, true, false),
        ("what may not be done twice", "POST", 10_000, false, false),
    ] {
        let body = whole(length);
        let mut request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\n").into_bytes();
        if chunked {
            request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(4_000) {
                request.extend(format!("{:x}\r\n", part.len()).into_bytes());
                request.extend([part, b"\r\n"].concat());
            }
            request.extend(b"0\r\n\r\n");
        } else {
            request.extend(format!("Content-Length: {length}\r\n\r\n").into_bytes());
            request.extend(&body);
        }
        let statuses: Vec<u16> = (0..6).map(|_| ask(&front, &request).status).collect();
        assert!(!breaking.asked().is_empty(), "{case}");
        assert_eq!(statuses.iter().all(|status| *status == 200), again, "{case}: {statuses:?}");
        assert!(
            statuses.contains(&200) && statuses.iter().all(|status| [200, 502].contains(status))
        );
        let asked = good.asked();
        assert!(asked.len() == if again { 6 } else { asked.len().min(5) }, "{case}");
        for asked in asked {
            let octets: Vec<u8> = if chunked {
                // The data alone, which is in long lines.
                let lines = asked.body.split(|octet| *octet == b'\n');
                lines
                    .filter(|line| line.len() > 7)
                    .flatten()
                    .copied()
                    .filter(|octet| *octet != b'\r')
                    .collect()
            } else {
                asked.body
            };
            assert!(octets == body, "{case}: {} octets", octets.len());
        }
    }
}

fn hedges(meridian: &Meridian, result: &str) -> f64 {
    meridian.metric("meridian_proxy_hedges_total", &[&format!("result=\"{result}\"")])
}

#[test]
fn a_second_endpoint_is_asked_when_the_first_is_slow() {
    let hedge = "hedge = { after = \"50ms\", budget = 1.0 }";
    let (front, slow, quick) = front(hedge, |stream| {
        sleep(Duration::from_millis(1_500));
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let meridian = front.serve();
    let timed = |method: &str| {
        let begun = Instant::now();
        let request = format!("{method} / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(ask(&front, request.as_bytes()).status, 200);
        begun.elapsed()
    };
    let slowest = (0..8).map(|_| timed("GET")).max().unwrap();
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(!slow.asked().is_empty() && !quick.asked().is_empty());
    assert!(hedges(&meridian, "won") >= 1.0);
    // What may not be done twice waits.
    let slowest = (0..4).map(|_| timed("POST")).max().unwrap();
    assert!(slowest >= Duration::from_millis(1_400), "{slowest:?}");
}

#[test]
fn hedges_have_a_budget_and_the_first_may_be_the_first() {
    let (front, _slow, quick) = front("hedge = { after = \"20ms\", budget = 0.0 }", |stream| {
        sleep(Duration::from_millis(150));
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let meridian = front.serve();
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for _ in 0..12 {
        assert_eq!(ask(&front, request).status, 200);
    }
    assert!(hedges(&meridian, "refused") >= 1.0);
    let asked = hedges(&meridian, "won") + hedges(&meridian, "lost");
    assert!((1.0..=2.0).contains(&asked), "one for each thread, not {asked}");
    assert!(quick.asked().len() >= 6);
}
