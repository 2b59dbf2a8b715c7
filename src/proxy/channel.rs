//! A client's stream that notes what it does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::activity::{Activity, Order};
use super::guard::Guarded;
use super::round_trips::Meter;
use crate::clock;

/// A stream of a client.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The connection below it.
    fn socket(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Transport for Box<TlsStream<TcpStream>> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl<S: Transport> Transport for Guarded<S> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().socket()
    }
}

/// A stream between the client and the HTTP library.
#[derive(Debug)]
pub(super) struct Channel<S: Transport> {
    link: Link<S>,
    activity: Arc<Activity>,
    /// Where the stream goes when the library drops it; `None`: it ends then.
    home: Option<Home<S>>,
}

/// A stream and what measures it.
#[derive(Debug)]
pub(super) struct Link<S> {
    /// Before the stream, which it looks at when it is dropped.
    meter: Option<Meter>,
    /// Empty only in a channel that is being dropped.
    stream: Option<TokioIo<S>>,
}

impl<S> Link<S> {
    pub(super) fn new(stream: S, meter: Option<Meter>) -> Self {
        Self { meter, stream: Some(TokioIo::new(stream)) }
    }

    /// The stream; `None` in a channel that is being dropped.
    pub(super) fn stream(&mut self) -> Option<&mut S> {
        self.stream.as_mut().map(TokioIo::inner_mut)
    }
}

/// Takes back a stream from a library that has no way to give it back.
#[derive(Debug)]
pub(super) struct Home<S>(Arc<Mutex<Option<Link<S>>>>);

impl<S> Clone for Home<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> Default for Home<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Home<S> {
    /// The stream that has come back.
    pub(super) fn take(&self) -> Option<Link<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<S: Transport> Channel<S> {
    pub(super) fn new(link: Link<S>, activity: Arc<Activity>, home: Option<Home<S>>) -> Self {
        Self { link, activity, home }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TokioIo<S>>> {
        let stream = self.link.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: Transport> Drop for Channel<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.link.stream
            && self.activity.order() == Order::Close
            && self.activity.is_stalled()
        {
            // The kernel would keep what the client does not take, for minutes, and go on to offer
            // it. The error is that the connection is gone already.
            let _ = stream.inner().socket().set_zero_linger();
        }
        if let Some(home) = &self.home {
            let link = Link { meter: self.link.meter.take(), stream: self.link.stream.take() };
            *home.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        }
    }
}

impl<S: Transport> Read for Channel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.stream()?.poll_read(context, buffer);
        if read.is_ready() {
            self.activity.read(clock::now);
        }
        read
    }
}

impl<S: Transport> Write for Channel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.stream()?.poll_write(context, octets);
        self.activity.wrote(wrote.is_ready(), clock::now);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.stream()?.poll_write_vectored(context, parts);
        self.activity.wrote(wrote.is_ready(), clock::now);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.link.stream.as_ref().is_some_and(Write::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}
