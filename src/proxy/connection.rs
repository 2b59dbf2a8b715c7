//! One connection of a client, from its first octet to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, UpgradeableConnection};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::activity::{Activity, Order};
use super::channel::{Channel, Home, Link};
use super::exchange::Client;
use super::forward;
use super::guard::{Bounds, Flood, Guard, Guarded, RequestGuard};
use super::identity::Session;
use super::local::Local;
use super::round_trips::Meter;
use super::seats::{NoSeat, Seat};
use super::worker::Worker;
use crate::clock::{self, Tick};
use crate::proxy_header::{self, Ends};

/// Header fields that the parser keeps on the stack; any other bound costs it an allocation.
const HEADERS_USUAL: usize = 100;
/// Requests that a connection of HTTP/2 may have under way: as many as RFC 9113 section 6.5.2
/// advises at least.
const STREAMS: u32 = 100;
/// Requests that may be taken back before they are looked at, on one connection.
const RESETS_UNSEEN: usize = 20;
/// Streams that a client may make this side reset, on one connection: it cannot by accident.
const RESETS_OWN: usize = 100;
/// What HTTP/2 in the clear begins with (RFC 9113 section 3.4), as far as no method does.
const PREFACE: &[u8; 3] = b"PRI";
/// Between two looks at a beginning that could still be that of either.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// For the end of TLS to go out, where a connection waits for nothing.
const GOODBYE: Duration = Duration::from_millis(200);
/// A client that does not answer a ping for this long is gone.
const PING: Duration = Duration::from_secs(20);

/// A stream of a client, which says when something comes without taking it.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Transport for TcpStream {
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }
}

impl Transport for Box<TlsStream<TcpStream>> {
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_read_ready(context)
    }
}

/// A connection's place among those that are swept.
pub(super) struct Entry {
    worker: Rc<Worker>,
    number: u64,
    seat: Seat,
}

impl Entry {
    /// Takes a connection among them.
    pub(super) fn new(worker: Rc<Worker>, activity: Arc<Activity>, seat: Seat) -> Self {
        let number = worker.enter(activity);
        Self { worker, number, seat }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.leave(self.number);
    }
}

/// Serves a connection until its end: where it comes from, whether it speaks TLS, and whether
/// a PROXY header comes first.
pub(super) async fn serve(
    worker: Rc<Worker>,
    mut stream: TcpStream,
    (peer, secure, announced): (SocketAddr, bool, bool),
    seat: Seat,
) {
    // Heads and the ends of bodies must not wait for more to come. The error is that it is gone.
    let _ = stream.set_nodelay(true);
    let fd = stream.as_raw_fd();
    let activity = Arc::new(Activity::new(clock::now()));
    let mut entry = Entry::new(worker.clone(), activity.clone(), seat);
    let patience = worker.view().proxy.limits.header_timeout;
    let deadline = tokio::time::Instant::now() + patience;
    let stop = worker.ending.clone();
    let Ok(local) = stream.local_addr() else { return };
    let mut ends = Ends { source: peer, destination: local };
    if announced {
        let told = tokio::select! {
            told = announcement(&worker, &mut stream, &mut entry.seat, ends, deadline) => told,
            () = stop.cancelled() => return,
        };
        let Some(told) = told else { return };
        ends = told;
    }
    let mut client = Client::new(ends, secure, activity);
    let address = client.address;
    // The round trip to a proxy is not that to the client it speaks for.
    let meter = || if announced { None } else { Meter::new(fd, address, &worker) };
    if secure {
        let shaken = Box::pin(shake(&worker, stream, &mut client, deadline)).await;
        if let Some((stream, multiplexed)) = shaken {
            talk(worker.clone(), stream, Rc::new(client), meter(), multiplexed).await;
        }
    } else {
        let preface = tokio::select! {
            biased;
            preface = timeout_at(deadline, is_multiplexed(&stream)) => preface,
            () = stop.cancelled() => return,
        };
        match preface {
            Ok(Ok(multiplexed)) => {
                talk(worker.clone(), stream, Rc::new(client), meter(), multiplexed).await;
            }
            Ok(Err(error)) => debug!(client = %address, %error, "a connection broke"),
            Err(_) => {
                let closed = &worker.shared.metrics.proxy.closed;
                closed.with_label_values(&["header_timeout"]).inc();
            }
        }
    }
    drop(entry);
}

