//! Traces of proxied requests, as a collector and endpoints receive them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::Front;
use crate::origin::{Asked, Origin, Talk};
use crate::support::meridian::Meridian;
use crate::support::{PATIENCE, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Has the node of a front send this share of the traces to a collector, and requests for `a.test`
/// go to origins at one port of these addresses, by a route with `more`.
fn traced(front: &Front, collector: SocketAddr, sample: f64, origins: &[&Origin], more: &str) {
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let table = format!("[telemetry]\notlp = \"http://{collector}\"\nsample = {sample}\n");
    front.site.write("config/node.toml", &format!("{node}{table}"));
    let endpoint =
        |origin: &&Origin| format!("{{ region = \"eu\", address = \"{}\" }}", origin.address.ip());
    let endpoints: Vec<String> = origins.iter().map(endpoint).collect();
    front.fleet(&format!(
        "[pool.web]\nendpoints = [{}]\n\
         [[route]]\nname = \"all\"\nhosts = [\"a.test\"]\npool = \"web\"\neject = \"off\"\n\
         upstream = {{ port = {} }}\n{more}\n",
        endpoints.join(", "),
        origins[0].address.port(),
    ));
}

/// Two origins at one port: the first does as it is told, the second replies at once.
fn two(
    front: &Front,
    first: impl Fn(&mut TcpStream) -> bool + Send + Sync + 'static,
) -> (Origin, Origin) {
    let first = Origin::start(front.site.address(10), move |_, stream| first(stream));
    let at = (front.site.address(11), first.address.port());
    (first, Origin::at(at.into(), |_, stream| stream.write_all(OK.as_bytes()).is_ok()))
}

/// The status of a request.
fn ask(front: &Front, host: &str, fields: &str) -> u16 {
    let mut talk = Talk::to(front.http);
    talk.say(format!("GET /x?secret=1 HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
    talk.hear().expect("a reply").status
}

/// A field that names a trace.
fn parent(trace: u128, flags: &str) -> String {
    format!("traceparent: 00-{trace:032x}-{:016x}-{flags}\r\n", 0xd)
}

/// A span as the library of the protocol reads it, and who sent it.
#[derive(Debug)]
struct Received {
    span: Span,
    who: BTreeMap<String, String>,
}

impl Received {
    fn is_of(&self, kind: SpanKind) -> bool {
        self.span.kind == kind as i32
    }

    fn attribute(&self, key: &str) -> String {
        attributes(&self.span.attributes).remove(key).unwrap_or_default()
    }

    /// How a head names it.
    fn traceparent(&self) -> String {
        format!(
            "00-{}-{}-01",
            HEXLOWER.encode(&self.span.trace_id),
            HEXLOWER.encode(&self.span.span_id)
        )
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |found: &KeyValue| match found.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => panic!("{other:?}"),
    };
    all.iter().map(|found| (found.key.clone(), text(found))).collect()
}

/// The spans of what a collector was asked to take.
fn read(asked: Vec<Asked>) -> Vec<Received> {
    let mut all = Vec::new();
    for asked in asked {
        assert!(asked.head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{}", asked.head);
        assert_eq!(asked.values("content-type"), ["application/x-protobuf"]);
        let message = ExportTraceServiceRequest::decode(asked.body.as_slice()).unwrap();
        for resource in message.resource_spans {
            let who = attributes(&resource.resource.unwrap().attributes);
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            all.extend(spans.map(|span| Received { span, who: who.clone() }));
        }
    }
    all
}

/// Waits until a collector has got so many spans.
fn received(collector: &Origin, count: usize) -> Vec<Received> {
    let mut spans = Vec::new();
    wait_for("spans", || {
        spans.extend(read(collector.asked()));
        (spans.len() >= count).then_some(())
    });
    assert_eq!(spans.len(), count, "{spans:#?}");
    spans
}

/// The tries of a request, in the order in which they began.
fn tries<'a>(spans: &'a [Received], of: &Received) -> Vec<&'a Received> {
    let is_try = |one: &&Received| one.span.parent_span_id == of.span.span_id;
    let mut tries: Vec<_> = spans.iter().filter(is_try).collect();
    tries.sort_by_key(|one| one.span.start_time_unix_nano);
    tries
}

fn count(meridian: &Meridian, result: &str) -> f64 {
    meridian.metric("meridian_proxy_spans_total", &[&format!("result=\"{result}\"")])
}

fn wait_for_count(meridian: &Meridian, result: &str, expected: f64) {
    wait_for("a count of spans", || (count(meridian, result) == expected).then_some(()));
}

#[test]
fn a_request_is_a_span_between_who_sent_it_and_its_endpoint() {
    let front = Front::new("trusted_proxies = [\"127.0.0.0/8\"]", "");
    let collector = Origin::saying(front.site.address(20), OK);
    let origin = Origin::saying(front.site.address(10), OK);
    traced(&front, collector.address, 1.0, &[&origin], "");
    let meridian = front.serve();
    assert_eq!(ask(&front, "a.test", &parent(0xabc, "01")), 200);
    assert_eq!(ask(&front, "a.test", &parent(0xabd, "00")), 200);
    assert_eq!(ask(&front, "a.test", ""), 200);
    assert_eq!(ask(&front, "b.test", ""), 404);
    // Two of each that reached the endpoint, one of the other; one was not to be recorded.
    let spans = received(&collector, 5);
    wait_for_count(&meridian, "sent", 5.0);
    assert_eq!(count(&meridian, "dropped"), 0.0);
    let asked = origin.asked();
    let told = |at: usize| asked[at].values("traceparent")[0].to_owned();
    let find = |told: &str| spans.iter().find(|one| one.traceparent() == told).expect("a span");
    let servers: Vec<_> = spans.iter().filter(|one| one.is_of(SpanKind::Server)).collect();
    let above = |one: &Received| {
        let above = |server: &&&Received| server.span.span_id == one.span.parent_span_id;
        *servers.iter().find(above).expect("the span of the request")
    };

    let first = find(&told(0));
    assert!(first.is_of(SpanKind::Client));
    assert_eq!(first.attribute("url.full"), format!("http://{}/x", origin.address));
    let server = above(first);
    assert_eq!(HEXLOWER.encode(&server.span.trace_id), format!("{:032x}", 0xabc));
    assert_eq!(HEXLOWER.encode(&server.span.parent_span_id), format!("{:016x}", 0xd));
    assert_eq!(server.span.name, "GET all");
    assert!(server.span.start_time_unix_nano <= first.span.start_time_unix_nano);
    assert!(server.span.end_time_unix_nano >= first.span.end_time_unix_nano);
    assert!(first.span.end_time_unix_nano > first.span.start_time_unix_nano);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("url.path", "/x"),
        ("server.address", "a.test"),
        ("meridian.complete", "true"),
    ] {
        assert_eq!(server.attribute(key), value, "{key}");
    }
    let who = &server.who;
    assert_eq!((&*who["service.name"], &*who["meridian.region"]), ("meridian", "eu"));
    assert!(!format!("{spans:?}").contains("secret"), "queries may hold secrets");

    assert_eq!(told(1), format!("00-{:032x}-{:016x}-00", 0xabd, 0xd), "it passes as it came");
    let begun = above(find(&told(2)));
    assert!(begun.span.parent_span_id.is_empty() && begun.span.trace_id != server.span.trace_id);
    let refused = servers.iter().find(|one| one.span.name == "GET").expect("without a route");
    assert_eq!(refused.attribute("meridian.cause"), "no-route");
    assert!(tries(&spans, refused).is_empty());
}

#[test]
fn strangers_do_not_say_what_is_recorded() {
    let front = Front::new("", "");
    let collector = Origin::saying(front.site.address(20), OK);
    let origin = Origin::saying(front.site.address(10), OK);
    traced(&front, collector.address, 0.0, &[&origin], "");
    let meridian = front.serve();
    assert_eq!(ask(&front, "a.test", &parent(0xabc, "01")), 200);
    let passed = format!("00-{:032x}-{:016x}-01", 0xabc, 0xd);
    assert_eq!(origin.asked()[0].values("traceparent"), [passed], "it passes as it came");
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let trusting = "[proxy]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    front.site.write("config/node.toml", &node.replace("[proxy]\n", trusting));
    meridian.process.signal("HUP");
    wait_for("the reload", || {
        let reloads = meridian.metric("meridian_reloads_total", &["outcome=\"ok\""]);
        (reloads >= 1.0).then_some(())
    });
    assert_eq!(ask(&front, "a.test", &parent(0xabd, "01")), 200);
    // What was handed in before would have come before.
    let spans = received(&collector, 2);
    let recorded = |one: &Received| HEXLOWER.encode(&one.span.trace_id);
    assert!(spans.iter().all(|one| recorded(one) == format!("{:032x}", 0xabd)), "{spans:#?}");
}

#[test]
fn a_second_try_is_a_span_of_its_own() {
    let front = Front::new("", "");
    let collector = Origin::saying(front.site.address(20), OK);
    let (breaking, good) = two(&front, |_| false);
    let more = "retry = { budget = 1.0 }";
    traced(&front, collector.address, 1.0, &[&breaking, &good], more);
    let meridian = front.serve();
    let mut asked = 0;
    while breaking.asked().is_empty() {
        assert_eq!(ask(&front, "a.test", ""), 200);
        asked += 1;
        assert!(asked < 50, "the balance has two endpoints");
    }
    // The last one was tried twice.
    let spans = received(&collector, asked * 2 + 1);
    let again = |one: &&Received| one.is_of(SpanKind::Server) && tries(&spans, one).len() == 2;
    let server = spans.iter().find(again).expect("a request of two tries");
    let [first, second] = tries(&spans, server)[..] else { panic!("two tries") };
    assert_eq!(first.attribute("error.type"), "reset");
    assert_eq!(first.attribute("http.request.resend_count"), "");
    assert_eq!(second.attribute("http.response.status_code"), "200");
    assert_eq!(second.attribute("http.request.resend_count"), "1");
    assert_eq!(second.attribute("server.address"), good.address.ip().to_string());
    let good = good.asked();
    let told = good.iter().find(|asked| asked.values("traceparent") == [second.traceparent()]);
    assert!(told.is_some(), "each endpoint is told of its own try");
    assert_eq!(server.attribute("meridian.tries"), "2");
    assert_eq!(server.attribute("error.type"), "");
    drop(meridian);
}

#[test]
fn a_hedge_is_a_span_beside_the_one_that_is_given_up() {
    let front = Front::new("", "");
    let collector = Origin::saying(front.site.address(20), OK);
    let (slow, quick) = two(&front, |stream| {
        sleep(Duration::from_millis(1_500));
        stream.write_all(OK.as_bytes()).is_ok()
    });
    let more = "hedge = { after = \"50ms\", budget = 1.0 }";
    traced(&front, collector.address, 1.0, &[&slow, &quick], more);
    let _meridian = front.serve();
    let mut asked = 0;
    while slow.asked().is_empty() {
        assert_eq!(ask(&front, "a.test", ""), 200);
        asked += 1;
        assert!(asked < 50, "the balance has two endpoints");
    }
    let hedged = wait_for("a hedge", || {
        let spans = read(collector.asked());
        let hedge = spans.iter().find(|one| one.attribute("meridian.hedge") == "true")?;
        let of = |one: &&Received| one.span.span_id == hedge.span.parent_span_id;
        let server = spans.iter().find(of).expect("with the span of its request");
        Some(
            tries(&spans, server).iter().map(|one| one.attribute("error.type")).collect::<Vec<_>>(),
        )
    });
    assert_eq!(hedged, ["given-up", ""]);
}

#[test]
fn what_a_collector_cannot_take_now_is_sent_again_and_what_it_never_takes_is_counted() {
    let front = Front::new("", "");
    let origin = Origin::saying(front.site.address(10), OK);
    let turn = AtomicUsize::new(0);
    let collector = Origin::start(front.site.address(20), move |_, stream| {
        let partial =
            ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".to_owned() };
        let partial = ExportTraceServiceResponse { partial_success: Some(partial) };
        let (head, body) = match turn.fetch_add(1, Ordering::Relaxed) {
            0 => ("503 Service Unavailable\r\nRetry-After: 1", Vec::new()),
            2 => ("400 Bad Request", Vec::new()),
            3 => ("200 OK", partial.encode_to_vec()),
            _ => ("200 OK", Vec::new()),
        };
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.into_bytes(), body].concat()).is_ok()
    });
    traced(&front, collector.address, 1.0, &[&origin], "");
    let meridian = front.serve();
    assert_eq!(ask(&front, "a.test", ""), 200);
    // Refused for now, then taken.
    wait_for_count(&meridian, "sent", 2.0);
    let asked = collector.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].body, asked[1].body, "the same is sent again");
    assert_eq!(count(&meridian, "dropped"), 0.0);
    // Refused for good.
    assert_eq!(ask(&front, "a.test", ""), 200);
    wait_for_count(&meridian, "dropped", 2.0);
    // Taken but for one.
    assert_eq!(ask(&front, "a.test", ""), 200);
    wait_for_count(&meridian, "dropped", 3.0);
    assert_eq!(count(&meridian, "sent"), 3.0);
    let log = meridian.process.log();
    assert_eq!(log.matches("does not take spans").count(), 2, "{log}");
    assert_eq!(log.matches("takes spans again").count(), 1, "{log}");
}

