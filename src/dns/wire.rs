//! Reads a query: header, question, and the one record behind them that matters, OPT.

use super::edns::{CookieOption, Edns};
use crate::zone::{QueryName, rtype};

/// Octets of the header (RFC 1035 section 4.1.1).
pub(super) const HEADER: usize = 12;
/// Where the question begins: owner names that equal its name point here.
pub(super) const QUESTION_AT: usize = HEADER;
/// Class IN (RFC 1035 section 3.2.4).
pub(super) const CLASS_IN: u16 = 1;
/// Class CHAOS, of which servers use a few names for themselves (RFC 4892 section 3).
pub(super) const CLASS_CHAOS: u16 = 3;

/// Bits of the third octet of the header.
pub(super) const QR: u8 = 0x80;
const OPCODE: u8 = 0x78;
/// The opcode of RFC 1996, as it stands in that octet.
pub(super) const NOTIFY: u8 = 4 << 3;
pub(super) const AA: u8 = 0x04;
pub(super) const TC: u8 = 0x02;
/// Bit of the fourth octet of the header.
pub(super) const CD: u8 = 0x10;

/// What to do with a query, as far as its form tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nothing: it is a response, or too short to have a header to answer to.
    Ignore,
    /// Say that it is malformed.
    FormErr,
    /// Say that its opcode is not implemented.
    NotImp,
    /// Give a cookie: that is all it asks for (RFC 7873 section 5.4).
    Cookie,
    /// Answer it.
    Answer,
    /// Take note that a zone has changed (RFC 1996).
    Notify,
}

/// A query as read, and what was looked up for it. One value serves many queries in turn.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub(super) intent: Intent,
    /// The third and fourth octet of the header.
    pub(super) flags: [u8; 2],
    pub(super) name: QueryName,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// Where the question ends; [`HEADER`] without a whole one.
    pub(super) question_end: usize,
    pub(super) edns: Option<Edns>,
    /// Where the signature begins (RFC 8945); 0: there is none.
    pub(super) tsig: usize,
    /// Index of the zone that holds the name.
    pub(super) zone: Option<u32>,
    /// Hash of the name in that zone.
    pub(super) hash: u64,
}

impl Default for Parsed {
    fn default() -> Self {
        Self {
            intent: Intent::Ignore,
            flags: [0; 2],
            name: QueryName::default(),
            qtype: 0,
            qclass: 0,
            question_end: HEADER,
            edns: None,
            tsig: 0,
            zone: None,
            hash: 0,
        }
    }
}

impl Parsed {
    /// Reads a query. Never fails: what is wrong with it decides how it is answered.
    pub fn parse(&mut self, query: &[u8]) {
        self.question_end = HEADER;
        self.edns = None;
        self.tsig = 0;
        self.zone = None;
        self.intent = self.examine(query);
    }

    /// Whether it has a whole question.
    pub(super) fn has_question(&self) -> bool {
        self.question_end > HEADER
    }

    fn examine(&mut self, query: &[u8]) -> Intent {
        let Some((header, body)) = query.split_first_chunk::<HEADER>() else {
            return Intent::Ignore;
        };
        let [_, _, high, low, qd0, qd1, an0, an1, ns0, ns1, ar0, ar1] = *header;
        self.flags = [high, low];
        // Answering responses would let two servers talk for ever.
        if high & QR != 0 {
            return Intent::Ignore;
        }
        let questions = u16::from_be_bytes([qd0, qd1]);
        let others =
            u32::from(u16::from_be_bytes([an0, an1])) + u32::from(u16::from_be_bytes([ns0, ns1]));
        let additional = u32::from(u16::from_be_bytes([ar0, ar1]));
        let framed = match questions {
            0 => true,
            1 => self.question(body).is_some(),
            _ => false,
        };
        // Read for messages of any kind, as a reply has OPT if the query had (RFC 6891 section 7).
        let end = framed.then(|| self.records(query, others, additional)).flatten();
        let intent = match high & OPCODE {
            0 => Intent::Answer,
            NOTIFY => Intent::Notify,
            _ => return Intent::NotImp,
        };
        // What follows the last record was not meant by anyone.
        if end != Some(query.len()) {
            return Intent::FormErr;
        }
        let cookie = self.edns.as_ref().map(|edns| &edns.cookie);
        // RFC 9619 section 4: QDCOUNT is 1, or 0 with a cookie, or the message is malformed.
        match (questions, intent, cookie) {
            (1, intent, _) => intent,
            (0, Intent::Answer, Some(CookieOption::Given(_))) => Intent::Cookie,
            _ => Intent::FormErr,
        }
    }

