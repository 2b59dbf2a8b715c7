//! Holds messages of every format to files, so that nodes of two versions understand each other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::wire::FORMATS;
use super::{Beat, ChallengePage, LoadPage, Need, Page, Presence, Report, Roles};
use crate::acme::Challenge;
use crate::health::{CauseKind, Prober, Subject, Verdict, Vote};
use crate::latency::{Client, Measured, Rtt, Way};
use crate::load::Sample;
use crate::name::Name;

fn samples() -> (Page, Beat, Need, LoadPage) {
    let writer = Prober { region: "eu-central".into(), node: "fra-1".into() };
    let vote = |subject, verdict, kind, seconds| {
        let held = Duration::from_secs(seconds);
        Vote { subject: Subject(subject), verdict, kind, held }
    };
    let votes = vec![
        vote(1, Verdict::Unknown, None, 0),
        vote(0x0123_4567_89ab_cdef, Verdict::Up, None, 86_400),
        vote(u64::MAX, Verdict::Down, Some(CauseKind::Status), 59),
    ];
    let (epoch, target) = (1_790_000_000_000, "us-east".into());
    let page = Page { writer: writer.clone(), epoch, seq: 300, target, votes };
    let beat = Beat {
        writer: writer.clone(),
        epoch,
        number: 77,
        impaired: true,
        pages: 2,
        digest: 0xfeed,
    };
    let busy =
        Sample { requests: 812.125, errors: 0.5, in_flight: 31, queue: 4, capacity: Some(2_000.0) };
    let loads = vec![("api".to_owned(), busy), ("web".to_owned(), Sample::default())];
    let load = LoadPage { writer, epoch, seq: 9, loads };
    (page, beat, Need { epoch, pages: vec![0, 1, 4_095] }, load)
}

/// A page of round trips, which later nodes of the first format say.
fn report() -> Report {
    let client = |text: &str| Client::of(text.parse().unwrap()).unwrap();
    let measured = |text: &str, ms, samples, hours: u64| Measured {
        client: client(text),
        settled: Rtt::from_ms(ms),
        samples,
        age: Duration::from_secs(hours * 3_600),
    };
    Report {
        writer: Prober { region: "eu-central".into(), node: "fra-1".into() },
        epoch: 1_790_000_000_000,
        seq: 300,
        ways: vec![Way { to: "us-east".into(), settled: Rtt::from_ms(88.0), samples: 64 }],
        measured: vec![
            measured("192.0.2.0/24", 0.05, 1, 0),
            measured("2001:db8:1::/48", 10_000.0, 64, 255),
        ],
    }
}

/// A page of challenges, which later nodes of the first format say.
fn challenges() -> ChallengePage {
    let owner = Name::parse("_acme-challenge.www.example.com", &Name::root()).unwrap();
    let text = "gfj9Xq2Pc_pTrHdzEmgEt9kVHhbCBS4mMXTAYhEyUEk".to_owned();
    let (token, content) = ("DGyRejmCefe7v4NfDGDKfA".to_owned(), "DGyR.9jg46WB3".to_owned());
    ChallengePage {
        writer: Prober { region: "eu-central".into(), node: "fra-1".into() },
        challenges: vec![Challenge::Dns { owner, text }, Challenge::Http { token, content }],
    }
}

/// Compares a message with the one in a file.
fn is_as_ever(file: &str, message: &[u8]) -> Vec<u8> {
    let written = HEXLOWER.encode(message);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/cluster").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{written}\n")).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim(), written, "the form has changed: give it a new number");
    HEXLOWER.decode(text.trim().as_bytes()).unwrap()
}

#[test]
fn pages_of_challenges_are_as_they_always_were() {
    let octets = is_as_ever("challenge_1.txt", &challenges().encode());
    assert_eq!(ChallengePage::decode(&octets), Ok(challenges()));
}

#[test]
fn presences_are_as_they_always_were() {
    let writer = Prober { region: "eu-central".into(), node: "fra-1".into() };
    let roles = Roles { dns: true, probe: true, proxy: false };
    let version = "0.1.0".to_owned();
    let presence = Presence { writer, roles, version, config: Some(0x0123_4567_89ab) };
    let octets = is_as_ever("presence_1.txt", &presence.encode());
    assert_eq!(Presence::decode(&octets), Ok(presence));
}

#[test]
fn pages_of_round_trips_are_as_they_always_were() {
    let octets = is_as_ever("latency_1.txt", &report().encode());
    assert_eq!(Report::decode(&octets), Ok(report()));
}

#[test]
fn messages_of_every_format_are_as_they_always_were() {
    let (page, beat, need, load) = samples();
    let written = [page.encode(), beat.encode(), need.encode(), load.encode()];
    let written = written.map(|message| HEXLOWER.encode(&message));
    for format in FORMATS {
        let path = format!("tests/golden/cluster/format_{format}.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if format == *FORMATS.end() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, written.join("\n") + "\n").unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        if format == *FORMATS.end() {
            assert_eq!(lines, written, "the format has changed: give it a new number");
        }
        let octets = |at: usize| HEXLOWER.decode(lines[at].as_bytes()).unwrap();
        assert_eq!(Page::decode(&octets(0)), Ok(page.clone()), "format {format}");
        assert_eq!(Beat::decode(&octets(1)), Ok(beat.clone()), "format {format}");
        assert_eq!(Need::decode(&octets(2)), Ok(need.clone()), "format {format}");
        assert_eq!(LoadPage::decode(&octets(3)), Ok(load.clone()), "format {format}");
    }
}