#[test]
fn a_collector_that_stalls_costs_spans_and_no_request() {
    let front = Front::new("", "");
    let origin = Origin::saying(front.site.address(10), OK);
    // It takes connections and never replies.
    let stalled = std::net::TcpListener::bind((front.site.address(20), 0)).unwrap();
    traced(&front, stalled.local_addr().unwrap(), 1.0, &[&origin], "");
    let mut meridian = front.serve();
    let asked = 6_000;
    let mut talk = Talk::to(front.http);
    for _ in 0..asked {
        talk.say("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(talk.hear().expect("a reply").status, 200);
    }
    assert_eq!(origin.asked().len(), asked);
    // 512 are on their way, 4,096 wait; each makes two spans, and the last may not have ended yet.
    let room = 512 + 4_096;
    wait_for("drops", || {
        (count(&meridian, "dropped") >= ((asked - room - 1) * 2) as f64).then_some(())
    });
    assert_eq!(count(&meridian, "sent"), 0.0);
    // Nor does it hold up the end.
    drop(talk);
    meridian.process.signal("TERM");
    let ended = meridian.process.wait(PATIENCE).expect("an end");
    assert!(ended.success(), "{ended}");
}

#[test]
fn what_waits_at_the_end_is_sent() {
    let front = Front::new("", "");
    let collector = Origin::saying(front.site.address(20), OK);
    let origin = Origin::saying(front.site.address(10), OK);
    traced(&front, collector.address, 1.0, &[&origin], "");
    let mut meridian = front.serve();
    for _ in 0..20 {
        assert_eq!(ask(&front, "a.test", ""), 200);
    }
    meridian.process.signal("TERM");
    assert!(meridian.process.wait(PATIENCE).expect("an end").success());
    let spans = read(collector.asked());
    let names: std::collections::BTreeSet<_> = spans.iter().map(|one| &one.span.span_id).collect();
    assert_eq!(names.len(), 40, "none is lost, though one may have been sent twice");
}
