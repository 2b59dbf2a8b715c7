//! The answer engine: query bytes in, reply bytes out.
//!
//! A pure function of the snapshot, the query, its sender and a source of random numbers. It
//! allocates nothing, locks nothing and reads no clock, so every transport, `explain` and the tests
//! call it alike.

mod chaos;
mod permit;
pub mod rcode;
mod resolve;
mod signed;

use std::net::{IpAddr, SocketAddr};

use self::resolve::{Clients, Outcome, Resolver};
use super::cookie::{self, Standing};
use super::draws::Random;
use super::edns::{ClientSubnet, CookieOption, Edns, ReplyOpt, SIZE_MIN, Subnet, VERSION, ede};
use super::limit::{Kind, Limited};
pub use super::transport::Transport;
use super::wire::{AA, CD, CLASS_CHAOS, CLASS_IN, HEADER, Intent, Parsed, QR, TC};
use super::writer::Writer;
use crate::model::{CookiePolicy, Key};
use crate::snapshot::{AnswerOptions, ServedZone, Snapshot, ZoneEntry};
use crate::zone::rtype;

/// Longest message over TCP (RFC 1035 section 4.2.2).
pub const MESSAGE_MAX: usize = 65535;

/// Who asks, how, and when.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// How the query came.
    pub transport: Transport,
    /// Wall-clock time in seconds since 1970, modulo 2^32: DNS cookies have an age.
    pub unix_seconds: u32,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A reply of this many octets was written.
    Length(usize),
    /// There is no reply.
    Drop,
    /// A zone transfer, which the transport carries out.
    Transfer,
}

/// A reply, and what is counted of it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// What was written.
    pub reply: Reply,
    /// What is counted.
    pub facts: Facts,
}

/// What is counted of a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// The response code, with the upper bits that OPT holds.
    pub rcode: u16,
    /// The query was no well-formed query (FORMERR, or no reply at all).
    pub malformed: bool,
    /// The reply was cut, with TC set.
    pub truncated: bool,
    /// The number of the service that answered, as its zone labels it; the last one of a chain.
    pub service: Option<u32>,
    /// The number of the region of the first address, as the snapshot labels it.
    pub region: Option<u32>,
    /// Whether the geo databases know where the client is; `None`: no service asked for it.
    pub matched: Option<bool>,
    /// Everything behind the service was down, and its rule for that was applied.
    pub all_down: bool,
    /// It goes to a runner-up, to learn how far that is.
    pub explored: bool,
    /// Leading bits of the client's address that the answer depends on (RFC 7871), whether or not
    /// the query had a client subnet.
    pub scope: u8,
    /// What the limiter counts it as.
    pub kind: Kind,
    /// What the client's cookie is worth.
    pub standing: Standing,
    /// What the limiter made of it; `None`: it was within the rate.
    pub limited: Option<Limited>,
    /// The zone that its primary says has changed, by its number in the snapshot.
    pub notified: Option<u32>,
}

/// Answers one query into `out`; `random` decides what a service leaves to chance.
///
/// For a batch: [`Parsed::parse`] and [`locate`] for each query, [`touch`] for all, then
/// [`respond`] for each, so that the queries wait for memory together.
pub fn answer<'r>(
    snapshot: &Snapshot,
    query: &[u8],
    peer: Peer,
    random: impl Into<Random<'r>>,
    out: &mut [u8],
) -> Answer {
    let mut parsed = Parsed::default();
    parsed.parse(query);
    locate(snapshot, &mut parsed);
    respond(snapshot, query, &parsed, peer, random, out)
}

/// Finds the zone of a parsed query.
pub fn locate(snapshot: &Snapshot, parsed: &mut Parsed) {
    if !matches!(parsed.intent, Intent::Answer | Intent::Notify) {
        return;
    }
    let zones = &snapshot.zones;
    // RFC 4035 section 3.1.4.1: DS belongs to the parent's side of a cut. Where the parent is not
    // served here, the child says that it has none.
    parsed.zone = match parsed.qtype {
        rtype::DS => zones.find(&parsed.name, 1).or_else(|| zones.find(&parsed.name, 0)),
        _ => zones.find(&parsed.name, 0),
    };
    if let Some(ZoneEntry::Serving(served)) = parsed.zone.and_then(|zone| zones.get(zone)) {
        parsed.hash = served.zone.hash(&parsed.name);
    }
}

