//! What the HTTP library sees of a QUIC connection: its streams, with a bound on each.
//!
//! No stream may bring more octets than a sound client sends; one that does is stopped here, and
//! the library takes it for broken off. Once the gate is shut, new requests are turned away here,
//! too: the library would still take one in that the client was told to ask elsewhere.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};
use tokio::io::ReadBuf;

use super::frames::Frames;

/// Octets of streams without a request that may come at once: settings, and priorities of requests.
const CONTROL_MAX: usize = 64 << 10;
/// Octets of them that each request adds.
const CONTROL_MORE: usize = 1 << 10;
/// Octets read at a time.
const PIECE: usize = 8 << 10;

/// What a request's stream may bring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// So many octets.
    Whole(usize),
    /// So many octets beside the content, which somebody else bounds.
    Framed(usize),
}

/// What a connection may bring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Each request.
    pub(crate) request: Request,
    /// Whether [`Gate::stopped`] is asked for each request.
    pub(crate) watched: bool,
}

/// Ends when a client no longer wants a reply, or has all of it.
pub(crate) type Stopped =
    Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// What can be done to a connection whose bridge the HTTP library has.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    shut: Arc<AtomicBool>,
    /// Of streams that were handed over and not asked for yet; locked by the connection's thread.
    stopped: Arc<Mutex<VecDeque<Stopped>>>,
}

impl Gate {
    /// New requests are turned away from now on.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Relaxed);
    }

    /// The end of the reply on the next of the watched streams, in the order of requests; `None`:
    /// it was asked for before.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn watch(&self, stream: &quinn::SendStream) {
        let mut waiting = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back(Box::pin(stream.stopped()));
    }
}

/// A stream that will come.
type Coming<S> = Pin<Box<dyn Future<Output = Result<S, ConnectionError>> + Send + Sync>>;
/// Both directions of a stream.
type Both = (quinn::SendStream, quinn::RecvStream);

/// A connection.
pub(crate) struct Bridge {
    opener: Opener,
    request: Coming<Both>,
    control: Coming<quinn::RecvStream>,
    bounds: Bounds,
    /// Octets that streams without a request may still bring.
    control_left: Arc<AtomicUsize>,
    gate: Gate,
}

/// What opens streams to the client.
pub(crate) struct Opener {
    connection: quinn::Connection,
    both: Option<Coming<Both>>,
    one: Option<Coming<quinn::SendStream>>,
}

/// A stream of both directions.
pub(crate) struct Stream<B: Buf> {
    send: Sending<B>,
    receive: Receiving,
}

/// A stream to the client.
pub(crate) struct Sending<B: Buf> {
    stream: quinn::SendStream,
    id: StreamId,
    writing: Option<WriteBuf<B>>,
}

/// A stream from the client.
pub(crate) struct Receiving {
    stream: quinn::RecvStream,
    id: StreamId,
    bound: Bound,
}

/// What a stream may still bring.
enum Bound {
    /// So many octets.
    Left(usize),
    /// What its frames allow; beside them what came and has not gone on.
    Framed(Box<Frames>, Bytes),
    /// What it has in common with others.
    Shared(Arc<AtomicUsize>),
}

impl Bound {
    /// Takes octets in; `false`: they are too many.
    fn take(&mut self, length: usize) -> bool {
        match self {
            Self::Left(left) => left.checked_sub(length).map(|less| *left = less).is_some(),
            Self::Framed(..) => true,
            Self::Shared(left) => {
                let less = |left: usize| left.checked_sub(length);
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
            }
        }
    }
}

impl Bridge {
    /// A bridge over this connection.
    pub(crate) fn new(connection: &quinn::Connection, bounds: Bounds) -> Self {
        let opener = Opener { connection: connection.clone(), both: None, one: None };
        Self {
            opener,
            request: accept_both(connection),
            control: accept_one(connection),
            bounds,
            control_left: Arc::new(AtomicUsize::new(CONTROL_MAX)),
            gate: Gate::default(),
        }
    }

    /// A hold on it.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// The stream of a request; `None`: it was turned away.
    fn request<B: Buf>(
        &mut self,
        (mut send, mut receive): Both,
    ) -> Result<Option<Stream<B>>, quic::InvalidStreamId> {
        if self.gate.shut.load(Ordering::Relaxed) {
            // RFC 9114 section 4.1.1: nothing was done, so that it may be asked again.
            let rejected = number(Code::H3_REQUEST_REJECTED.value());
            let _ = send.reset(rejected);
            let _ = receive.stop(rejected);
            return Ok(None);
        }
        if self.bounds.watched {
            self.gate.watch(&send);
        }
        let more = |left: usize| Some(left.saturating_add(CONTROL_MORE).min(CONTROL_MAX));
        let _ = self.control_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        let bound = match self.bounds.request {
            Request::Whole(most) => Bound::Left(most),
            Request::Framed(most) => Bound::Framed(Box::new(Frames::new(most)), Bytes::new()),
        };
        let (send, receive) = (Sending::new(send)?, Receiving::new(receive, bound)?);
        Ok(Some(Stream { send, receive }))
    }
}

fn accept_both(connection: &quinn::Connection) -> Coming<Both> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_bi().await })
}

fn accept_one(connection: &quinn::Connection) -> Coming<quinn::RecvStream> {
    let connection = connection.clone();
    Box::pin(async move { connection.accept_uni().await })
}

