//! Spans as OTLP has them, by the semantic conventions of OpenTelemetry for HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Authority;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

use super::Ended;
use super::attempt::{Fate, Try};

/// Methods that have a name of their own; others are one in names and attributes, since clients
/// can make up as many as they like.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
/// Flags of a span: it is recorded (W3C Trace Context), and it is known whether its parent is of
/// another process.
const RECORDED: u32 = 0x101;
/// Its parent is.
const REMOTE: u32 = 0x200;
/// What is wrong with a reply whose source broke off.
const BROKEN: &str = "incomplete";
/// What is wrong with a request that has no reply.
const NO_REPLY: &str = "no-reply";

/// The message that tells a collector of these requests; `who` is the name of the node and of its
/// region.
pub(super) fn message(requests: &[Ended], who: (&str, &str)) -> Vec<u8> {
    let (node, region) = who;
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        text("service.name", "meridian"),
        text("service.version", version),
        text("service.instance.id", node),
        text("meridian.region", region),
    ];
    let scope = InstrumentationScope {
        name: "meridian.proxy".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = requests.iter().flat_map(spans).collect();
    let all = ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![all] }.encode_to_vec()
}

/// How many spans a collector did not take though it took the message, and why; none where the
/// reply says nothing of the kind.
pub(super) fn rejected(reply: &[u8]) -> (u64, String) {
    let read = ExportTraceServiceResponse::decode(reply).unwrap_or_default();
    let partial = read.partial_success.unwrap_or_default();
    (u64::try_from(partial.rejected_spans).unwrap_or_default(), partial.error_message)
}

/// The spans of a request: its own, then those of its tries.
fn spans(ended: &Ended) -> impl Iterator<Item = Span> {
    let tries = ended.tries.iter().map(|tried| child(ended, tried));
    std::iter::once(server(ended)).chain(tries)
}

/// The span of a request, from its head to the end of its reply.
fn server(ended: &Ended) -> Span {
    let (position, entry) = (ended.position, &ended.entry);
    let name = match (&entry.ended.route, known(&entry.method)) {
        (Some(route), Some(method)) => format!("{method} {route}"),
        (None, Some(method)) => method.to_owned(),
        (Some(route), None) => format!("HTTP {route}"),
        (None, None) => "HTTP".to_owned(),
    };
    // Replies of 4xx are the client's fault, and no error of a server.
    let failed = entry.ended.status.is_none_or(|status| status >= 500);
    let wrong = match (entry.ended.cause, entry.ended.status) {
        (Some(cause), _) if failed => Some(cause.to_owned()),
        (_, None) => Some(NO_REPLY.to_owned()),
        (_, Some(status)) if failed => Some(status.to_string()),
        _ => entry.ended.broken.then(|| BROKEN.to_owned()),
    };
    let remote = if position.parent.is_some() { REMOTE } else { 0 };
    Span {
        trace_id: position.trace.to_be_bytes().to_vec(),
        span_id: position.own.to_be_bytes().to_vec(),
        parent_span_id: position.parent.map(u64::to_be_bytes).map(Vec::from).unwrap_or_default(),
        name,
        kind: SpanKind::Server.into(),
        start_time_unix_nano: nanoseconds(entry.time),
        end_time_unix_nano: nanoseconds(entry.time + entry.ended.duration),
        attributes: described(ended, wrong.as_deref()),
        status: Some(status(wrong.as_deref())),
        flags: RECORDED | remote,
        ..Span::default()
    }
}

/// What is told of a request.
fn described(ended: &Ended, wrong: Option<&str>) -> Vec<KeyValue> {
    let (entry, ended) = (&ended.entry, &ended.entry.ended);
    let mut all = asked_by(&entry.method);
    all.extend([
        text("url.scheme", if entry.secure { "https" } else { "http" }),
        text("url.path", &entry.path),
        text("network.protocol.version", entry.protocol.rsplit('/').next().unwrap_or_default()),
        text("client.address", &entry.client.to_string()),
        number("http.request.body.size", ended.received),
        number("http.response.body.size", ended.sent),
        number("meridian.tries", u64::from(ended.tries)),
        attribute("meridian.complete", Value::BoolValue(ended.complete)),
    ]);
    if let Some(authority) = entry.host.as_ref().and_then(|host| host.parse::<Authority>().ok()) {
        all.push(text("server.address", authority.host().trim_matches(['[', ']'])));
        all.extend(authority.port_u16().map(|port| number("server.port", u64::from(port))));
    }
    all.extend(entry.user_agent.as_ref().map(|agent| text("user_agent.original", agent)));
    let status = ended.status.map(u64::from);
    all.extend(status.map(|status| number("http.response.status_code", status)));
    all.extend(wrong.map(|wrong| text("error.type", wrong)));
    all.extend(ended.route.as_ref().map(|route| text("meridian.route", route)));
    all.extend(ended.cause.map(|cause| text("meridian.cause", cause)));
    all
}