/// Reads the memory that the answers to located queries begin with, for all of them together; the
/// result means nothing.
pub fn touch(snapshot: &Snapshot, batch: &[Parsed]) -> u32 {
    let zone = |parsed: &Parsed| match snapshot.zones.get(parsed.zone?) {
        Some(ZoneEntry::Serving(served)) => Some((&served.zone, parsed.hash)),
        _ => None,
    };
    let zones = || batch.iter().filter_map(zone);
    let slots = zones().fold(0, |all, (zone, hash)| all ^ zone.touch_slot(hash));
    zones().fold(slots, |all, (zone, hash)| all ^ u32::from(zone.touch_node(hash)))
}

/// Answers a located query; `snapshot` and `query` are those it was parsed and located with.
pub fn respond<'r>(
    snapshot: &Snapshot,
    query: &[u8],
    parsed: &Parsed,
    peer: Peer,
    random: impl Into<Random<'r>>,
    out: &mut [u8],
) -> Answer {
    #[cfg(feature = "failpoints")]
    super::failpoint::reach(query);
    // Nobody can hear a datagram to port 0; such queries have a forged source.
    let unheard = peer.transport == Transport::Udp && peer.address.port() == 0;
    if parsed.intent == Intent::Ignore || unheard {
        let facts = Facts { malformed: true, ..Facts::default() };
        return Answer { reply: Reply::Drop, facts };
    }
    let mut case = Case {
        snapshot,
        query,
        parsed,
        peer,
        subnet: Ok(None),
        standing: Standing::Absent,
        cookie: None,
    };
    if let Some(edns) = &parsed.edns {
        case.subnet = believed_subnet(&snapshot.options, edns, peer.address.ip());
        (case.standing, case.cookie) = cookie(&snapshot.options, edns, peer);
    }
    if parsed.tsig != 0 {
        return signed::respond(&case, random.into(), out);
    }
    let verdict = decide(&case, None);
    write(&case, verdict, random.into(), out)
}

/// A query with all that decides its answer, but for chance.
struct Case<'s> {
    snapshot: &'s Snapshot,
    query: &'s [u8],
    parsed: &'s Parsed,
    peer: Peer,
    /// The client subnet, if it is believed; `Err`: malformed.
    subnet: Result<Option<ClientSubnet>, ()>,
    /// What the client's cookie is worth.
    standing: Standing,
    /// The cookie of the reply.
    cookie: Option<[u8; cookie::LENGTH]>,
}

/// Writes the reply that a verdict asks for.
fn write(case: &Case<'_>, verdict: Verdict<'_>, random: Random<'_>, out: &mut [u8]) -> Answer {
    let Case { snapshot, query, parsed, ref peer, .. } = *case;
    let options = &snapshot.options;
    let subnet = case.subnet.as_ref().ok().and_then(Option::as_ref);
    let opt = parsed.edns.as_ref().map(|edns| ReplyOpt {
        size: options.udp_payload,
        dnssec_ok: edns.dnssec_ok,
        subnet,
        cookie: case.cookie.as_ref(),
        nsid: if edns.nsid { options.nsid.as_bytes() } else { &[] },
        keepalive: if edns.keepalive { keepalive(options, peer.transport) } else { None },
        // RFC 7830 section 6: padding hides nothing of what anyone can read.
        padding: edns.padding && peer.transport.is_encrypted(),
    });
    let limit = limit(options, parsed, peer.transport).min(out.len());
    let reserved = opt.as_ref().map_or(0, ReplyOpt::length);
    let mut writer = Writer::new(out, 0, limit.saturating_sub(reserved));
    let begun = query.get(..parsed.question_end).is_some_and(|start| writer.put(start).is_ok());
    if !begun {
        // A buffer too short for the question: no transport of ours has one.
        return Answer { reply: Reply::Drop, facts: Facts::default() };
    }
    let mut outcome = Outcome::default();
    match verdict {
        Verdict::Code(rcode, ede) => (outcome.rcode, outcome.ede) = (rcode, ede),
        Verdict::Chaos(text) => chaos::answer(parsed, text, &mut writer, &mut outcome),
        Verdict::Resolve(served) => {
            let clients = Clients { resolver: &peer.address, subnet };
            let sources = (served, &snapshot.issuance.challenges);
            Resolver::new(sources, parsed, clients, random, &mut writer, &mut outcome).run();
            if served.stale {
                outcome.add_stale();
            }
        }
        Verdict::Soa(served) => soa(case, served, random, &mut writer, &mut outcome),
        Verdict::Notified(zone) => (outcome.authoritative, outcome.notified) = (true, Some(zone)),
        Verdict::Transfer => return Answer { reply: Reply::Transfer, facts: Facts::default() },
    }
    if outcome.truncated {
        outcome.clear_sections();
        writer.cut(parsed.question_end);
    }
    writer.set_end(limit);
    let length = finish(&mut writer, parsed, &outcome, opt.as_ref());
    let facts = facts(snapshot, parsed, &outcome, case.standing);
    Answer { reply: Reply::Length(length), facts }
}

