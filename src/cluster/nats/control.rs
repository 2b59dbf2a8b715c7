//! The table of operators in a bucket of the bus.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::view::bucket_name;
use super::{Bus, in_full};
use crate::cluster::control::{ControlError, ENTRIES_MAX, Entries, Entry};
use crate::cluster::ledger::Ledger;
use crate::metrics::Metrics;

/// Time for a change: an election of the bucket's leader takes up to nine seconds.
const PATIENCE: Duration = Duration::from_secs(12);
/// Pause before the bucket is looked for again.
const PAUSE: Duration = Duration::from_secs(2);

/// The bucket, and its copy in the state folder that holds while the bus is away.
#[derive(Debug)]
pub struct NatsControl {
    bucket: String,
    clients: watch::Receiver<Option<Client>>,
    copy: Ledger,
}

impl NatsControl {
    /// Begins to follow the bucket; ends with `stop`.
    pub fn start(
        bus: &Bus,
        prefix: &str,
        state: &Path,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> (Arc<Self>, JoinHandle<()>) {
        let copy = Ledger::load(state, metrics, false);
        let control = Self { bucket: bucket_name(prefix), clients: bus.clients(), copy };
        let control = Arc::new(control);
        let follower = control.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follower.follow() => {}
            }
        });
        (control, task)
    }

    pub(in crate::cluster) fn watch(&self) -> watch::Receiver<Arc<Entries>> {
        self.copy.watch()
    }

    pub(in crate::cluster) async fn put(
        &self,
        key: &str,
        value: &str,
        expected: u64,
    ) -> Result<u64, ControlError> {
        let value = bytes::Bytes::copy_from_slice(value.as_bytes());
        let change = async {
            let store = self.store().await?;
            if expected == 0 {
                let created = store.create(key, value).await;
                return created.map_err(|error| match error.kind() {
                    CreateErrorKind::AlreadyExists => ControlError::Conflict,
                    _ => ControlError::Unavailable(in_full(&error)),
                });
            }
            let updated = store.update(key, value, expected).await;
            updated.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => ControlError::Conflict,
                _ => ControlError::Unavailable(in_full(&error)),
            })
        };
        in_time(change).await
    }

    pub(in crate::cluster) async fn delete(
        &self,
        key: &str,
        expected: u64,
    ) -> Result<(), ControlError> {
        let change = async {
            let store = self.store().await?;
            // A marker would be put even where there is nothing to take away.
            let unavailable = |error| ControlError::Unavailable(in_full(&error));
            let entry = store.entry(key).await.map_err(unavailable)?;
            let found = entry.filter(|entry| entry.operation == Operation::Put);
            if found.is_none_or(|entry| entry.revision != expected) {
                return Err(ControlError::Conflict);
            }
            let deleted = store.delete_expect_revision(key, Some(expected)).await;
            deleted.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => ControlError::Conflict,
                _ => ControlError::Unavailable(in_full(&error)),
            })
        };
        in_time(change).await
    }

    async fn store(&self) -> Result<Store, ControlError> {
        let client = self.clients.borrow().clone();
        let client = client
            .ok_or_else(|| ControlError::Unavailable("the bus cannot be reached".to_owned()))?;
        open(&client, &self.bucket).await.map_err(ControlError::Unavailable)
    }

    /// Keeps the copy like the bucket, for as long as the bus lives.
    async fn follow(&self) {
        let mut clients = self.clients.clone();
        let mut told = String::new();
        loop {
            let client = clients.borrow_and_update().clone();
            let Some(client) = client else {
                self.copy.age();
                if clients.changed().await.is_err() {
                    return;
                }
                continue;
            };
            // Another connection means looking anew: what happened in between may not be told.
            let ended = tokio::select! {
                changed = clients.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                ended = self.mirror(&client) => ended,
            };
            self.copy.age();
            if let Err(why) = ended
                && told != why
            {
                warn!(error = why, bucket = self.bucket, "cannot follow the bucket; trying on");
                told = why;
            }
            sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    /// Takes over the bucket and its changes until that fails.
    async fn mirror(&self, client: &Client) -> Result<(), String> {
        let store = open(client, &self.bucket).await?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut highest = 0;
        let status = store.status().await.map_err(|error| in_full(&error))?;
        let mut whole = status.info.state.messages == 0;
        if whole {
            self.copy.replace(entries.clone()).await;
        }
        // The last entry of each key, then what changes.
        let mut changes = store.watch_with_history(">").await.map_err(|e| in_full(&e))?;
        while let Some(change) = changes.next().await {
            let change = change.map_err(|error| in_full(&error))?;
            if change.revision < highest {
                info!(bucket = self.bucket, "the bucket was made anew; reading it again");
                return Ok(());
            }
            highest = change.revision;
            match (change.operation, String::from_utf8(change.value.to_vec())) {
                (Operation::Put, Ok(value)) if entries.len() < ENTRIES_MAX => {
                    let entry = Entry { value, revision: change.revision };
                    entries.insert(change.key, entry);
                }
                (Operation::Put, _) => {
                    warn!(key = change.key, "an entry of the bucket is not text, or one too many");
                }
                (Operation::Delete | Operation::Purge, _) => {
                    entries.remove(&change.key);
                }
            }
            whole |= change.delta == 0;
            if whole {
                self.copy.replace(entries.clone()).await;
            }
        }
        Err("the bus has ended the watch".to_owned())
    }
}

async fn open(client: &Client, bucket: &str) -> Result<Store, String> {
    let found = jetstream::new(client.clone()).get_key_value(bucket).await;
    found.map_err(|error| {
        format!("bucket `{bucket}`: {} (see `meridian cluster check`)", in_full(&error))
    })
}

async fn in_time<T>(
    change: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, ControlError> {
    timeout(PATIENCE, change).await.unwrap_or_else(|_| {
        Err(ControlError::Unavailable(format!("no answer within {} s", PATIENCE.as_secs())))
    })
}