/// The span of a try, up to the head of its reply.
fn child(ended: &Ended, tried: &Try) -> Span {
    let (position, entry) = (ended.position, &ended.entry);
    let (replied, wrong) = match tried.fate {
        Fate::Replied(status) => (Some(status), (status >= 400).then(|| status.to_string())),
        Fate::Failed(cause) => (None, Some(cause.to_owned())),
    };
    let mut attributes = asked_by(&entry.method);
    attributes.extend([
        text("url.full", &asked_for(tried.endpoint, tried.secure, &ended.path)),
        text("server.address", &tried.endpoint.ip().to_string()),
        number("server.port", u64::from(tried.endpoint.port())),
    ]);
    let again = Some(tried.before).filter(|before| *before > 0).map(u64::from);
    attributes.extend(again.map(|before| number("http.request.resend_count", before)));
    let replied = replied.map(u64::from);
    attributes.extend(replied.map(|status| number("http.response.status_code", status)));
    attributes.extend(wrong.as_ref().map(|wrong| text("error.type", wrong)));
    attributes.extend(tried.hedge.then(|| attribute("meridian.hedge", Value::BoolValue(true))));
    let (begun, over) = tried.time;
    Span {
        trace_id: position.trace.to_be_bytes().to_vec(),
        span_id: tried.own.to_be_bytes().to_vec(),
        parent_span_id: position.own.to_be_bytes().to_vec(),
        name: known(&entry.method).unwrap_or("HTTP").to_owned(),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanoseconds(entry.time + begun),
        end_time_unix_nano: nanoseconds(entry.time + over),
        attributes,
        status: Some(status(wrong.as_deref())),
        flags: RECORDED,
        ..Span::default()
    }
}