/// Answers with the SOA of a zone whatever the question's type; kept apart, as the copy of the
/// question costs every other answer room on the stack.
#[inline(never)]
fn soa(
    case: &Case<'_>,
    served: &ServedZone,
    random: Random<'_>,
    writer: &mut Writer<'_>,
    outcome: &mut Outcome,
) {
    let question = Parsed { qtype: rtype::SOA, ..case.parsed.clone() };
    let clients = Clients { resolver: &case.peer.address, subnet: None };
    let sources = (served, &case.snapshot.issuance.challenges);
    Resolver::new(sources, &question, clients, random, writer, outcome).run();
}

/// Makes of an answer above the rate what the limiter says, in place: `query` and `parsed` are
/// those it was given to, and it stands in `out`.
pub fn curb(
    snapshot: &Snapshot,
    query: &[u8],
    parsed: &Parsed,
    answer: Answer,
    limited: Limited,
    out: &mut [u8],
) -> Answer {
    let Facts { kind, standing, malformed, .. } = answer.facts;
    let fate = Some(limited);
    let curbed = Facts { kind, standing, malformed, limited: fate, ..Facts::default() };
    match limited {
        Limited::Spared => Answer { facts: Facts { limited: fate, ..answer.facts }, ..answer },
        Limited::Dropped => Answer { reply: Reply::Drop, facts: curbed },
        Limited::Slipped => {
            let end = out.len();
            let mut writer = Writer::new(out, 0, end);
            if query.get(..parsed.question_end).is_none_or(|start| writer.put(start).is_err()) {
                return Answer { reply: Reply::Drop, facts: curbed };
            }
            let outcome = Outcome { truncated: true, ..Outcome::default() };
            // Without options the reply is no longer than the query was.
            let size = snapshot.options.udp_payload;
            let opt = parsed.edns.map(|edns| ReplyOpt::bare(size, edns.dnssec_ok));
            let length = finish(&mut writer, parsed, &outcome, opt.as_ref());
            let facts = Facts { truncated: true, ..curbed };
            Answer { reply: Reply::Length(length), facts }
        }
    }
}

