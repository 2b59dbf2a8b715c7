//! Tests of transfers that come in.

use super::*;

const APEX: &str = "example.";

/// A record in short: owner, type and RDATA; an SOA has its serial as RDATA.
type Short = (&'static str, u16, &'static [u8]);

fn name(text: &str) -> Vec<u8> {
    Name::parse(text, &Name::root()).unwrap().as_wire().to_vec()
}

fn soa(serial: u8) -> Short {
    const SERIALS: [&[u8]; 6] = [&[0], &[1], &[2], &[3], &[4], &[5]];
    (APEX, 6, SERIALS[usize::from(serial)])
}

const NS: Short = (APEX, 2, b"\x02ns\x00");
const A: Short = ("a.example.", 1, &[192, 0, 2, 1]);
const B: Short = ("b.example.", 1, &[192, 0, 2, 2]);
const C: Short = ("c.example.", 1, &[192, 0, 2, 3]);

fn rdata((_, rtype, rdata): Short) -> Vec<u8> {
    match rtype {
        6 => [&[0, 0, 0, 0, 0], rdata, &[0; 16]].concat(),
        _ => rdata.to_vec(),
    }
}

fn message(records: &[Short]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x84, 0, 0, 0, 0, records.len() as u8, 0, 0, 0, 0];
    for record in records {
        let rdata = rdata(*record);
        message.extend(name(record.0));
        message.extend(record.1.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 60, 0, rdata.len() as u8]);
        message.extend(rdata);
    }
    message
}

fn records(all: &[Short]) -> Records {
    let mut records = Records::default();
    for record in all {
        let (owner, rdata) = (name(record.0), rdata(*record));
        let record =
            Record { owner: &owner, rtype: record.1, ttl: 60, rdata: &rdata, file: 0, line: 0 };
        assert!(records.push(record));
    }
    records.sort();
    records
}

/// The records of a set, whatever their order.
fn content(records: &Records) -> Vec<(Vec<u8>, u16, Vec<u8>)> {
    let all = records.iter().map(|r| (r.owner.to_vec(), r.rtype, r.rdata.to_vec()));
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

/// What becomes of a transfer whose messages hold so many records each.
fn run(copy: Option<u8>, stream: &[Short], step: usize) -> Result<Outcome, Broken> {
    let copy = copy.map(|serial| (u32::from(serial), Arc::new(records(&[soa(serial), NS, A, B]))));
    let apex = Name::parse(APEX, &Name::root()).unwrap();
    let mut incoming = Incoming::new(apex, copy);
    for piece in stream.chunks(step) {
        if incoming.take(&message(piece))? {
            break;
        }
    }
    incoming.finish()
}

#[test]
fn transfers_become_zones_however_they_are_cut() {
    for (what, copy, stream, expected) in [
        ("all of it", None, vec![soa(2), NS, A, soa(2)], vec![soa(2), NS, A]),
        ("all of it instead of changes", Some(1), vec![soa(2), NS, C, soa(2)], vec![soa(2), NS, C]),
        ("a change", Some(1), vec![soa(2), soa(1), A, soa(2), C, soa(2)], vec![soa(2), NS, B, C]),
        ("only removed", Some(1), vec![soa(2), soa(1), A, soa(2), soa(2)], vec![soa(2), NS, B]),
        ("only the serial", Some(1), vec![soa(2), soa(1), soa(2), soa(2)], vec![soa(2), NS, A, B]),
        (
            "two changes",
            Some(1),
            vec![soa(3), soa(1), A, soa(2), C, soa(2), C, soa(3), A, soa(3)],
            vec![soa(3), NS, A, B],
        ),
    ] {
        // With one record a message, the first alone cannot tell that nothing is new.
        for step in 1..=stream.len() {
            match run(copy, &stream, step) {
                Ok(Outcome::Zone(zone)) => {
                    assert_eq!(content(&zone), content(&records(&expected)), "{what}, by {step}");
                }
                other => panic!("{what}, by {step}: {other:?}"),
            }
        }
    }
    assert_eq!(run(Some(1), &[soa(1)], 1), Ok(Outcome::Unchanged));
}

#[test]
fn changed_octets_make_a_zone_or_none() {
    let stream = [soa(3), soa(1), A, soa(2), C, soa(2), C, soa(3), A, soa(3)];
    let mut random = fastrand::Rng::with_seed(20_261_121);
    for _ in 0..20_000 {
        let mut message = message(&stream);
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..message.len());
            message[at] = random.u8(..);
        }
        message.truncate(random.usize(message.len() / 2..=message.len()));
        let copy = Some((1, Arc::new(records(&[soa(1), NS, A, B]))));
        let mut incoming = Incoming::new(Name::parse(APEX, &Name::root()).unwrap(), copy);
        if incoming.take(&message) == Ok(true)
            && let Ok(Outcome::Zone(zone)) = incoming.finish()
        {
            let soas = zone.iter().filter(|record| record.rtype == rtype::SOA).count();
            assert_eq!(soas, 1);
        }
    }
}

#[test]
fn what_is_no_zone_is_refused() {
    let outside: Short = ("a.other.", 1, &[192, 0, 2, 1]);
    let deep_soa: Short = ("a.example.", 6, &[1]);
    let half: Short = ("a.example.", 1, &[192, 0]);
    for (what, copy, stream, expected) in [
        ("no SOA first", None, vec![NS, A], Broken::Start),
        ("no SOA last", None, vec![soa(2), NS, A], Broken::CutShort),
        ("nothing", None, vec![], Broken::CutShort),
        ("no NS", None, vec![soa(2), A, soa(2)], Broken::NoServers),
        ("an owner outside", None, vec![soa(2), NS, outside, soa(2)], Broken::Outside),
        ("an SOA below the apex", None, vec![soa(2), NS, deep_soa, soa(2)], Broken::Outside),
        ("something behind", None, vec![soa(2), NS, soa(2), A], Broken::Surplus),
        ("another SOA last", None, vec![soa(2), NS, soa(3)], Broken::Surplus),
        ("half an address", None, vec![soa(2), NS, half, soa(2)], Broken::Malformed),
        ("changes nobody asked for", None, vec![soa(2), soa(1), soa(2), soa(2)], Broken::Surplus),
        (
            "changes from elsewhere",
            Some(1),
            vec![soa(3), soa(2), A, soa(3), soa(3)],
            Broken::Serial,
        ),
        (
            "a gap in the changes",
            Some(1),
            vec![soa(4), soa(1), A, soa(2), soa(3), soa(4)],
            Broken::Serial,
        ),
        (
            "something to remove that is not there",
            Some(1),
            vec![soa(2), soa(1), C, soa(2), soa(2)],
            Broken::Absent,
        ),
        ("removed twice", Some(1), vec![soa(2), soa(1), A, A, soa(2), soa(2)], Broken::Absent),
        ("the NS removed", Some(1), vec![soa(2), soa(1), NS, soa(2), soa(2)], Broken::NoServers),
        ("changes cut short", Some(1), vec![soa(2), soa(1), A, soa(2), C], Broken::CutShort),
    ] {
        let whole = stream.len().max(1);
        assert_eq!(run(copy, &stream, whole), Err(expected), "{what}");
    }
}
