//! Tests of traces: which requests are recorded, what their heads then say, what becomes of tries,
//! and queues that are full.

use std::net::SocketAddr;

use http::{HeaderValue, Request};

use super::attempt::Fate;
use super::*;
use crate::metrics::Metrics;
use crate::proxy::failure::Failure;

/// A trace, and the span in it that sent a request.
const KNOWN: (u128, u64) = (7, 9);
/// What chance says.
const DRAWN: (u128, u64) = (5, 3);

fn traces(sample: f64, room: usize) -> (Arc<Traces>, mpsc::Receiver<Ended>, Metrics) {
    let metrics = Metrics::new().unwrap();
    let (queue, requests) = mpsc::channel(room);
    let dropped = metrics.proxy.spans.with_label_values(&["dropped"]);
    (Arc::new(Traces { sample, queue, dropped }), requests, metrics)
}

fn random(share: f64) -> Random {
    Random { share, trace: DRAWN.0, span: DRAWN.1 }
}

fn known(flags: u8) -> HeaderValue {
    format!("00-{:032x}-{:016x}-{flags:02x}", KNOWN.0, KNOWN.1).parse().unwrap()
}

fn request(parent: Option<HeaderValue>) -> Request<()> {
    let mut request = Request::get("http://a.test/x?secret").body(()).unwrap();
    if let Some(parent) = parent {
        request.headers_mut().insert("traceparent", parent);
    }
    request
}

/// The spans of a request that is recorded.
fn begun(traces: &Arc<Traces>) -> (Rc<Spans>, Request<()>) {
    let mut request = request(None);
    let position = traces.position(request.headers_mut(), false, random(0.0)).unwrap();
    (Rc::new(Spans::new(traces.clone(), position)), request)
}

fn entry() -> Entry {
    Record::of(&request(None).into_parts().0, ("192.0.2.7".parse().unwrap(), false)).entry()
}

#[test]
fn a_trusted_peer_decides_and_else_chance_does() {
    let (traces, _requests, _metrics) = traces(0.25, 1);
    let unsound = HeaderValue::from_static("00-x");
    let (below, drawn) = (Some((KNOWN.0, Some(KNOWN.1))), Some((DRAWN.0, None)));
    for (case, trusted, parent, share, expected) in [
        ("a recorded trace", true, Some(known(1)), 0.9, below),
        ("one that is not", true, Some(known(0)), 0.0, None),
        ("none, by chance", true, None, 0.2, drawn),
        ("none, by chance not", true, None, 0.25, None),
        ("one that is unsound", true, Some(unsound), 0.2, drawn),
        ("a stranger's recorded trace, by chance", false, Some(known(1)), 0.2, below),
        ("a stranger's recorded trace, by chance not", false, Some(known(1)), 0.25, None),
        ("a stranger's other trace, by chance", false, Some(known(0)), 0.2, below),
        ("a stranger's other trace, by chance not", false, Some(known(0)), 0.25, None),
        ("a stranger's none, by chance", false, None, 0.2, drawn),
    ] {
        let before = parent.clone();
        let mut request = request(parent);
        let position = traces.position(request.headers_mut(), trusted, random(share));
        let found = position.map(|position| (position.trace, position.parent));
        assert_eq!(found, expected, "{case}");
        match position {
            Some(Position { trace, own, .. }) => {
                let told = Trace::read(request.headers()).unwrap();
                assert_eq!(told, Trace { id: trace, parent: own, sampled: true }, "{case}");
                assert_eq!(own, DRAWN.1, "{case}");
            }
            None => assert_eq!(request.headers().get("traceparent"), before.as_ref(), "{case}"),
        }
    }
    let all = self::traces(1.0, 1).0;
    assert!(
        all.position(request(None).headers_mut(), true, random(0.999)).is_some(),
        "a share of 1 is all"
    );
    let none = self::traces(0.0, 1).0;
    assert!(
        none.position(request(None).headers_mut(), true, random(0.0)).is_none(),
        "a share of 0 is none"
    );
}

#[test]
fn each_try_is_the_parent_of_what_its_endpoint_does() {
    let (traces, mut requests, _metrics) = traces(1.0, 1);
    let (spans, mut request) = begun(&traces);
    let at: SocketAddr = "192.0.2.10:80".parse().unwrap();
    let told = |request: &Request<()>| Trace::read(request.headers()).unwrap();
    let mut first = spans.attempt((at, false), &mut request, 11, false);
    assert_eq!(told(&request), Trace { id: DRAWN.0, parent: 11, sampled: true });
    assert_eq!(first.failed(Failure::Reset), Failure::Reset);
    drop(first);
    let slow = spans.attempt((at, true), &mut request, 0, false);
    assert_eq!(told(&request).parent, 1, "zero names no span");
    let mut second = spans.attempt((at, true), &mut request, 13, true);
    second.set(Fate::Replied(200));
    drop(second);
    drop(slow);
    spans.end(entry());
    let ended = requests.try_recv().unwrap();
    assert_eq!((ended.path.as_str(), ended.spans()), ("/x", 4));
    let seen: Vec<_> = ended.tries.iter().map(|one| (one.own, one.before, one.fate)).collect();
    let given_up = (1, 1, Fate::Failed("given-up"));
    assert_eq!(seen, [(11, 0, Fate::Failed("reset")), (13, 2, Fate::Replied(200)), given_up]);
    let hedges: Vec<_> = ended.tries.iter().map(|one| (one.secure, one.hedge)).collect();
    assert_eq!(hedges, [(false, false), (true, true), (true, false)]);
    assert!(ended.tries.iter().all(|one| one.time.0 <= one.time.1));
}

#[test]
fn a_full_queue_costs_spans_and_no_time() {
    let (traces, mut requests, metrics) = traces(1.0, 2);
    for _ in 0..5 {
        let (spans, mut request) = begun(&traces);
        drop(spans.attempt(("192.0.2.10:80".parse().unwrap(), false), &mut request, 1, false));
        spans.end(entry());
    }
    assert_eq!(metrics.proxy.spans.with_label_values(&["dropped"]).get(), 6, "two each");
    assert!((0..2).all(|_| requests.try_recv().is_ok()) && requests.try_recv().is_err());
}