/// What is to be done about a well-formed or malformed query.
#[derive(Clone, Copy)]
enum Verdict<'s> {
    /// Only a response code and perhaps an extended error.
    Code(u16, Option<u16>),
    /// An answer of class CHAOS with this text.
    Chaos(&'s str),
    /// An answer from this zone.
    Resolve(&'s ServedZone),
    /// The SOA of this zone.
    Soa(&'s ServedZone),
    /// The primary of this zone says that it has changed.
    Notified(u32),
    /// A transfer.
    Transfer,
}

/// Decides what is done about a query; `signed` is the key whose signature holds.
fn decide<'s>(case: &Case<'s>, signed: Option<&Key>) -> Verdict<'s> {
    let Case { snapshot, parsed, .. } = *case;
    let options = &snapshot.options;
    match parsed.intent {
        Intent::NotImp => return Verdict::Code(rcode::NOTIMP, None),
        Intent::Answer | Intent::Notify | Intent::Cookie => {}
        Intent::FormErr | Intent::Ignore => return Verdict::Code(rcode::FORMERR, None),
    }
    if let Some(edns) = &parsed.edns
        && let Some(rcode) = refuse_options(case, edns)
    {
        return Verdict::Code(rcode, None);
    }
    if parsed.qclass == CLASS_CHAOS
        && options.chaos
        && let Some(text) = chaos::text(parsed, &options.nsid)
    {
        return Verdict::Chaos(text);
    }
    // RFC 1034 section 4.2: zones are of one class, and we have none of another. For class ANY an
    // authoritative answer would have to cover all classes (RFC 1035 section 3.2.5).
    if parsed.qclass != CLASS_IN {
        return Verdict::Code(rcode::REFUSED, None);
    }
    if parsed.intent == Intent::Notify {
        return permit::notify(case, signed);
    }
    if matches!(parsed.qtype, rtype::AXFR | rtype::IXFR) {
        return permit::transfer(case, signed);
    }
    match parsed.zone.and_then(|zone| snapshot.zones.get(zone)) {
        Some(ZoneEntry::Serving(served)) => Verdict::Resolve(served),
        Some(entry) => permit::unserved(entry),
        None => Verdict::Code(rcode::REFUSED, Some(ede::NOT_AUTHORITATIVE)),
    }
}

/// The rcode of a query whose EDNS options alone decide its answer.
fn refuse_options(case: &Case<'_>, edns: &Edns) -> Option<u16> {
    // RFC 6891 section 6.1.3: told even if the rest were refused.
    if edns.version != VERSION {
        return Some(rcode::BADVERS);
    }
    // RFC 7871 section 7.2.1: a malformed option makes a malformed query; so does RFC 7873
    // section 5.2.2.
    let cookies = &case.snapshot.options.cookies;
    let bad_cookie = cookies.is_on() && matches!(edns.cookie, CookieOption::Malformed);
    let lone = case.parsed.intent == Intent::Cookie;
    if case.subnet.is_err() || bad_cookie || (lone && !cookies.is_on()) {
        return Some(rcode::FORMERR);
    }
    // RFC 7873 section 5.4: a query for a cookie alone is told whether it brought a bad one;
    // section 5.2.3: other clients may be asked to come again with a good one, but not over TCP.
    let again = match case.standing {
        Standing::Absent | Standing::Valid => false,
        Standing::Invalid if lone => true,
        Standing::New if lone => false,
        Standing::New | Standing::Invalid => {
            cookies.policy == CookiePolicy::Required && !case.peer.transport.proves_address()
        }
    };
    match (again, lone) {
        (true, _) => Some(rcode::BADCOOKIE),
        (false, true) => Some(rcode::NOERROR),
        (false, false) => None,
    }
}

/// What the client's cookie is worth, and the one to answer with, if it has sent any.
fn cookie(
    options: &AnswerOptions,
    edns: &Edns,
    peer: Peer,
) -> (Standing, Option<[u8; cookie::LENGTH]>) {
    let given = match &edns.cookie {
        CookieOption::Given(cookie) if options.cookies.is_on() => cookie,
        _ => return (Standing::Absent, None),
    };
    let checked = given.check(&options.cookies.secrets, peer.address.ip(), peer.unix_seconds);
    checked.map_or((Standing::Absent, None), |(standing, reply)| (standing, Some(reply)))
}

/// The client subnet, if the policy believes the one who sent it; `Err` when that is malformed.
///
/// The option of a sender who is not believed is ignored as if unknown, whatever is in it.
fn believed_subnet(
    options: &AnswerOptions,
    edns: &Edns,
    peer: IpAddr,
) -> Result<Option<ClientSubnet>, ()> {
    let believed = || options.client_subnet.believes(peer);
    match edns.subnet {
        Subnet::Given(subnet) if believed() => Ok(Some(subnet)),
        Subnet::Malformed if believed() => Err(()),
        _ => Ok(None),
    }
}

