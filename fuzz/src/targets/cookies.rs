//! Any cookie option: RFC 7873 says which lengths there are, and what is given must be taken back.

use std::sync::LazyLock;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use meridian::dns::{Standing, Transport};
use meridian::snapshot::Snapshot;

use super::dns_support::{Query, ask, decode, script};

/// Octets of the client's part, and of both together as RFC 9018 section 4 has them.
const CLIENT: usize = 8;
const WHOLE: usize = 24;

static WORLD: LazyLock<Snapshot> = LazyLock::new(|| {
    let world = include_str!("../../../tests/data/dns/properties.world");
    script::world(&format!("{world}\noption secret=e5e973e5a6b2a43f48e7dc849e37bfcf"))
});

/// The input is the data of the option.
pub fn run(input: &[u8]) {
    let Some(data) = input.get(..input.len().min(2000)) else { return };
    let (reply, _) = asked(data);
    let given = cookie(&reply);
    let malformed = decode(&reply).metadata.response_code == ResponseCode::FormErr;
    // RFC 7873 sections 4 and 5.2.2.
    if !matches!(data.len(), CLIENT | 16..=40) {
        assert!(malformed && given.is_none(), "{} octets: {given:02x?}", data.len());
        return;
    }
    let given = given.expect("a cookie is answered with one");
    assert!(!malformed && given.len() == WHOLE, "{given:02x?}");
    assert_eq!(given[..CLIENT], data[..CLIENT], "the client's part");
    let (again, standing) = asked(&given);
    assert_eq!((cookie(&again), standing), (Some(given), Standing::Valid));
}

/// The reply to a query with this cookie, and what was made of the cookie.
fn asked(data: &[u8]) -> (Vec<u8>, Standing) {
    let length = (data.len() as u16).to_be_bytes();
    let options = [&[0, 10][..], &length, data].concat();
    let query = Query::new("www.example.com.", 1).edns(1232, &options).wire();
    let (reply, facts) = ask(&WORLD, &query, Transport::Udp);
    (reply.expect("a query is answered"), facts.standing)
}

fn cookie(reply: &[u8]) -> Option<Vec<u8>> {
    match decode(reply).edns?.option(EdnsCode::Cookie)? {
        EdnsOption::Unknown(_, data) => Some(data.clone()),
        other => panic!("{other:?}"),
    }
}
