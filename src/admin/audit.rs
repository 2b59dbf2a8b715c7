//! The audit log: one line for each write over the API, chained by digests.

mod chain;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tracing::{error, info, warn};

use self::chain::{FIRST, Lines, MARK, NAME, hash, verify};
use super::access::Who;
use crate::clock;
use crate::durable;
use crate::metrics::Metrics;

pub use chain::{AuditFile, Broken, examine_audit};

/// A log that has become longer is put aside, and a new one goes on with its chain.
const SIZE_MAX: u64 = 16 << 20;

/// One write.
#[derive(Clone, Debug, Serialize)]
struct Record<'a> {
    /// Seconds since 1970-01-01 UTC.
    time: u64,
    /// Whose rights it was done with.
    who: &'a str,
    /// Where from.
    address: &'a str,
    /// What was done: `override.set`, `override.clear`, `cache.purge`, `reports`.
    what: &'a str,
    /// What there was; null: nothing.
    before: Value,
    /// What there is; null: nothing.
    after: Value,
    /// Why.
    reason: &'a str,
}

/// A record and the digest of the line before.
#[derive(Serialize)]
struct Chained<'a> {
    #[serde(flatten)]
    record: &'a Record<'a>,
    previous: &'a str,
}

/// One write, to be written down.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// Whose rights it was done with.
    pub(super) who: Who,
    /// What was done.
    pub(super) what: &'static str,
    /// What there was.
    pub(super) before: Value,
    /// What there is.
    pub(super) after: Value,
    /// Why.
    pub(super) reason: String,
}

/// The log, for all who write.
///
/// The lock is held while a line goes to disk, by threads for blocking work alone.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    log: Arc<Mutex<AuditLog>>,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// The log in this state folder.
    pub(super) fn open(state: &Path, metrics: Arc<Metrics>) -> Self {
        Self { log: Arc::new(Mutex::new(AuditLog::open(state))), metrics }
    }

    /// Writes a line; a failure is told and counted.
    pub(super) async fn note(&self, note: Note) {
        let log = self.log.clone();
        let write = move || {
            let Note { who, what, before, after, reason } = note;
            let record = Record {
                time: clock::unix_seconds(),
                who: &who.name,
                address: &who.address,
                what,
                before,
                after,
                reason: &reason,
            };
            log.lock().unwrap_or_else(PoisonError::into_inner).append(&record)
        };
        if let Err(error) = durable::on_disk(write).await {
            self.metrics.state_failures.inc();
            error!(error, "cannot write the audit log");
        }
    }
}

/// `audit.log` in the state folder.
///
/// A line's digest is over its text and, in it, the digest of the line before: who changes or
/// removes a line in the middle must write all later ones anew, and whoever has seen a later
/// digest can tell.
#[derive(Debug)]
struct AuditLog {
    path: PathBuf,
    last: String,
}

