//! Whether this node answers queries, and what is amiss.

use std::fmt::Write as _;

use crate::snapshot::{Snapshot, ZoneEntry};

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first probe round is under way.
    Starting,
    /// It answers queries.
    Serving,
    /// It answers queries, but the task of this name has ended, and health is as it was then.
    Crippled(&'static str),
    /// It was told to stop.
    Stopping,
}

/// Zones named one by one; of more only the number is told.
const ZONES_MAX: usize = 20;

/// Whether queries should be sent here, and the text that says so.
pub(super) fn readiness(phase: Phase, snapshot: &Snapshot) -> (bool, String) {
    let zones = || snapshot.zones.iter();
    let served = zones().any(|(_, entry)| matches!(entry, ZoneEntry::Serving(_)));
    let reason = match phase {
        Phase::Starting => Some("the first probe round is under way".to_owned()),
        Phase::Stopping => Some("this node is stopping".to_owned()),
        Phase::Crippled(task) => Some(format!("the {task} has ended, health is no longer judged")),
        // SERVFAIL for every name helps nobody.
        Phase::Serving if !served && zones().next().is_some() => {
            Some("no zone could be loaded".to_owned())
        }
        Phase::Serving => None,
    };
    let ready = reason.is_none();
    let mut text =
        reason.map_or_else(|| "ready\n".to_owned(), |reason| format!("not ready: {reason}\n"));
    let troubled: Vec<String> = zones()
        .filter_map(|(apex, entry)| match entry {
            ZoneEntry::Failed => Some(format!("zone {apex} was never loaded: SERVFAIL\n")),
            ZoneEntry::Expired => {
                Some(format!("zone {apex} has expired, its primary does not answer: SERVFAIL\n"))
            }
            ZoneEntry::Serving(_) if is_stale(snapshot, apex) => {
                Some(format!("zone {apex} has errors: its last good data are served\n"))
            }
            ZoneEntry::Serving(_) => None,
        })
        .collect();
    text.extend(troubled.iter().take(ZONES_MAX).map(String::as_str));
    if let Some(more @ 1..) = troubled.len().checked_sub(ZONES_MAX) {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "and {more} zones more");
    }
    (ready, text)
}

/// Whether a zone is served from the last data without errors.
pub(super) fn is_stale(snapshot: &Snapshot, apex: &crate::name::Name) -> bool {
    snapshot.state.as_ref().is_some_and(|state| {
        state.loaded.zones.iter().any(|zone| zone.stale && zone.origin == *apex)
    })
}

/// The state of a zone in one word, as metrics and status say it.
pub(super) fn state_word(
    snapshot: &Snapshot,
    apex: &crate::name::Name,
    entry: &ZoneEntry,
) -> &'static str {
    match entry {
        ZoneEntry::Failed => "failed",
        ZoneEntry::Expired => "expired",
        ZoneEntry::Serving(_) if is_stale(snapshot, apex) => "stale",
        ZoneEntry::Serving(_) => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::snapshot::ZoneSet;

    #[test]
    fn says_why_it_is_not_ready() {
        let failed = |count: usize| {
            let apex = |n| Name::parse(&format!("z{n}.test."), &Name::root()).unwrap();
            let entries = (0..count).map(|n| (apex(n), ZoneEntry::Failed));
            Snapshot { zones: ZoneSet::new(entries), ..Snapshot::default() }
        };
        let none = failed(0);
        for (phase, ready, text) in [
            (Phase::Serving, true, "ready\n"),
            (Phase::Starting, false, "not ready: the first probe round is under way\n"),
            (Phase::Stopping, false, "not ready: this node is stopping\n"),
            (
                Phase::Crippled("judge"),
                false,
                "not ready: the judge has ended, health is no longer judged\n",
            ),
        ] {
            assert_eq!(readiness(phase, &none), (ready, text.to_owned()), "{phase:?}");
        }
        let (ready, text) = readiness(Phase::Serving, &failed(1));
        let expected = "not ready: no zone could be loaded\n\
                        zone z0.test. was never loaded: SERVFAIL\n";
        assert_eq!((ready, text.as_str()), (false, expected));
        let (_, text) = readiness(Phase::Serving, &failed(ZONES_MAX + 3));
        assert_eq!(text.lines().count(), ZONES_MAX + 2);
        assert!(text.ends_with("and 3 zones more\n"), "{text}");
    }
}
