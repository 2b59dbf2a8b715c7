//! One line of JSON for an entry. Its names are part of what the documentation promises.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;

use super::Entry;

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    node: &'a str,
    client: IpAddr,
    protocol: &'static str,
    tls: bool,
    method: &'a str,
    host: Option<&'a str>,
    path: &'a str,
    user_agent: Option<&'a str>,
    trace: Option<String>,
    status: Option<u16>,
    cause: Option<&'static str>,
    route: Option<&'a str>,
    endpoint: Option<SocketAddr>,
    tries: u32,
    /// In seconds, likewise the next one.
    duration: f64,
    endpoint_duration: Option<f64>,
    received: u64,
    sent: u64,
    complete: bool,
}

/// Appends the line of an entry, with its line feed.
pub(super) fn write(entry: &Entry, node: &str, out: &mut Vec<u8>) {
    let ended = &entry.ended;
    let line = Line {
        time: seconds(entry.time),
        node,
        client: entry.client,
        protocol: entry.protocol,
        tls: entry.secure,
        method: &entry.method,
        host: entry.host.as_deref(),
        path: &entry.path,
        user_agent: entry.user_agent.as_deref(),
        trace: entry.trace.map(|trace| format!("{trace:032x}")),
        status: ended.status,
        cause: ended.cause,
        route: ended.route.as_deref(),
        endpoint: ended.endpoint,
        tries: ended.tries,
        duration: seconds(ended.duration),
        endpoint_duration: ended.endpoint_duration.map(seconds),
        received: ended.received,
        sent: ended.sent,
        complete: ended.complete,
    };
    // Text and numbers always have a JSON form.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// Seconds by microseconds, which a double holds exactly enough for centuries.
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}
