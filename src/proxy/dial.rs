//! New connections to endpoints: TCP, a PROXY header, TLS, and HTTP over it.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio_rustls::TlsConnector;

use super::guard::{Bounds, Guard, Guarded, ResponseGuard};
use super::local::Local;
use super::place::Place;
use super::pool::Own;
use super::request_body::RequestBody;
use super::shared::Usage;
use crate::proxy_header::{self, Ends, Version};

/// Longest head of a reply.
const HEAD_MAX: usize = 256 << 10;
/// Fields of a reply's head: as many as the parser keeps without asking for memory.
const FIELDS_MAX: usize = 100;
/// Streams of a new connection, until its endpoint has said how many there may be.
const STREAMS_FIRST: usize = 100;
/// A shared connection is asked whether it is alive while requests wait on it in silence, since
/// its death is that of them all.
const PING_AFTER: Duration = Duration::from_secs(10);
/// An endpoint that does not answer a ping for this long is gone.
const PING: Duration = Duration::from_secs(10);

/// How a connection is made.
pub(super) struct Dial<'a> {
    pub(super) place: &'a Place,
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    /// Whom it is for, where it says so.
    pub(super) header: Option<(Version, Ends)>,
}

impl Dial<'_> {
    /// A connection of HTTP/1.1. A task of this thread drives it until its end.
    pub(super) async fn own(&self) -> io::Result<Own> {
        let stream = self.connect().await?;
        match self.secured(stream).await? {
            Ok(stream) => own(stream).await,
            Err(stream) => own(stream).await,
        }
    }

    /// A connection of HTTP/2, likewise.
    pub(super) async fn shared(&self) -> io::Result<(http2::SendRequest<RequestBody>, Rc<Usage>)> {
        let stream = self.connect().await?;
        match self.secured(stream).await? {
            Ok(stream) => {
                if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(io::Error::other("the endpoint does not choose `h2` by ALPN"));
                }
                shared(stream).await
            }
            Err(stream) => shared(stream).await,
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.place.address).await?;
        // Heads and the ends of bodies must not wait for more to come.
        stream.set_nodelay(true)?;
        if let Some((version, ends)) = self.header {
            stream.write_all(&proxy_header::write(version, Some(ends))).await?;
        }
        Ok(stream)
    }

    /// The connection over TLS, or as it is where there is none.
    async fn secured(
        &self,
        stream: TcpStream,
    ) -> io::Result<Result<tokio_rustls::client::TlsStream<TcpStream>, TcpStream>> {
        let (Some(config), Some(name)) = (self.tls, &self.place.name) else {
            return Ok(Err(stream));
        };
        let connector = TlsConnector::from(config.clone());
        connector.connect(name.clone(), stream).await.map(Ok)
    }
}

async fn own(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<Own> {
    let bounds = Bounds { head: HEAD_MAX, fields: FIELDS_MAX, ..Bounds::default() };
    let stream = Guarded::new(stream, Guard::Response(ResponseGuard::new(bounds)));
    let verdict = stream.verdict();
    let mut builder = http1::Builder::new();
    builder.max_header_size(HEAD_MAX);
    let made = builder.handshake(TokioIo::new(stream)).await;
    let (send, connection) = made.map_err(io::Error::other)?;
    spawn_local(async move {
        // What goes wrong is told to whoever sent the request.
        let _ = connection.with_upgrades().await;
    });
    Ok(Own { send, verdict })
}

async fn shared(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> io::Result<(http2::SendRequest<RequestBody>, Rc<Usage>)> {
    let mut builder = http2::Builder::new(Local);
    builder.timer(TokioTimer::new());
    builder.max_header_list_size(HEAD_MAX as u32);
    builder.initial_max_send_streams(STREAMS_FIRST);
    builder.keep_alive_interval(PING_AFTER);
    builder.keep_alive_timeout(PING);
    let made = builder.handshake(TokioIo::new(stream)).await;
    let (send, connection) = made.map_err(io::Error::other)?;
    let usage = Rc::new(Usage::new(STREAMS_FIRST));
    let known = usage.clone();
    spawn_local(async move {
        let mut connection = pin!(connection);
        poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            known.allowed.set(connection.current_max_send_streams());
            // As with HTTP/1.1.
            if polled.is_ready() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    Ok((send, usage))
}
