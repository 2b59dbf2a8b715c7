//! A tunnel: after an upgrade octets go both ways until one side ends, or time is over.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::activity::{Activity, Order};
use super::body::{Content, ReplyBody};
use super::exchange::{Client, Exchange};
use super::frames::Frames;
use super::guard::Guard;
use super::pump::{Broken, Quiet, Way};
use super::upgrade::Upgrade;
use super::worker::Worker;
use crate::metrics::ProxyMetrics;

/// What a client is told that its WebSocket is closed: `going away` (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
/// Time to tell it; a part of what a drain leaves at its end.
const GOODBYE: Duration = Duration::from_millis(200);

/// A tunnel that has been agreed on.
#[derive(Debug)]
pub(super) struct Tunnel {
    client: OnUpgrade,
    endpoint: OnUpgrade,
    /// The request that asked for it, which goes on.
    exchange: Box<Exchange>,
    /// The name of its route.
    route: String,
    /// It is closed when nothing has come from either side for so long.
    idle: Duration,
    is_websocket: bool,
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Client,
    Endpoint,
    Idle,
    Drain,
    /// The client read nothing, or its connection has to go for another reason.
    Closed,
}

impl End {
    const ALL: [Self; 5] = [Self::Client, Self::Endpoint, Self::Idle, Self::Drain, Self::Closed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Endpoint => "endpoint",
            Self::Idle => "idle",
            Self::Drain => "drain",
            Self::Closed => "closed",
        }
    }
}

/// Makes the samples of a route, so that they are there from the start.
pub(super) fn prepare(metrics: &ProxyMetrics, route: &str) {
    metrics.tunnels.open.with_label_values(&[route]);
    for end in End::ALL {
        metrics.tunnels.ended.with_label_values(&[route, end.as_str()]);
    }
    for direction in ["received", "sent"] {
        metrics.tunnels.octets.with_label_values(&[route, direction]);
    }
}

/// Opens the tunnel that a reply has agreed to; over HTTP/1.1 it begins when the reply has gone.
pub(super) fn open(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    upgrade: Upgrade,
    mut reply: Response<Content>,
    mut exchange: Box<Exchange>,
) -> Response<ReplyBody> {
    exchange.tunnels();
    let route = exchange.route.as_ref().map(|view| &view.route);
    let route = route.map(|route| (route.name.clone(), route.timeouts.websocket));
    let (route, idle) = route.unwrap_or_default();
    let tunnel = Tunnel {
        endpoint: hyper::upgrade::on(&mut reply),
        route,
        idle,
        is_websocket: upgrade.is_websocket(),
        client: upgrade.client,
        exchange,
    };
    if upgrade.accept.is_some() {
        spawn_local(tunnel.run(worker.clone(), client.activity.clone()));
    } else {
        if let Some(verdict) = client.guard.get() {
            verdict.with(Guard::release);
        }
        client.tunnel.replace(Some(tunnel));
    }
    reply.map(|_| ReplyBody::tunnel())
}

impl Tunnel {
    /// Moves octets until the end.
    pub(super) async fn run(self, worker: Rc<Worker>, activity: Arc<Activity>) {
        let Self { client, endpoint, exchange, route, idle, is_websocket } = self;
        let Ok((client, endpoint)) = tokio::try_join!(client, endpoint) else { return };
        let metrics = &worker.shared.metrics.proxy;
        let open = metrics.tunnels.open.with_label_values(&[&route]);
        open.inc();
        worker.tunnels.set(worker.tunnels.get() + 1);
        let octets = |direction: &str| {
            metrics.tunnels.octets.with_label_values(&[route.as_str(), direction])
        };
        let mut running = Running {
            client: TokioIo::new(client),
            endpoint: TokioIo::new(endpoint),
            up: Way::default(),
            down: Way::default(),
            octets: (octets("received"), octets("sent")),
            frames: is_websocket.then(Frames::default),
            first: None,
            quiet: Quiet::new(idle),
        };
        let end = running.until_end(&worker, &activity).await;
        if matches!(end, End::Idle | End::Drain) {
            // Whoever does not take it in time is closed all the same.
            let _ = timeout(GOODBYE, running.say_goodbye()).await;
        }
        metrics.tunnels.ended.with_label_values(&[route.as_str(), end.as_str()]).inc();
        open.dec();
        worker.tunnels.set(worker.tunnels.get() - 1);
        drop(exchange);
    }
}

/// A tunnel whose sides have changed their protocol.
struct Running<C, E> {
    client: C,
    endpoint: E,
    /// To the endpoint.
    up: Way,
    /// To the client.
    down: Way,
    /// Counters of both.
    octets: (IntCounter, IntCounter),
    /// What the endpoint sends; `None`: it is no WebSocket.
    frames: Option<Frames>,
    /// Which side ended first.
    first: Option<End>,
    quiet: Quiet,
}

impl<C, E> Running<C, E>
where
    C: AsyncRead + AsyncWrite + Unpin,
    E: AsyncRead + AsyncWrite + Unpin,
{
    async fn until_end(&mut self, worker: &Worker, activity: &Activity) -> End {
        let mut draining = pin!(worker.closing.cancelled());
        poll_fn(|context| {
            if activity.order() == Order::Close {
                return Poll::Ready(End::Closed);
            }
            let mut scratch = worker.scratch.borrow_mut();
            if let Poll::Ready(end) = self.poll_move(context, &mut scratch) {
                return Poll::Ready(end);
            }
            if draining.as_mut().poll(context).is_ready() {
                return Poll::Ready(End::Drain);
            }
            self.quiet.poll(context).map(|()| End::Idle)
        })
        .await
    }

    /// Moves what can be moved.
    fn poll_move(&mut self, context: &mut Context<'_>, scratch: &mut [u8]) -> Poll<End> {
        let Self { client, endpoint, up, down, octets, frames, first, quiet } = self;
        let up_end = up.poll(client, endpoint, context, scratch, |_| {});
        let down_end = down.poll(endpoint, client, context, scratch, |octets| {
            if let Some(frames) = frames {
                frames.feed(octets);
            }
        });
        if up.moved + down.moved > 0 {
            quiet.stir();
            octets.0.inc_by(std::mem::take(&mut up.moved));
            octets.1.inc_by(std::mem::take(&mut down.moved));
        }
        let broken = match (up_end, down_end) {
            (Err(Broken::Read), _) | (_, Err(Broken::Write)) => Some(End::Client),
            (Err(Broken::Write), _) | (_, Err(Broken::Read)) => Some(End::Endpoint),
            _ => None,
        };
        if first.is_none() {
            *first = match (up.ended, down.ended) {
                (true, _) => Some(End::Client),
                (_, true) => Some(End::Endpoint),
                _ => None,
            };
        }
        match broken.map(|end| first.unwrap_or(end)) {
            Some(end) => Poll::Ready(end),
            None if up.shut && down.shut => Poll::Ready(first.unwrap_or(End::Client)),
            None => Poll::Pending,
        }
    }

    /// Tells the client why this ends, where its protocol has a way to, and ends both sides.
    async fn say_goodbye(&mut self) -> io::Result<()> {
        let between = self.frames.as_ref().is_some_and(Frames::is_between);
        if between && self.down.is_empty() && !self.down.ended {
            self.client.write_all(&GOING_AWAY).await?;
        }
        self.client.shutdown().await?;
        self.endpoint.shutdown().await
    }
}
