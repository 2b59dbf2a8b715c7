//! Tests of the query log: sampling, forms, files, pipes and sockets, and readers that stall.

use std::fs::{self, File};
use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use prost::Message;
use serde_json::Value;

use super::dnstap::{Dnstap, Kind};
use super::frames::{self, Control};
use super::*;
use crate::dns::engine::Facts;
use crate::model::{LogTarget, QueryLogFormat};

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

fn names() -> LogNames {
    let labels = |names: &[&str]| {
        let labels = Labels::new(8);
        for name in names {
            labels.number(name);
        }
        Arc::new(labels)
    };
    let services = labels(&["www.example.com."]);
    LogNames { node: "fra-1".to_owned(), services, regions: labels(&["eu"]) }
}

fn start(target: LogTarget, format: QueryLogFormat) -> (QueryLog, LogWriter) {
    let settings = model::QueryLog { sample: 1.0, target, format };
    QueryLog::start(&settings, names()).unwrap()
}

/// A query for `www.example.com.` A with the client subnet 203.0.113.0/24.
fn query() -> Vec<u8> {
    let mut query =
        b"\x4d\x52\0\0\0\x01\0\0\0\0\0\x01\x03wWw\x07example\x03com\0\0\x01\0\x01".to_vec();
    query.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x0b\0\x08\0\x07\0\x01\x18\0\xcb\0\x71");
    query
}

fn offer(log: &QueryLog) {
    let facts = Facts { service: Some(1), region: Some(1), scope: 20, ..Facts::default() };
    let answer = Answer { reply: Reply::Length(3), facts };
    let peer: SocketAddr = "192.0.2.1:4242".parse().unwrap();
    log.offer(peer, Transport::Udp, &query(), b"abc and what was in the buffer", &answer);
}

/// Waits until so many entries are written or dropped.
fn wait(log: &QueryLog, entries: u64) {
    let end = clock::now() + PATIENCE;
    let sum = || {
        let LogTotals { written, dropped } = log.totals();
        written.load(Ordering::Relaxed) + dropped.load(Ordering::Relaxed)
    };
    while sum() < entries {
        assert!(clock::now() < end, "{:?}", log.totals());
        thread::yield_now();
    }
}

fn dropped(log: &QueryLog) -> u64 {
    log.totals().dropped.load(Ordering::Relaxed)
}

/// The messages of a whole stream.
fn messages(stream: &[u8]) -> Vec<Dnstap> {
    let mut rest = stream;
    frames::expect(Control::Start, &mut rest).unwrap();
    let mut found = Vec::new();
    loop {
        let (length, tail) = rest.split_first_chunk::<4>().unwrap();
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 {
            frames::expect(Control::Stop, &mut rest).unwrap();
            assert!(rest.is_empty());
            return found;
        }
        found.push(Dnstap::decode(&tail[..length]).unwrap());
        rest = &tail[length..];
    }
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn samples_are_as_many_as_their_share_however_queries_are_batched() {
    let mut random = fastrand::Rng::with_seed(7);
    for (sample, most, least) in
        [(1.0, 100_000, 100_000), (0.0, 0, 0), (0.5, 51_000, 49_000), (0.01, 1_150, 850)]
    {
        for batch in [1, 3, 32] {
            let mut sampler = Sampler { sample, ahead: 0 };
            sampler.ahead = sampler.draw(&mut random);
            let (mut taken, mut asked) = (0, 0);
            while asked < 100_000 {
                asked += batch;
                if !sampler.passes(batch) {
                    taken += (0..batch).filter(|_| sampler.takes(&mut random)).count();
                }
            }
            assert!((least..=most + batch).contains(&taken), "{sample} in {batch}: {taken}");
        }
    }
}

#[test]
fn a_line_of_json_says_what_was_asked_and_why_it_was_answered_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // A crash has left half a line.
    fs::write(&path, "{\"half").unwrap();
    let (log, writer) = start(LogTarget::File(path.clone()), QueryLogFormat::Json);
    offer(&log);
    let peer = "[2001:db8::1]:53".parse().unwrap();
    let facts = Facts { malformed: true, ..Facts::default() };
    log.offer(peer, Transport::Tcp, b"?", &[], &Answer { reply: Reply::Drop, facts });
    writer.shutdown();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let line = |at: usize| -> Value { serde_json::from_str(lines[at]).unwrap() };
    let mut first = line(1);
    assert!(first["time"].as_f64().unwrap() > 1.7e9);
    first.as_object_mut().unwrap().remove("time");
    let expected = serde_json::json!({
        "node": "fra-1", "client": "192.0.2.1", "port": 4242, "transport": "udp",
        "name": "www.example.com.", "type": "A", "subnet": "203.0.113.0/24",
        "rcode": "NOERROR", "truncated": false, "size": 3,
        "service": "www.example.com.", "region": "eu", "scope": 20, "cause": "steered",
    });
    assert_eq!(first, expected);
    let second = line(2);
    assert_eq!(second["cause"], "malformed");
    assert!(second["name"].is_null() && second["rcode"].is_null());
    assert_eq!(dropped(&log), 0);
}

