//! The body of a request over HTTP/3.

use std::fmt;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use http_body::{Frame, SizeHint};

use super::super::body::BodyFault;
use crate::http3::Receiving;

/// A body as it comes.
pub(in crate::proxy) struct Upload {
    stream: RequestStream<Receiving, Bytes>,
    /// What came together with the head.
    first: Option<Result<Frame<Bytes>, BodyFault>>,
    /// Octets that have not come; `None`: nobody knows.
    left: Option<u64>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Content,
    Trailers,
    Ended,
}

/// The next part, if it is there.
type Next = Poll<Option<Result<Frame<Bytes>, BodyFault>>>;

impl Upload {
    /// The body on this stream, as long as the head says.
    pub(super) fn new(stream: RequestStream<Receiving, Bytes>, length: Option<u64>) -> Self {
        Self { stream, first: None, left: length, stage: Stage::Content }
    }

    /// Takes in what is there already, so that it is known whether there is a body at all.
    pub(super) fn look(&mut self, context: &mut Context<'_>) {
        if let Poll::Ready(frame) = self.poll_part(context) {
            self.first = frame;
        }
    }

    /// The next part.
    pub(in crate::proxy) fn poll_frame(&mut self, context: &mut Context<'_>) -> Next {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.poll_part(context),
        }
    }

    /// Whether nothing more will come. What is as long as was told may still have trailers, of
    /// which no sender of a length makes use.
    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.stage == Stage::Ended || self.left == Some(0))
    }

    /// What is known of its length.
    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok());
        let first = first.and_then(Frame::data_ref).map_or(0, Bytes::len) as u64;
        match self.left {
            Some(left) => SizeHint::with_exact(left + first),
            None if self.stage == Stage::Ended => SizeHint::with_exact(first),
            None => SizeHint::default(),
        }
    }

    fn poll_part(&mut self, context: &mut Context<'_>) -> Next {
        if self.stage == Stage::Content {
            match ready!(self.stream.poll_recv_data(context)) {
                Ok(Some(mut data)) => {
                    let data = data.copy_to_bytes(data.remaining());
                    return Poll::Ready(Some(self.count(data.len()).map(|()| Frame::data(data))));
                }
                Ok(None) => self.stage = Stage::Trailers,
                Err(error) => return self.broken(BodyFault::Stopped(error)),
            }
        }
        if self.stage == Stage::Trailers {
            let trailers = ready!(self.stream.poll_recv_trailers(context));
            self.stage = Stage::Ended;
            // RFC 9114 section 4.1.2: what is shorter than was told is malformed.
            if self.left.is_some_and(|left| left > 0) {
                return self.broken(BodyFault::Length);
            }
            return match trailers {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => self.broken(BodyFault::Stopped(error)),
            };
        }
        Poll::Ready(None)
    }

    /// So many octets came, of as many as there may be.
    fn count(&mut self, octets: usize) -> Result<(), BodyFault> {
        let Some(left) = self.left else { return Ok(()) };
        self.left = left.checked_sub(octets as u64);
        if self.left.is_some() {
            return Ok(());
        }
        self.stage = Stage::Ended;
        self.stream.stop_sending(Code::H3_MESSAGE_ERROR);
        Err(BodyFault::Length)
    }

    fn broken(&mut self, fault: BodyFault) -> Next {
        self.stage = Stage::Ended;
        Poll::Ready(Some(Err(fault)))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.stage != Stage::Ended {
            // RFC 9114 section 4.1: the response is whole without the rest of the request.
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("left", &self.left).finish_non_exhaustive()
    }
}
