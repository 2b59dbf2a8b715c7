//! A connection that hands on only what its guard lets pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Fault, Flood, Refused, RequestGuard, ResponseGuard};
use crate::clock;

/// What a parser of HTTP/1 refuses wherever a line may stand, with the end of a head, for which
/// some wait. It follows the sound octets of a connection, so that the parser answers 400 in the
/// order of the requests, and closes.
const POISON: &[u8] = b"\0\r\n\r\n";

/// Either guard.
#[derive(Debug)]
pub enum Guard {
    /// Of a client's connection.
    Request(RequestGuard),
    /// Of a connection with an origin.
    Response(ResponseGuard),
    /// Of a client's connection of HTTP/2, whose framing the library sees to.
    Http2(Flood),
}

impl Guard {
    /// Everything that a client sends passes from now on; a connection with an origin is released
    /// by the reply that changes its protocol.
    pub fn release(&mut self) {
        if let Self::Request(guard) = self {
            guard.release();
        }
    }

    /// Whether a client has sent nothing beyond whole requests of HTTP/1.
    pub fn is_between(&self) -> bool {
        matches!(self, Self::Request(guard) if guard.is_between())
    }

    fn feed(&mut self, octets: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Request(guard) => guard.feed(octets),
            Self::Response(guard) => guard.feed(octets),
            Self::Http2(flood) => {
                let sound = flood.feed(octets, clock::now);
                if sound { Ok(()) } else { Err(Fault { refused: Refused::Flood, sound: 0 }) }
            }
        }
    }
}

/// What is known of a guarded connection from outside, while a parser owns it.
#[derive(Clone, Debug)]
pub struct Verdict {
    refused: Arc<OnceLock<Refused>>,
    /// Locked for moments by whoever reads the connection or begins an exchange, both of which
    /// the connection's own task does.
    guard: Arc<Mutex<Guard>>,
}

impl Verdict {
    /// Why the connection was refused; `None`: it was not.
    pub fn refused(&self) -> Option<Refused> {
        self.refused.get().copied()
    }

    /// Looks at or changes the guard: expects a response, or releases an upgraded connection.
    pub fn with<T>(&self, change: impl FnOnce(&mut Guard) -> T) -> T {
        change(&mut self.guard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection behind a guard.
#[derive(Debug)]
pub struct Guarded<S> {
    stream: S,
    verdict: Verdict,
    /// What is left of the poison to hand on.
    poison: &'static [u8],
}

impl<S> Guarded<S> {
    /// Puts a guard before a connection.
    pub fn new(stream: S, guard: Guard) -> Self {
        let verdict = Verdict { refused: Arc::default(), guard: Arc::new(Mutex::new(guard)) };
        Self { stream, verdict, poison: POISON }
    }

    /// What to look at it by.
    pub fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// A look at the connection itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The connection itself.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.verdict.refused().is_none() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            let Err(fault) = self.verdict.with(|guard| guard.feed(fresh)) else {
                return Poll::Ready(Ok(()));
            };
            let _ = self.verdict.refused.set(fault.refused);
            buffer.set_filled(before + fault.sound);
        }
        if buffer.filled().len() == before {
            let length = self.poison.len().min(buffer.remaining());
            let (now, later) = self.poison.split_at_checked(length).unwrap_or_default();
            buffer.put_slice(now);
            self.poison = later;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
