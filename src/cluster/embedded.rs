//! The engine within one process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::engine::Signal;
use super::mesh::Outgoing;

/// Signals that wait for a node.
const QUEUE_MAX: usize = 4_096;
/// Subjects whose last message is kept.
const KEPT_MAX: usize = 32_768;

/// A bus within one process; clones are the same bus.
#[derive(Clone, Debug, Default)]
pub struct Hub {
    // Held for as long as it takes to copy pointers into queues; nobody waits inside.
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    listeners: Vec<Listener>,
    kept: BTreeMap<String, Bytes>,
    next: u64,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    filters: Vec<String>,
    signals: mpsc::Sender<Signal>,
    /// Whether it must be told that messages were lost.
    lost: bool,
}

/// A node on the bus.
#[derive(Debug)]
pub struct Attached {
    hub: Hub,
    id: u64,
    pub(super) signals: mpsc::Receiver<Signal>,
}

impl Hub {
    /// Puts a node on the bus, which listens to these subjects; `.>` at the end stands for all
    /// that go on.
    pub fn attach(&self, filters: impl IntoIterator<Item = String>) -> Attached {
        let filters: Vec<String> = filters.into_iter().collect();
        let (signals, received) = mpsc::channel(QUEUE_MAX);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inner.next;
        inner.next += 1;
        // A queue that is full from the start loses what is read again later anyway.
        let _ = signals.try_send(Signal::Up);
        for (subject, payload) in inner.kept.iter().filter(|(s, _)| matches(&filters, s)) {
            let (subject, payload) = (subject.clone(), payload.clone());
            let _ = signals.try_send(Signal::Recalled { subject, payload });
        }
        inner.listeners.push(Listener { id, filters, signals, lost: false });
        Attached { hub: self.clone(), id, signals: received }
    }
}

impl Attached {
    pub(super) fn publish(&self, message: &Outgoing) -> bool {
        let mut inner = self.hub.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let payload = Bytes::copy_from_slice(&message.payload);
        // Requests are of the moment, and so are loads, challenges and presences.
        if !matches!(message.kind, "need" | "load" | "challenge" | "presence")
            && (inner.kept.len() < KEPT_MAX || inner.kept.contains_key(&message.subject))
        {
            inner.kept.insert(message.subject.clone(), payload.clone());
        }
        for listener in &mut inner.listeners {
            if listener.id == self.id || !matches(&listener.filters, &message.subject) {
                continue;
            }
            if listener.lost && listener.signals.try_send(Signal::Lost).is_ok() {
                listener.lost = false;
            }
            let (subject, payload) = (message.subject.clone(), payload.clone());
            let sent = listener.signals.try_send(Signal::Message { subject, payload });
            listener.lost |= sent.is_err();
        }
        true
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let mut inner = self.hub.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.listeners.retain(|listener| listener.id != self.id);
    }
}

fn matches(filters: &[String], subject: &str) -> bool {
    filters.iter().any(|filter| match filter.strip_suffix('>') {
        Some(stem) => subject.strip_prefix(stem).is_some_and(|rest| !rest.is_empty()),
        None => filter == subject,
    })
}
