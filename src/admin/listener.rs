//! The connections of the admin listener: how many at a time, for how long, and whose.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

use crate::tls;

/// Bounds of the admin listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel until one ends.
    pub(super) connections: usize,
    /// Time from the beginning of a connection to its end, one request and its reply long.
    pub(super) lifetime: Duration,
}

impl Default for Limits {
    /// Far more than scrapers and supervisors of one node need, and longer than they wait.
    fn default() -> Self {
        Self { connections: 256, lifetime: Duration::from_secs(30) }
    }
}

/// An open socket of either kind.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpListener),
    /// A socket file.
    Unix(UnixListener),
}

/// A listener that keeps [`Limits`].
pub(super) struct Bounded {
    socket: Socket,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl Bounded {
    pub(super) fn new(socket: Socket, tls: Option<TlsAcceptor>, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections));
        Self { socket, tls, places, lifetime: limits.lifetime }
    }
}

impl Listener for Bounded {
    type Io = Visit;
    type Addr = Peer;

    async fn accept(&mut self) -> (Visit, Peer) {
        // Nobody closes the semaphore, so that there is always a place in the end.
        let place = self.places.clone().acquire_owned().await.ok();
        let (shown, stay) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let (stream, address) = match &mut self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = Listener::accept(listener).await;
                let stream = match &self.tls {
                    // The handshake waits for the first read, in the connection's own task.
                    Some(tls) => Stream::Handshake(Box::new(tls.accept(stream)), shown.clone()),
                    None => Stream::Clear(stream),
                };
                (stream, Some(address))
            }
            Socket::Unix(listener) => (Stream::Unix(Listener::accept(listener).await.0), None),
        };
        let peer = Peer { address, shown, stay: stay.clone() };
        (Visit { stream, end: Box::pin(sleep(self.lifetime)), stay, _place: place }, peer)
    }

    fn local_addr(&self) -> io::Result<Peer> {
        let address = match &self.socket {
            Socket::Tcp(listener) => Some(listener.local_addr()?),
            Socket::Unix(_) => None,
        };
        Ok(Peer { address, shown: Arc::default(), stay: Arc::default() })
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// `None`: it came over a socket file.
    address: Option<SocketAddr>,
    /// Whose certificate it has shown, once the handshake is done.
    shown: Arc<OnceLock<String>>,
    /// How long its connection may go on when its time is up.
    stay: Arc<OnceLock<Duration>>,
}

impl Peer {
    /// Where it is; `None`: on this machine, over a socket file.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether it came over a socket file.
    pub(super) fn is_unix(&self) -> bool {
        self.address.is_none()
    }

    /// Whom its certificate is of, which an authority of ours has signed.
    pub(super) fn certificate(&self) -> Option<String> {
        self.shown.get().cloned()
    }

    /// Lets its connection go on for so long after its time is up, once.
    pub(super) fn stay(&self, time: Duration) {
        // A connection has one request.
        let _ = self.stay.set(time);
    }

    /// What to call it where everybody may come.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_unix() { "socket file" } else { "loopback" }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.ip().fmt(f),
            None => f.write_str("socket file"),
        }
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.remote_addr().clone()
    }
}

/// What carries a connection.
enum Stream {
    Clear(TcpStream),
    Unix(UnixStream),
    Handshake(Box<Accept<TcpStream>>, Arc<OnceLock<String>>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Goes on with the handshake until there is something to read from and to write to.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self::Handshake(accept, shown) = self else { return Poll::Ready(Ok(())) };
        match Pin::new(accept).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(stream)) => {
                let chain = stream.get_ref().1.peer_certificates();
                if let Some(first) = chain.and_then(<[_]>::first) {
                    // It is set here alone, once a connection.
                    let _ = shown.set(tls::subject(first));
                }
                *self = Self::Tls(Box::new(stream));
                Poll::Ready(Ok(()))
            }
        }
    }
}

/// A connection that ends in time, whatever its client does.
pub(super) struct Visit {
    stream: Stream,
    end: Pin<Box<Sleep>>,
    /// What it gets when that is over; taken once.
    stay: Arc<OnceLock<Duration>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Visit {
    /// Ready when the stream can be used, an error when its time is up.
    fn poll_usable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(context).is_ready() {
            let Some(time) = self.stay.get().copied() else {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            };
            (self.end, self.stay) = (Box::pin(sleep(time)), Arc::default());
            if self.end.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        self.stream.poll_ready(context)
    }
}

impl AsyncRead for Visit {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_usable(context))?;
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Handshake(..) => Poll::Pending,
        }
    }
}

impl AsyncWrite for Visit {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_usable(context))?;
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_write(context, octets),
            Stream::Unix(stream) => Pin::new(stream).poll_write(context, octets),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, octets),
            Stream::Handshake(..) => Poll::Pending,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_usable(context))?;
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(context),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            Stream::Handshake(..) => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            // Nothing was said that would have to end.
            Stream::Handshake(..) => Poll::Ready(Ok(())),
        }
    }
}
