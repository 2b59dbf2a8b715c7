//! A reply that is being fetched, for the request that fetches it and for all that wait for it.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use super::Stored;
use super::shelf::{Kept, Shelf};
use crate::proxy::failure::Failure;

/// The head of a reply that may be kept.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Head {
    /// Whom it answers, and how long.
    pub(in crate::proxy) stored: Stored,
    pub(in crate::proxy) status: StatusCode,
    pub(in crate::proxy) headers: HeaderMap,
}

/// What has become of a request to the origin.
#[derive(Debug, Default)]
enum Stage {
    /// It has not been answered.
    #[default]
    Asked,
    /// A reply comes that may be kept.
    Given(Arc<Head>, Content),
    /// What came is for nobody else.
    Alone,
    /// There was no reply.
    Failed(Failure),
    /// The request that fetched it is gone.
    Left,
}

#[derive(Debug)]
struct Content {
    parts: Vec<Bytes>,
    /// Whether others may read it before its end: it will not become too long.
    shared: bool,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More comes.
    Open,
    /// All is there.
    Whole,
    /// It broke off.
    Broken,
    /// It is too long to be kept; the rest goes to the request that fetched it.
    TooLong,
}

/// What a request that waited gets.
#[derive(Debug)]
pub(in crate::proxy) enum Outcome {
    /// A reply, if it is one to this request.
    Given(Arc<Head>, Reader),
    /// Nothing that could be shared.
    Alone,
    /// The same failure.
    Failed(Failure),
    /// Nothing; another one must ask.
    Left,
}

/// A reply that is being fetched.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Fill {
    /// Locked for a few instructions.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stage: Stage,
    /// Whether it is purged already.
    spoilt: bool,
    /// Who waits for the next part, by number.
    waiting: HashMap<u64, Waker>,
    /// The number of the next one who waits.
    next: u64,
}

impl Fill {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes is no longer to be kept.
    pub(super) fn spoil(&self) {
        self.state().spoilt = true;
    }

    /// Changes what is known, and wakes all who wait.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, waiting) = {
            let mut state = self.state();
            (change(&mut state), std::mem::take(&mut state.waiting))
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
        result
    }

    /// A reader of the body from its beginning.
    fn reader(self: &Arc<Self>) -> Reader {
        let mut state = self.state();
        state.next += 1;
        Reader { fill: self.clone(), number: state.next, at: 0 }
    }

    /// Waits for what comes of it.
    pub(in crate::proxy) async fn outcome(self: Arc<Self>) -> Outcome {
        let reader = self.reader();
        let mut reader = Some(reader);
        poll_fn(|context| {
            let mut state = self.state();
            let outcome = match &state.stage {
                Stage::Given(head, content) => match content.end {
                    End::Whole => Some(Ok(head.clone())),
                    End::Open if content.shared => Some(Ok(head.clone())),
                    End::Open => None,
                    End::Broken => Some(Err(Outcome::Left)),
                    End::TooLong => Some(Err(Outcome::Alone)),
                },
                Stage::Asked => None,
                Stage::Alone => Some(Err(Outcome::Alone)),
                Stage::Failed(failure) => Some(Err(Outcome::Failed(*failure))),
                Stage::Left => Some(Err(Outcome::Left)),
            };
            if outcome.is_none()
                && let Some(reader) = &reader
            {
                state.waiting.insert(reader.number, context.waker().clone());
            }
            drop(state);
            match outcome {
                None => Poll::Pending,
                Some(Err(outcome)) => Poll::Ready(outcome),
                Some(Ok(head)) => match reader.take() {
                    Some(reader) => Poll::Ready(Outcome::Given(head, reader)),
                    None => Poll::Ready(Outcome::Left),
                },
            }
        })
        .await
    }
}

/// Reads the body of a reply while it is being fetched.
#[derive(Debug)]
pub(in crate::proxy) struct Reader {
    fill: Arc<Fill>,
    number: u64,
    /// The next part.
    at: usize,
}

/// What a reader reads.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Part {
    /// Some octets.
    Octets(Bytes),
    /// The end.
    End,
    /// The rest will not come.
    Broken,
    /// The rest comes another way, to the request that fetches it.
    TooLong,
}