    fn question(&mut self, body: &[u8]) -> Option<()> {
        let length = self.name.read(body)?;
        let [t0, t1, c0, c1] = *body.get(length..)?.first_chunk()?;
        self.qtype = u16::from_be_bytes([t0, t1]);
        self.qclass = u16::from_be_bytes([c0, c1]);
        self.question_end = HEADER + length + 4;
        Some(())
    }

    /// Walks the records behind the question; returns where they end.
    fn records(&mut self, query: &[u8], others: u32, additional: u32) -> Option<usize> {
        let mut at = self.question_end;
        // Each record takes octets of the query, so its length bounds both loops.
        for _ in 0..others {
            let record = Frame::read(query, at)?;
            // RFC 6891 section 6.1.1, RFC 8945 section 5.1: only the additional section has them.
            if matches!(record.rtype, rtype::OPT | rtype::TSIG) {
                return None;
            }
            at = record.end;
        }
        for left in (0..additional).rev() {
            let record = Frame::read(query, at)?;
            if record.rtype == rtype::TSIG {
                // RFC 8945 section 5.1: it is the last record, or the query is malformed.
                if left > 0 {
                    return None;
                }
                self.tsig = at;
            }
            at = record.end;
            if record.rtype == rtype::OPT {
                // RFC 6891 sections 6.1.1 and 6.1.2: one OPT, owned by the root.
                if self.edns.is_some() || !record.root {
                    return None;
                }
                let edns = self.edns.insert(Edns::new(record.class, record.ttl));
                if !edns.read_options(record.rdata) {
                    return None;
                }
            }
        }
        Some(at)
    }
}

/// Seconds that a reply of ours may be kept: the shortest TTL of its answers, or that of the SOA
/// that says there are none (RFC 2308 section 5). `None`: it has neither.
pub(super) fn lifetime(reply: &[u8]) -> Option<u32> {
    let counts: &[u8; 6] = reply.get(4..)?.first_chunk()?;
    let [qd0, qd1, an0, an1, ns0, ns1] = *counts;
    let [questions, answers, authorities] =
        [[qd0, qd1], [an0, an1], [ns0, ns1]].map(u16::from_be_bytes);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(reply, at)? + 4;
    }
    let mut shortest = None;
    for _ in 0..answers {
        let record = Frame::read(reply, at)?;
        shortest = Some(shortest.map_or(record.ttl, |ttl: u32| ttl.min(record.ttl)));
        at = record.end;
    }
    if shortest.is_some() || authorities == 0 {
        return shortest;
    }
    Frame::read(reply, at).filter(|record| record.rtype == rtype::SOA).map(|soa| soa.ttl)
}

/// A record in a message.
pub(super) struct Frame<'q> {
    root: bool,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: &'q [u8],
    /// Where the next record begins.
    pub end: usize,
}

impl<'q> Frame<'q> {
    /// Reads the record at an offset.
    pub(super) fn read(query: &'q [u8], at: usize) -> Option<Self> {
        let name_end = skip_name(query, at)?;
        let fixed: &[u8; 10] = query.get(name_end..)?.first_chunk()?;
        let [t0, t1, c0, c1, l0, l1, l2, l3, d0, d1] = *fixed;
        let start = name_end + fixed.len();
        let end = start + usize::from(u16::from_be_bytes([d0, d1]));
        Some(Self {
            root: query.get(at) == Some(&0),
            rtype: u16::from_be_bytes([t0, t1]),
            class: u16::from_be_bytes([c0, c1]),
            ttl: u32::from_be_bytes([l0, l1, l2, l3]),
            rdata: query.get(start..end)?,
            end,
        })
    }
}

/// The end of the name at `at`; pointers (RFC 1035 section 4.1.4) end a name and are not followed.
pub(super) fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return (at + 2 <= message.len()).then_some(at + 2),
            _ => return None,
        }
    }
}
