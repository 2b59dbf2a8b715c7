//! The `dns` check: a question, the code that comes back and the records with it.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{self, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Route, failure};
use crate::health::{CauseKind, Outcome};
use crate::model::{DnsCheck, DnsTransport, ExpectedRecord};

/// The largest reply asked for over UDP: passes unfragmented everywhere (RFC 9715 section 3.1).
const UDP_PAYLOAD: u16 = 1_232;

/// Most records named in the words of a failure.
const SHOWN_MAX: usize = 4;

/// Asks, under this random id, and judges the answer.
pub(super) async fn check(check: &DnsCheck, route: &Route, id: u16) -> Outcome {
    let Some((query, question)) = query(check, id) else {
        return Outcome::failure(CauseKind::Protocol, format!("`{}` cannot be asked", check.name));
    };
    let asked = Asked { id, question, query: &query };
    let reply = match check.transport {
        DnsTransport::Udp => route.try_each(|to| over_udp(route, to, &asked)).await,
        DnsTransport::Tcp => over_tcp(route, &asked).await,
    };
    match reply {
        Ok(reply) => judge(check, &reply),
        Err(failure) => failure,
    }
}

/// Asks for the name servers of the root over UDP, without recursion, and waits for any reply at
/// all: every server has one, and none goes to any length for it.
pub(super) async fn any_reply(route: &Route, id: u16) -> Result<(), Outcome> {
    let question = Query::query(rr::Name::root(), RecordType::NS);
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.recursion_desired = false;
    message.add_query(question.clone());
    let query = message.to_vec().map_err(|_| Outcome::Missed("cannot ask".into()))?;
    let asked = Asked { id, question, query: &query };
    route.try_each(|to| over_udp(route, to, &asked)).await.map(|_| ())
}

/// What has been asked, to know the reply by.
struct Asked<'a> {
    id: u16,
    question: Query,
    query: &'a [u8],
}

impl Asked<'_> {
    /// The reply, if these octets are one to this question; else what is wrong with them.
    fn read(&self, octets: &[u8]) -> Result<Message, &'static str> {
        let reply = Message::from_vec(octets).map_err(|_| "reply is malformed")?;
        let same = reply.metadata.id == self.id
            && reply.metadata.message_type == MessageType::Response
            // Without a question, as servers write that understood nothing.
            && (reply.queries.is_empty() || reply.queries == [self.question.clone()]);
        if same { Ok(reply) } else { Err("reply is to another question") }
    }
}

/// The query in wire form, and its question.
fn query(check: &DnsCheck, id: u16) -> Option<(Vec<u8>, Query)> {
    let mut name = rr::Name::from_labels(check.name.labels()).ok()?;
    name.set_fqdn(true);
    let question = Query::query(name, RecordType::from(check.rtype));
    let mut message = Message::query();
    message.metadata.id = id;
    message.metadata.recursion_desired = check.recursion;
    message.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    message.set_edns(edns);
    Some((message.to_vec().ok()?, question))
}

async fn over_udp(route: &Route, to: SocketAddr, asked: &Asked<'_>) -> Result<Message, Outcome> {
    let socket = route.udp(to).await?;
    socket.send(asked.query).await.map_err(|error| failure::of_io(&error))?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| failure::of_io(&error))?;
        // Whoever forges replies must not decide, so that others are waited for (RFC 5452).
        if let Ok(reply) = asked.read(buffer.get(..length).unwrap_or_default()) {
            return Ok(reply);
        }
    }
}

async fn over_tcp(route: &Route, asked: &Asked<'_>) -> Result<Message, Outcome> {
    let mut stream = route.connect().await?;
    let exchange = async {
        // One write: RFC 7766 section 8.
        let mut framed = (asked.query.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(asked.query);
        stream.write_all(&framed).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    };
    let reply: Result<Vec<u8>, std::io::Error> = route.limit.cut(exchange).await?;
    let reply = reply.map_err(|error| failure::of_io(&error))?;
    asked.read(&reply).map_err(|what| Outcome::failure(CauseKind::Protocol, what))
}

/// The response code first, then the records.
fn judge(check: &DnsCheck, reply: &Message) -> Outcome {
    let found = u16::from(reply.metadata.response_code);
    if found != check.expect_rcode {
        let cause =
            format!("response code {}, expected {}", rcode(found), rcode(check.expect_rcode));
        return Outcome::failure(CauseKind::Status, cause);
    }
    let wanted = RecordType::from(check.rtype);
    let records: Vec<_> =
        reply.answers.iter().filter(|record| record.record_type() == wanted).collect();
    let held: Vec<_> =
        records.iter().filter_map(|record| ExpectedRecord::wire(&record.data)).collect();
    let Some(missing) = check.expect.iter().find(|expected| !held.contains(&expected.rdata)) else {
        return Outcome::Success;
    };
    let mut shown: Vec<String> =
        records.iter().take(SHOWN_MAX).map(|record| format!("`{}`", record.data)).collect();
    if records.len() > SHOWN_MAX {
        shown.push(format!("{} more", records.len() - SHOWN_MAX));
    }
    let found = if shown.is_empty() { format!("no {wanted}") } else { shown.join(", ") };
    let cut = if reply.metadata.truncation { "truncated " } else { "" };
    let cause = format!("{cut}answer has {found}, expected `{}`", missing.text);
    Outcome::failure(CauseKind::Body, cause)
}

/// A response code by its name.
fn rcode(code: u16) -> String {
    let names = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    names.get(usize::from(code)).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}
