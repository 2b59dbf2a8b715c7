//! The shelf of a route: the replies that are kept, and those that are being fetched.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use moka::sync::Cache;

use super::Stored;
use super::fill::{Fill, Lead};

/// Variants of one reply that are kept: those that came last.
const VARIANTS_MAX: usize = 16;
/// Seconds in which nobody waits for others after a reply that could not be kept: the next one
/// will hardly be another.
const ALONE: u64 = 5;
/// Octets that a kept reply takes beside its key, fields and body, and each of its fields.
const BESIDE: (usize, usize) = (512, 64);

/// A kept reply.
#[derive(Debug)]
pub struct Kept {
    /// Whom it answers, and how long.
    pub stored: Stored,
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Kept {
    fn weight(&self) -> usize {
        let (entry, field) = BESIDE;
        let fields = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        entry + fields.map(|octets| octets + field).sum::<usize>() + self.body.len()
    }
}

/// What there is for a key.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// The latest first.
    kept: Vec<Arc<Kept>>,
    /// Until when nobody waits for others, in seconds since 1970.
    alone_until: u64,
}

/// What a look at the shelf shows.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Found {
    /// A reply to this request, fresh or not.
    pub(in crate::proxy) kept: Option<Arc<Kept>>,
    /// Whether replies to such requests could not be kept a moment ago.
    pub(in crate::proxy) alone: bool,
}

/// Whose turn it is to ask the origin.
#[derive(Debug)]
pub(in crate::proxy) enum Turn {
    /// The caller's.
    Lead(Lead),
    /// Another request's, which has asked already.
    Join(Arc<Fill>),
}

/// The kept replies of one route.
#[derive(Debug)]
pub struct Shelf {
    /// Octets that it holds, and as many again of what is being fetched.
    pub(in crate::proxy) size: u64,
    kept: Cache<String, Arc<Entry>>,
    /// What is being fetched, where requests wait for each other. Locked for a few instructions.
    fills: Mutex<HashMap<String, Arc<Fill>>>,
    /// Octets of what is being fetched.
    filling: AtomicU64,
}

impl Shelf {
    /// An empty one of this many octets.
    pub fn new(size: u64) -> Self {
        let weigh = |key: &String, entry: &Arc<Entry>| {
            let kept: usize = entry.kept.iter().map(|kept| kept.weight()).sum();
            u32::try_from(BESIDE.0 + key.len() + kept).unwrap_or(u32::MAX)
        };
        Self {
            size,
            kept: Cache::builder().max_capacity(size).weigher(weigh).build(),
            fills: Mutex::default(),
            filling: AtomicU64::new(0),
        }
    }

    /// Looks for a reply to a request with these fields at `now`, in seconds since 1970.
    pub(in crate::proxy) fn find(&self, key: &str, request: &HeaderMap, now: u64) -> Found {
        let Some(entry) = self.kept.get(key) else { return Found::default() };
        let kept = entry.kept.iter().find(|kept| kept.stored.variant.matches(request));
        Found { kept: kept.cloned(), alone: now < entry.alone_until }
    }

    /// Keeps a reply in place of the one before it for the same requests.
    pub(in crate::proxy) fn keep(&self, key: &str, reply: Kept) -> Arc<Kept> {
        let reply = Arc::new(reply);
        self.change(key, |entry| {
            entry.kept.retain(|kept| kept.stored.variant != reply.stored.variant);
            entry.kept.insert(0, reply.clone());
            entry.kept.truncate(VARIANTS_MAX);
            entry.alone_until = 0;
        });
        reply
    }

    /// Notes that a reply for this key could not be kept.
    pub(in crate::proxy) fn leave_alone(&self, key: &str, now: u64) {
        self.change(key, |entry| entry.alone_until = now + ALONE);
    }

    fn change(&self, key: &str, change: impl FnOnce(&mut Entry)) {
        self.kept.entry_by_ref(key).and_upsert_with(|before| {
            let mut entry =
                before.map(|before| Entry::clone(&before.into_value())).unwrap_or_default();
            change(&mut entry);
            Arc::new(entry)
        });
    }

    /// Asks for leave to ask the origin for a body of so many octets at most. With `collapse` one
    /// request has it at a time.
    pub(in crate::proxy) fn turn(self: &Arc<Self>, key: &str, object: u64, collapse: bool) -> Turn {
        let fill = Arc::new(Fill::default());
        if collapse {
            let mut fills = self.fills();
            if let Some(fill) = fills.get(key) {
                return Turn::Join(fill.clone());
            }
            fills.insert(key.to_owned(), fill.clone());
        }
        Turn::Lead(Lead::new(self.clone(), key.to_owned(), fill, object))
    }

    /// No request joins this one any more.
    pub(super) fn close(&self, key: &str, fill: &Arc<Fill>) {
        let mut fills = self.fills();
        if fills.get(key).is_some_and(|other| Arc::ptr_eq(other, fill)) {
            fills.remove(key);
        }
    }

    /// Takes room for octets that are being fetched; `false`: there is none.
    pub(super) fn reserve(&self, octets: u64) -> bool {
        let before = self.filling.fetch_add(octets, Ordering::Relaxed);
        let fits = before.saturating_add(octets) <= self.size;
        if !fits {
            self.free(octets);
        }
        fits
    }

    /// Gives room back.
    pub(super) fn free(&self, octets: u64) {
        self.filling.fetch_sub(octets, Ordering::Relaxed);
    }

    /// Forgets what is kept under the keys that `doomed` holds for, and does not keep what is being
    /// fetched for them; how many keys there were.
    pub fn purge(&self, doomed: impl Fn(&str) -> bool) -> usize {
        self.fills().retain(|key, fill| {
            let stays = !doomed(key);
            if !stays {
                fill.spoil();
            }
            stays
        });
        let keys = self.kept.iter().filter(|(key, _)| doomed(key));
        let keys: Vec<Arc<String>> = keys.map(|(key, _)| key).collect();
        for key in &keys {
            self.kept.invalidate(key.as_str());
        }
        keys.len()
    }

    /// Forgets what is kept under a key.
    pub(in crate::proxy) fn forget(&self, key: &str) {
        if let Some(fill) = self.fills().remove(key) {
            fill.spoil();
        }
        self.kept.invalidate(key);
    }

    /// Keys and octets that are kept, both a little behind.
    pub(in crate::proxy) fn extent(&self) -> (u64, u64) {
        self.kept.run_pending_tasks();
        (self.kept.entry_count(), self.kept.weighted_size())
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<String, Arc<Fill>>> {
        self.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
