//! What the proxy keeps of replies: who is answered from it, and what the origin is asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{sleep, spawn};
use std::time::Duration;

use crate::Front;
use crate::behaviour::{pool, route};
use crate::origin::{Asked, Origin, Reply, Talk, curl, get};
use crate::support::api::request;
use crate::support::meridian::Meridian;
use crate::support::{poll, wait_for};

/// A node with one route that keeps replies, and one origin that does `script`.
fn start(
    cache: &str,
    script: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static,
) -> (Front, Origin, Meridian) {
    let front = Front::new("", "");
    let address = front.site.address(10);
    let origin = Origin::start(address, script);
    let more = format!("name = \"web\"\ncache = {{ {cache} }}");
    front.fleet(&(pool("web", &[address], "") + &route("web", origin.address.port(), &more)));
    let meridian = front.serve();
    (front, origin, meridian)
}

fn write(stream: &mut TcpStream, fields: &str, body: &str) -> bool {
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}").is_ok()
}

/// The path of a request.
fn path(asked: &Asked) -> &str {
    asked.head.split(' ').nth(1).unwrap()
}

fn with(front: &Front, path: &str, fields: &str) -> Reply {
    let mut talk = Talk::to(front.http);
    talk.say(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
    talk.hear().expect("a reply")
}

/// Requests by the way that their replies came.
fn ways(meridian: &Meridian) -> BTreeMap<&'static str, f64> {
    let all = ["hit", "stale", "stale_if_error", "revalidated", "joined", "miss", "pass"];
    let count = |way| {
        let label = format!("result=\"{way}\"");
        meridian.metric("meridian_proxy_cache_requests_total", &[&label])
    };
    all.into_iter().map(|way| (way, count(way))).filter(|(_, count)| *count > 0.0).collect()
}

