//! Holds messages of every format to files, so that nodes of two versions understand each other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use data_encoding::HEXLOWER;

use super::wire::FORMATS;
use super::{Beat, Need, Page};
use crate::health::{CauseKind, Prober, Subject, Verdict, Vote};

fn samples() -> (Page, Beat, Need) {
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
    let beat = Beat { writer, epoch, number: 77, impaired: true, pages: 2, digest: 0xfeed };
    (page, beat, Need { epoch, pages: vec![0, 1, 4_095] })
}

#[test]
fn messages_of_every_format_are_as_they_always_were() {
    let (page, beat, need) = samples();
    let written = [page.encode(), beat.encode(), need.encode()].map(|m| HEXLOWER.encode(&m));
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
    }
}