/// Shakes hands with a client, and says whether it then speaks HTTP/2; `None`: it does not shake,
/// or the node ends first.
async fn shake(
    worker: &Worker,
    stream: TcpStream,
    client: &mut Client,
    deadline: tokio::time::Instant,
) -> Option<(Box<TlsStream<TcpStream>>, bool)> {
    let view = worker.view();
    let acceptor = worker.shared.tls.acceptor(&view.proxy)?;
    let shaken = tokio::select! {
        shaken = timeout_at(deadline, acceptor.accept(stream)) => shaken,
        // Nothing was asked yet.
        () = worker.ending.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let session = stream.get_ref().1;
            if view.proxy.client_ca.is_some() {
                let chain = session.peer_certificates().unwrap_or_default();
                client.session = Some(Session::new(session.server_name(), chain));
            }
            let multiplexed = session.alpn_protocol() == Some(b"h2");
            Some((Box::new(stream), multiplexed))
        }
        Ok(Err(error)) => {
            debug!(client = %client.address, %error, "a handshake failed");
            None
        }
        Err(_) => {
            debug!(client = %client.address, "a handshake took too long");
            None
        }
    }
}

/// For whom a proxy says that it speaks, who then has the seat; `None`: the connection is closed,
/// and counted.
async fn announcement(
    worker: &Worker,
    stream: &mut TcpStream,
    seat: &mut Seat,
    ends: Ends,
    deadline: tokio::time::Instant,
) -> Option<Ends> {
    let told = match timeout_at(deadline, proxy_header::receive(stream)).await {
        Ok(Ok(told)) => Ok(told.unwrap_or(ends)),
        Ok(Err(_)) => Err("proxy_header"),
        Err(_) => Err("header_timeout"),
    };
    let taken = told.and_then(|told| {
        let client = told.source.ip().to_canonical();
        seat.belongs_to(client, &worker.view().proxy).map_err(NoSeat::as_str).map(|()| told)
    });
    match taken {
        Ok(told) => Some(told),
        Err(reason) => {
            debug!(peer = %ends.source, reason, "a connection is not taken");
            worker.shared.metrics.proxy.closed.with_label_values(&[reason]).inc();
            None
        }
    }
}

/// Whether a connection in the clear begins with HTTP/2.
async fn is_multiplexed(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        let seen = first.get(..length).unwrap_or_default();
        if length == 0 || !PREFACE.starts_with(seen) {
            return Ok(false);
        }
        if length == PREFACE.len() {
            return Ok(true);
        }
        sleep(PREFACE_PAUSE).await;
    }
}

/// Speaks HTTP over a connection until its end.
async fn talk<S: Transport>(
    worker: Rc<Worker>,
    stream: S,
    client: Rc<Client>,
    meter: Option<Meter>,
    multiplexed: bool,
) {
    let protocol = if multiplexed { "http2" } else { "http1" };
    worker.shared.metrics.proxy.opened.with_label_values(&[protocol]).inc();
    // What either takes is only there while it is needed: a connection mostly waits.
    let ended = if multiplexed {
        Box::pin(talk_http2(&worker, stream, &client, meter)).await
    } else {
        Box::pin(talk_http1(&worker, stream, &client, meter)).await
    };
    let tunnel = client.tunnel.take();
    if let Err(error) = ended {
        debug!(client = %client.address, %error, "a connection of a client broke");
    } else if let Some(tunnel) = tunnel {
        Box::pin(tunnel.run(worker, client.activity.clone())).await;
    }
}

async fn talk_http2<S: Transport>(
    worker: &Rc<Worker>,
    stream: S,
    client: &Rc<Client>,
    meter: Option<Meter>,
) -> hyper::Result<()> {
    let limits = worker.view().proxy.limits.clone();
    let (own, asking) = (worker.clone(), client.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        forward::answer(own.clone(), asking.clone(), request)
    });
    client.activity.multiplexed();
    let mut builder = http2::Builder::new(Local);
    builder.timer(TokioTimer::new());
    builder.max_concurrent_streams(STREAMS);
    builder.enable_connect_protocol();
    builder.max_pending_accept_reset_streams(RESETS_UNSEEN);
    builder.max_local_error_reset_streams(RESETS_OWN);
    builder.max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX));
    builder.keep_alive_interval(limits.idle);
    builder.keep_alive_timeout(PING);
    let stream = Guarded::new(stream, Guard::Http2(Flood::default()));
    let verdict = stream.verdict();
    let stream = Channel::new(Link::new(stream, meter), client.activity.clone(), None);
    let connection = pin!(builder.serve_connection(stream, service));
    let finish = http2::Connection::graceful_shutdown;
    let ended = drive(connection, finish, &client.activity, || false).await;
    if verdict.refused().is_some() {
        worker.shared.metrics.proxy.closed.with_label_values(&["flood"]).inc();
    }
    ended.map(|_| ())
}

