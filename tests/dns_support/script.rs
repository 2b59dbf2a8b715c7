//! Runs a script: a world, then queries with the replies they must get.
//!
//! `zone`, `stale`, `failed`, `service` and `option` lines and indented records make the world.
//! Each case is a sentence (`#`), a `query` or `raw` line, and the reply: `reply RCODE [aa] [tc]
//! [rd] [cd]` with `answer`, `authority` and `additional` records and an `opt` line, or `drop`.
//! What is not named must be absent. Cases run over UDP and TCP unless the query says which.

use std::fmt::Write as _;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{RData, Record};
use meridian::dns::Transport;
use meridian::name;
use meridian::snapshot::Snapshot;

use super::{Builder, Query, ask, decode, type_number};

/// A query line of a script, and the lines that the reply must have.
struct Case {
    line: usize,
    what: String,
    wire: Vec<u8>,
    transports: Vec<Transport>,
    expected: Vec<String>,
}

/// Runs a script and shows every case that fails.
pub fn run(name: &str, text: &str) {
    let (snapshot, cases) = read(text);
    assert!(!cases.is_empty(), "{name}: no cases");
    let mut failures = String::new();
    for case in &cases {
        let mut expected = case.expected.clone();
        expected.sort();
        for transport in &case.transports {
            let (reply, facts) = ask(&snapshot, &case.wire, *transport);
            let mut lines = describe(reply.as_deref());
            lines.sort();
            let malformed = reply.as_ref().is_none_or(|reply| reply[3] & 0xf == 1);
            if facts.malformed != malformed {
                lines.push(format!("counted as malformed: {}", facts.malformed));
            }
            if let Some(reply) = &reply {
                let same = reply.get(..2) == case.wire.get(..2);
                let rcode = u16::from(decode(reply).metadata.response_code);
                if !same || rcode != facts.rcode {
                    lines.push(format!("id kept: {same}, counted {} for {rcode}", facts.rcode));
                }
            }
            if lines != expected {
                let (line, what) = (case.line, &case.what);
                let lines = lines.join("\n  ");
                writeln!(failures, "{name}:{line}: {what} ({transport:?}), got\n  {lines}")
                    .unwrap();
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// The world alone.
pub fn world(text: &str) -> Snapshot {
    read(text).0
}

fn read(text: &str) -> (Snapshot, Vec<Case>) {
    let mut world = Builder::default();
    let mut cases: Vec<Case> = Vec::new();
    let mut what = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "zone" => world.zone(rest),
            "stale" => world.stale(),
            "failed" => world.failed(rest),
            "service" => world.service(rest),
            "option" => world.option(rest),
            "" if rest.trim().is_empty() || rest.trim().starts_with(';') => {}
            "" => world.record(rest),
            "#" => rest.clone_into(&mut what),
            "query" | "raw" => {
                let (wire, transports) = if word == "raw" { raw(rest) } else { query(rest) };
                let (what, expected) = (what.clone(), Vec::new());
                cases.push(Case { line: number, what, wire, transports, expected });
            }
            _ => cases.last_mut().unwrap().expected.push(line.trim().to_owned()),
        }
    }
    (world.build(), cases)
}

fn raw(text: &str) -> (Vec<u8>, Vec<Transport>) {
    let hex: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |octet: u8| char::from(octet).to_digit(16).unwrap() as u8;
    let wire = hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    (wire, Transport::ALL.to_vec())
}

/// `NAME TYPE [class=N] [edns=SIZE] [version=N] [do] [options=HEX] [rd] [cd] [ad] [z] [udp] [tcp]`
fn query(text: &str) -> (Vec<u8>, Vec<Transport>) {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let mut query = Query::new(name, type_number(words.next().unwrap()));
    let mut transports = Transport::ALL.to_vec();
    for word in words {
        let edns = query.edns.get_or_insert((1232, 0, false, Vec::new())).clone();
        match word.split_once('=').unwrap_or((word, "")) {
            ("edns", size) => query.edns = Some((size.parse().unwrap(), edns.1, edns.2, edns.3)),
            ("version", v) => query.edns = Some((edns.0, v.parse().unwrap(), edns.2, edns.3)),
            ("do", _) => query.edns = Some((edns.0, edns.1, true, edns.3)),
            ("options", hex) => query.edns = Some((edns.0, edns.1, edns.2, raw(hex).0)),
            (other, value) => {
                query.edns = None;
                match other {
                    "class" => query.qclass = value.parse().unwrap(),
                    "rd" => query.flags[0] |= 1,
                    "aa" => query.flags[0] |= 4,
                    "tc" => query.flags[0] |= 2,
                    "opcode" => query.flags[0] |= value.parse::<u8>().unwrap() << 3,
                    "cd" => query.flags[1] |= 0x10,
                    "ad" => query.flags[1] |= 0x20,
                    "z" => query.flags[1] |= 0x40,
                    "ra" => query.flags[1] |= 0x80,
                    "udp" => transports = vec![Transport::Udp],
                    "tcp" => transports = vec![Transport::Tcp],
                    _ => panic!("no query word `{word}`"),
                }
                let plain = edns == (1232, 0, false, Vec::new());
                query.edns = (!plain || text.contains("edns=")).then_some(edns);
            }
        }
    }
    (query.wire(), transports)
}

/// A reply in the words of a script.
fn describe(reply: Option<&[u8]>) -> Vec<String> {
    let Some(reply) = reply else { return vec!["drop".to_owned()] };
    let message = decode(reply);
    let mut lines = vec![head(&message)];
    if message.queries.is_empty() {
        lines.push("no question".to_owned());
    }
    let sections = [
        ("answer", &message.answers),
        ("authority", &message.authorities),
        ("additional", &message.additionals),
    ];
    for (section, records) in sections {
        lines.extend(records.iter().map(|record| format!("{section} {}", show(record))));
    }
    if let Some(edns) = &message.edns {
        let mut line = format!("opt {}", edns.max_payload());
        if edns.flags().dnssec_ok {
            line.push_str(" do");
        }
        if let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) {
            let (source, scope) = (subnet.source_prefix(), subnet.scope_prefix());
            write!(line, " subnet={}/{source}/{scope}", subnet.addr()).unwrap();
        }
        for (code, option) in edns.options().as_ref() {
            match option {
                EdnsOption::Unknown(15, data) => {
                    write!(line, " ede={}", u16::from_be_bytes([data[0], data[1]])).unwrap();
                    let text = String::from_utf8_lossy(&data[2..]).replace(' ', "-");
                    if !text.is_empty() {
                        line.push(':');
                        line.push_str(&text);
                    }
                }
                EdnsOption::Unknown(10, data) => {
                    let hex = data.iter().map(|octet| format!("{octet:02x}"));
                    write!(line, " cookie={}", hex.collect::<String>()).unwrap();
                }
                EdnsOption::NSID(text) => {
                    write!(line, " nsid={}", String::from_utf8_lossy(text.as_ref())).unwrap();
                }
                _ if *code == EdnsCode::Subnet => {}
                _ => write!(line, " {code:?}").unwrap(),
            }
        }
        lines.push(line);
    }
    lines
}

fn head(message: &Message) -> String {
    let meta = &message.metadata;
    // The decoder has one of two meanings for 16; without TSIG it is the other.
    let rcode = format!("{:?}", meta.response_code).to_uppercase().replace("BADSIG", "BADVERS");
    let mut line = format!("reply {rcode}");
    for (set, flag) in [
        (meta.authoritative, " aa"),
        (meta.truncation, " tc"),
        (meta.recursion_desired, " rd"),
        (meta.recursion_available, " ra"),
        (meta.authentic_data, " ad"),
        (meta.checking_disabled, " cd"),
    ] {
        line.push_str(if set { flag } else { "" });
    }
    line
}

/// A record in text; types the decoder has no form for as RFC 3597 section 5 says.
fn show(record: &Record) -> String {
    let data = match &record.data {
        RData::Unknown { code, rdata } if u16::from(*code) == 39 => name::decode(&rdata.anything),
        RData::Unknown { rdata, .. } => {
            let octets = &rdata.anything;
            octets.iter().fold(format!("\\# {} ", octets.len()), |mut text, octet| {
                write!(text, "{octet:02X}").unwrap();
                text
            })
        }
        data => data.to_string(),
    };
    format!("{} {} {} {data}", record.name, record.ttl, record.record_type())
}
