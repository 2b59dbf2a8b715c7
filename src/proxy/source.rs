//! Where the body of a message comes from.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::body::BodyFault;
use super::http3::Upload;

/// A body as a library hands it over.
#[derive(Debug)]
pub(super) enum Source {
    /// Over HTTP/1.1 or HTTP/2.
    Connection(Incoming),
    /// Over HTTP/3; large, and rare.
    Stream(Box<Upload>),
}

impl From<Incoming> for Source {
    fn from(incoming: Incoming) -> Self {
        Self::Connection(incoming)
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut *self {
            Self::Connection(incoming) => {
                let frame = Pin::new(incoming).poll_frame(context);
                frame.map(|frame| frame.map(|frame| frame.map_err(BodyFault::Broken)))
            }
            Self::Stream(upload) => upload.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Connection(incoming) => incoming.is_end_stream(),
            Self::Stream(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Connection(incoming) => incoming.size_hint(),
            Self::Stream(upload) => upload.size_hint(),
        }
    }
}
