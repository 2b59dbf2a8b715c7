//! One HTTP/2 connection (RFC 9113) of DNS over HTTPS: requests, time limits, memory limits.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::http::{self as doh, Asked, QUERY_MAX};
use super::hub::Client;

/// Requests of a connection at a time (RFC 9113 section 6.5.2 asks for 100 at least).
const STREAMS_MAX: u32 = 100;
/// Octets of a request's head: a query of the longest sort in base64, and usual headers.
const HEAD_MAX: u32 = 16 << 10;
/// Octets that may come of a body before it is read.
const BODY_WINDOW: u32 = 16 << 10;

/// Octets of a body that are taken though nobody reads them.
const SKIP_MAX: usize = 32 << 10;

/// A connection and its limits.
struct Connection<S: AsyncRead + AsyncWrite + Unpin> {
    inner: server::Connection<S, Bytes>,
    client: Client,
    requests: JoinSet<()>,
    /// What happens at [`Connection::deadline`].
    phase: Phase,
    deadline: Instant,
    /// When it is old.
    old: Instant,
}

/// What a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A request; replies have been read.
    Request,
    /// Replies to be read.
    Reading,
    /// The end, which the client has been told of.
    End,
}

/// Serves a connection to its end, or until the server stops and what has been asked by then.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, client: Client) {
    let handshake = server::Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX)
        .initial_window_size(BODY_WINDOW)
        .handshake(stream);
    let mut handshake = std::pin::pin!(timeout(client.hub.patience(), handshake));
    let inner = tokio::select! {
        biased;
        () = client.seat.closed() => return,
        () = client.hub.stop.cancelled() => return,
        inner = &mut handshake => inner,
    };
    let inner = match inner {
        Ok(Ok(inner)) => inner,
        Ok(Err(_)) => return,
        Err(_) => return client.late(),
    };
    let now = tokio::time::Instant::now();
    let (deadline, old) = (now + client.hub.patience(), now + client.hub.life);
    let requests = JoinSet::new();
    Connection { inner, client, requests, phase: Phase::Request, deadline, old }.run().await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    async fn run(mut self) {
        let (hub, seat) = (self.client.hub.clone(), self.client.seat.clone());
        loop {
            let deadline = self.deadline.min(self.old);
            let ending = self.phase == Phase::End;
            tokio::select! {
                biased;
                () = seat.closed() => return,
                () = hub.stop.cancelled(), if !ending => self.end(),
                request = self.inner.accept() => match request {
                    Some(Ok((request, response))) => self.asked(request, response),
                    // The client has closed, or broken the rules, which it has been told.
                    Some(Err(_)) | None => return,
                },
                // A request that panicked was counted where it did.
                Some(_) = self.requests.join_next() => self.wait(),
                () = sleep_until(deadline), if self.requests.is_empty() => {
                    if self.is_over() {
                        return;
                    }
                }
            }
        }
    }

    fn asked(&mut self, request: Request<RecvStream>, response: SendResponse<Bytes>) {
        let client = self.client.clone();
        self.requests.spawn(answer(client, request, response));
        if self.phase != Phase::End && tokio::time::Instant::now() > self.old {
            self.end();
        }
    }

    /// Begins to wait for the client once more.
    fn wait(&mut self) {
        if self.phase != Phase::End {
            let hub = &self.client.hub;
            let (phase, patience) = if self.client.seat.waiting() > 0 {
                (Phase::Reading, hub.patience())
            } else {
                (Phase::Request, hub.idle())
            };
            (self.phase, self.deadline) = (phase, tokio::time::Instant::now() + patience);
        }
    }

    /// The deadline has passed without a request; whether that is the end.
    fn is_over(&mut self) -> bool {
        let now = tokio::time::Instant::now();
        match self.phase {
            Phase::End => true,
            _ if now >= self.old => {
                self.end();
                false
            }
            Phase::Reading if self.client.seat.waiting() == 0 => {
                self.wait();
                false
            }
            Phase::Reading | Phase::Request => {
                self.client.late();
                self.end();
                false
            }
        }
    }

    /// Tells the client to ask nothing more here (RFC 9113 section 6.8), and waits a last time.
    fn end(&mut self) {
        self.inner.graceful_shutdown();
        self.phase = Phase::End;
        let now = tokio::time::Instant::now();
        self.deadline = now + self.client.hub.patience();
        // Later than the deadline, which counts from here on.
        self.old = self.deadline;
    }
}

/// Answers a request.
async fn answer(
    client: Client,
    mut request: Request<RecvStream>,
    mut response: SendResponse<Bytes>,
) {
    let query = match doh::read_head(&request) {
        Ok(Asked::Query(query)) => Ok(query),
        Ok(Asked::Body) => {
            let body = read_body(request.body_mut());
            match timeout(client.hub.patience(), body).await {
                Ok(Ok(body)) => Ok(body),
                Ok(Err(Some(status))) => Err(status),
                Ok(Err(None)) => return,
                Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
            }
        }
        Err(status) => Err(status),
    };
    // Asking on without reading: what was not looked at may be asked again (RFC 9113 section 8.7).
    if client.is_greedy() {
        return response.send_reset(Reason::REFUSED_STREAM);
    }
    let answered = query.and_then(|query| {
        let answered = client.hub.answer(&query, client.address, |reply, facts| {
            (doh::head(reply, facts), doh::body(reply, client.seat.wait(reply.len())))
        });
        // No message that has an answer is answered with no reply.
        let answered = answered.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        answered.reply().ok_or(StatusCode::BAD_REQUEST)
    });
    // It fails when the client has gone or does not want the response any more.
    let _ = match answered {
        Ok((head, body)) => {
            response.send_response(head, false).and_then(|mut stream| stream.send_data(body, true))
        }
        Err(status) => {
            client.hub.connections.refused_requests.fetch_add(1, Ordering::Relaxed);
            response.send_response(doh::refusal(status), true).map(|_| ())
        }
    };
    // A client that is stopped while it sends may take that for the end of the whole exchange, so
    // the rest of its request is taken, too, and not looked at.
    let _ = timeout(client.hub.patience(), skip_body(request.body_mut())).await;
}

/// Takes what is left of a body, up to a bound.
async fn skip_body(body: &mut RecvStream) {
    let mut left = SKIP_MAX;
    while let Some(Ok(piece)) = body.data().await {
        let Some(rest) = left.checked_sub(piece.len()) else { return };
        left = rest;
        if body.flow_control().release_capacity(piece.len()).is_err() {
            return;
        }
    }
}

/// Reads a body; `Err(None)`: the client has given up.
async fn read_body(body: &mut RecvStream) -> Result<Vec<u8>, Option<StatusCode>> {
    let mut query = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|_| None)?;
        if query.len() + piece.len() > QUERY_MAX {
            return Err(Some(StatusCode::PAYLOAD_TOO_LARGE));
        }
        query.extend_from_slice(&piece);
        body.flow_control().release_capacity(piece.len()).map_err(|_| None)?;
    }
    Ok(query)
}
