//! Any stream of messages as a transfer: it becomes a sound zone, or none.

use std::sync::Arc;

use meridian::dns::transfer::{Incoming, Outcome};
use meridian::name::Name;
use meridian::zone::{Record, Records, Zone, kept, rtype};

/// The zone.
fn apex() -> Name {
    Name::parse("example.", &Name::root()).unwrap()
}

/// The copy that changes apply to: serial 1, one server, two addresses.
fn copy() -> Records {
    let mut records = Records::default();
    let soa = [&[0, 0, 0, 0, 0, 1][..], &[0; 16]].concat();
    let all: [(&[u8], u16, &[u8]); 4] = [
        (b"\x07example\x00", rtype::SOA, &soa),
        (b"\x07example\x00", rtype::NS, b"\x02ns\x00"),
        (b"\x01a\x07example\x00", rtype::A, &[192, 0, 2, 1]),
        (b"\x01b\x07example\x00", rtype::A, &[192, 0, 2, 2]),
    ];
    for (owner, rtype, rdata) in all {
        assert!(records.push(Record { owner, rtype, ttl: 60, rdata, file: 0, line: 0 }));
    }
    records.sort();
    records
}

/// The input is a stream as TCP carries it: each message has its length in front.
pub fn run(input: &[u8]) {
    for held in [None, Some((1, Arc::new(copy())))] {
        let mut incoming = Incoming::new(apex(), held);
        let mut rest = input;
        let mut done = Ok(false);
        while let Some(([high, low], tail)) = rest.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some((message, tail)) = tail.split_at_checked(length) else { break };
            rest = tail;
            done = incoming.take(message);
            if done != Ok(false) {
                break;
            }
        }
        match (done, incoming.finish()) {
            (Ok(true), Ok(Outcome::Zone(records))) => sound(&records),
            (Ok(false), Ok(Outcome::Zone(_))) => panic!("a zone before its end"),
            _ => {}
        }
    }
}

/// A zone that was taken over can be kept and served.
fn sound(records: &Records) {
    let apex = apex();
    let soas = records.iter().filter(|record| record.rtype == rtype::SOA);
    let soas: Vec<_> = soas.map(|record| record.owner).collect();
    assert_eq!(soas, [apex.as_wire()], "one SOA, at the apex");
    assert_eq!(kept::decode(&kept::encode(records)).as_ref(), Some(records));
    let zone = Zone::build(&apex, records, &[]).unwrap();
    assert!(zone.negative_soa().is_some());
}
