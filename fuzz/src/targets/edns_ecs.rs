//! Any EDNS options in a well-formed query: client subnets are read by the rules of RFC 7871.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::opt::EdnsCode;

use super::dns_answer::WORLD;
use super::dns_support::{Query, sound};

/// What is asked for: steered names of all kinds, static ones, and what is not there.
const QUESTIONS: &[(&str, u16)] = &[
    ("geo.example.com.", 1),
    ("geo.example.com.", 28),
    ("x.geo.example.com.", 1),
    ("near.example.com.", 1),
    ("ill.example.com.", 1),
    ("dead.example.com.", 1),
    ("www.example.com.", 28),
    ("big.example.com.", 16),
    ("nothing.example.com.", 1),
    ("x.sub.example.com.", 1),
    ("x.broken.test.", 1),
    ("example.org.", 1),
];

/// The first octet chooses the question, the second the UDP size; the rest are the options.
pub fn run(input: &[u8]) {
    let world = &*WORLD;
    let [question, size, options @ ..] = input else { return };
    let Some(options) = options.get(..options.len().min(60_000)) else { return };
    let (name, qtype) = QUESTIONS[usize::from(*question) % QUESTIONS.len()];
    let query = Query::new(name, qtype).edns(u16::from(*size) * 8, options).wire();
    let reply = sound::check(world, &query).expect("a well-formed query is answered");
    let decoded = sound::decode(&reply);
    let edns = decoded.edns.expect("EDNS is answered with EDNS");
    let subnet = edns.option(EdnsCode::Subnet);
    let malformed = decoded.metadata.response_code == ResponseCode::FormErr;
    match expected(options) {
        Expected::FormErr => assert!(malformed && subnet.is_none(), "FORMERR for {options:02x?}"),
        Expected::Nothing => assert!(!malformed && subnet.is_none(), "none for {options:02x?}"),
        Expected::Echo(data) => {
            assert!(!malformed, "FORMERR for {data:02x?}");
            let scope = echoed(&reply, data).expect("family, source and address are echoed");
            // RFC 7871 section 7.2.1: a source of 0 bits is answered for everybody.
            let most = if data[2] == 0 { 0 } else { [0, 32, 128][usize::from(data[1])] };
            assert!(scope <= most, "a scope of {scope}, at most {most}");
        }
    }
}

/// What the options of a query ask for.
enum Expected<'a> {
    /// They break a rule.
    FormErr,
    /// There is no client subnet among them.
    Nothing,
    /// The client subnet that the reply repeats.
    Echo(&'a [u8]),
}

fn expected(options: &[u8]) -> Expected<'_> {
    let mut subnets = Vec::new();
    let mut at = 0;
    while at < options.len() {
        let Some(head) = options.get(at..at + 4) else { return Expected::FormErr };
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(data) = options.get(at + 4..at + 4 + length) else { return Expected::FormErr };
        if head[..2] == [0, 8] {
            subnets.push(data);
        }
        at += 4 + length;
    }
    match subnets[..] {
        [] => Expected::Nothing,
        [subnet] if is_sound(subnet) => Expected::Echo(subnet),
        _ => Expected::FormErr,
    }
}

/// Whether a client subnet keeps the rules of RFC 7871 section 6, or is the empty one without a
/// family.
fn is_sound(data: &[u8]) -> bool {
    let [0, family, source, 0, address @ ..] = data else { return false };
    let most = [0, 32, 128].get(usize::from(*family));
    let fits = most.is_some_and(|most| source <= most);
    let bit = |at: usize| address[at / 8] >> (7 - at % 8) & 1;
    fits && address.len() == usize::from(source.div_ceil(8))
        && (usize::from(*source)..address.len() * 8).all(|at| bit(at) == 0)
}

/// The scope of the option in a reply that repeats a client subnet.
fn echoed(reply: &[u8], data: &[u8]) -> Option<u8> {
    let head = [&[0, 8, 0, data.len() as u8], &data[..3]].concat();
    let found = |start: &&[u8]| start.starts_with(&head) && start[8..].starts_with(&data[4..]);
    let starts = (0..reply.len()).map(|at| &reply[at..]);
    starts.filter(|start| start.len() >= 4 + data.len()).find(found).map(|start| start[7])
}
