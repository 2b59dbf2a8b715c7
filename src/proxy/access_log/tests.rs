//! Tests of the access log: what is sampled, lines, files that move, readers that stall.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::metrics::Metrics;

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

struct Started {
    log: Arc<AccessLog>,
    writer: AccessLogWriter,
    metrics: Metrics,
}

fn start(file: &Path, sample: f64, errors: bool) -> Started {
    let metrics = Metrics::new().unwrap();
    let settings = model::AccessLog { file: Some(file.to_owned()), sample, errors };
    let (log, writer) = AccessLog::start(&settings, "fra-1", &metrics.proxy).unwrap();
    Started { log, writer, metrics }
}

impl Started {
    fn count(&self, result: &str) -> u64 {
        self.metrics.proxy.access_log.with_label_values(&[result]).get()
    }

    /// A request that ended with this status.
    fn ask(&self, target: &str, random: f64, status: u16) {
        let request = http::Request::get(target).header("user-agent", "t\"x").body(()).unwrap();
        let (request, ()) = request.into_parts();
        let client = ("192.0.2.7".parse().unwrap(), true);
        if let Some(mut record) = self.log.begin(&request, client, random) {
            record.trace = Some(0xbeef);
            record.ended.status = Some(status);
            record.end();
        }
    }

    fn wait(&self, written: u64) {
        let end = clock::now() + PATIENCE;
        while self.count("written") < written {
            assert!(clock::now() < end, "{} of {written}", self.count("written"));
            thread::yield_now();
        }
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_share_of_the_requests_is_logged_and_every_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    std::fs::write(&file, "half a li").unwrap();
    let log = start(&file, 0.5, true);
    for (target, random, status) in
        [("/in", 0.4, 200), ("/out", 0.6, 200), ("/error", 0.6, 503), ("/client", 0.6, 404)]
    {
        log.ask(target, random, status);
    }
    log.ask(&format!("http://a.test/{}?secret", "x".repeat(3000)), 0.0, 200);
    log.wait(3);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("half a li\n{"), "{text}");
    std::fs::write(&file, text.split_once('\n').unwrap().1).unwrap();
    let lines = lines(&file);
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths[..2], ["/in", "/error"]);
    assert_eq!((paths[2].len(), &lines[2]["host"]), (TEXT_MAX, &Value::from("a.test")));
    for (name, value) in [
        ("node", Value::from("fra-1")),
        ("client", Value::from("192.0.2.7")),
        ("protocol", Value::from("HTTP/1.1")),
        ("tls", Value::from(true)),
        ("method", Value::from("GET")),
        ("status", Value::from(200)),
        ("cause", Value::Null),
        ("user_agent", Value::from("t\"x")),
        ("trace", Value::from("0000000000000000000000000000beef")),
    ] {
        assert_eq!(lines[0][name], value, "{name}");
    }
    log.writer.shutdown();
    let quiet = start(&file, 0.0, false);
    quiet.ask("/", 0.0, 500);
    assert_eq!((quiet.count("written"), quiet.count("dropped")), (0, 0));
    quiet.writer.shutdown();
}

#[test]
fn a_file_that_is_moved_away_is_followed_by_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let log = start(&file, 1.0, true);
    log.ask("/before", 0.0, 200);
    log.wait(1);
    std::fs::rename(&file, &moved).unwrap();
    let end = clock::now() + PATIENCE;
    let mut asked = 1;
    while !file.exists() || std::fs::metadata(&file).unwrap().len() == 0 {
        assert!(clock::now() < end, "no new file");
        log.ask("/after", 0.0, 200);
        asked += 1;
        log.wait(asked);
    }
    log.writer.shutdown();
    assert_eq!(lines(&moved)[0]["path"], "/before");
    assert_eq!(lines(&file)[0]["path"], "/after");
    assert_eq!(lines(&moved).len() + lines(&file).len(), asked as usize, "none is lost");
}

#[test]
fn a_reader_that_stalls_costs_entries_and_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let log = start(&pipe, 1.0, true);
    for _ in 0..20_000 {
        log.ask("/", 0.0, 200);
    }
    let lost = log.count("dropped");
    assert!(lost > 10_000, "{lost}");
    log.writer.shutdown();
}
