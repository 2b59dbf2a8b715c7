//! The `feed` check: what others report of an endpoint, and how long that holds.

mod reports;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use crate::health::{CauseKind, Outcome};
use crate::model::{Address, FeedCheck, Stale};

use reports::plain_name;
pub use reports::{Bulletin, Report, State};

/// Largest file of reports: a hundred thousand lines fit.
const FILE_MAX: u64 = 8 << 20;

/// Most endpoints of which one monitor keeps reports.
const REPORTS_MAX: usize = 100_000;

/// Most monitors with reports; those that are gone keep their place until the restart.
const MONITORS_MAX: usize = 1_000;

/// All reports, by monitor and endpoint. The file of a monitor and whoever else pushes meet here.
#[derive(Debug, Default)]
pub struct Feeds {
    /// Held for a look-up or a few changes, never while waiting.
    state: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    reports: HashMap<String, BTreeMap<String, Report>>,
    /// What each file was when it was last read, and what was wrong with it.
    files: HashMap<String, (Stamp, Option<Arc<str>>)>,
}

/// By which a changed file is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    modified: Duration,
    length: u64,
    number: u64,
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        let modified = file.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self { modified: modified.unwrap_or_default(), length: file.len(), number: file.ino() }
    }
}

impl Feeds {
    /// Takes in a report of `monitor` on the endpoint that is answered as `endpoint`, unless a
    /// newer one is there.
    ///
    /// # Errors
    /// When there are too many reports already.
    pub fn push(&self, monitor: &str, endpoint: &str, report: Report) -> Result<(), String> {
        let mut known = self.known();
        if known.reports.len() >= MONITORS_MAX && !known.reports.contains_key(monitor) {
            return Err(format!("more than {MONITORS_MAX} monitors with reports"));
        }
        let reports = known.reports.entry(monitor.to_owned()).or_default();
        let endpoint = plain_name(endpoint);
        if reports.len() >= REPORTS_MAX && !reports.contains_key(&endpoint) {
            return Err(format!("more than {REPORTS_MAX} reports of monitor `{monitor}`"));
        }
        match reports.get_mut(&endpoint) {
            Some(older) if older.at > report.at => {}
            Some(older) => *older = report,
            None => {
                reports.insert(endpoint, report);
            }
        }
        Ok(())
    }

    /// Takes in reports of `monitor` as of `unix_now` seconds, and gives their number.
    ///
    /// # Errors
    /// When there are too many reports already; those that had room are taken.
    pub fn announce(
        &self,
        monitor: &str,
        bulletin: Bulletin,
        unix_now: u64,
    ) -> Result<usize, String> {
        let mut taken = 0;
        for (endpoint, report) in bulletin.reports(unix_now) {
            self.push(monitor, &endpoint, report)?;
            taken += 1;
        }
        Ok(taken)
    }

    /// Reads the file of `monitor` if it has changed. What is wrong with it is remembered for
    /// [`Feeds::judge`]; its good lines hold all the same.
    pub(super) fn refresh(&self, monitor: &str, path: &Path) {
        let found = std::fs::metadata(path);
        let stamp = found.as_ref().map(Stamp::of).unwrap_or_default();
        if self.known().files.get(monitor).is_some_and(|(known, _)| *known == stamp) {
            return;
        }
        let fault = match found.and_then(|_| text(path)) {
            Ok(text) => self.take_in(monitor, &text, stamp.modified.as_secs()),
            Err(error) => Some(format!("`{}` cannot be read: {}", path.display(), error.kind())),
        };
        self.known().files.insert(monitor.to_owned(), (stamp, fault.map(Into::into)));
    }

    /// Takes in the text of a file of this age, and gives the first thing that is wrong with it.
    fn take_in(&self, monitor: &str, text: &str, at: u64) -> Option<String> {
        let (reports, mut fault) = reports::parse(text, at);
        for (endpoint, report) in reports {
            if let Err(why) = self.push(monitor, &endpoint, report) {
                fault.get_or_insert(why);
            }
        }
        fault
    }

    /// What the last report says at `unix_now` seconds.
    pub(super) fn judge(
        &self,
        monitor: &str,
        check: &FeedCheck,
        address: &Address,
        unix_now: u64,
    ) -> Outcome {
        let endpoint = plain_name(&address.to_string());
        let known = self.known();
        let report = known.reports.get(monitor).and_then(|reports| reports.get(&endpoint));
        let fault = known.files.get(monitor).and_then(|(_, fault)| fault.as_deref());
        let but = fault.map_or_else(String::new, |fault| format!("; {fault}"));
        let Some(report) = report else {
            return stale(check.stale, format!("no report of `{endpoint}`{but}"), None);
        };
        let expired = report.at.saturating_add(check.expires.as_secs());
        let end = report.until.unwrap_or(expired).min(expired);
        if end < unix_now {
            let age = Duration::from_secs(unix_now - end);
            let words = format!("report is {} too old{but}", super::failure::in_words(age));
            return stale(check.stale, words, Some(report));
        }
        said(report)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is in there is whole at all times, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a report says.
fn said(report: &Report) -> Outcome {
    let why = if report.why.is_empty() { String::new() } else { format!(": {}", report.why) };
    match report.state {
        State::Up => Outcome::Success,
        State::Down => Outcome::failure(CauseKind::Reported, format!("reported down{why}")),
        State::Unknown => Outcome::Unknown(format!("reported unknown{why}").into()),
    }
}

/// What it means that nothing holds; `last` is the report that did.
fn stale(rule: Stale, words: String, last: Option<&Report>) -> Outcome {
    match (rule, last) {
        (Stale::Down, _) => Outcome::failure(CauseKind::Stale, words),
        (Stale::Keep, Some(last)) => said(last),
        // Without any report there is nothing to keep but what was known before the start.
        (Stale::Keep, None) => Outcome::Missed(words.into()),
        (Stale::Unknown, _) => Outcome::Unknown(words.into()),
    }
}

/// The text of a regular file; a pipe would be waited for.
fn text(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > FILE_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}
