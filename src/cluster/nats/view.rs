//! What the bus has kept: the last page and beat of each writer, for a fast start.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tracing::debug;

use super::in_full;
use crate::cluster::Signal;

/// Time to read what was kept; pages go out again each minute anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// Name of the stream that keeps pages and beats.
pub fn view_name(prefix: &str) -> String {
    format!("{prefix}_view")
}

/// Name of the bucket of overrides, drills and plans.
pub fn bucket_name(prefix: &str) -> String {
    format!("{prefix}_control")
}

/// Reads what was kept, if anything was and this node may.
pub(super) async fn recall(client: &Client, prefix: &str, signals: &mpsc::Sender<Signal>) {
    match timeout(PATIENCE, read(client, prefix, signals)).await {
        Ok(Ok(count)) => debug!(count, "read what the bus has kept"),
        Ok(Err(why)) => debug!(why, "the bus has kept nothing"),
        Err(_) => debug!("reading what the bus has kept takes too long"),
    }
}

async fn read(
    client: &Client,
    prefix: &str,
    signals: &mpsc::Sender<Signal>,
) -> Result<usize, String> {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream(view_name(prefix)).await.map_err(|error| in_full(&error))?;
    if stream.cached_info().state.messages == 0 {
        return Ok(0);
    }
    let (deliver_policy, filter_subject) = (DeliverPolicy::LastPerSubject, ">".to_owned());
    let config = OrderedConfig { deliver_policy, filter_subject, ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await.map_err(|error| in_full(&error))?;
    let mut messages = consumer.messages().await.map_err(|error| in_full(&error))?;
    let mut count = 0;
    while let Some(message) = messages.next().await {
        let message = message.map_err(|error| in_full(&error))?;
        let pending = message.info().map_err(|error| error.to_string())?.pending;
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        if signals.send(Signal::Recalled { subject, payload }).await.is_err() {
            break;
        }
        count += 1;
        if pending == 0 {
            break;
        }
    }
    Ok(count)
}
