//! Thirty ways in which a file of a running server can be broken.

const NODE: &str = "config/node.toml";
const FLEET: &str = "config/fleet.toml";
const ZONE: &str = "zones/turn.test.zone";
const SERVICES: &str = "zones/turn.test.toml";

/// A file and how it is broken.
pub(crate) struct Broken {
    /// What is wrong.
    pub(crate) what: &'static str,
    /// The file.
    pub(crate) file: &'static str,
    change: Change,
}

/// What is done to the good text.
enum Change {
    /// This is added at the end.
    Add(&'static str),
    /// The first is replaced by the second.
    Replace(&'static str, &'static str),
    /// These octets take its place.
    Whole(&'static [u8]),
}

use Change::{Add, Replace, Whole};

impl Broken {
    /// The broken file, made from the good one.
    pub(crate) fn apply(&self, good: &str) -> Vec<u8> {
        match self.change {
            Add(more) => [good, more].concat().into_bytes(),
            Replace(from, to) => {
                assert!(good.contains(from), "{}: `{from}` is not in the good file", self.what);
                good.replacen(from, to, 1).into_bytes()
            }
            Whole(octets) => octets.to_vec(),
        }
    }
}

const fn broken(what: &'static str, file: &'static str, change: Change) -> Broken {
    Broken { what, file, change }
}

/// The thirty.
pub(crate) const BROKEN: [Broken; 30] = [
    broken("a zone file that is empty", ZONE, Whole(b"")),
    broken("a zone file of noise", ZONE, Whole(b"\x00\xff\xfe\x01(((\x80\n\x07")),
    broken("a zone cut off in the SOA", ZONE, Whole(b"@ 60 IN SOA ns1.turn.test. (")),
    broken("a zone without SOA", ZONE, Replace("SOA", "TXT")),
    broken("a second SOA", ZONE, Add("@ IN SOA ns2 root 1 2 3 4 5\n")),
    broken("a zone without NS", ZONE, Replace("@ IN NS ns1", "")),
    broken("a CNAME beside other data", ZONE, Add("text IN CNAME target\n")),
    broken("a second CNAME", ZONE, Add("alias IN CNAME ns1\n")),
    broken("an address of five parts", ZONE, Add("more IN A 192.0.2.1.5\n")),
    broken("an unknown type", ZONE, Add("more IN ADRESS 192.0.2.1\n")),
    broken("an open parenthesis", ZONE, Add("more IN TXT ( \"a\"\n")),
    broken("an open quote", ZONE, Add("more IN TXT \"a\n")),
    broken("a label of 64 letters", ZONE, Add(LONG_LABEL)),
    broken("data of another zone", ZONE, Add("www.other.test. IN A 192.0.2.1\n")),
    broken("a file that is not there", ZONE, Add("$INCLUDE missing.zone\n")),
    broken("a file that includes itself", ZONE, Add("$INCLUDE turn.test.zone\n")),
    broken("an unknown directive", ZONE, Add("$ORIGINS turn.test.\n")),
    broken("a static record where a service is", ZONE, Add("www IN A 192.0.2.1\n")),
    broken("services that are no TOML", SERVICES, Whole(b"[service.www\n")),
    broken("an unknown key of a service", SERVICES, Add("answer = 1\n")),
    broken("an unknown pool", SERVICES, Replace("\"web\"", "\"wep\"")),
    broken("an unknown method", SERVICES, Replace("proximity", "proximaty")),
    broken("a TTL range upside down", SERVICES, Add("ttl = { min = \"9s\", max = \"1s\" }\n")),
    broken("a fleet of another version", FLEET, Replace("version = 1", "version = 2")),
    broken("an endpoint in no region", FLEET, Replace("region = \"near\"", "region = \"far\"")),
    broken("an unknown monitor", FLEET, Add("monitors = [\"none\"]\n")),
    broken("a latitude above the pole", FLEET, Replace("lat = 50.11", "lat = 150.11")),
    broken("a fleet of octets", FLEET, Whole(b"\xff\xfe\x00\x00version = 1")),
    broken("a node in no region", NODE, Replace("region = \"near\"", "region = \"\"")),
    broken("an unknown table of a node", NODE, Add("[dnss]\nlisten = []\n")),
];

const LONG_LABEL: &str =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa IN A 192.0.2.1\n";