/// How long a connection may be idle, in tenths of a second; `None`: it is not for the message to
/// say (RFC 7828 section 3.2, RFC 7858 section 3.4; HTTP and QUIC have their own ways).
fn keepalive(options: &AnswerOptions, transport: Transport) -> Option<u16> {
    let tenths = (options.tcp_idle.as_millis() / 100).min(u128::from(u16::MAX)) as u16;
    matches!(transport, Transport::Tcp | Transport::Tls).then_some(tenths)
}

/// Whether a query has the keepalive option, which QUIC forbids (RFC 9250 section 5.5.2).
pub(super) fn asks_keepalive(query: &[u8]) -> bool {
    let mut parsed = Parsed::default();
    parsed.parse(query);
    parsed.edns.is_some_and(|edns| edns.keepalive)
}

/// Most octets the reply may have.
fn limit(options: &AnswerOptions, parsed: &Parsed, transport: Transport) -> usize {
    match (transport, &parsed.edns) {
        // RFC 1035 section 4.2.1.
        (Transport::Udp, None) => usize::from(SIZE_MIN),
        // RFC 6891 section 6.2.5; RFC 9715 section 3.1 for our own bound.
        (Transport::Udp, Some(edns)) => usize::from(edns.size.min(options.udp_payload)),
        _ => MESSAGE_MAX,
    }
}

/// Writes OPT and header; returns the length of the reply.
fn finish(
    writer: &mut Writer<'_>,
    parsed: &Parsed,
    outcome: &Outcome,
    opt: Option<&ReplyOpt<'_>>,
) -> usize {
    let mut additionals = outcome.additionals;
    if let Some(opt) = opt {
        // A malformed or refused version of EDNS gets a bare OPT: its options were not looked at.
        let bare = matches!(outcome.rcode, rcode::FORMERR | rcode::BADVERS | rcode::NOTIMP);
        let high = (outcome.rcode >> 4) as u8;
        let (scope, ede) = (outcome.subnet_scope, outcome.ede);
        let written = if bare {
            ReplyOpt::bare(opt.size, opt.dnssec_ok).write(writer, high, scope, ede)
        } else {
            opt.write(writer, high, scope, ede)
        };
        // Its room was reserved.
        additionals += u16::from(written.is_ok());
    }
    let [high, low] = parsed.flags;
    let aa = if outcome.authoritative { AA } else { 0 };
    let tc = if outcome.truncated { TC } else { 0 };
    // RFC 4035 section 3.2.2: CD is copied. AD, RA and the reserved bit are 0: nothing was
    // validated, there is no recursion.
    let flags = [(high & !(AA | TC)) | QR | aa | tc, (low & CD) | (outcome.rcode & 0xf) as u8];
    writer.patch(2, &flags);
    let questions = u16::from(parsed.question_end > HEADER);
    let counts = [questions, outcome.answers, outcome.authorities, additionals];
    writer.patch(4, counts.map(u16::to_be_bytes).as_flattened());
    writer.at()
}

fn facts(snapshot: &Snapshot, parsed: &Parsed, outcome: &Outcome, standing: Standing) -> Facts {
    let labels = match parsed.zone.and_then(|zone| snapshot.zones.get(zone)) {
        Some(ZoneEntry::Serving(served)) => served.labels.as_slice(),
        _ => &[],
    };
    let service = outcome.service.and_then(|service| labels.get(service as usize));
    let region = outcome.region.and_then(|region| snapshot.region_labels.get(usize::from(region)));
    Facts {
        rcode: outcome.rcode,
        malformed: outcome.rcode == rcode::FORMERR,
        truncated: outcome.truncated,
        service: service.copied(),
        region: region.copied(),
        matched: outcome.matched,
        all_down: outcome.all_down,
        explored: outcome.explored,
        scope: outcome.scope,
        notified: outcome.notified,
        kind: kind(outcome),
        standing,
        limited: None,
    }
}

/// What the limiter counts an outcome as.
fn kind(outcome: &Outcome) -> Kind {
    // RFC 2308 section 2.2: NODATA is an authoritative answer without records.
    let empty = outcome.answers == 0 && outcome.authoritative && !outcome.truncated;
    match outcome.rcode {
        rcode::NXDOMAIN => Kind::Negative,
        rcode::NOERROR if empty => Kind::Negative,
        rcode::NOERROR => Kind::Positive,
        _ => Kind::Error,
    }
}
