//! The body of a request on its way to an endpoint, and what is kept of it for another one.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};

use super::body::{BodyFault, Timed};
use super::failure::Failure;
use super::pace::Pace;
use super::source::Source;
use crate::clock::{self, Tick};
use crate::model::ProxyLimits;

/// Octets of a body that are kept until the reply begins: forms and calls of interfaces, not files.
pub(super) const KEPT_MAX: u64 = 64 << 10;
/// Octets of a body, as its length tells them, up to which it is waited for before an endpoint is
/// asked: as much as a form or a call has.
const AWAITED_MAX: u64 = 16 << 10;
/// Parts of it, which take memory of their own.
const PARTS_MAX: usize = 256;

/// How far a request's body has come, for whoever waits for the reply.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When its end went out; `None`: it has not.
    pub(super) ended: Cell<Option<Tick>>,
    /// What is wrong with it.
    pub(super) fault: Cell<Option<Failure>>,
    /// Octets that came from the client.
    pub(super) octets: Cell<u64>,
}

/// The body of a request on its way to an endpoint.
#[derive(Debug)]
pub(super) struct RequestBody(Option<Box<Passage>>);

/// A request on its way to an endpoint. It goes through many hands, so what moves is its address.
pub(super) type Onward = Box<Request<RequestBody>>;

/// How often it may go.
#[derive(Debug)]
enum Passage {
    /// Once, as it comes.
    Once(Coming),
    /// As often as what was kept of it allows.
    Again(Again),
}

/// What a client sends.
#[derive(Debug)]
struct Coming {
    timed: Timed,
    progress: Rc<Progress>,
    /// Octets that may still come.
    left: u64,
}

/// A body that is kept while it passes, as one of its readers sees it.
#[derive(Debug)]
struct Again {
    body: Rc<Kept>,
    /// Parts that this one has had.
    next: usize,
    /// Its turn; `None`: it has not read anything.
    turn: Option<u32>,
}

/// A body that is kept while it passes.
#[derive(Debug)]
struct Kept {
    coming: RefCell<Coming>,
    parts: RefCell<Parts>,
    /// Whether it is waited for.
    short: bool,
    /// Whose turn it is: a reader whose endpoint was given up may still be there.
    turn: Cell<u32>,
}

