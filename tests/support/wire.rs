//! DNS messages, written and read by hand: independent of the server's own code.

use std::net::IpAddr;

use hickory_proto::op::Message;

/// A question to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Name in text form; `\DDD` and `\X` escapes are understood, the case is kept.
    pub(crate) name: String,
    /// Type number.
    pub(crate) rtype: u16,
    /// Whether an OPT record goes along.
    pub(crate) edns: bool,
    /// Client subnet (RFC 7871): address and source prefix length; implies EDNS.
    pub(crate) subnet: Option<(IpAddr, u8)>,
}

impl Ask {
    /// A question without EDNS.
    pub(crate) fn new(name: &str, rtype: u16) -> Self {
        Self { name: name.to_owned(), rtype, edns: false, subnet: None }
    }

    /// The same question with EDNS.
    pub(crate) fn with_edns(mut self) -> Self {
        self.edns = true;
        self
    }

    /// The same question on behalf of a client subnet.
    pub(crate) fn with_subnet(mut self, address: IpAddr, length: u8) -> Self {
        self.subnet = Some((address, length));
        self
    }

    /// The message on the wire.
    pub(crate) fn encode(&self, id: u16) -> Vec<u8> {
        let edns = self.edns || self.subnet.is_some();
        let mut out = Vec::with_capacity(64);
        for field in [id, 0, 1, 0, 0, u16::from(edns)] {
            out.extend(field.to_be_bytes());
        }
        out.extend(encode_name(&self.name));
        out.extend(self.rtype.to_be_bytes());
        out.extend(1u16.to_be_bytes());
        if edns {
            let options = self.subnet.map(|(address, length)| subnet_option(address, length));
            let options = options.unwrap_or_default();
            out.extend([0, 0, 41]);
            out.extend(1232u16.to_be_bytes());
            out.extend([0; 4]);
            out.extend((options.len() as u16).to_be_bytes());
            out.extend(options);
        }
        out
    }
}

/// An address's octets up to `length` bits, and its family number.
fn subnet_option(address: IpAddr, length: u8) -> Vec<u8> {
    let (family, mut octets) = match address {
        IpAddr::V4(v4) => (1u16, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    octets.truncate(usize::from(length).div_ceil(8));
    if let Some(last) = octets.last_mut().filter(|_| !length.is_multiple_of(8)) {
        *last &= 0xff << (8 - length % 8);
    }
    let mut out = Vec::new();
    for field in [8, 4 + octets.len() as u16, family] {
        out.extend(field.to_be_bytes());
    }
    out.extend([length, 0]);
    out.extend(octets);
    out
}

/// A name in wire form.
pub(crate) fn encode_name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut label = Vec::new();
    let mut rest = text.trim_end_matches('.').bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'.' => {
                out.push(label.len() as u8);
                out.append(&mut label);
            }
            b'\\' => {
                let first = rest.next().expect("an escape is not the end");
                if first.is_ascii_digit() {
                    let digits = [first, rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                    let text = std::str::from_utf8(&digits).expect("three digits");
                    label.push(text.parse().expect("three digits"));
                } else {
                    label.push(first);
                }
            }
            _ => label.push(byte),
        }
    }
    if !label.is_empty() {
        out.push(label.len() as u8);
        out.append(&mut label);
    }
    out.push(0);
    out
}

/// One record of a reply; names in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rr {
    /// Owner name in text form.
    pub(crate) owner: String,
    /// Type number.
    pub(crate) rtype: u16,
    /// TTL in seconds.
    pub(crate) ttl: u32,
    /// RDATA with its names uncompressed and in lower case.
    pub(crate) rdata: Vec<u8>,
}

impl Rr {
    /// The address of an A or AAAA record.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.rtype {
            1 => <[u8; 4]>::try_from(&self.rdata[..]).ok().map(IpAddr::from),
            28 => <[u8; 16]>::try_from(&self.rdata[..]).ok().map(IpAddr::from),
            _ => None,
        }
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Message id.
    pub(crate) id: u16,
    /// Response code, with the upper bits of EDNS.
    pub(crate) rcode: u16,
    /// Authoritative answer.
    pub(crate) aa: bool,
    /// Truncated.
    pub(crate) tc: bool,
    /// The question section as it is on the wire.
    pub(crate) question: Vec<u8>,
    /// Answer section.
    pub(crate) answer: Vec<Rr>,
    /// Authority section.
    pub(crate) authority: Vec<Rr>,
    /// Additional section without OPT.
    pub(crate) additional: Vec<Rr>,
    /// Source and scope prefix length of the client subnet option.
    pub(crate) scope: Option<(u8, u8)>,
}