/// Serves a connection of HTTP/1. The library keeps its buffers for as long as it has the
/// connection, so it gets one only while there is something to do.
async fn talk_http1<S: Transport>(
    worker: &Rc<Worker>,
    stream: S,
    client: &Rc<Client>,
    meter: Option<Meter>,
) -> hyper::Result<()> {
    let limits = worker.view().proxy.limits.clone();
    let (own, asking) = (worker.clone(), client.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (worker, client) = (own.clone(), asking.clone());
        async move {
            let mut reply = forward::answer(worker.clone(), client, request).await?;
            let goes_on = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
            if worker.retiring.get() && !goes_on {
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(reply)
        }
    });
    // What is merely too long has replies of its own, which the parser and the router give.
    let head = limits.header_size.saturating_mul(2);
    let bounds = Bounds { head, fields: limits.headers.saturating_mul(2), target: head };
    let guard = Guard::Request(RequestGuard::new(bounds, false));
    let stream = Guarded::new(stream, guard);
    let verdict = stream.verdict();
    // The error is that there is one, which there is not.
    let _ = client.guard.set(verdict.clone());
    let mut builder = http1::Builder::new();
    // The sweeper sees to it, without a timer for each request.
    builder.header_read_timeout(None);
    builder.max_header_size(limits.header_size);
    if limits.headers != HEADERS_USUAL {
        builder.max_headers(limits.headers);
    }
    let mut link = Link::new(stream, meter);
    let home = Home::default();
    loop {
        let stream = Channel::new(link, client.activity.clone(), Some(home.clone()));
        let connection = builder.serve_connection(stream, service.clone()).with_upgrades();
        let mut connection = Box::pin(connection);
        let finish = UpgradeableConnection::graceful_shutdown;
        let is_between = || verdict.with(|guard| guard.is_between());
        if drive(connection.as_mut(), finish, &client.activity, is_between).await? == Step::End {
            return Ok(());
        }
        drop(connection);
        let Some(rested) = home.take() else { return Ok(()) };
        link = rested;
        let resting = &worker.shared.metrics.proxy.resting;
        resting.inc();
        let goes_on = rest(&mut link, &client.activity).await;
        resting.dec();
        if !goes_on {
            return Ok(());
        }
    }
}

/// Waits until something comes from a client; `false`: the connection is to end.
async fn rest<S: Transport>(link: &mut Link<Guarded<S>>, activity: &Activity) -> bool {
    let Some(stream) = link.stream() else { return false };
    let order = poll_fn(|context| {
        let order = activity.order();
        // What TLS has not sent yet goes on meanwhile; who cannot be reached is told so below.
        let _ = Pin::new(&mut *stream).poll_flush(context);
        if order > Order::Rest || stream.get_ref().poll_ready(context).is_ready() {
            return Poll::Ready(order);
        }
        Poll::Pending
    })
    .await;
    match order {
        Order::Serve | Order::Rest => {
            activity.go_on();
            true
        }
        Order::Finish => {
            // Whoever does not take it in time is closed all the same.
            let _ = timeout(GOODBYE, stream.shutdown()).await;
            false
        }
        Order::Close => false,
    }
}

/// Where a connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    End,
    /// Nothing is under way, and the library is not needed for a while.
    Rest,
}

/// Runs a connection to its end, or to when it is told to close or to rest; for the latter
/// `is_between` says whether nothing came that the library has not handed on.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    activity: &Activity,
    is_between: impl Fn() -> bool,
) -> hyper::Result<Step> {
    let mut known = false;
    let mut finishing = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut known, true) {
            activity.wake_with(context);
        }
        match activity.order() {
            Order::Serve | Order::Rest => {}
            Order::Close => return Poll::Ready(Ok(Step::End)),
            Order::Finish => {
                if !std::mem::replace(&mut finishing, true) {
                    finish(connection.as_mut());
                }
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended.map(|()| Step::End));
        }
        if activity.order() == Order::Rest {
            if is_between() {
                if activity.is_quiet(Duration::ZERO, Tick::default()) {
                    return Poll::Ready(Ok(Step::Rest));
                }
            } else {
                // The beginning of a head, which came with the request before it.
                activity.read(clock::now);
            }
            activity.go_on();
        }
        Poll::Pending
    })
    .await
}
