//! The task that keeps certificates fresh: looks when one is due, orders it, and keeps it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{Account, AccountBuilder, ExternalAccountKey, NewAccount};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Issuance;
use super::client::Http;
use super::order::{Failure, order};
use super::plan::{Outcome, Record, due};
use super::progress::Stage;
use super::store::Store;
use crate::clock;
use crate::durable;
use crate::metrics::Metrics;
use crate::model::{Acme, Ordered};
use crate::tls::{Certificate, day};

/// How often it is looked whether a certificate is due: what is read from the files changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What an order gets from its beginning to its end.
const ORDER_MAX: Duration = Duration::from_secs(600);
/// Records of certificates that are not wanted any more are kept for as long as they count.
const REMEMBERED: u64 = 7 * 86_400;

/// What the keeper works with.
pub struct Surroundings {
    /// What is wanted, as the files say at the moment.
    pub wanted: Box<dyn Fn() -> Option<Arc<Acme>> + Send + Sync>,
    /// The state folder.
    pub state: PathBuf,
    /// Where challenges are answered from and orders are seen.
    pub issuance: Arc<Issuance>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// What peers get to hear of a challenge before the authority looks.
    pub spread: Duration,
    /// Hears of each order that has failed: how its certificate stands now.
    pub failed: Box<dyn Fn(&Stage) + Send + Sync>,
}

/// Orders what is wanted, one certificate at a time, until `stop`.
pub async fn keep(around: Surroundings, stop: CancellationToken) {
    let store = Store::new(&around.state);
    let reader = store.clone();
    let records = match spawn_blocking(move || reader.records()).await {
        Ok(Ok(records)) => records,
        Ok(Err(error)) => {
            warn!(error, "what was remembered of orders is not used");
            BTreeMap::new()
        }
        Err(_) => BTreeMap::new(),
    };
    let mut keeper = Keeper { around, store, records, own: HashMap::new(), account: None };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keeper.run() => {}
    }
}

struct Keeper {
    around: Surroundings,
    store: Store,
    records: BTreeMap<String, Record>,
    /// By the names of the certificate.
    own: HashMap<String, Own>,
    /// The account, and the settings that it was opened by.
    account: Option<(Arc<Acme>, Account)>,
}

/// What is known of a certificate in this process alone.
struct Own {
    /// Spreads its orders.
    chance: f64,
    /// Why the last order failed; empty: it did not.
    error: String,
    /// The one that was issued last, which the files may not show yet.
    issued: Option<(i64, i64)>,
}

impl Own {
    fn new() -> Self {
        Self { chance: fastrand::f64(), error: String::new(), issued: None }
    }
}

