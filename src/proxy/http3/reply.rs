//! A reply on its way over HTTP/3: in order, at the pace of the client, and never taken for whole
//! when it is not.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http::header::DATE;
use http::{HeaderValue, Response};
use http_body::Body;
use tokio::time::timeout;

use super::super::body::ReplyBody;
use super::OF_CONNECTIONS;
use crate::clock;
use crate::http3::{Sending, Stopped};

/// Octets that must go out within the time for a part, however slow the line is.
const PIECE: usize = 16 << 10;

/// The way back of one request.
pub(super) struct Outgoing {
    stream: RequestStream<Sending<Bytes>, Bytes>,
    stopped: Option<Stopped>,
    /// What the client is told of a reply that is not whole; `None`: it is.
    broken: Option<Code>,
}

/// Why a reply did not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The client does not want it.
    Gone,
    /// The client does not read it.
    Unread,
    /// It did not come to its end.
    Broken,
}

impl From<StreamError> for Unsent {
    fn from(_: StreamError) -> Self {
        Self::Gone
    }
}

impl Outgoing {
    /// A reply that has not begun; `stopped` ends when nobody wants it.
    pub(super) fn new(
        stream: RequestStream<Sending<Bytes>, Bytes>,
        stopped: Option<Stopped>,
    ) -> Self {
        Self { stream, stopped, broken: Some(Code::H3_INTERNAL_ERROR) }
    }

    /// What `work` makes, unless the client takes its request back before.
    pub(super) async fn unless_stopped<F: Future>(&mut self, work: F) -> Result<F::Output, Unsent> {
        let Some(stopped) = &mut self.stopped else { return Ok(work.await) };
        tokio::select! {
            biased;
            _ = stopped => {
                self.stopped = None;
                self.broken = Some(Code::H3_REQUEST_CANCELLED);
                Err(Unsent::Gone)
            }
            made = work => Ok(made),
        }
    }

    /// Sends a reply to its end. A client that takes nothing for `idle` is given up.
    pub(super) async fn send(
        &mut self,
        reply: Response<ReplyBody>,
        idle: Duration,
    ) -> Result<(), Unsent> {
        let sent = self.send_all(reply, idle).await;
        match sent {
            Ok(()) => self.broken = None,
            Err(Unsent::Unread | Unsent::Gone) => self.broken = Some(Code::H3_REQUEST_CANCELLED),
            Err(Unsent::Broken) => {}
        }
        sent
    }

    async fn send_all(&mut self, reply: Response<ReplyBody>, idle: Duration) -> Result<(), Unsent> {
        let (mut parts, mut body) = reply.into_parts();
        for name in OF_CONNECTIONS {
            parts.headers.remove(name);
        }
        parts.headers.entry(DATE).or_insert_with(date);
        let head = self.stream.send_response(Response::from_parts(parts, ()));
        in_time(idle, head).await?;
        loop {
            let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let frame = match self.unless_stopped(next).await? {
                None => break,
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(Unsent::Broken),
            };
            match frame.into_data() {
                Ok(mut data) => {
                    while data.has_remaining() {
                        let piece = data.split_to(data.len().min(PIECE));
                        in_time(idle, self.stream.send_data(piece)).await?;
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        in_time(idle, self.stream.send_trailers(trailers)).await?;
                    }
                }
            }
        }
        self.stream.finish().await?;
        Ok(())
    }

    /// Waits until the client has a reply that was sent, so that the connection may end.
    pub(super) async fn delivered(&mut self, idle: Duration) {
        if let Some(stopped) = self.stopped.take() {
            // Who does not take it in time has it in vain.
            let _ = timeout(idle, stopped).await;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(code) = self.broken {
            // The library below would end the stream as if all had been sent.
            self.stream.stop_stream(code);
        }
    }
}

async fn in_time(
    idle: Duration,
    sent: impl Future<Output = Result<(), StreamError>>,
) -> Result<(), Unsent> {
    Ok(timeout(idle, sent).await.map_err(|_| Unsent::Unread)??)
}

/// The date, for replies without one (RFC 9110 section 6.6.1).
fn date() -> HeaderValue {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + clock::unix_time());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
