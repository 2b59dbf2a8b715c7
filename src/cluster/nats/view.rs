//! What the bus has kept: the last pages and beat of each writer, for a fast start.

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

/// Time to read votes and beats that were kept, which go out again each minute anyway; the same for
/// the next page of round trips to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Name of the stream that keeps pages and beats.
pub fn view_name(prefix: &str) -> String {
    format!("{prefix}_view")
}

/// Name of the bucket of overrides, drills and plans.
pub fn bucket_name(prefix: &str) -> String {
    format!("{prefix}_control")
}

/// Reads what was kept, if anything was and this node may: votes and beats at once, then round
/// trips as fast as they are taken.
pub(super) async fn recall(
    client: &Client,
    prefix: &str,
    signals: &mpsc::Sender<Signal>,
    unhurried: &mpsc::Sender<Signal>,
) {
    let votes = async {
        let count = read(client, &format!("{prefix}.v1.health.>"), prefix, signals).await?;
        Ok(count + read(client, &format!("{prefix}.v1.beat.>"), prefix, signals).await?)
    };
    told(timeout(PATIENCE, votes).await.unwrap_or_else(|_| Err("it takes too long".to_owned())));
    told(read(client, &format!("{prefix}.v1.latency.>"), prefix, unhurried).await);
}

fn told(read: Result<usize, String>) {
    match read {
        Ok(count) => debug!(count, "read what the bus has kept"),
        Err(why) => debug!(why, "what the bus has kept is not all read"),
    }
}

/// Reads the last message of each subject that passes a filter; gives their number.
async fn read(
    client: &Client,
    filter: &str,
    prefix: &str,
    signals: &mpsc::Sender<Signal>,
) -> Result<usize, String> {
    let context = jetstream::new(client.clone());
    let stream = context.get_stream(view_name(prefix)).await.map_err(|error| in_full(&error))?;
    let (deliver_policy, filter_subject) = (DeliverPolicy::LastPerSubject, filter.to_owned());
    let config = OrderedConfig { deliver_policy, filter_subject, ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await.map_err(|error| in_full(&error))?;
    // Who waits for the first of none waits for long.
    if consumer.cached_info().num_pending == 0 {
        return Ok(0);
    }
    let mut messages = consumer.messages().await.map_err(|error| in_full(&error))?;
    let mut count = 0;
    let late = |_| "nothing comes any more".to_owned();
    while let Some(message) = timeout(PATIENCE, messages.next()).await.map_err(late)? {
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