impl<B: Buf> quic::Connection<B> for Bridge {
    type RecvStream = Receiving;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Receiving, ConnectionErrorIncoming>> {
        let stream = ready!(self.control.as_mut().poll(context)).map_err(lost)?;
        self.control = accept_one(&self.opener.connection);
        let bound = Bound::Shared(self.control_left.clone());
        Poll::Ready(Receiving::new(stream, bound).map_err(|error| internal(&error)))
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream<B>, ConnectionErrorIncoming>> {
        loop {
            let both = ready!(self.request.as_mut().poll(context)).map_err(lost)?;
            self.request = accept_both(&self.opener.connection);
            match self.request(both) {
                Ok(None) => {}
                Ok(Some(stream)) => return Poll::Ready(Ok(stream)),
                Err(error) => return Poll::Ready(Err(internal(&error))),
            }
        }
    }

    fn opener(&self) -> Opener {
        Opener { connection: self.opener.connection.clone(), both: None, one: None }
    }
}

impl<B: Buf> quic::OpenStreams<B> for Bridge {
    type BidiStream = Stream<B>;
    type SendStream = Sending<B>;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream<B>, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(context)
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Sending<B>, StreamErrorIncoming>> {
        self.opener.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        quic::OpenStreams::<B>::close(&mut self.opener, code, reason);
    }
}

impl<B: Buf> quic::OpenStreams<B> for Opener {
    type BidiStream = Stream<B>;
    type SendStream = Sending<B>;

    fn poll_open_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let coming = self.both.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_bi().await })
        });
        let both = ready!(coming.as_mut().poll(context));
        self.both = None;
        let both = both.map_err(|error| gone(lost(error)))?;
        Poll::Ready(Stream::opened(both).map_err(|error| gone(internal(&error))))
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Sending<B>, StreamErrorIncoming>> {
        let connection = &self.connection;
        let coming = self.one.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let one = ready!(coming.as_mut().poll(context));
        self.one = None;
        let one = one.map_err(|error| gone(lost(error)))?;
        Poll::Ready(Sending::new(one).map_err(|error| gone(internal(&error))))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(number(code.value()), reason);
    }
}

impl<B: Buf> Stream<B> {
    /// A stream that this side opens, of which nothing is expected.
    fn opened((send, receive): Both) -> Result<Self, quic::InvalidStreamId> {
        let (send, receive) = (Sending::new(send)?, Receiving::new(receive, Bound::Left(0))?);
        Ok(Self { send, receive })
    }
}

impl<B: Buf> quic::BidiStream<B> for Stream<B> {
    type SendStream = Sending<B>;
    type RecvStream = Receiving;

    fn split(self) -> (Sending<B>, Receiving) {
        (self.send, self.receive)
    }
}

impl<B: Buf> quic::RecvStream for Stream<B> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(context)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for Stream<B> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(context)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl<B: Buf> Sending<B> {
    fn new(stream: quinn::SendStream) -> Result<Self, quic::InvalidStreamId> {
        let id = u64::from(stream.id()).try_into()?;
        Ok(Self { stream, id, writing: None })
    }
}

impl<B: Buf> quic::SendStream<B> for Sending<B> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = &mut self.writing
            && data.has_remaining()
        {
            let written = Pin::new(&mut self.stream).poll_write(context, data.chunk());
            data.advance(ready!(written).map_err(unwritten)?);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let finished = self.stream.finish();
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        // It fails when the stream has ended by itself.
        let _ = self.stream.reset(number(code));
    }

    fn send_id(&self) -> StreamId {
        self.id
    }
}

impl Receiving {
    fn new(stream: quinn::RecvStream, bound: Bound) -> Result<Self, quic::InvalidStreamId> {
        let id = u64::from(stream.id()).try_into()?;
        Ok(Self { stream, id, bound })
    }

    /// Stops a stream that brings too much.
    fn refuse(&mut self) -> StreamErrorIncoming {
        quic::RecvStream::stop_sending(self, Code::H3_EXCESSIVE_LOAD.value());
        let error = io::Error::other("the stream brought more than a client sends");
        StreamErrorIncoming::Unknown(Box::new(error))
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            if let Bound::Framed(frames, came) = &mut self.bound {
                match frames.next(came) {
                    Ok(None) => {}
                    Ok(piece) => return Poll::Ready(Ok(piece)),
                    Err(_) => return Poll::Ready(Err(self.refuse())),
                }
            }
            let mut octets = [MaybeUninit::uninit(); PIECE];
            let mut octets = ReadBuf::uninit(&mut octets);
            ready!(self.stream.poll_read_buf(context, &mut octets)).map_err(unread)?;
            let octets = octets.filled();
            if octets.is_empty() {
                return Poll::Ready(Ok(None));
            }
            if !self.bound.take(octets.len()) {
                return Poll::Ready(Err(self.refuse()));
            }
            let octets = Bytes::copy_from_slice(octets);
            match &mut self.bound {
                Bound::Framed(_, came) => *came = octets,
                Bound::Left(_) | Bound::Shared(_) => return Poll::Ready(Ok(Some(octets))),
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        // It fails when the stream has ended by itself.
        let _ = self.stream.stop(number(code));
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

/// A number of QUIC, or the largest there is.
fn number(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn internal(error: &quic::InvalidStreamId) -> ConnectionErrorIncoming {
    ConnectionErrorIncoming::InternalError(error.to_string())
}

fn gone(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

fn lost(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn unread(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => gone(lost(error)),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn unwritten(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into() }
        }
        WriteError::ConnectionLost(error) => gone(lost(error)),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