#[test]
fn a_dnstap_file_is_continued_after_an_end_and_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for (round, crash) in [(1, false), (2, true), (3, false)] {
        let (log, writer) = start(LogTarget::File(path.clone()), QueryLogFormat::Dnstap);
        offer(&log);
        writer.shutdown();
        let stream = fs::read(&path).unwrap();
        let found = messages(&stream);
        assert_eq!(found.len(), round);
        let message = found[round - 1].message.as_ref().unwrap();
        assert_eq!(message.kind, Kind::AuthResponse as i32);
        assert_eq!(message.query_address.as_deref(), Some(&[192, 0, 2, 1][..]));
        assert_eq!(message.query_message.as_deref(), Some(&query()[..]));
        assert_eq!(message.response_message.as_deref(), Some(&b"abc"[..]));
        let extra: Value =
            serde_json::from_slice(found[round - 1].extra.as_ref().unwrap()).unwrap();
        assert_eq!(extra["service"], "www.example.com.");
        if crash {
            let mut half = stream[..stream.len() - frames::control(Control::Stop).len()].to_vec();
            half.extend_from_slice(&[0, 0, 0, 99, 1, 2, 3]);
            fs::write(&path, half).unwrap();
        }
    }
}

#[test]
fn a_file_that_holds_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "something else, of some length").unwrap();
    let target = LogTarget::File(path.clone());
    let settings = model::QueryLog { sample: 1.0, target, format: QueryLogFormat::Dnstap };
    assert!(QueryLog::start(&settings, names()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else, of some length");
    let target = LogTarget::File(folder.path().join("none/log"));
    let settings = model::QueryLog { sample: 1.0, target, format: QueryLogFormat::Json };
    assert!(QueryLog::start(&settings, names()).is_err());
}

#[test]
fn streams_of_others_are_told_from_ours() {
    for (what, stream) in [
        ("nothing", &b""[..]),
        ("half a frame", b"\0\0\0\0\0\0"),
        ("a data frame first", b"\0\0\0\x01x"),
        ("a control frame too long", b"\0\0\0\0\0\x01\0\0"),
        ("one too short", b"\0\0\0\0\0\0\0\x02\0\x02"),
        ("another control frame", &frames::control(Control::Ready)),
        ("another content", b"\0\0\0\0\0\0\0\x0d\0\0\0\x02\0\0\0\x01\0\0\0\x01x"),
        ("a field longer than its frame", b"\0\0\0\0\0\0\0\x0c\0\0\0\x02\0\0\0\x01\0\0\0\x09"),
    ] {
        assert!(frames::end(&mut BufReader::new(stream)).is_err(), "{what}");
    }
    let start = frames::control(Control::Start);
    let ends = |more: &[u8]| frames::end(&mut BufReader::new(&*[&start, more].concat())).unwrap();
    let at = start.len() as u64;
    assert_eq!(ends(b""), at);
    assert_eq!(ends(b"\0\0\0\x02ab"), at + 6);
    assert_eq!(ends(b"\0\0\0\x02ab\xff\xff\xff\xff"), at + 6);
    assert_eq!(ends(&[b"\0\0\0\x01a", &frames::control(Control::Stop)[..]].concat()), at + 5);
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew() {
    for format in [QueryLogFormat::Json, QueryLogFormat::Dnstap] {
        let folder = tempfile::tempdir().unwrap();
        let [path, old] = ["log", "log.1"].map(|name| folder.path().join(name));
        let (log, writer) = start(LogTarget::File(path.clone()), format);
        offer(&log);
        wait(&log, 1);
        fs::rename(&path, &old).unwrap();
        let end = clock::now() + PATIENCE;
        let mut entries = 1;
        while !path.exists() {
            assert!(clock::now() < end, "no new file");
            entries += 1;
            offer(&log);
            wait(&log, entries);
        }
        writer.shutdown();
        let count = |path: &Path| match format {
            QueryLogFormat::Json => fs::read_to_string(path).unwrap().lines().count(),
            QueryLogFormat::Dnstap => messages(&fs::read(path).unwrap()).len(),
        };
        assert_eq!(count(&path) + count(&old), entries as usize);
        assert_eq!(dropped(&log), 0);
    }
}

#[test]
fn a_pipe_that_nobody_reads_costs_entries_and_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    mkfifo(&path);
    for held_open in [false, true] {
        // Opened by a reader that never reads, or by nobody at all.
        let reader = held_open.then(|| File::options().read(true).write(true).open(&path).unwrap());
        let (log, writer) = start(LogTarget::File(path.clone()), QueryLogFormat::Json);
        let begun = clock::now();
        for _ in 0..3 * QUEUE_MAX {
            offer(&log);
        }
        assert!(clock::now().since(begun) < Duration::from_secs(2), "a worker waited");
        assert!(dropped(&log) > 0, "{:?}", log.totals());
        let begun = clock::now();
        writer.shutdown();
        assert!(clock::now().since(begun) < Duration::from_secs(3), "the shutdown waited");
        drop(reader);
    }
}

#[test]
fn a_pipe_is_written_once_its_reader_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    mkfifo(&path);
    let (log, writer) = start(LogTarget::File(path.clone()), QueryLogFormat::Dnstap);
    offer(&log);
    let mut reader = File::open(&path).unwrap();
    wait(&log, 1);
    writer.shutdown();
    let mut stream = Vec::new();
    reader.read_to_end(&mut stream).unwrap();
    assert_eq!(messages(&stream).len(), 1);
}

#[test]
fn a_socket_gets_the_handshake_of_frame_streams() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (log, writer) = start(LogTarget::Socket(path.clone()), QueryLogFormat::Dnstap);
    offer(&log);
    // The reader comes after the log, goes away, and comes again.
    for entry in 1..=2 {
        let listener = UnixListener::bind(&path).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        fs::remove_file(&path).unwrap();
        frames::expect(Control::Ready, &mut stream).unwrap();
        stream.write_all(&frames::control(Control::Accept)).unwrap();
        frames::expect(Control::Start, &mut stream).unwrap();
        wait(&log, entry);
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).unwrap();
        assert!(Dnstap::decode(&frame[..]).unwrap().message.is_some());
        if entry == 2 {
            let finish = thread::spawn(move || {
                frames::expect(Control::Stop, &mut stream).unwrap();
                stream.write_all(&frames::control(Control::Finish)).unwrap();
            });
            writer.shutdown();
            finish.join().unwrap();
            return;
        }
        drop(stream);
        // The first entry after that finds the reader gone, the next one is for the new reader.
        offer(&log);
        wait(&log, entry + 1);
        assert_eq!(dropped(&log), 1);
        log.totals().dropped.store(0, Ordering::Relaxed);
        offer(&log);
    }
}
