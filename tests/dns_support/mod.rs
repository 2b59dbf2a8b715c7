//! What the DNS tests share: snapshots from text, queries, and decoded replies.

#![allow(dead_code, unreachable_pub)] // Each test binary uses its own part.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Test.
#![allow(clippy::panic, clippy::indexing_slicing)] // Test.

pub mod script;
mod service;
pub mod sound;

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::Message;
use meridian::acme::{Challenge, Issuance};
use meridian::dns::{Facts, Peer, Reply, Transport, answer};
use meridian::model::{AllDown, ClientSubnet, CookiePolicy, Https};
use meridian::name::{self, Name};
use meridian::snapshot::{
    AnswerOptions, Loaded, ServedZone, ServiceAnswers, Snapshot, ZoneEntry, ZoneSet, load,
};
use meridian::zone::{Record, Records, SteeredOwner, Zone};
use service::Fixed;
use tempfile::TempDir;

/// An absolute name.
pub fn absolute(text: &str) -> Name {
    Name::parse(text, &Name::root()).unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

/// The number of a type by its mnemonic or `TYPEnnn`.
pub fn type_number(text: &str) -> u16 {
    text.strip_prefix("TYPE").map_or_else(
        || {
            let known: hickory_proto::rr::RecordType =
                text.parse().unwrap_or_else(|_| panic!("no type `{text}`"));
            known.into()
        },
        |number| number.parse().unwrap(),
    )
}

/// RDATA of the few forms that the tests write: see the match.
fn rdata(rtype: &str, text: &str, origin: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    let name = |text: &str, wire: &mut Vec<u8>| {
        name::encode(text.as_bytes(), origin.as_wire(), wire).unwrap();
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match (rtype, words.as_slice()) {
        (_, ["\\#", _, hex]) => {
            for at in (0..hex.len()).step_by(2) {
                wire.push(u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
            }
        }
        ("A" | "AAAA", [address]) => match address.parse().unwrap() {
            IpAddr::V4(v4) => wire.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => wire.extend_from_slice(&v6.octets()),
        },
        ("NS" | "CNAME" | "DNAME" | "PTR", [target]) => name(target, &mut wire),
        ("MX", [preference, target]) => {
            wire.extend_from_slice(&preference.parse::<u16>().unwrap().to_be_bytes());
            name(target, &mut wire);
        }
        ("SRV", [priority, weight, port, target]) => {
            for number in [priority, weight, port] {
                wire.extend_from_slice(&number.parse::<u16>().unwrap().to_be_bytes());
            }
            name(target, &mut wire);
        }
        ("SVCB" | "HTTPS", [priority, target, params @ ..]) => {
            wire.extend_from_slice(&priority.parse::<u16>().unwrap().to_be_bytes());
            name(target, &mut wire);
            // The one parameter that the tests write: one protocol.
            for param in params {
                let protocol = param.strip_prefix("alpn=").unwrap();
                let length = protocol.len() as u8;
                wire.extend_from_slice(&[0, 1, 0, length + 1, length]);
                wire.extend_from_slice(protocol.as_bytes());
            }
        }
        ("SOA", [mname, rname, numbers @ ..]) => {
            name(mname, &mut wire);
            name(rname, &mut wire);
            for number in numbers {
                wire.extend_from_slice(&number.parse::<u32>().unwrap().to_be_bytes());
            }
        }
        ("TXT", _) => {
            let text = text.trim().trim_matches('"');
            wire.push(text.len() as u8);
            wire.extend_from_slice(text.as_bytes());
        }
        _ => panic!("`{rtype} {text}` is no RDATA that the tests know"),
    }
    wire
}

/// A world under construction: zones, services, options.
#[derive(Default)]
pub struct Builder {
    zones: Vec<(Name, Option<Records>, Services)>,
    options: AnswerOptions,
    stale: Vec<Name>,
    challenges: Vec<Challenge>,
}

/// Services by owner.
type Services = Vec<(Name, ServiceAnswers)>;

impl Builder {
    /// Adds a zone; the lines and services that follow belong to it.
    pub fn zone(&mut self, apex: &str) {
        self.zones.push((absolute(apex), Some(Records::default()), Vec::new()));
    }

    /// Adds a zone that was never loaded.
    pub fn failed(&mut self, apex: &str) {
        self.zones.push((absolute(apex), None, Vec::new()));
    }

    /// Makes the zone one whose file is broken now.
    pub fn stale(&mut self) {
        let (apex, ..) = self.zones.last().unwrap();
        self.stale.push(apex.clone());
    }

    /// Adds `OWNER TTL TYPE RDATA` to the zone.
    pub fn record(&mut self, line: &str) {
        let (origin, records, _) = self.zones.last_mut().unwrap();
        let mut words = line.trim().splitn(4, ' ').map(str::trim);
        let owner = Name::parse(words.next().unwrap(), origin).unwrap();
        let ttl = words.next().unwrap().parse().unwrap_or_else(|_| panic!("no TTL in `{line}`"));
        let rtype = words.next().unwrap();
        let rdata = rdata(rtype, words.next().unwrap_or_default(), origin);
        let (owner, rtype) = (owner.as_wire(), type_number(rtype));
        let record = Record { owner, rtype, ttl, rdata: &rdata, file: 0, line: 0 };
        assert!(records.as_mut().unwrap().push(record));
    }

    /// Adds `OWNER [ttl=N] [v4=A,B] [v6=A] [scope=N] [cname=NAME] [apart] [blind] [down] [servfail]
    /// [https]`: `apart` puts the addresses into two regions; `down` answers all the same,
    /// `servfail` does not; `https` answers HTTPS with h2 and port 8443.
    pub fn service(&mut self, line: &str) {
        let (origin, _, services) = self.zones.last_mut().unwrap();
        let mut words = line.split_whitespace();
        let owner = Name::parse(words.next().unwrap(), origin).unwrap();
        let words: Vec<_> = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        let value = |key| words.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let list = |key| value(key).map_or(Vec::new(), |list| list.split(',').collect());
        let endpoints = [list("v4"), list("v6")].concat();
        let down = value("servfail").map(|_| AllDown::ServFail);
        let fixed = Fixed {
            ttl: value("ttl").map_or(30, |text| text.parse().unwrap()),
            endpoints: endpoints.iter().map(|text| text.parse().unwrap()).collect(),
            scope: value("scope").map(|bits| bits.parse().unwrap()),
            cname: value("cname").map(|target| Name::parse(target, origin).unwrap()),
            apart: value("apart").is_some(),
            all_down: value("down").map(|_| AllDown::All).or(down),
        };
        let https = Https { alpn: vec!["h2".to_owned()], port: Some(8443) };
        let https = value("https").map(|_| https);
        let subnets = if value("blind").is_some() { ClientSubnet::Off } else { ClientSubnet::On };
        let answers = fixed.answers(&owner).with_https(https.as_ref()).with_client_subnet(subnets);
        services.push((owner, answers));
    }

    /// Sets `udp_payload=N`, `subnet=on`, `subnet=off` or `subnet=PREFIX` (trusted), `nsid=NAME`,
    /// `chaos=on`, `challenge=OWNER:TEXT` (one more), `secret=HEX` (one more), `cookies=on`,
    /// `cookies=off` or `cookies=required`, and the rate limits `positive=N`, `negative=N`,
    /// `error=N`, `slip=N`, `dry_run=on`.
    pub fn option(&mut self, text: &str) {
        let rates = &mut self.options.response_rates;
        match text.split_once('=').unwrap() {
            ("udp_payload", size) => self.options.udp_payload = size.parse().unwrap(),
            ("subnet", "on") => self.options.client_subnet = ClientSubnet::On,
            ("subnet", "off") => self.options.client_subnet = ClientSubnet::Off,
            ("subnet", prefix) => {
                self.options.client_subnet = ClientSubnet::Trusted(vec![prefix.parse().unwrap()]);
            }
            ("positive", rate) => rates.positive = rate.parse().ok(),
            ("negative", rate) => rates.negative = rate.parse().ok(),
            ("error", rate) => rates.error = rate.parse().ok(),
            ("slip", slip) => rates.slip = slip.parse().unwrap(),
            ("dry_run", "on") => rates.dry_run = true,
            ("nsid", name) => name.clone_into(&mut self.options.nsid),
            ("challenge", challenge) => {
                let (owner, text) = challenge.split_once(':').unwrap();
                let (owner, text) = (absolute(owner), text.to_owned());
                self.challenges.push(Challenge::Dns { owner, text });
            }
            ("chaos", "on") => self.options.chaos = true,
            ("secret", hex) => self.options.cookies.secrets.push(hex.parse().unwrap()),
            ("cookies", "on") => self.options.cookies.policy = CookiePolicy::On,
            ("cookies", "off") => self.options.cookies.policy = CookiePolicy::Off,
            ("cookies", "required") => self.options.cookies.policy = CookiePolicy::Required,
            _ => panic!("no option `{text}`"),
        }
    }

    /// The snapshot of all that was added.
    pub fn build(self) -> Snapshot {
        let entries = self.zones.into_iter().map(|(apex, records, services)| {
            let stale = self.stale.contains(&apex);
            let Some(mut records) = records else { return (apex, ZoneEntry::Failed) };
            records.sort();
            let owners: Vec<_> = (0..)
                .zip(&services)
                .map(|(service, (owner, _))| SteeredOwner { owner, service })
                .collect();
            let zone = Arc::new(Zone::build(&apex, &records, &owners).unwrap());
            let labels = (1..).take(services.len()).collect();
            let services = services.into_iter().map(|(_, answers)| Arc::new(answers)).collect();
            let served = ServedZone { stale, ..ServedZone::new(zone, services, labels) };
            (apex, ZoneEntry::Serving(served))
        });
        let zones = ZoneSet::new(entries);
        let issuance = Arc::<Issuance>::default();
        issuance.challenges.set_own(self.challenges);
        Snapshot {
            generation: 1,
            zones,
            primaries: Vec::new(),
            options: self.options,
            issuance,
            region_labels: vec![1, 2],
            state: None,
        }
    }
}

/// A query by parts.
#[derive(Clone, Debug)]
pub struct Query {
    /// Name as text; its case is kept.
    pub name: String,
    /// Type number.
    pub qtype: u16,
    /// Class number.
    pub qclass: u16,
    /// Third and fourth octet of the header.
    pub flags: [u8; 2],
    /// UDP size, version, DO and options; `None`: no OPT.
    pub edns: Option<(u16, u8, bool, Vec<u8>)>,
}

impl Query {
    /// A plain query of class IN.
    pub fn new(name: &str, qtype: u16) -> Self {
        Self { name: name.to_owned(), qtype, qclass: 1, flags: [0; 2], edns: None }
    }

    /// The same with EDNS and these options.
    pub fn edns(mut self, size: u16, options: &[u8]) -> Self {
        self.edns = Some((size, 0, false, options.to_vec()));
        self
    }

    /// The same with a client subnet.
    pub fn subnet(self, address: IpAddr, source: u8) -> Self {
        let octets = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let count = usize::from(source.div_ceil(8));
        let family = if address.is_ipv4() { 1 } else { 2 };
        let head = [0, 8, 0, count as u8 + 4, 0, family, source, 0];
        self.edns(1232, &[&head, &octets[..count]].concat())
    }

    /// Wire form, with message id 0x4d52.
    pub fn wire(&self) -> Vec<u8> {
        let [high, low] = self.flags;
        let additional = u8::from(self.edns.is_some());
        let mut wire = vec![0x4d, 0x52, high, low, 0, 1, 0, 0, 0, 0, 0, additional];
        name::encode(self.name.as_bytes(), &[0], &mut wire).unwrap();
        wire.extend_from_slice(&self.qtype.to_be_bytes());
        wire.extend_from_slice(&self.qclass.to_be_bytes());
        if let Some((size, version, dnssec_ok, options)) = &self.edns {
            wire.extend_from_slice(&[0, 0, 41]);
            wire.extend_from_slice(&size.to_be_bytes());
            wire.extend_from_slice(&[0, *version, if *dnssec_ok { 0x80 } else { 0 }, 0]);
            wire.extend_from_slice(&(options.len() as u16).to_be_bytes());
            wire.extend_from_slice(options);
        }
        wire
    }
}

/// The client, and the time, of the first examples of RFC 9018 (appendix A.1).
pub fn peer(transport: Transport) -> Peer {
    let address = SocketAddr::from(([198, 51, 100, 100], 4242));
    Peer { address, transport, unix_seconds: 1_559_731_985 }
}

thread_local! {
    /// Room for a reply. It is filled once: what the last reply left must not matter either.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0xaa; 65535]);
}

/// A folder with these files.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// What the files of [`folder`] below `config` say.
pub fn loaded(folder: &TempDir, previous: Option<&Loaded>) -> Loaded {
    load(&folder.path().join("config"), previous).unwrap_or_else(|found| panic!("{found}"))
}

/// Asks the engine; `None`: no reply.
pub fn ask(snapshot: &Snapshot, query: &[u8], transport: Transport) -> (Option<Vec<u8>>, Facts) {
    ask_as(snapshot, query, peer(transport))
}

/// Asks the engine as this client.
pub fn ask_as(snapshot: &Snapshot, query: &[u8], peer: Peer) -> (Option<Vec<u8>>, Facts) {
    ROOM.with_borrow_mut(|room| {
        let answer = answer(snapshot, query, peer, 7, room);
        match answer.reply {
            Reply::Length(length) => (Some(room[..length].to_vec()), answer.facts),
            Reply::Drop | Reply::Transfer => (None, answer.facts),
        }
    })
}

/// A reply without the EDNS options that transports add: keepalive and padding.
pub fn without_transport_options(reply: &[u8]) -> Vec<u8> {
    let word = |at: usize| usize::from(u16::from_be_bytes([reply[at], reply[at + 1]]));
    let name_end = |mut at: usize| loop {
        match reply[at] {
            0 => return at + 1,
            0xc0.. => return at + 2,
            length => at += 1 + usize::from(length),
        }
    };
    let mut at = 12;
    for _ in 0..word(4) {
        at = name_end(at) + 4;
    }
    for _ in 0..word(6) + word(8) + word(10) {
        let fixed = name_end(at);
        let (data, end) = (fixed + 10, fixed + 10 + word(fixed + 8));
        if word(fixed) == 41 {
            // OPT is the last record of our replies.
            assert_eq!(end, reply.len());
            let mut bare = reply[..data].to_vec();
            let mut at = data;
            while at < end {
                let next = at + 4 + word(at + 2);
                if !matches!(word(at), 11 | 12) {
                    bare.extend_from_slice(&reply[at..next]);
                }
                at = next;
            }
            let length = (bare.len() - data) as u16;
            bare[data - 2..data].copy_from_slice(&length.to_be_bytes());
            return bare;
        }
        at = end;
    }
    reply.to_vec()
}

/// Decodes a reply with an independent implementation.
pub fn decode(reply: &[u8]) -> Message {
    Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"))
}
