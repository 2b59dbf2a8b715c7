//! What the HTTP/3 library sees of a QUIC connection: its streams, with a bound on each.
//!
//! The library collects a frame until it is whole, whatever length the frame tells. So no stream
//! may bring more octets than a sound client sends; one that does is stopped here, and the library
//! takes it for broken off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};

/// Octets of a request: head and body of the longest sort, and frames without a meaning.
const REQUEST_MAX: usize = 32 << 10;
/// Octets of a stream without a request: settings, and now and then a priority.
const CONTROL_MAX: usize = 64 << 10;
/// Octets read at a time.
const PIECE: usize = 2048;

/// A stream that will come.
type Coming<S> = Pin<Box<dyn Future<Output = Result<S, ConnectionError>> + Send + Sync>>;
/// Both directions of a stream.
type Both = (quinn::SendStream, quinn::RecvStream);

/// A connection.
pub(super) struct Bridge {
    opener: Opener,
    request: Coming<Both>,
    control: Coming<quinn::RecvStream>,
}

/// What opens streams to the client.
pub(super) struct Opener {
    connection: quinn::Connection,
    both: Option<Coming<Both>>,
    one: Option<Coming<quinn::SendStream>>,
}

/// A stream of both directions.
pub(super) struct Stream<B: Buf> {
    send: Sending<B>,
    receive: Receiving,
}

/// A stream to the client.
pub(super) struct Sending<B: Buf> {
    stream: quinn::SendStream,
    id: StreamId,
    writing: Option<WriteBuf<B>>,
}

/// A stream from the client.
pub(super) struct Receiving {
    stream: quinn::RecvStream,
    id: StreamId,
    /// Octets it may still bring.
    left: usize,
}

impl Bridge {
    pub(super) fn new(connection: &quinn::Connection) -> Self {
        let opener = Opener { connection: connection.clone(), both: None, one: None };
        Self { opener, request: accept_both(connection), control: accept_one(connection) }
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
        Poll::Ready(Receiving::new(stream, CONTROL_MAX).map_err(|error| internal(&error)))
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Stream<B>, ConnectionErrorIncoming>> {
        let both = ready!(self.request.as_mut().poll(context)).map_err(lost)?;
        self.request = accept_both(&self.opener.connection);
        Poll::Ready(Stream::new(both).map_err(|error| internal(&error)))
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
        Poll::Ready(Stream::new(both).map_err(|error| gone(internal(&error))))
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
    fn new((send, receive): Both) -> Result<Self, quic::InvalidStreamId> {
        let (send, receive) = (Sending::new(send)?, Receiving::new(receive, REQUEST_MAX)?);
        Ok(Self { send, receive })
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
    fn new(stream: quinn::RecvStream, left: usize) -> Result<Self, quic::InvalidStreamId> {
        let id = u64::from(stream.id()).try_into()?;
        Ok(Self { stream, id, left })
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let mut octets = [0; PIECE];
        let length = ready!(self.stream.poll_read(context, &mut octets)).map_err(unread)?;
        let Some(left) = self.left.checked_sub(length) else {
            self.stop_sending(Code::H3_EXCESSIVE_LOAD.value());
            let error = io::Error::other("the stream brought more than a client sends");
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(error))));
        };
        self.left = left;
        let octets = octets.get(..length).filter(|octets| !octets.is_empty());
        Poll::Ready(Ok(octets.map(Bytes::copy_from_slice)))
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
