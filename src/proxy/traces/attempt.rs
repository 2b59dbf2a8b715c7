//! The span of one try of a request.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http::Request;

use super::Spans;
use crate::proxy::access_log::shortened;
use crate::proxy::failure::Failure;
use crate::proxy::head::Trace;
use crate::proxy::place::Place;
use crate::proxy::request_body::Onward;
use crate::proxy::tries::{Outcome, Tries};

/// What becomes of a try that nobody waits for any more: another one won, time was up, or the
/// client left.
const GIVEN_UP: &str = "given-up";
/// What becomes of one whose connection had ended, or whose endpoint took no more.
const UNSENT: &str = "unsent";

/// A try that is under way, and whose span ends when this is dropped.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Attempt(Option<Box<(Rc<Spans>, Try)>>);

/// A try of a request.
#[derive(Clone, Debug)]
pub(super) struct Try {
    /// Names the span.
    pub(super) own: u64,
    /// When it began and ended, since the head of the request had come.
    pub(super) time: (Duration, Duration),
    pub(super) endpoint: SocketAddr,
    /// Whether TLS was spoken.
    pub(super) secure: bool,
    /// Tries that began before.
    pub(super) before: u32,
    /// Whether it was asked beside another one.
    pub(super) hedge: bool,
    pub(super) fate: Fate,
}

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// A reply of this status.
    Replied(u16),
    /// None, for this cause.
    Failed(&'static str),
}

impl Tries<'_> {
    /// Begins the span of a try at a place, which the head then names as its sender; `hedge` says
    /// that another try is under way.
    pub(in crate::proxy) fn attempt(
        &self,
        spans: Option<&Rc<Spans>>,
        place: &Place,
        request: &mut Onward,
        hedge: bool,
    ) -> Attempt {
        let Some(spans) = spans else { return Attempt::default() };
        let at = (place.address, place.name.is_some());
        spans.attempt(at, request, self.worker.random(), hedge)
    }
}

impl Spans {
    pub(super) fn attempt<B>(
        self: &Rc<Self>,
        (endpoint, secure): (SocketAddr, bool),
        request: &mut Request<B>,
        random: u64,
        hedge: bool,
    ) -> Attempt {
        self.path.get_or_init(|| shortened(request.uri().path()));
        let trace = Trace { id: self.position.trace, parent: self.position.own, sampled: true };
        let own = trace.child(random);
        own.write(request.headers_mut());
        let before = self.count.replace(self.count.get() + 1);
        let time = (self.begun.elapsed(), Duration::ZERO);
        let fate = Fate::Failed(GIVEN_UP);
        let begun = Try { own: own.parent, time, endpoint, secure, before, hedge, fate };
        Attempt(Some(Box::new((self.clone(), begun))))
    }
}

impl Attempt {
    /// This came of it.
    pub(in crate::proxy) fn came(&mut self, asked: &Result<(Outcome, Option<Onward>), Failure>) {
        self.set(match asked {
            Ok((Outcome::Reply(reply), _)) => Fate::Replied(reply.status().as_u16()),
            Ok((Outcome::Unsent(_) | Outcome::Declined(_), _)) => Fate::Failed(UNSENT),
            Ok((Outcome::Broke(failure), _)) | Err(failure) => Fate::Failed(failure.cause()),
        });
    }

    /// It failed; gives the failure back.
    pub(in crate::proxy) fn failed(&mut self, failure: Failure) -> Failure {
        self.set(Fate::Failed(failure.cause()));
        failure
    }

    pub(super) fn set(&mut self, fate: Fate) {
        if let Some(begun) = &mut self.0 {
            begun.1.fate = fate;
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((spans, mut ended)) = self.0.take().map(|begun| *begun) {
            ended.time.1 = spans.begun.elapsed();
            spans.tries.borrow_mut().push(ended);
        }
    }
}
