//! One connection of a client, from its first octet to its last.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::activity::{Activity, Order};
use super::channel::Channel;
use super::exchange::Client;
use super::forward;
use super::guard::{Bounds, Guard, Guarded, RequestGuard};
use super::seats::Seat;
use super::worker::Worker;
use crate::clock;
use crate::model::ProxyLimits;

/// Header fields that the parser keeps on the stack; any other bound costs it an allocation.
const HEADERS_USUAL: usize = 100;
/// Requests that a connection of HTTP/2 may have under way: as many as RFC 9113 section 6.5.2
/// advises at least.
const STREAMS: u32 = 100;
/// What HTTP/2 in the clear begins with (RFC 9113 section 3.4), as far as no method does.
const PREFACE: &[u8; 3] = b"PRI";
/// Between two looks at a beginning that could still be that of either.
const PREFACE_PAUSE: Duration = Duration::from_millis(5);
/// A client that does not answer a ping for this long is gone.
const PING: Duration = Duration::from_secs(20);

/// A connection's place among those that are swept.
struct Entry {
    worker: Rc<Worker>,
    number: u64,
    _seat: Seat,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.leave(self.number);
    }
}

/// Serves a connection until its end; `client` is where it comes from, and whether it speaks TLS.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    (address, secure): (IpAddr, bool),
    seat: Seat,
) {
    // Heads and the ends of bodies must not wait for more to come. The error is that it is gone.
    let _ = stream.set_nodelay(true);
    let activity = Arc::new(Activity::new(clock::now()));
    let number = worker.enter(activity.clone());
    let entry = Entry { worker: worker.clone(), number, _seat: seat };
    let client = Rc::new(Client { address, secure, activity });
    let limits = worker.view().proxy.limits.clone();
    let stop = worker.shared.stop.clone();
    if secure {
        let shaken = worker.shared.tls.0.clone();
        let shaken = tokio::select! {
            shaken = timeout(limits.header_timeout, shaken.accept(stream)) => shaken,
            // Nothing was asked yet.
            () = stop.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let chosen = stream.get_ref().1.alpn_protocol();
                let multiplexed = chosen == Some(b"h2");
                talk(worker, stream, client, &limits, multiplexed).await;
            }
            Ok(Err(error)) => debug!(client = %address, %error, "a handshake failed"),
            Err(_) => debug!(client = %address, "a handshake took too long"),
        }
    } else {
        let preface = tokio::select! {
            biased;
            preface = timeout(limits.header_timeout, is_multiplexed(&stream)) => preface,
            () = stop.cancelled() => return,
        };
        match preface {
            Ok(Ok(multiplexed)) => talk(worker, stream, client, &limits, multiplexed).await,
            Ok(Err(error)) => debug!(client = %address, %error, "a connection broke"),
            Err(_) => {
                let closed = &worker.shared.metrics.proxy.closed;
                closed.with_label_values(&["header_timeout"]).inc();
            }
        }
    }
    drop(entry);
}

/// Whether a connection in the clear begins with HTTP/2.
async fn is_multiplexed(stream: &TcpStream) -> std::io::Result<bool> {
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
async fn talk<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    worker: Rc<Worker>,
    stream: S,
    client: Rc<Client>,
    limits: &ProxyLimits,
    multiplexed: bool,
) {
    let activity = client.activity.clone();
    let address = client.address;
    let service =
        service_fn(move |request| forward::answer(worker.clone(), client.clone(), request));
    let ended = if multiplexed {
        activity.multiplexed();
        let mut builder = http2::Builder::new(Local);
        builder.timer(TokioTimer::new());
        builder.max_concurrent_streams(STREAMS);
        builder.max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX));
        builder.keep_alive_interval(limits.idle);
        builder.keep_alive_timeout(PING);
        let connection = builder.serve_connection(Channel::new(stream, activity.clone()), service);
        drive(connection, http2::Connection::graceful_shutdown, &activity).await
    } else {
        // What is merely too long has replies of its own, which the parser and the router give.
        let head = limits.header_size.saturating_mul(2);
        let bounds = Bounds { head, fields: limits.headers.saturating_mul(2), target: head };
        let guard = Guard::Request(RequestGuard::new(bounds, false));
        let stream = Channel::new(Guarded::new(stream, guard), activity.clone());
        let mut builder = http1::Builder::new();
        // The sweeper sees to it, without a timer for each request.
        builder.header_read_timeout(None);
        builder.max_header_size(limits.header_size);
        if limits.headers != HEADERS_USUAL {
            builder.max_headers(limits.headers);
        }
        let connection = builder.serve_connection(stream, service);
        drive(connection, http1::Connection::graceful_shutdown, &activity).await
    };
    if let Err(error) = ended {
        debug!(client = %address, %error, "a connection of a client broke");
    }
}

/// Runs a connection to its end, or to when it is told to close.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    finish: impl Fn(Pin<&mut C>),
    activity: &Activity,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    let mut known = false;
    let mut finishing = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut known, true) {
            activity.wake_with(context);
        }
        match activity.order() {
            Order::Serve => {}
            Order::Close => return Poll::Ready(Ok(())),
            Order::Finish => {
                if !std::mem::replace(&mut finishing, true) {
                    finish(connection.as_mut());
                }
            }
        }
        connection.as_mut().poll(context)
    })
    .await
}

/// Runs the streams of a connection on its own thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