/// A method that has a name of its own.
fn known(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// The method of a request.
fn asked_by(method: &str) -> Vec<KeyValue> {
    match known(method) {
        Some(method) => vec![text("http.request.method", method)],
        None => vec![
            text("http.request.method", "_OTHER"),
            text("http.request.method_original", method),
        ],
    }
}

/// The URL that an endpoint was asked for, without a query, in which there may be secrets.
fn asked_for(endpoint: SocketAddr, secure: bool, path: &str) -> String {
    let scheme = if secure { "https" } else { "http" };
    format!("{scheme}://{endpoint}{path}")
}

/// Unset where nothing is wrong: what is fine is for others to say.
fn status(wrong: Option<&str>) -> Status {
    let code = if wrong.is_some() { StatusCode::Error } else { StatusCode::Unset };
    Status { message: String::new(), code: code.into() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Since 1970.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::Request;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;
    use crate::proxy::access_log::Record;
    use crate::proxy::traces::Position;

    const ENDPOINT: &str = "192.0.2.10:8080";

    /// A request of two tries that went well.
    fn example(method: &str) -> Ended {
        let target = "https://[2001:db8::1]:8443/a?secret";
        let request = Request::builder().method(method).uri(target);
        let request = request.version(http::Version::HTTP_2).header("user-agent", "t");
        let client = ("192.0.2.7".parse().unwrap(), true);
        let mut record = Record::of(&request.body(()).unwrap().into_parts().0, client);
        record.ended.status = Some(200);
        record.ended.route = Some("web".to_owned());
        record.ended.tries = 2;
        record.ended.duration = Duration::from_millis(5);
        record.ended.complete = true;
        let tried = |own, fate| Try {
            own,
            time: (Duration::from_millis(1), Duration::from_millis(4)),
            endpoint: ENDPOINT.parse().unwrap(),
            secure: own == 5,
            before: own as u32 - 4,
            hedge: own == 5,
            fate,
        };
        let tries = vec![tried(4, Fate::Failed("reset")), tried(5, Fate::Replied(200))];
        let position = Position { trace: 0xabc, own: 3, parent: Some(9) };
        Ended { position, entry: record.entry(), tries, path: "/b".to_owned() }
    }

    /// The attributes of a span as text.
    fn shown(attributes: &[KeyValue]) -> BTreeMap<String, String> {
        let value = |found: &KeyValue| match found.value.clone().and_then(|value| value.value) {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(flag)) => flag.to_string(),
            other => panic!("{other:?}"),
        };
        attributes.iter().map(|found| (found.key.clone(), value(found))).collect()
    }

    fn expect(span: &Span, expected: &[(&str, &str)]) {
        let all = shown(&span.attributes);
        for (key, value) in expected {
            assert_eq!(all.get(*key).map(String::as_str), Some(*value), "{key}: {all:?}");
        }
        assert_eq!(all.len(), expected.len(), "{all:?}");
    }

    #[test]
    fn a_request_and_its_tries_are_spans_of_one_trace() {
        let ended = example("GET");
        let octets = message(std::slice::from_ref(&ended), ("fra-1", "eu"));
        let read = ExportTraceServiceRequest::decode(&*octets).unwrap();
        let [resource] = &read.resource_spans[..] else { panic!("{read:?}") };
        let who = shown(&resource.resource.as_ref().unwrap().attributes);
        assert_eq!(who["service.name"], "meridian");
        assert_eq!((&*who["service.instance.id"], &*who["meridian.region"]), ("fra-1", "eu"));
        let [own, first, second] = &resource.scope_spans[0].spans[..] else { panic!("{read:?}") };
        assert!([own, first, second].iter().all(|s| s.trace_id == 0xabc_u128.to_be_bytes()));
        let id = |id: u64| id.to_be_bytes().to_vec();
        assert_eq!((&own.span_id, &own.parent_span_id), (&id(3), &id(9)));
        assert_eq!((&first.span_id, &first.parent_span_id), (&id(4), &id(3)));
        assert_eq!((own.kind, first.kind), (SpanKind::Server as i32, SpanKind::Client as i32));
        assert_eq!((own.flags, first.flags), (0x301, 0x101));
        assert_eq!((own.name.as_str(), first.name.as_str()), ("GET web", "GET"));
        let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
        let (begun, over) = times(own);
        assert_eq!((over - begun, begun), (5_000_000, nanoseconds(ended.entry.time)));
        assert_eq!(times(second), (begun + 1_000_000, begun + 4_000_000));
        let codes = [own, first, second].map(|span| span.status.as_ref().unwrap().code);
        assert_eq!(codes, [StatusCode::Unset, StatusCode::Error, StatusCode::Unset].map(i32::from));
    }

    #[test]
    fn attributes_are_those_of_the_conventions() {
        let all: Vec<Span> = spans(&example("GET")).collect();
        expect(
            &all[0],
            &[
                ("http.request.method", "GET"),
                ("url.scheme", "https"),
                ("url.path", "/a"),
                ("network.protocol.version", "2"),
                ("client.address", "192.0.2.7"),
                ("server.address", "2001:db8::1"),
                ("server.port", "8443"),
                ("user_agent.original", "t"),
                ("http.request.body.size", "0"),
                ("http.response.body.size", "0"),
                ("http.response.status_code", "200"),
                ("meridian.route", "web"),
                ("meridian.tries", "2"),
                ("meridian.complete", "true"),
            ],
        );
        expect(
            &all[1],
            &[
                ("http.request.method", "GET"),
                ("url.full", "http://192.0.2.10:8080/b"),
                ("server.address", "192.0.2.10"),
                ("server.port", "8080"),
                ("error.type", "reset"),
            ],
        );
        expect(
            &all[2],
            &[
                ("http.request.method", "GET"),
                ("url.full", "https://192.0.2.10:8080/b"),
                ("server.address", "192.0.2.10"),
                ("server.port", "8080"),
                ("http.request.resend_count", "1"),
                ("http.response.status_code", "200"),
                ("meridian.hedge", "true"),
            ],
        );
    }

    #[test]
    fn what_a_server_does_wrong_is_an_error_and_what_a_client_does_is_none() {
        for (case, status, cause, broken, expected) in [
            ("a good reply", Some(200), None, false, None),
            ("a client's fault", Some(404), Some("no-route"), false, None),
            ("a reply of ours", Some(503), Some("unavailable"), false, Some("unavailable")),
            ("an endpoint's", Some(500), None, false, Some("500")),
            ("one that broke off", Some(200), None, true, Some("incomplete")),
            ("none", None, None, false, Some("no-reply")),
        ] {
            let mut ended = example("GET");
            ended.entry.ended.status = status;
            ended.entry.ended.cause = cause;
            ended.entry.ended.broken = broken;
            let span = server(&ended);
            let all = shown(&span.attributes);
            assert_eq!(all.get("error.type").map(String::as_str), expected, "{case}");
            assert_eq!(all.get("meridian.cause").map(String::as_str), cause, "{case}");
            let code = span.status.unwrap().code;
            assert_eq!(code == StatusCode::Error as i32, expected.is_some(), "{case}");
        }
        let mut ended = example("GET");
        ended.tries[1].fate = Fate::Replied(404);
        let tried = child(&ended, &ended.tries[1]);
        assert_eq!(shown(&tried.attributes)["error.type"], "404", "to who asked, it is");
    }

    #[test]
    fn methods_that_clients_make_up_are_one() {
        let mut ended = example("BREW");
        let all: Vec<Span> = spans(&ended).collect();
        assert_eq!((all[0].name.as_str(), all[1].name.as_str()), ("HTTP web", "HTTP"));
        let attributes = shown(&all[0].attributes);
        assert_eq!(attributes["http.request.method"], "_OTHER");
        assert_eq!(attributes["http.request.method_original"], "BREW");
        ended.entry.ended.route = None;
        ended.position.parent = None;
        let own = server(&ended);
        assert_eq!((own.name.as_str(), own.parent_span_id.len(), own.flags), ("HTTP", 0, 0x101));
    }

    #[test]
    fn what_a_collector_rejects_is_read_from_its_reply() {
        let partial = |rejected_spans, error_message: &str| {
            let error_message = error_message.to_owned();
            let partial = ExportTracePartialSuccess { rejected_spans, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        };
        assert_eq!(rejected(&partial(3, "too old")), (3, "too old".to_owned()));
        assert_eq!(rejected(&partial(-3, "")).0, 0);
        assert_eq!(rejected(b"").0, 0);
        assert_eq!(rejected(b"no message").0, 0);
    }
}