impl Keeper {
    async fn run(&mut self) {
        let mut shown = Vec::new();
        loop {
            let wanted = (self.around.wanted)();
            let (stages, due) = self.look(wanted.as_deref(), clock::unix_seconds());
            if shown != stages {
                self.gauge(&stages);
                self.around.issuance.progress.show(stages.clone());
                shown = stages;
            }
            match wanted.as_ref().zip(due) {
                Some((acme, index)) => self.order(acme, index).await,
                None => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// How all certificates stand, and which is to be ordered now.
    fn look(&mut self, wanted: Option<&Acme>, now: u64) -> (Vec<Stage>, Option<usize>) {
        let certificates = wanted.map_or(&[][..], |acme| &acme.certificates);
        let stages: Vec<Stage> =
            certificates.iter().map(|ordered| self.stage(ordered, now)).collect();
        // The one that waits the longest, so that none loses its turn by another's failures.
        let ready = stages.iter().enumerate().filter(|(_, stage)| stage.next <= now);
        let first = ready.min_by_key(|(_, stage)| stage.next).map(|(index, _)| index);
        (stages, first)
    }

    /// How one certificate stands.
    fn stage(&mut self, ordered: &Ordered, now: u64) -> Stage {
        let key = key(ordered);
        let own = self.own.entry(key.clone()).or_insert_with(Own::new);
        // What was issued last may not be read yet; who takes its file away wants another.
        let issued = own.issued.filter(|_| ordered.held.is_some() || ordered.file.exists());
        let both = ordered.validity().into_iter().chain(issued);
        let validity = both.max_by_key(|(_, to)| *to);
        let record = self.records.get(&key).cloned().unwrap_or_default();
        Stage {
            names: ordered.names.clone(),
            challenge: ordered.challenge.as_str(),
            ends: validity.map(|(_, to)| to),
            next: due(validity, &record, now, own.chance),
            failures: record.failures,
            last: record.last.map(|(_, outcome)| outcome),
            error: own.error.clone(),
        }
    }

    fn gauge(&self, stages: &[Stage]) {
        let ends = &self.around.metrics.acme.ends;
        ends.reset();
        for stage in stages {
            if let Some(name) = stage.names.first() {
                ends.with_label_values(&[name]).set(stage.ends.unwrap_or(0));
            }
        }
    }

    async fn order(&mut self, acme: &Arc<Acme>, index: usize) {
        let Some(wanted) = acme.certificates.get(index) else { return };
        let names = wanted.names.join(", ");
        info!(names, challenge = wanted.challenge.as_str(), "ordering a certificate");
        let key = key(wanted);
        let before = self.records.get(&key).cloned().unwrap_or_default();
        // If the process dies meanwhile, the next one is as patient as after a failure.
        self.records
            .entry(key.clone())
            .or_default()
            .note(Outcome::Unreached, clock::unix_seconds());
        self.save(acme, clock::unix_seconds()).await;
        let got = match timeout(ORDER_MAX, self.obtain(acme, wanted)).await {
            Ok(got) => got,
            Err(_) => Err(Failure::unreached("the order took too long")),
        };
        let now = clock::unix_seconds();
        let outcome = match &got {
            Ok(_) => Outcome::Issued,
            Err(failure) => failure.outcome,
        };
        self.around.metrics.acme.orders.with_label_values(&[outcome.as_str()]).inc();
        let mut record = before;
        record.note(outcome, now);
        self.records.insert(key.clone(), record);
        let own = self.own.entry(key).or_insert_with(Own::new);
        own.chance = fastrand::f64();
        match got {
            Ok(certificate) => {
                let (from, to) = certificate.validity();
                own.error.clear();
                own.issued = Some((from, to));
                info!(names, ends = day(to), "the authority has issued a certificate");
                if from > now.cast_signed() || to <= now.cast_signed() {
                    let clock = clock::utc(now);
                    warn!(names, from = day(from), clock, "it is not valid now by this clock");
                }
            }
            Err(Failure { why, .. }) => {
                own.error.clone_from(&why);
                let stage = self.stage(wanted, now);
                let again = clock::utc(stage.next);
                warn!(names, why, again, "no certificate; what there is serves on");
                (self.around.failed)(&stage);
            }
        }
        self.save(acme, now).await;
    }

    /// Keeps what is remembered of orders, as far as it counts.
    async fn save(&mut self, acme: &Acme, now: u64) {
        let wanted: Vec<String> = acme.certificates.iter().map(key).collect();
        self.records.retain(|key, record| {
            let fresh = record.last.is_some_and(|(at, _)| at.saturating_add(REMEMBERED) > now);
            fresh || wanted.contains(key)
        });
        self.own.retain(|key, _| wanted.contains(key));
        let (store, records) = (self.store.clone(), self.records.clone());
        if let Err(error) = durable::on_disk(move || store.save_records(&records)).await {
            self.around.metrics.state_failures.inc();
            warn!(error, "what is remembered of orders is not kept");
        }
    }

    /// Gets a certificate and keeps it where the files look for it.
    async fn obtain(&mut self, acme: &Arc<Acme>, wanted: &Ordered) -> Result<Certificate, Failure> {
        let account = self.account(acme).await?;
        let Issuance { challenges, .. } = &*self.around.issuance;
        let got = order(&account, wanted, challenges, self.around.spread).await;
        let pem = match got {
            Ok(pem) => pem,
            Err(failure) => {
                if failure.unknown {
                    self.forget(&acme.directory).await;
                }
                return Err(failure);
            }
        };
        let read = Certificate::from_pem(pem.as_bytes(), pem.as_bytes());
        let certificate =
            read.map_err(|error| Failure::unreached(format!("what the authority sent {error}")))?;
        let (path, metrics) = (wanted.file.clone(), self.around.metrics.clone());
        let shown = path.display().to_string();
        let kept = durable::on_disk(move || durable::replace_secret(&path, pem.as_bytes()));
        kept.await.map_err(|error| {
            metrics.state_failures.inc();
            Failure::unreached(format!("the certificate cannot be kept in `{shown}`: {error}"))
        })?;
        Ok(certificate)
    }

    /// The account at the authority: as kept, or a new one.
    async fn account(&mut self, acme: &Arc<Acme>) -> Result<Account, Failure> {
        if let Some((settings, account)) = &self.account
            && Arc::ptr_eq(settings, acme)
        {
            return Ok(account.clone());
        }
        let http = Http::new(acme.authorities.as_deref()).map_err(Failure::unreached)?;
        let builder = Account::builder_with_http(Box::new(http));
        let (store, directory) = (self.store.clone(), acme.directory.clone());
        let kept = durable::on_disk(move || store.account(&directory)).await;
        let kept = match kept {
            Ok(kept) => kept,
            Err(why) => {
                self.forget(&acme.directory).await;
                return Err(Failure::unreached(format!("the account cannot be read: {why}")));
            }
        };
        let account = match kept {
            Some(credentials) => builder.from_credentials(credentials).await?,
            None => self.new_account(builder, acme).await?,
        };
        self.account = Some((acme.clone(), account.clone()));
        Ok(account)
    }

    /// Has the authority make an account, and keeps it.
    async fn new_account(&self, builder: AccountBuilder, acme: &Acme) -> Result<Account, Failure> {
        let contact: Vec<String> =
            acme.contact.iter().map(|mail| format!("mailto:{mail}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = acme.external.as_ref();
        let key =
            external.map(|own| ExternalAccountKey::new(own.key_id.clone(), own.secret.octets()));
        let made = builder.create(&new, acme.directory.clone(), key.as_ref());
        let (account, credentials) = made.await?;
        let (store, directory) = (self.store.clone(), acme.directory.clone());
        let kept = durable::on_disk(move || store.save_account(&directory, &credentials)).await;
        // Authorities allow a few new accounts a day: none may be lost at each start.
        kept.map_err(|why| Failure::unreached(format!("the account cannot be kept: {why}")))?;
        info!(directory = acme.directory, "the authority has made an account");
        Ok(account)
    }

    /// Makes the next order begin with a new account.
    async fn forget(&mut self, directory: &str) {
        self.account = None;
        let (store, name) = (self.store.clone(), directory.to_owned());
        match durable::on_disk(move || store.put_account_aside(&name)).await {
            Ok(()) => warn!(directory, "the account is of no use and was put aside"),
            Err(error) => warn!(directory, error, "the account cannot be put aside"),
        }
    }
}

/// What a certificate is remembered by.
fn key(ordered: &Ordered) -> String {
    let mut names = ordered.names.clone();
    names.sort_unstable();
    names.join(",")
}
