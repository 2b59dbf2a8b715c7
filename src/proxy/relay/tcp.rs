//! One connection that is passed through, from its first octet to its last.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::hello::{Hello, HelloReader, NO_SUCH_NAME};
use super::table::TcpView;
use crate::clock;
use crate::metrics::ProxyMetrics;
use crate::proxy::activity::{Activity, Order};
use crate::proxy::balance::Key;
use crate::proxy::connection::Entry;
use crate::proxy::failure::Failure;
use crate::proxy::load::InFlight;
use crate::proxy::pump::{Quiet, Way};
use crate::proxy::seats::Seat;
use crate::proxy::view::RouteView;
use crate::proxy::worker::Worker;
use crate::proxy_header::{self, Ends};

/// Octets of a `ClientHello` that are read at a time.
const PIECE: usize = 4 << 10;

/// How a connection that was passed through ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Both sides ended it.
    Ended,
    /// One side broke it.
    Broken,
    /// Nothing came for too long.
    Idle,
    /// The node stops.
    Drain,
}

impl End {
    const ALL: [Self; 4] = [Self::Ended, Self::Broken, Self::Idle, Self::Drain];

    /// The label in metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Drain => "drain",
        }
    }
}

/// Makes the counters of a relay, so that they are there from the start.
pub(in crate::proxy) fn count_from_zero(metrics: &ProxyMetrics, relay: &str) {
    for end in End::ALL {
        metrics.relays.connections.with_label_values(&[relay, end.as_str()]);
    }
}

/// Passes a connection through until its end; it came to the listener at `listen`.
pub(in crate::proxy) async fn serve(
    worker: Rc<Worker>,
    client: TcpStream,
    (peer, listen): (SocketAddr, SocketAddr),
    seat: Seat,
) {
    // Whoever sends small pieces knows why. The error is that it is gone.
    let _ = client.set_nodelay(true);
    let activity = Arc::new(Activity::new(clock::now()));
    // It has clocks of its own, not those of requests.
    activity.begin();
    let entry = Entry::new(worker.clone(), activity.clone(), seat);
    let view = worker.view();
    let Some(relay) = view.relays.tcp(listen).cloned() else {
        debug!(%peer, %listen, "a relay is gone from the files");
        return;
    };
    let metrics = &worker.shared.metrics.proxy;
    match connect(&worker, &client, peer, &relay, view.proxy.limits.header_timeout).await {
        Ok(Some(Joined { endpoint, beginning, route, in_flight })) => {
            let end = pass(&worker, (client, endpoint), beginning, &route, &activity).await;
            metrics.relays.connections.with_label_values(&[&route.route.name, end.as_str()]).inc();
            drop(in_flight);
        }
        Ok(None) => metrics.closed.with_label_values(&["header_timeout"]).inc(),
        Err(failure) => {
            let name = relay.relay.name();
            debug!(%peer, relay = name, cause = failure.cause(), "a connection is not passed on");
            metrics.failures.with_label_values(&[name, failure.cause()]).inc();
        }
    }
    drop(entry);
}

/// A connection to an endpoint for a client's.
struct Joined {
    endpoint: TcpStream,
    /// What the endpoint is to get first.
    beginning: Vec<u8>,
    route: Rc<RouteView>,
    in_flight: InFlight,
}

/// Finds out where a connection goes, and connects there; `None`: the client took too long to say.
async fn connect(
    worker: &Worker,
    client: &TcpStream,
    peer: SocketAddr,
    relay: &TcpView,
    patience: Duration,
) -> Result<Option<Joined>, Failure> {
    let (host, seen) = if relay.relay.names.is_empty() {
        (None, Vec::new())
    } else {
        let stop = worker.ending.clone();
        let hello = tokio::select! {
            biased;
            hello = timeout(patience, hello(client)) => hello,
            // Nothing was asked yet.
            () = stop.cancelled() => return Ok(None),
        };
        match hello {
            Ok(hello) => hello?,
            Err(_) => return Ok(None),
        }
    };
    let target = relay.relay.target(host.as_deref());
    let Some(route) = target.and_then(|at| relay.routes.get(at)) else {
        if !relay.relay.names.is_empty() {
            // It fits into the empty buffer of a new connection, or the client is gone.
            let _ = client.try_write(&NO_SUCH_NAME);
        }
        return Err(Failure::NoRoute);
    };
    let (mut endpoint, in_flight) = reach(worker, peer, route).await?;
    let ends = Ends { source: peer, destination: client.local_addr().unwrap_or(peer) };
    let mut beginning = match relay.relay.header {
        Some(version) => proxy_header::write(version, Some(ends)),
        None => Vec::new(),
    };
    beginning.extend_from_slice(&seen);
    // What does not fit goes out with what follows.
    let taken = endpoint.try_write(&beginning).unwrap_or(0);
    beginning.drain(..taken.min(beginning.len()));
    endpoint.flush().await.map_err(|_| Failure::Reset)?;
    Ok(Some(Joined { endpoint, beginning, route: route.clone(), in_flight }))
}

