//! Sends the messages of one webhook.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use reqwest::{Client, StatusCode};
use ring::hmac;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::outbox::{Fate, Outbox};
use crate::admin::events::{Events, Subscription, Told};
use crate::clock;
use crate::metrics::Metrics;
use crate::model::Webhook;
use crate::outbound;

/// What the receiver gets to reply.
const PATIENCE: Duration = Duration::from_secs(10);
/// What signatures are made of, so that another way can be told apart.
const SCHEME: &str = "v1";

/// Tells a webhook of what happens until `stop`.
pub async fn tell(
    webhook: Webhook,
    events: Arc<Events>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let client = match outbound::client(PATIENCE) {
        Ok(client) => client,
        Err(error) => {
            warn!(webhook = webhook.name, error, "the webhook is not told of anything");
            // A task that ended would look like a fault of the node.
            return stop.cancelled().await;
        }
    };
    let mut sender = Sender { outbox: Outbox::new(webhook.group), webhook, client, metrics };
    let mut last: Option<String> = None;
    loop {
        // Who was too slow comes again, and is told what is kept.
        if let Some(subscription) = events.subscribe(last.as_deref()) {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sender.listen(subscription, &mut last) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PATIENCE) => {}
        }
    }
}

struct Sender {
    webhook: Webhook,
    client: Client,
    outbox: Outbox,
    metrics: Arc<Metrics>,
}

impl Sender {
    fn count(&self, outcome: &str) {
        self.metrics.events.webhooks.with_label_values(&[outcome]).inc();
    }

    /// Takes in and sends until there is nothing more to hear.
    async fn listen(&mut self, mut subscription: Subscription, last: &mut Option<String>) {
        loop {
            let due = self.outbox.due().map(|due| due.since(clock::now()));
            tokio::select! {
                told = subscription.told.recv() => {
                    let Some(told) = told else { return };
                    *last = Some(told.identity());
                    self.take_in(told);
                }
                () = clock::rest(due) => self.send().await,
            }
        }
    }

    fn take_in(&mut self, told: Arc<Told>) {
        if self.webhook.events.contains(&told.what.kind()) && !self.outbox.offer(told, clock::now())
        {
            self.count("suppressed");
        }
    }

    /// Sends what is due.
    async fn send(&mut self) {
        let (told, left_out) = self.outbox.message();
        let body = body(&told, left_out).to_string();
        let time = clock::unix_seconds();
        let signature = signature(self.webhook.secret.octets(), time, &body);
        let request = self
            .client
            .post(&self.webhook.url)
            .header("content-type", "application/json")
            .header("meridian-signature", signature)
            .body(body);
        let name = self.webhook.name.clone();
        let (hopeless, why) = match request.send().await.map(|response| response.status()) {
            Ok(status) if status.is_success() => {
                self.count("sent");
                self.outbox.sent((told.len(), left_out), clock::now());
                info!(webhook = name, events = told.len(), "webhook told");
                return;
            }
            Ok(status) => (is_hopeless(status), status.to_string()),
            // The error would name the URL, which may be a secret of its own.
            Err(error) => (false, error.without_url().to_string()),
        };
        match self.outbox.failed(told.len(), hopeless, clock::now(), fastrand::f64()) {
            Fate::Again => {
                self.count("retried");
                info!(webhook = name, why, "the webhook was not told, it is tried again");
            }
            Fate::GivenUp => {
                self.count("given_up");
                warn!(webhook = name, why, events = told.len(), "the webhook was not told");
            }
        }
    }
}

/// Whether to say the same again would change nothing.
fn is_hopeless(status: StatusCode) -> bool {
    status.is_client_error()
        && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

/// What is sent.
fn body(told: &[Arc<Told>], left_out: u64) -> Value {
    let events = told.iter().map(|told| {
        let mut event = told.data();
        if let Some(members) = event.as_object_mut() {
            members.insert("id".to_owned(), told.identity().into());
            members.insert("event".to_owned(), told.what.kind().into());
        }
        event
    });
    json!({ "events": events.collect::<Vec<_>>(), "suppressed": left_out })
}

/// The time and the HMAC-SHA256 over it and the body, so that nobody can say it again later.
fn signature(secret: &[u8], time: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    format!("t={time},{SCHEME}={}", HEXLOWER.encode(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_any_other_hmac() {
        // printf '7.{}' | openssl dgst -sha256 -hmac secret
        let expected = "t=7,v1=76aad9429f417882918162a1928a38769fff65cc07b6bfa344ac9c5fb1e3448e";
        assert_eq!(signature(b"secret", 7, "{}"), expected);
    }
}
