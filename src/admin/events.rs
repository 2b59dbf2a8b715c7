//! What happens on this node, told as it happens: kept for a while, and sent to whoever listens.

mod happening;
mod stream;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;

pub use happening::{Happening, RegionState};
pub(super) use stream::stream;

use crate::clock;
use crate::metrics::Metrics;

/// Happenings that are kept for readers that come back; a storm of flips is longer, and they read
/// the state anew.
const KEPT_MAX: usize = 512;
/// Happenings that a reader may be behind; one that is further behind is dropped.
const BEHIND_MAX: usize = 2 * KEPT_MAX;
/// Readers at a time, a part of the connections that the admin listener has.
const READERS_MAX: usize = 64;

/// One happening as it is told.
#[derive(Debug)]
pub struct Told {
    /// Which process told it: when that began, in milliseconds since 1970-01-01 UTC.
    pub epoch: u64,
    /// Counts the happenings of the process, from 1.
    pub number: u64,
    /// When, in seconds since 1970-01-01 UTC.
    pub time: u64,
    /// On which node.
    pub node: Arc<str>,
    /// What.
    pub what: Happening,
}

/// All readers, and what happened lately.
///
/// The lock is held for a few moves of pointers, and taken when something happens or a reader
/// comes.
#[derive(Debug)]
pub struct Events {
    node: Arc<str>,
    epoch: u64,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: u64,
    kept: VecDeque<Arc<Told>>,
    readers: Vec<mpsc::Sender<Arc<Told>>>,
}

/// Where a reader reads, and whether it has missed something that nobody can tell any more.
#[derive(Debug)]
pub struct Subscription {
    /// What happens, beginning with what it has missed.
    pub told: mpsc::Receiver<Arc<Told>>,
    /// The identity of the last happening, when the reader has to read the state anew.
    pub resync: Option<String>,
}

impl Events {
    /// Nothing has happened yet on the node of this name.
    pub fn new(node: &str, metrics: Arc<Metrics>) -> Self {
        let epoch = clock::unix_ms();
        Self { node: node.into(), epoch, metrics, state: Mutex::default() }
    }

    /// Tells everybody.
    pub fn tell(&self, what: Happening) {
        self.metrics.events.told.with_label_values(&[what.kind()]).inc();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.told += 1;
        let (epoch, number, time) = (self.epoch, state.told, clock::unix_seconds());
        let told = Arc::new(Told { epoch, number, time, node: self.node.clone(), what });
        if state.kept.len() >= KEPT_MAX {
            state.kept.pop_front();
        }
        state.kept.push_back(told.clone());
        let metrics = &self.metrics.events;
        state.readers.retain(|reader| match reader.try_send(told.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics.dropped.inc();
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        metrics.readers.set(state.readers.len().try_into().unwrap_or(i64::MAX));
    }

    /// A new reader that was told `last` before; `None`: there are too many.
    pub fn subscribe(&self, last: Option<&str>) -> Option<Subscription> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.readers.retain(|reader| !reader.is_closed());
        if state.readers.len() >= READERS_MAX {
            return None;
        }
        let (reader, told) = mpsc::channel(BEHIND_MAX);
        let since = last.and_then(|last| self.position(last, &state));
        for one in state.kept.iter().filter(|one| since.is_some_and(|since| one.number > since)) {
            // There is room for all that is kept.
            let _ = reader.try_send(one.clone());
        }
        state.readers.push(reader);
        self.metrics.events.readers.set(state.readers.len().try_into().unwrap_or(i64::MAX));
        let resync = since.is_none().then(|| identity(self.epoch, state.told));
        Some(Subscription { told, resync })
    }

    /// Ends all readers, as the process ends.
    pub fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.readers.clear();
    }

    /// The number of the happening of this identity, where all later ones are kept.
    fn position(&self, last: &str, state: &State) -> Option<u64> {
        let (epoch, number) = last.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        let oldest = state.told - state.kept.len() as u64;
        (epoch.parse() == Ok(self.epoch) && (oldest..=state.told).contains(&number))
            .then_some(number)
    }
}

