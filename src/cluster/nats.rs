//! The engine over a NATS bus: connects, refuses servers that will not do, and comes back.

mod control;
mod examine;
mod view;

use std::future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, Subscriber};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::engine::Signal;
use super::mesh::Outgoing;
use super::version;
use crate::clock;
use crate::metrics::Metrics;
use crate::model::Nats;
use crate::tls::{client_config, system_authorities};

pub use control::NatsControl;
pub use examine::{Create, Examined, Grade, examine};
pub use view::{bucket_name, view_name};

/// Signals that wait for the node; more stay in the client's queues.
const SIGNALS_MAX: usize = 4_096;
/// Kept pages of round trips that wait; more stay with the server.
const UNHURRIED_MAX: usize = 256;
/// Messages that wait to be sent.
const OUTGOING_MAX: usize = 4_096;
/// Messages of one subscription that wait; the refresh of the largest fleet is 11,000 pages.
const SUBSCRIPTION_MAX: usize = 32_768;
/// A server that does not answer twice this long is gone; the default of a minute is far too long.
const PING: Duration = Duration::from_secs(2);
/// Time to connect, over any distance.
const CONNECT: Duration = Duration::from_secs(5);
/// Pause before the first new try to connect; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
/// Another six seconds pass before the others are relied on again, and ten are what a fleet may
/// take when its bus is back.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Pause after a server that will not do, which somebody has to replace first.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// A node's place on the bus.
#[derive(Debug)]
pub struct Bus {
    outgoing: mpsc::Sender<Outgoing>,
    pub(super) signals: mpsc::Receiver<Signal>,
    /// What the bus has kept and nobody waits for.
    pub(super) unhurried: mpsc::Receiver<Signal>,
    clients: watch::Receiver<Option<Client>>,
}

impl Bus {
    /// Begins to connect, and to listen to these subjects; ends with `stop`.
    pub fn start(
        nats: Arc<Nats>,
        name: String,
        filters: Vec<String>,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (outgoing, to_send) = mpsc::channel(OUTGOING_MAX);
        let (signals, received) = mpsc::channel(SIGNALS_MAX);
        let (unhurried, kept) = mpsc::channel(UNHURRIED_MAX);
        let (client, clients) = watch::channel(None);
        let dialler = Dialler { nats, name, filters, metrics, signals, unhurried, client };
        let task = tokio::spawn(async move {
            // Dropping the work ends it, wherever it waits.
            tokio::select! {
                () = stop.cancelled() => {}
                () = dialler.run(to_send) => {}
            }
        });
        (Self { outgoing, signals: received, unhurried: kept, clients }, task)
    }

    pub(super) fn publish(&self, message: Outgoing) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// The connection, while there is one that will do.
    pub(super) fn clients(&self) -> watch::Receiver<Option<Client>> {
        self.clients.clone()
    }
}

/// Why a connection is given up.
enum Ended {
    /// The client has closed it.
    Closed,
    /// The server will not do: why.
    Refused(String),
    /// Nobody listens any more.
    Unheard,
}

/// Connects, again and again.
struct Dialler {
    nats: Arc<Nats>,
    name: String,
    filters: Vec<String>,
    metrics: Arc<Metrics>,
    signals: mpsc::Sender<Signal>,
    unhurried: mpsc::Sender<Signal>,
    client: watch::Sender<Option<Client>>,
}

impl Dialler {
    async fn run(self, mut outgoing: mpsc::Receiver<Outgoing>) {
        let mut told = String::new();
        let mut tries = 0;
        loop {
            let (events_in, mut events) = mpsc::channel(64);
            let on_event = move |event| {
                let events = events_in.clone();
                async move {
                    // Whoever lags by so many events learns the state from the later ones.
                    let _ = events.try_send(event);
                }
            };
            let connected = match options(&self.nats, &self.name) {
                Ok(options) => {
                    let options = options.event_callback(on_event);
                    options.connect(&self.nats.servers[..]).await.map_err(|e| in_full(&e))
                }
                Err(why) => Err(why),
            };
            let client = match connected {
                Ok(client) => client,
                Err(why) => {
                    self.count("failed");
                    // The same trouble again is no news.
                    if told != why {
                        warn!(error = why, "cannot connect to the bus; trying on");
                        told = why;
                    }
                    sleep(pause(tries)).await;
                    tries += 1;
                    continue;
                }
            };
            (tries, told) = (0, String::new());
            let ended = self.serve(&client, &mut events, &mut outgoing).await;
            self.client.send_replace(None);
            let _ = self.signals.send(Signal::Down).await;
            match ended {
                Ended::Unheard => return,
                Ended::Closed => sleep(pause(1)).await,
                Ended::Refused(why) => {
                    self.count("refused");
                    error!(error = why, "the bus is not used; this node goes on alone");
                    drop(client);
                    let jitter = Duration::from_millis(fastrand::u64(0..5_000));
                    sleep(REFUSED_PAUSE + jitter).await;
                }
            }
        }
    }

    /// Works on one connection until it ends for good.
    async fn serve(
        &self,
        client: &Client,
        events: &mut mpsc::Receiver<Event>,
        outgoing: &mut mpsc::Receiver<Outgoing>,
    ) -> Ended {
        if let Err(why) = version::check(&client.server_info().version) {
            return Ended::Refused(why);
        }
        let mut subscribers = Vec::new();
        for filter in &self.filters {
            match client.subscribe(filter.clone()).await {
                Ok(subscriber) => subscribers.push(subscriber),
                Err(error) => {
                    warn!(%error, filter, "cannot listen on the bus");
                    return Ended::Closed;
                }
            }
        }
        let signals = &self.signals;
        // Each waits by itself, so that none of them can hold up the others.
        tokio::select! {
            ended = self.follow(client, events) => ended,
            () = send(client, outgoing, &self.metrics) => Ended::Unheard,
            () = forward(subscribers, signals) => Ended::Closed,
        }
    }