impl Reply {
    /// Reads a message; what `hickory-proto` cannot decode too is an error.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, String> {
        let peer = Message::from_vec(message).map_err(|error| format!("hickory: {error}"))?;
        let reply = Self::read(message).ok_or("the message ends too early")?;
        let counts = [&peer.answers, &peer.authorities, &peer.additionals].map(Vec::len);
        let own = [&reply.answer, &reply.authority, &reply.additional].map(Vec::len);
        if counts == own { Ok(reply) } else { Err(format!("{own:?} records, hickory: {counts:?}")) }
    }

    /// The addresses of the answer section.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.answer.iter().filter_map(Rr::address).collect()
    }

    fn read(message: &[u8]) -> Option<Self> {
        let mut reader = Reader { message, at: 0 };
        let fields: Option<Vec<u16>> = (0..6).map(|_| reader.u16()).collect();
        let [id, flags, questions, answers, authorities, additionals] = fields?[..] else {
            return None;
        };
        for _ in 0..questions {
            reader.name()?;
            reader.bytes(4)?;
        }
        let question = message.get(12..reader.at)?.to_vec();
        let answer = reader.records(answers)?;
        let authority = reader.records(authorities)?;
        let mut additional = reader.records(additionals)?;
        let opt = additional.iter().position(|rr| rr.rtype == 41).map(|at| additional.remove(at));
        let high = opt.as_ref().map_or(0, |opt| (opt.ttl >> 24) as u16);
        Some(Self {
            id,
            rcode: high << 4 | flags & 15,
            aa: flags & 0x0400 != 0,
            tc: flags & 0x0200 != 0,
            question,
            answer,
            authority,
            additional,
            scope: opt.and_then(|opt| scope(&opt.rdata)),
        })
        .filter(|_| flags & 0x8000 != 0 && reader.at == message.len())
    }
}

/// Source and scope prefix length in the options of an OPT record.
fn scope(mut options: &[u8]) -> Option<(u8, u8)> {
    while let [c0, c1, l0, l1, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if [*c0, *c1] == [0, 8] {
            return Some((*rest.get(2)?, *rest.get(3)?));
        }
        options = rest.get(length..)?;
    }
    None
}

/// A place in a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..self.at + count)?;
        self.at += count;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name in uncompressed wire form, in lower case.
    fn name(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let (mut at, mut end) = (self.at, None);
        loop {
            let length = *self.message.get(at)?;
            if length >= 0xc0 {
                end = end.or(Some(at + 2));
                let target =
                    usize::from(length & 0x3f) << 8 | usize::from(*self.message.get(at + 1)?);
                if target >= at {
                    return None;
                }
                at = target;
                continue;
            }
            let label = self.message.get(at..=at + usize::from(length))?;
            out.extend(label.to_ascii_lowercase());
            at += label.len();
            if length == 0 {
                self.at = end.unwrap_or(at);
                return Some(out);
            }
        }
    }

    fn records(&mut self, count: u16) -> Option<Vec<Rr>> {
        (0..count).map(|_| self.record()).collect()
    }

    fn record(&mut self) -> Option<Rr> {
        let owner = name_text(&self.name()?);
        let rtype = self.u16()?;
        self.u16()?;
        let ttl = u32::from_be_bytes(self.bytes(4)?.try_into().ok()?);
        let length = usize::from(self.u16()?);
        let end = self.at + length;
        let mut rdata = Vec::new();
        // Octets before the first name, and the number of names, of the types that hold names.
        let (fixed, names) = match rtype {
            2 | 5 | 12 | 39 => (0, 1),
            6 | 14 | 17 => (0, 2),
            15 | 18 | 36 => (2, 1),
            33 => (6, 1),
            _ => (0, 0),
        };
        rdata.extend(self.bytes(fixed)?);
        for _ in 0..names {
            rdata.extend(self.name()?);
        }
        rdata.extend(self.message.get(self.at..end)?);
        self.at = end;
        Some(Rr { owner, rtype, ttl, rdata })
    }
}

/// The text of an uncompressed name.
pub(crate) fn name_text(mut wire: &[u8]) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = wire.split_first().filter(|(length, _)| **length > 0) {
        let (label, after) = rest.split_at(usize::from(*length));
        for byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(*byte)]),
                0x21..=0x7e => text.push(char::from(*byte)),
                _ => text.extend(format!("\\{byte:03}").chars()),
            }
        }
        text.push('.');
        wire = after;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}