/// What came so far.
#[derive(Debug, Default)]
struct Parts {
    all: Vec<Part>,
    octets: u64,
    /// Nothing more follows.
    ended: bool,
    /// Something came that is not kept.
    lost: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl RequestBody {
    /// No body.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    /// The body of a client's request; `keep`: it may be asked for once more.
    pub(super) fn new(
        inner: Source,
        limits: &ProxyLimits,
        idle: Duration,
        progress: Rc<Progress>,
        keep: bool,
    ) -> Self {
        let size = inner.size_hint();
        let fits = size.lower() <= KEPT_MAX;
        let short = size.exact().is_some_and(|octets| octets <= AWAITED_MAX);
        let pace = limits.body_rate.map(|least| Box::new(Pace::new(least)));
        let timed = Timed::paced(inner, idle, pace);
        let coming = Coming { timed, progress, left: limits.body.unwrap_or(u64::MAX) };
        if !(keep && fits || short) {
            return Passage::Once(coming).into();
        }
        let (coming, parts) = (RefCell::new(coming), RefCell::default());
        let body = Rc::new(Kept { coming, parts, short, turn: Cell::new(0) });
        Passage::Again(Again { body, next: 0, turn: None }).into()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The same from its beginning; `None`: it is not kept.
    pub(super) fn again(&self) -> Option<Self> {
        match self.0.as_deref() {
            None => Some(Self(None)),
            Some(Passage::Once(_)) => None,
            Some(Passage::Again(again)) => {
                let body = again.body.clone();
                Some(Passage::Again(Again { body, next: 0, turn: None }).into())
            }
        }
    }

    /// What is to be waited for before an endpoint is asked, so that a client that sends little and
    /// slowly has no place there; `None`: nothing, as bodies that are long or of no known length go
    /// on as they come.
    pub(super) fn awaited(&self) -> Option<impl Future<Output = Result<(), Failure>> + use<>> {
        let Some(Passage::Again(again)) = self.0.as_deref() else { return None };
        let body = again.body.clone();
        let waited = move |context: &mut Context<'_>| body.poll_whole(context);
        again.body.short.then(|| poll_fn(waited))
    }

    /// Whether all that came of it is there to be sent.
    pub(super) fn is_whole(&self) -> bool {
        match self.0.as_deref() {
            None => true,
            Some(Passage::Once(_)) => false,
            Some(Passage::Again(again)) => {
                let sound = again.body.coming.borrow().progress.fault.get().is_none();
                sound && !again.body.parts.borrow().lost
            }
        }
    }
}

impl From<Passage> for RequestBody {
    fn from(passage: Passage) -> Self {
        Self(Some(Box::new(passage)))
    }
}

/// The next part of a body, if it is there.
type Next = Poll<Option<Result<Frame<Bytes>, BodyFault>>>;

impl Coming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Next {
        let progress = &self.progress;
        let frame = match ready!(self.timed.poll_frame(context)) {
            None => {
                progress.ended.set(Some(clock::now()));
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(fault)) => {
                progress.fault.set(Some(fault.failure()));
                return Poll::Ready(Some(Err(fault)));
            }
        };
        let octets = frame.data_ref().map_or(0, Bytes::len) as u64;
        progress.octets.set(progress.octets.get() + octets);
        if self.timed.is_end_stream() {
            progress.ended.set(Some(clock::now()));
        }
        let Some(left) = self.left.checked_sub(octets) else {
            progress.fault.set(Some(BodyFault::TooLong.failure()));
            return Poll::Ready(Some(Err(BodyFault::TooLong)));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Again {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Next {
        let body = &self.body;
        let own = *self.turn.get_or_insert_with(|| {
            body.turn.set(body.turn.get() + 1);
            // Its end has not gone to this one's endpoint.
            body.coming.borrow().progress.ended.set(None);
            body.turn.get()
        });
        if own != body.turn.get() {
            return Poll::Ready(Some(Err(BodyFault::Cut)));
        }
        let mut parts = body.parts.borrow_mut();
        if let Some(part) = parts.all.get(self.next) {
            self.next += 1;
            let part = part.clone();
            if self.next == parts.all.len() && parts.ended {
                body.coming.borrow().progress.ended.set(Some(clock::now()));
            }
            return Poll::Ready(Some(Ok(match part {
                Part::Data(data) => Frame::data(data),
                Part::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if parts.ended {
            body.coming.borrow().progress.ended.set(Some(clock::now()));
            return Poll::Ready(None);
        }
        // The last one that holds it has its reply, or its connection.
        let wanted = Rc::strong_count(body) > 1;
        let frame = ready!(parts.poll_take_in(&mut body.coming.borrow_mut(), wanted, context));
        if let Some(Ok(_)) = &frame {
            self.next = parts.all.len();
        }
        Poll::Ready(frame)
    }
}

impl Kept {
    /// Takes in all of it.
    fn poll_whole(&self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let (mut coming, mut parts) = (self.coming.borrow_mut(), self.parts.borrow_mut());
        while !parts.ended {
            if parts.all.len() >= PARTS_MAX {
                parts.join();
            }
            if let Some(Err(fault)) = ready!(parts.poll_take_in(&mut coming, true, context)) {
                return Poll::Ready(Err(fault.failure()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Parts {
    /// Takes in what comes next, which is kept if it is `wanted` and little.
    fn poll_take_in(
        &mut self,
        coming: &mut Coming,
        wanted: bool,
        context: &mut Context<'_>,
    ) -> Next {
        let frame = ready!(coming.poll_frame(context));
        self.ended = frame.is_none() || coming.timed.is_end_stream();
        if let Some(Ok(frame)) = &frame {
            self.keep(frame, wanted);
        }
        Poll::Ready(frame)
    }

    /// Makes one part of what came in many, before trailers, behind which nothing comes.
    fn join(&mut self) {
        let data = |part: &Part| match part {
            Part::Data(data) => data.clone(),
            Part::Trailers(_) => Bytes::new(),
        };
        let all: Vec<Bytes> = self.all.iter().map(data).collect();
        self.all = vec![Part::Data(all.concat().into())];
    }

    fn keep(&mut self, frame: &Frame<Bytes>, wanted: bool) {
        self.octets += frame.data_ref().map_or(0, Bytes::len) as u64;
        let part = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Some(Part::Data(data.clone())),
            (_, trailers) => trailers.cloned().map(Part::Trailers),
        };
        self.lost |= !wanted || self.octets > KEPT_MAX || self.all.len() >= PARTS_MAX;
        if self.lost {
            self.all = Vec::new();
        } else {
            self.all.extend(part);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        match self.0.as_deref_mut() {
            None => Poll::Ready(None),
            Some(Passage::Once(coming)) => coming.poll_frame(context),
            Some(Passage::Again(again)) => again.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self.0.as_deref() {
            None => true,
            Some(Passage::Once(coming)) => coming.timed.is_end_stream(),
            Some(Passage::Again(again)) => {
                let parts = again.body.parts.borrow();
                again.next >= parts.all.len() && parts.ended
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self.0.as_deref() {
            None => SizeHint::with_exact(0),
            Some(Passage::Once(coming)) => coming.timed.size_hint(),
            Some(Passage::Again(again)) => {
                let parts = again.body.parts.borrow();
                let had = parts.all.iter().skip(again.next).map(|part| match part {
                    Part::Data(data) => data.len() as u64,
                    Part::Trailers(_) => 0,
                });
                let had: u64 = had.sum();
                let left = again.body.coming.borrow().timed.size_hint().exact();
                match left.or(parts.ended.then_some(0)) {
                    Some(left) => SizeHint::with_exact(had + left),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