    /// Follows what happens to the connection.
    async fn follow(&self, client: &Client, events: &mut mpsc::Receiver<Event>) -> Ended {
        self.up(client).await;
        let recall = || view::recall(client, &self.nats.prefix, &self.signals, &self.unhurried);
        let mut recalled = Box::pin(recall());
        let mut recalling = true;
        // The first connection is told once more by its event.
        let mut first = true;
        loop {
            let event = tokio::select! {
                () = &mut recalled, if recalling => {
                    recalling = false;
                    continue;
                }
                event = events.recv() => event,
                () = self.signals.closed() => return Ended::Unheard,
            };
            match event {
                Some(Event::Connected) => {
                    self.count("connected");
                    if std::mem::take(&mut first) {
                        continue;
                    }
                    if let Err(why) = version::check(&client.server_info().version) {
                        return Ended::Refused(why);
                    }
                    info!(server = client.server_info().server_name, "connected to the bus again");
                    self.up(client).await;
                    recalled = Box::pin(recall());
                    recalling = true;
                }
                Some(Event::Disconnected) => {
                    self.count("disconnected");
                    warn!("the bus is away; this node goes by what it knows");
                    self.client.send_replace(None);
                    let _ = self.signals.send(Signal::Down).await;
                }
                Some(Event::SlowConsumer(_)) => {
                    self.count("slow");
                    let _ = self.signals.send(Signal::Lost).await;
                }
                Some(Event::ServerError(error)) => {
                    self.count("error");
                    warn!(%error, "the bus refuses something");
                }
                Some(Event::ClientError(error)) => {
                    self.count("error");
                    debug!(%error, "trouble with the bus");
                }
                Some(Event::Closed) | None => return Ended::Closed,
                Some(Event::LameDuckMode | Event::Draining) => {}
            }
        }
    }

    async fn up(&self, client: &Client) {
        self.client.send_replace(Some(client.clone()));
        let _ = self.signals.send(Signal::Up).await;
    }

    fn count(&self, event: &str) {
        self.metrics.cluster.events.with_label_values(&[event]).inc();
    }
}

/// Sends what there is to send, until nobody has any more.
async fn send(client: &Client, outgoing: &mut mpsc::Receiver<Outgoing>, metrics: &Metrics) {
    while let Some(Outgoing { subject, payload, .. }) = outgoing.recv().await {
        if let Err(error) = client.publish(subject, payload.into()).await {
            metrics.cluster.dropped.with_label_values(&["unsent"]).inc();
            debug!(%error, "cannot send to the bus");
        }
    }
}

/// Hands on what comes in, until nobody takes it; that there is nothing more is told by an event.
async fn forward(subscribers: Vec<Subscriber>, signals: &mpsc::Sender<Signal>) {
    let mut all = tokio_stream::StreamMap::new();
    all.extend(subscribers.into_iter().enumerate());
    while let Some((_, message)) = all.next().await {
        let (subject, payload): (String, Bytes) = (message.subject.into_string(), message.payload);
        if signals.send(Signal::Message { subject, payload }).await.is_err() {
            return;
        }
    }
    future::pending::<()>().await;
}

/// How the bus is reached.
pub(super) fn options(nats: &Nats, name: &str) -> Result<ConnectOptions, String> {
    let mut options = ConnectOptions::new()
        .name(name)
        .no_echo()
        // Rights can then say whose replies a node may read.
        .custom_inbox_prefix(format!("_INBOX.{name}"))
        .ping_interval(PING)
        .connection_timeout(CONNECT)
        .subscription_capacity(SUBSCRIPTION_MAX)
        .reconnect_delay_callback(pause)
        .max_reconnects(None);
    let secure = nats.servers.iter().any(|server| server.starts_with("tls://"));
    if nats.tls.is_some() || secure {
        let roots = match nats.tls.as_ref().map(|tls| &tls.roots) {
            Some(roots) if !roots.is_empty() => roots.clone(),
            Some(_) | None => system_authorities(),
        };
        let shown = nats.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
        let config = client_config(&roots, shown).map_err(|error| error.to_string())?;
        options = options.tls_client_config(config).require_tls(true);
    }
    if let Some(credentials) = &nats.credentials {
        options = options
            .credentials(&credentials.0)
            .map_err(|_| "the credentials file cannot be read".to_owned())?;
    }
    Ok(options)
}

/// Pause before the next try: longer each time, and never that of all others.
fn pause(tries: usize) -> Duration {
    let tries = u32::try_from(tries).unwrap_or(u32::MAX);
    clock::spread(clock::doubled(PAUSE, tries, PAUSE_MAX), fastrand::f64())
}

/// An error with those behind it.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat the one behind them.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_two_seconds_and_differ() {
        for tries in 0..100 {
            let longest = Duration::from_millis(250 << tries.min(3));
            let found: Vec<Duration> = (0..20).map(|_| pause(tries)).collect();
            let within = |pause: &Duration| (longest / 2..=longest).contains(pause);
            assert!(found.iter().all(within), "{tries}: {found:?}");
            assert!(found.iter().any(|pause| *pause != found[0]), "{tries}: {found:?}");
        }
    }
}