impl Told {
    /// What a reader that comes back says it was told last.
    pub fn identity(&self) -> String {
        identity(self.epoch, self.number)
    }

    /// What there is to say of it, with its time and node.
    pub(in crate::admin) fn data(&self) -> Value {
        let mut data = serde_json::to_value(&self.what).unwrap_or_default();
        if let Some(members) = data.as_object_mut() {
            members.insert("time".to_owned(), self.time.into());
            members.insert("node".to_owned(), (*self.node).into());
        }
        data
    }
}

fn identity(epoch: u64, number: u64) -> String {
    format!("{epoch}-{number}")
}

impl fmt::Display for Told {
    /// As a server-sent event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        let (id, kind) = (self.identity(), self.what.kind());
        write!(f, "id: {id}\nevent: {kind}\ndata: {data}\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Events {
        Events::new("a", Arc::new(Metrics::new().unwrap()))
    }

    fn reload(outcome: &str) -> Happening {
        Happening::Reload { outcome: outcome.to_owned() }
    }

    fn numbers(subscription: &mut Subscription) -> Vec<u64> {
        std::iter::from_fn(|| subscription.told.try_recv().ok()).map(|told| told.number).collect()
    }

    #[test]
    fn a_reader_that_comes_back_is_told_what_it_has_missed() {
        let events = events();
        let mut first = events.subscribe(None).unwrap();
        assert_eq!(first.resync, Some(format!("{}-0", events.epoch)));
        (0..3).for_each(|_| events.tell(reload("ok")));
        assert_eq!(numbers(&mut first), [1, 2, 3]);
        let id = |number: u64| format!("{}-{number}", events.epoch);
        for (last, missed, resync) in [
            (id(1), &[2, 3][..], false),
            (id(3), &[], false),
            (id(0), &[1, 2, 3], false),
            (id(4), &[], true),
            ("1-1".to_owned(), &[], true),
            ("x".to_owned(), &[], true),
        ] {
            let mut again = events.subscribe(Some(&last)).unwrap();
            assert_eq!(numbers(&mut again), missed, "{last}");
            assert_eq!(again.resync.is_some(), resync, "{last}");
        }
        (0..KEPT_MAX).for_each(|_| events.tell(reload("ok")));
        assert!(events.subscribe(Some(&id(2))).unwrap().resync.is_some(), "too long ago");
        assert_eq!(numbers(&mut events.subscribe(Some(&id(3))).unwrap()).len(), KEPT_MAX);
    }

    #[test]
    fn a_slow_reader_is_dropped_and_counted_and_others_go_on() {
        let events = events();
        let mut slow = events.subscribe(None).unwrap();
        (0..BEHIND_MAX).for_each(|_| events.tell(reload("ok")));
        let mut quick = events.subscribe(None).unwrap();
        events.tell(reload("ok"));
        assert_eq!(events.metrics.events.dropped.get(), 1);
        assert_eq!(events.metrics.events.readers.get(), 1);
        assert_eq!(numbers(&mut quick).len(), 1);
        assert_eq!(numbers(&mut slow).len(), BEHIND_MAX);
        assert!(slow.told.is_closed());
    }

    #[test]
    fn readers_are_bounded_and_make_room_when_they_go() {
        let events = events();
        let all: Vec<_> = (0..READERS_MAX).map(|_| events.subscribe(None).unwrap()).collect();
        assert!(events.subscribe(None).is_none());
        drop(all);
        assert!(events.subscribe(None).is_some());
    }

    #[test]
    fn a_happening_is_one_event_of_the_stream() {
        let events = events();
        let mut reader = events.subscribe(None).unwrap();
        events.tell(reload("a\nb"));
        let text = reader.told.try_recv().unwrap().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[1], "event: reload");
        let data: serde_json::Value =
            serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((data["outcome"].as_str(), data["node"].as_str()), (Some("a\nb"), Some("a")));
    }
}