impl Reader {
    /// The next part.
    pub(in crate::proxy) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Part> {
        let mut state = self.fill.state();
        let Stage::Given(_, content) = &state.stage else { return Poll::Ready(Part::Broken) };
        if let Some(part) = content.parts.get(self.at) {
            self.at += 1;
            return Poll::Ready(Part::Octets(part.clone()));
        }
        match content.end {
            End::Open => {
                state.waiting.insert(self.number, context.waker().clone());
                Poll::Pending
            }
            End::Whole => Poll::Ready(Part::End),
            End::Broken => Poll::Ready(Part::Broken),
            End::TooLong => Poll::Ready(Part::TooLong),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fill.state().waiting.remove(&self.number);
    }
}

/// The right and duty to fetch a reply. Dropped before the end, it lets the next one try.
#[derive(Debug)]
pub(in crate::proxy) struct Lead {
    shelf: Arc<Shelf>,
    key: String,
    fill: Arc<Fill>,
    /// Octets that have come.
    octets: u64,
    /// Octets that may come.
    most: u64,
}

impl Lead {
    pub(super) fn new(shelf: Arc<Shelf>, key: String, fill: Arc<Fill>, most: u64) -> Self {
        Self { shelf, key, fill, octets: 0, most }
    }

    /// A reply comes that may be kept; whoever reads it. With `shared` it will not become too long.
    pub(in crate::proxy) fn given(&self, head: Head, shared: bool) -> Reader {
        let content = Content { parts: Vec::new(), shared, end: End::Open };
        self.fill.change(|state| state.stage = Stage::Given(Arc::new(head), content));
        self.fill.reader()
    }

    /// A part has come; `false`: with it the reply is too long, or there is no room for it now.
    pub(in crate::proxy) fn push(&mut self, part: &Bytes) -> bool {
        let length = part.len() as u64;
        if self.octets + length > self.most || !self.shelf.reserve(length) {
            return false;
        }
        self.octets += length;
        self.fill.change(|state| {
            if let Stage::Given(_, content) = &mut state.stage {
                content.parts.push(part.clone());
            }
        });
        true
    }

    /// All has come, and is kept.
    pub(in crate::proxy) fn finish(self) {
        let kept = {
            let state = self.fill.state();
            match &state.stage {
                Stage::Given(head, content) if !state.spoilt => {
                    let Head { stored, status, headers } = Head::clone(head);
                    let body = joined(&content.parts, self.octets as usize);
                    Some(Kept { stored, status, headers, body })
                }
                _ => None,
            }
        };
        if let Some(kept) = kept {
            self.shelf.keep(&self.key, kept);
        }
        self.end(End::Whole);
    }

    /// What is kept has been found to be right: it is kept on as `kept`.
    pub(in crate::proxy) fn renewed(self, kept: Kept) -> Arc<Kept> {
        let spoilt = self.fill.state().spoilt;
        let body = kept.body.clone();
        let head = Head {
            stored: kept.stored.clone(),
            status: kept.status,
            headers: kept.headers.clone(),
        };
        let kept = if spoilt { Arc::new(kept) } else { self.shelf.keep(&self.key, kept) };
        let content = Content { parts: vec![body], shared: true, end: End::Whole };
        self.fill.change(|state| state.stage = Stage::Given(Arc::new(head), content));
        kept
    }

    /// It is too long: the rest goes another way.
    pub(in crate::proxy) fn too_long(self, now: u64) {
        self.shelf.leave_alone(&self.key, now);
        self.end(End::TooLong);
    }

    /// What came is for nobody else.
    pub(in crate::proxy) fn alone(self, now: u64) {
        self.shelf.leave_alone(&self.key, now);
        self.fill.change(|state| state.stage = Stage::Alone);
    }

    /// No reply came.
    pub(in crate::proxy) fn failed(self, failure: Failure) {
        self.fill.change(|state| state.stage = Stage::Failed(failure));
    }

    fn end(&self, end: End) {
        self.fill.change(|state| {
            if let Stage::Given(_, content) = &mut state.stage {
                content.end = end;
            }
        });
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.shelf.close(&self.key, &self.fill);
        self.shelf.free(self.octets);
        self.fill.change(|state| match &mut state.stage {
            Stage::Asked => state.stage = Stage::Left,
            Stage::Given(_, content) if content.end == End::Open => content.end = End::Broken,
            _ => {}
        });
    }
}

/// The parts as one, in memory of its own: a part may hold on to far more than its octets.
fn joined(parts: &[Bytes], octets: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(octets);
    for part in parts {
        body.extend_from_slice(part);
    }
    body.freeze()
}
