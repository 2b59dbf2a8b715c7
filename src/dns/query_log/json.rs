//! One line of JSON for an entry.

use std::net::IpAddr;

use serde::Serialize;

use super::{Entry, LogNames};
use crate::dns::edns::Subnet;
use crate::dns::engine::{Facts, Reply, rcode};
use crate::dns::wire::Parsed;
use crate::name;
use crate::zone::rdata::TypeName;

/// A line: at most a name and a few words, so its length is bounded.
#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    node: &'a str,
    client: IpAddr,
    port: u16,
    transport: &'static str,
    name: Option<String>,
    #[serde(rename = "type")]
    rtype: Option<String>,
    /// The client subnet of the query.
    subnet: Option<String>,
    /// `None`: no reply was sent.
    rcode: Option<String>,
    truncated: bool,
    /// Octets of the reply.
    size: usize,
    #[serde(flatten)]
    decision: Decision,
}

/// Why the answer is what it is.
#[derive(Serialize)]
pub(super) struct Decision {
    service: Option<String>,
    region: Option<String>,
    /// Leading bits of the client's address that the answer depends on.
    scope: u8,
    cause: &'static str,
}

impl Decision {
    /// The decision behind an answer with these facts.
    pub(super) fn new(facts: &Facts, names: &LogNames) -> Self {
        Self {
            service: facts.service.and_then(|number| names.services.name(number)),
            region: facts.region.and_then(|number| names.regions.name(number)),
            scope: facts.scope,
            cause: cause(facts),
        }
    }
}

/// Appends the line of an entry, with its line feed.
pub(super) fn write(entry: &Entry, names: &LogNames, out: &mut Vec<u8>) {
    let mut parsed = Parsed::default();
    parsed.parse(&entry.query);
    let asked = parsed.has_question();
    let subnet = match parsed.edns.as_ref().map(|edns| edns.subnet) {
        Some(Subnet::Given(subnet)) => Some(subnet.to_string()),
        _ => None,
    };
    let size = match entry.answer.reply {
        Reply::Length(length) => Some(length),
        // The messages of a transfer are not one reply.
        Reply::Drop | Reply::Transfer => None,
    };
    let facts = &entry.answer.facts;
    let line = Line {
        // Microseconds, which a double holds exactly enough for centuries.
        time: entry.time.as_micros() as f64 / 1e6,
        node: &names.node,
        client: entry.peer.ip(),
        port: entry.peer.port(),
        transport: entry.transport.name(),
        name: asked.then(|| name::decode(parsed.name.as_wire())),
        rtype: asked.then(|| TypeName(parsed.qtype).to_string()),
        subnet,
        rcode: size.map(|_| rcode::mnemonic(facts.rcode)),
        truncated: facts.truncated,
        size: size.unwrap_or(0),
        decision: Decision::new(facts, names),
    };
    // Text and numbers always have a JSON form.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// Why a query was answered as it was, in one word.
fn cause(facts: &Facts) -> &'static str {
    match facts.rcode {
        _ if facts.limited.is_some_and(|limited| limited.name() != "spared") => "limited",
        _ if facts.malformed => "malformed",
        rcode::BADCOOKIE => "cookie",
        rcode::REFUSED => "refused",
        rcode::NOTIMP | rcode::BADVERS => "not-implemented",
        _ if facts.all_down => "all-down",
        rcode::SERVFAIL if facts.service.is_none() => "not-ready",
        _ if facts.service.is_some() => "steered",
        _ => "static",
    }
}