/// The host that a TLS client asks for, and what it has sent so far.
async fn hello(client: &TcpStream) -> Result<(Option<String>, Vec<u8>), Failure> {
    let mut reader = HelloReader::default();
    let mut piece = [0; PIECE];
    loop {
        client.readable().await.map_err(|_| Failure::Malformed)?;
        let length = match client.try_read(&mut piece) {
            Ok(0) => return Err(Failure::Malformed),
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Failure::Malformed),
        };
        match reader.push(piece.get(..length).unwrap_or_default()) {
            Hello::Part => {}
            Hello::Whole(host) => return Ok((host, reader.into_seen())),
            Hello::Other => return Err(Failure::Malformed),
        }
    }
}

/// Connects to an endpoint, or to another when that fails.
async fn reach(
    worker: &Worker,
    peer: SocketAddr,
    route: &RouteView,
) -> Result<(TcpStream, InFlight), Failure> {
    let settings = &route.route;
    let key = Key::client(peer.ip());
    let mut tried: Vec<SocketAddr> = Vec::new();
    route.budget.borrow_mut().request(clock::now());
    loop {
        let at = (clock::now(), worker.random());
        // Those that fail for now are better than none.
        let found = route.pick(&tried, key, at, false);
        let place = match found.or_else(|_| route.pick(&tried, key, at, true)) {
            Ok(place) => place,
            Err(_) if !tried.is_empty() => return Err(Failure::Connect),
            Err(no_place) => return Err(no_place.into()),
        };
        let in_flight = InFlight::new(place.load.clone());
        match timeout(settings.timeouts.connect, TcpStream::connect(place.address)).await {
            Ok(Ok(endpoint)) => {
                place.load.connected.inc();
                place.succeeded();
                // As with the client's.
                let _ = endpoint.set_nodelay(true);
                return Ok((endpoint, in_flight));
            }
            Ok(Err(error)) => debug!(endpoint = %place.address, %error, "cannot connect"),
            Err(_) => debug!(endpoint = %place.address, "connecting takes too long"),
        }
        place.load.unconnected.inc();
        route.note(place, Err(Failure::Connect));
        tried.push(place.address);
        let most = settings.retry.attempts as usize;
        if tried.len() >= most || !route.budget.borrow_mut().retry(clock::now()) {
            return Err(Failure::Connect);
        }
        route.counters.retries.inc();
    }
}

/// Passes octets in both directions until both have ended, or one breaks.
async fn pass(
    worker: &Worker,
    (mut client, mut endpoint): (TcpStream, TcpStream),
    beginning: Vec<u8>,
    route: &RouteView,
    activity: &Activity,
) -> End {
    let mut up = Way::beginning(beginning);
    let mut down = Way::default();
    let mut quiet = Quiet::new(route.route.timeouts.idle);
    let mut known = false;
    poll_fn(|context| {
        if !std::mem::replace(&mut known, true) {
            activity.wake_with(context);
        }
        if activity.order() == Order::Close {
            return Poll::Ready(End::Drain);
        }
        let mut scratch = worker.scratch.borrow_mut();
        let upward = up.poll(&mut client, &mut endpoint, context, &mut scratch, |_| {});
        let downward = down.poll(&mut endpoint, &mut client, context, &mut scratch, |_| {});
        drop(scratch);
        if up.moved + down.moved > 0 {
            quiet.stir();
            route.counters.received.inc_by(std::mem::take(&mut up.moved));
            route.counters.sent.inc_by(std::mem::take(&mut down.moved));
        }
        if upward.is_err() || downward.is_err() {
            return Poll::Ready(End::Broken);
        }
        if up.shut && down.shut {
            return Poll::Ready(End::Ended);
        }
        quiet.poll(context).map(|()| End::Idle)
    })
    .await
}