impl AuditLog {
    /// Opens the log in this state folder, which need not be there, and warns of a broken chain.
    fn open(state: &Path) -> Self {
        let path = state.join(NAME);
        let mut last = FIRST.to_owned();
        match File::open(&path).and_then(|file| verify(BufReader::new(file))) {
            Ok(Lines { last: digest, broken, .. }) => {
                last = digest;
                if let Some(Broken { line, why }) = broken {
                    let file = path.display();
                    warn!(%file, line, why, "the audit log was changed by somebody else");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(file = %path.display(), %error, "cannot read the audit log"),
        }
        Self { path, last }
    }

    /// Puts a long log aside under the beginning of its last digest.
    fn put_aside(&self) {
        let length = fs::metadata(&self.path).map_or(0, |data| data.len());
        if length <= SIZE_MAX {
            return;
        }
        let name = format!("audit-{}.log", self.last.get(..16).unwrap_or("broken"));
        let aside = self.path.with_file_name(name);
        match fs::rename(&self.path, &aside) {
            Ok(()) => info!(file = %aside.display(), "the audit log was put aside, it is long"),
            Err(error) => warn!(%error, "cannot put the audit log aside, it goes on"),
        }
    }

    /// Appends one line and waits until it is on disk.
    fn append(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.put_aside();
        let text = serde_json::to_string(&Chained { record, previous: &self.last })?;
        let content = text.strip_suffix('}').unwrap_or(&text);
        let hash = hash(content);
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(format!("{content}{MARK}{hash}\"}}\n").as_bytes())?;
        // The line is written; a crash before it is on disk loses it as a whole.
        self.last = hash;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reason: &str) -> Record<'_> {
        let (before, after) = (Value::Null, serde_json::json!({ "x": "a\",\"hash\":\"b" }));
        Record { time: 7, who: "a", address: "-", what: "override.set", before, after, reason }
    }

    fn broken(text: &str) -> Option<Broken> {
        verify(text.as_bytes()).unwrap().broken
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(folder.path());
        for reason in ["one", "two", "three"] {
            log.append(&record(reason)).unwrap();
        }
        // A restart goes on with the chain.
        let mut log = AuditLog::open(folder.path());
        log.append(&record("four")).unwrap();
        let text = fs::read_to_string(folder.path().join("audit.log")).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
        assert_eq!(broken(&text), None);
        let lines: Vec<&str> = text.lines().collect();
        let without: Vec<&str> = [lines[0], lines[2], lines[3]].to_vec();
        let (changed, gone) = ("its content does not match its digest", "a line before it is");
        for (case, text, line, why) in [
            ("a changed word", text.replace("two", "owt"), 2, changed),
            ("a line taken out", without.join("\n"), 2, gone),
            ("a line without digest", format!("{text}{{}}\n"), 5, "it has no digest"),
            ("half a line", text[..text.len() - 9].to_owned(), 4, changed),
        ] {
            let found = broken(&text).expect(case);
            assert!(found.line == line && found.why.starts_with(why), "{case}: {found:?}");
        }
    }

    #[test]
    fn a_long_log_is_put_aside_and_its_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AuditLog::open(folder.path());
        log.append(&record("first")).unwrap();
        let path = folder.path().join("audit.log");
        let one = fs::read_to_string(&path).unwrap();
        let long = one.repeat((SIZE_MAX / one.len() as u64) as usize + 2);
        fs::write(&path, &long).unwrap();
        let mut log = AuditLog::open(folder.path());
        log.append(&record("next")).unwrap();
        let next = fs::read_to_string(&path).unwrap();
        assert!(
            next.contains(&format!("\"previous\":\"{}\"", hash(one.rsplit_once(MARK).unwrap().0)))
        );
        assert_eq!(broken(&next), None);

        // Files that were put aside are checked with it, in their order.
        let kept = format!("{}\n", one.trim_end());
        let aside = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside: Vec<PathBuf> = aside.filter(|file| *file != path).collect();
        fs::write(&aside[0], &kept).unwrap();
        let told = |files: &[AuditFile]| -> Vec<(u64, Option<u64>)> {
            files.iter().map(|file| (file.lines, file.broken.as_ref().map(|b| b.line))).collect()
        };
        let files = examine_audit(folder.path()).unwrap();
        assert_eq!(told(&files), [(1, None), (1, None)]);
        assert_eq!((files[0].follows.as_str(), files[1].follows.as_str()), (&*files[1].last, ""));
        fs::write(folder.path().join("audit-0.log"), "{}\n").unwrap();
        fs::write(folder.path().join("audit-1.log"), kept.replace("first", "other")).unwrap();
        fs::write(folder.path().join("other.log"), "").unwrap();
        let files = examine_audit(folder.path()).unwrap();
        assert_eq!(told(&files), [(1, None), (1, None), (1, Some(1)), (1, Some(1))]);
        fs::write(folder.path().join("audit-1.log"), &next).unwrap();
        let files = examine_audit(folder.path()).unwrap();
        let stray = files.iter().find(|file| file.file.ends_with("audit-1.log")).unwrap();
        assert_eq!(stray.broken.as_ref().unwrap().why, "no later file goes on from it");
    }
}
