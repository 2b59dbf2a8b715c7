//! What holds for every reply, whatever the query.

use hickory_proto::op::Message;
use meridian::dns::Transport;
use meridian::snapshot::Snapshot;

use super::{ask, without_transport_options};

/// Asks over every transport and checks the replies; gives the one over UDP.
pub fn check(snapshot: &Snapshot, query: &[u8]) -> Option<Vec<u8>> {
    let (udp, facts) = ask(snapshot, query, Transport::Udp);
    let (tcp, _) = ask(snapshot, query, Transport::Tcp);
    let is_query = query.get(2).is_some_and(|flags| flags & 0x80 == 0) && query.len() >= 12;
    assert_eq!((udp.is_some(), tcp.is_some()), (is_query, is_query), "answered over UDP, TCP");
    let (udp, tcp) = (udp?, tcp?);
    let (decoded, _) = (decode(&udp), decode(&tcp));
    let bare = without_transport_options(&tcp);
    for transport in [Transport::Tls, Transport::Https, Transport::Http3, Transport::Quic] {
        let reply = ask(snapshot, query, transport).0.unwrap();
        assert_eq!(without_transport_options(&reply), bare, "{transport:?} differs");
        assert_eq!(reply[..2], tcp[..2], "the id");
    }
    assert_eq!(udp[..2], query[..2], "the id");
    assert_eq!(udp[2] & 0x80, 0x80, "QR");
    let limit = limit(snapshot, query, &decoded);
    assert!(udp.len() <= limit, "{} octets, {limit} allowed", udp.len());
    assert_eq!(facts.truncated, decoded.metadata.truncation);
    assert_eq!(facts.rcode, u16::from(decoded.metadata.response_code), "counted rcode");
    if decoded.metadata.truncation {
        let records = decoded.answers.len() + decoded.authorities.len();
        assert_eq!(records + decoded.additionals.len(), 0, "a cut reply has records");
    } else {
        assert_eq!(udp, bare, "UDP and TCP differ");
    }
    if !decoded.queries.is_empty() {
        assert_eq!(question(&udp), question(query), "the question");
    }
    Some(udp)
}

/// Decodes a reply. The library knows no client subnet without a family, which we repeat to
/// `dig +subnet=0`, so it is shown that one as an unknown option.
pub fn decode(reply: &[u8]) -> Message {
    let mut reply = reply.to_vec();
    // The start of OPT with that subnet as its first option (RFC 6891 section 6.1.2).
    let is_nobody =
        |octets: &[u8]| octets[..3] == [0, 0, 41] && octets[11..] == [0, 8, 0, 4, 0, 0, 0, 0];
    // OPT is the last record.
    if let Some(at) = reply.windows(19).rposition(is_nobody).filter(|at| *at > 12) {
        reply[at + 11..at + 13].copy_from_slice(&[0xff, 0xfe]);
    }
    super::decode(&reply)
}

/// Most octets that a reply over UDP may have (RFC 6891 section 6.2.3).
fn limit(snapshot: &Snapshot, query: &[u8], reply: &Message) -> usize {
    if reply.edns.is_none() {
        return 512;
    }
    let stated = Message::from_vec(query).ok().and_then(|query| Some(query.edns?.max_payload()));
    let ours = snapshot.options.udp_payload;
    usize::from(stated.map_or(ours, |stated| stated.max(512).min(ours)))
}

/// The question of a query or reply that has one, as its octets.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => break,
            length => at += 1 + usize::from(length),
        }
    }
    message.get(12..at + 5)
}