#[test]
fn fresh_replies_come_from_the_shelf_and_personal_ones_never() {
    let (front, origin, meridian) = start("", |asked, stream| {
        let fields = match path(asked) {
            "/cookie" => "Cache-Control: max-age=60\r\nSet-Cookie: a=b\r\n",
            "/private" => "Cache-Control: private, max-age=60\r\n",
            "/silent" => "",
            "/lang" => "Cache-Control: max-age=60\r\nVary: accept-language\r\n",
            _ => "Cache-Control: max-age=60\r\nETag: \"one\"\r\n",
        };
        let language = asked.values("accept-language").concat();
        write(stream, fields, &format!("{}{language}", path(asked)))
    });
    let first = get(front.http, "a.test", "/x?y=1");
    assert_eq!(first.values("cache-status"), ["meridian; fwd=miss; stored"]);
    let again = get(front.http, "A.test:80", "/x?y=1");
    assert_eq!((again.status, again.text()), (200, "/x?y=1".to_owned()));
    assert_eq!(again.values("cache-status"), ["meridian; hit"]);
    assert!(again.values("age")[0].parse::<u64>().unwrap() < 30, "{}", again.head);
    // A client that has it, one that wants its head only, and others that ask for other things.
    assert_eq!(with(&front, "/x?y=1", "If-None-Match: W/\"one\"\r\n").status, 304);
    let url = format!("http://{}/x?y=1", front.http);
    let head = curl(&["-I", "-H", "Host: a.test", &url]);
    assert!(head.contains("Content-Length: 6") || head.contains("content-length: 6"), "{head}");
    assert_eq!(origin.asked().len(), 1, "one request for all of them");
    for (case, host, path, fields) in [
        ("another query", "a.test", "/x?y=2", ""),
        ("another host", "b.test", "/x?y=1", ""),
        ("a part", "a.test", "/x?y=1", "Range: bytes=0-1\r\n"),
        ("a credential", "a.test", "/x?y=1", "Authorization: Basic eA==\r\n"),
    ] {
        let mut talk = Talk::to(front.http);
        talk.say(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
        assert_eq!(talk.hear().unwrap().status, 200);
        assert_eq!(origin.asked().len(), 1, "{case}");
    }
    for path in ["/cookie", "/private", "/silent"] {
        get(front.http, "a.test", path);
        get(front.http, "a.test", path);
        assert_eq!(origin.asked().len(), 2, "{path}");
    }
    for (language, asked) in [("de", 1), ("fr", 1), ("de", 0), ("fr", 0)] {
        let reply = with(&front, "/lang", &format!("Accept-Language: {language}\r\n"));
        assert_eq!(reply.text(), format!("/lang{language}"));
        assert_eq!(origin.asked().len(), asked, "{language}");
    }
    assert_eq!(with(&front, "/none", "Cache-Control: only-if-cached\r\n").status, 504);
    // What changes the target ends what is kept of it.
    let mut talk = Talk::to(front.http);
    talk.say("DELETE /x?y=1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(talk.hear().unwrap().status, 200);
    get(front.http, "a.test", "/x?y=1");
    assert_eq!(origin.asked().len(), 2);
    assert_eq!(ways(&meridian)["hit"], 5.0);
}

#[test]
fn stale_replies_serve_while_the_origin_is_asked_and_when_it_fails() {
    let failing = Arc::new(AtomicBool::new(false));
    let version = Arc::new(AtomicU32::new(1));
    let (fails, now) = (failing.clone(), version.clone());
    let (front, origin, meridian) = start("object = \"64KiB\"", move |asked, stream| {
        if fails.load(Ordering::SeqCst) {
            return stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_ok();
        }
        let version = now.load(Ordering::SeqCst);
        let tag = format!("\"{version}\"");
        if asked.values("if-none-match") == [tag.as_str()] {
            let reply = "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=0\r\n\r\n";
            return stream.write_all(reply.as_bytes()).is_ok();
        }
        let stale = match path(asked) {
            "/while" => ", stale-while-revalidate=600",
            "/error" => ", stale-if-error=600",
            _ => "",
        };
        let fields = format!("Cache-Control: max-age=0{stale}\r\nETag: {tag}\r\n");
        write(stream, &fields, &version.to_string())
    });
    let read = |path| get(front.http, "a.test", path);
    for path in ["/while", "/error", "/valid"] {
        assert_eq!(read(path).text(), "1");
    }
    // The origin says that what is kept is still right.
    let reply = read("/valid");
    assert_eq!((reply.status, reply.text()), (200, "1".to_owned()));
    assert_eq!(reply.values("cache-status"), ["meridian; hit; fwd=stale; fwd-status=304"]);
    assert_eq!(origin.asked().pop().unwrap().values("if-none-match"), ["\"1\""]);
    version.store(2, Ordering::SeqCst);
    assert_eq!(read("/valid").text(), "2");
    // One request gets the old one, and those after it the new one.
    assert_eq!(read("/while").text(), "1");
    wait_for("the new version", || (read("/while").text() == "2").then_some(()));
    failing.store(true, Ordering::SeqCst);
    let reply = read("/error");
    assert_eq!((reply.status, reply.text()), (200, "1".to_owned()));
    assert_eq!(read("/valid").status, 503, "nobody allowed it to be used stale");
    assert_eq!(ways(&meridian)["stale_if_error"], 1.0);
}

/// Requests of the herd, and connections that they come over.
const HERD: (usize, usize) = (10_000, 200);

#[test]
fn a_herd_of_equal_requests_makes_one() {
    let sent = Arc::new(AtomicUsize::new(0));
    let there = sent.clone();
    let (front, origin, meridian) = start("", move |_, stream| {
        // All of the herd has asked before the reply begins; the node has time to read it.
        let begin = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n";
        let all = || (there.load(Ordering::Relaxed) == HERD.1).then_some(());
        poll(Duration::from_secs(10), Duration::from_millis(5), all).expect("the herd");
        sleep(Duration::from_millis(300));
        let begun = stream.write_all(begin.as_bytes()).is_ok();
        sleep(Duration::from_millis(200));
        begun && stream.write_all(b"0123456789").is_ok()
    });
    let http = front.http;
    let each = HERD.0 / HERD.1;
    let threads: Vec<_> = (0..HERD.1)
        .map(|_| {
            let sent = sent.clone();
            spawn(move || {
                let mut talk = Talk::to(http);
                talk.say("GET /news HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(each));
                sent.fetch_add(1, Ordering::Relaxed);
                (0..each).filter(|_| talk.hear().is_some_and(|r| r.text() == "0123456789")).count()
            })
        })
        .collect();
    let served: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(served, HERD.0);
    assert_eq!(origin.asked().len(), 1);
    let ways = ways(&meridian);
    assert_eq!((ways["miss"], ways["hit"] + ways["joined"]), (1.0, HERD.0 as f64 - 1.0));
    assert!(ways["joined"] >= 100.0, "{ways:?}");
}

#[test]
fn a_herd_goes_on_when_its_first_request_breaks_off_or_is_for_nobody_else() {
    let (front, origin, _meridian) = start("object = \"1KiB\"", |asked, stream| {
        sleep(Duration::from_millis(200));
        match path(asked) {
            "/own" => write(stream, "Set-Cookie: a=b\r\nCache-Control: max-age=9\r\n", "own"),
            "/long" => write(stream, "Cache-Control: max-age=9\r\n", &"x".repeat(5000)),
            "/chunks" => {
                let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\n\
                    Transfer-Encoding: chunked\r\n\r\n";
                let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
                let all = format!("{head}{}0\r\n\r\n", chunk.repeat(10));
                stream.write_all(all.as_bytes()).is_ok()
            }
            _ => write(stream, "Cache-Control: max-age=9\r\n", "left"),
        }
    });
    for (path, length, asked) in [("/own", 3, 8), ("/long", 5000, 8), ("/chunks", 5000, 8)] {
        let http = front.http;
        let herd: Vec<_> =
            (0..8).map(|_| spawn(move || get(http, "a.test", path).text())).collect();
        for one in herd {
            // What frames chunks is beside the content.
            let content = one.join().unwrap().matches(['x', 'o', 'w', 'n']).count();
            assert_eq!(content, length, "{path}");
        }
        assert_eq!(origin.asked().len(), asked, "{path}");
    }
    // The first client leaves; another request takes its place.
    let mut first = Talk::to(front.http);
    first.say("GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n");
    wait_for("the first request", || (!origin.asked().is_empty()).then_some(()));
    let http = front.http;
    let second = spawn(move || get(http, "a.test", "/left").text());
    drop(first);
    assert_eq!(second.join().unwrap(), "left");
}

#[test]
fn kept_replies_are_purged_over_the_api_and_outlive_reloads() {
    let front = Front::new("", "");
    let address = front.site.address(10);
    let origin = Origin::start(address, |asked, stream| {
        write(stream, "Cache-Control: max-age=600\r\n", path(asked))
    });
    let fleet = pool("web", &[address], "")
        + &route("web", origin.address.port(), "name = \"web\"\ncache = { size = \"1MiB\" }");
    front.fleet(&fleet);
    let meridian = front.serve();
    let purge = |body: &str| {
        let fields = ["Host: localhost", "Content-Type: application/json", "Connection: close"];
        let (status, _, body) =
            request(front.site.admin, "POST /api/v1/cache/purge", &fields, body);
        (status, body)
    };
    let fill = || {
        for (host, path) in [("a.test", "/a/1"), ("a.test", "/b"), ("b.test", "/a/2")] {
            get(front.http, host, path);
        }
        origin.asked().len()
    };
    assert_eq!((fill(), fill()), (3, 0));
    front.fleet(&fleet.replace("\"1MiB\"", "\"1MiB\", collapse = false"));
    meridian.process.signal("HUP");
    wait_for("the reload", || {
        let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
        (reloads >= 1.0).then_some(())
    });
    assert_eq!(fill(), 0, "a reload keeps what is kept");
    assert_eq!(purge(r#"{"path": "/a/"}"#), (200, "{\"purged\":2}".to_owned()));
    assert_eq!((fill(), fill()), (2, 0));
    assert!(purge(r#"{"host": "A.test", "route": "web"}"#).1.contains('2'));
    assert_eq!((fill(), fill()), (2, 0));
    assert_eq!(purge("{}").1, "{\"purged\":3}");
    let (status, problem) = purge(r#"{"route": "x"}"#);
    assert_eq!(status, 404);
    assert!(problem.contains("no route `x` of this node keeps replies"), "{problem}");
    assert_eq!(purge(r#"{"paht": "/"}"#).0, 400);
}
