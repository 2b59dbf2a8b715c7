//! The task that owns the overrides: takes orders, keeps them on disk, ends them in time.

use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::access::Who;
use super::audit::{Audit, Note};
use super::board::Board;
use super::drills::DrillLog;
use super::events::{Events, Happening};
use crate::clock;
use crate::durable;
use crate::health::Level;
use crate::health::overrides::{
    Draft, Loss, Mistake, Override, OverrideSet, OverrideStore, SavedOverrides, losses, resolve,
};
use crate::metrics::Metrics;
use crate::model::EndpointId;
use crate::snapshot::Snapshot;

/// The overrides that are to be in force, and where to tell that they are.
pub type Overriding = (Arc<OverrideSet>, oneshot::Sender<()>);

/// Orders that wait; more wait with whoever gives them.
const ORDERS_MAX: usize = 16;
/// How often the time that is left is saved, so that a stepped clock and a restart together move
/// an end by no more than this.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// What the judge of health gets to put overrides into force.
const JUDGE_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug)]
pub(super) enum Order {
    /// Set an override.
    Set(Draft),
    /// Clear the one of this id, or those of this target.
    Clear {
        /// Id or target.
        which: String,
        /// Why; may be empty.
        reason: String,
    },
}

/// An order with who gives it and where the reply goes.
#[derive(Debug)]
struct Ordered {
    order: Order,
    who: Who,
    /// The revision that the order is based on; `None`: any.
    basis: Option<u64>,
    reply: oneshot::Sender<Result<Done, Refused>>,
}

/// What came of an order.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The overrides that were set or cleared.
    pub(super) changed: Vec<Override>,
    /// The endpoints that they are about.
    pub(super) endpoints: usize,
    /// What it takes from services against the rules, set anyway.
    pub(super) losses: Vec<Loss>,
    /// All overrides after it.
    pub(super) set: Arc<OverrideSet>,
    /// Whether it will survive a restart.
    pub(super) saved: bool,
}

/// Why an order is not carried out.
#[derive(Clone, Debug)]
pub(super) enum Refused {
    /// The set has another revision than it is based on: this one.
    Basis(u64),
    /// The order is wrong in itself.
    Mistake(Mistake),
    /// It would take this from services, against the rules.
    Unsafe(Vec<Loss>),
    /// This drill is under way, and there is one at a time.
    Overlap(String),
    /// There is no such override.
    Unknown,
    /// The other nodes cannot be told: why.
    Unshared(String),
    /// This node cannot judge or carry out anything now.
    Unavailable,
}

/// Where orders are given and overrides are seen.
#[derive(Clone, Debug)]
pub struct Desk {
    orders: mpsc::Sender<Ordered>,
    seen: watch::Receiver<Arc<OverrideSet>>,
    audit: Audit,
    drills: DrillLog,
}

impl Desk {
    /// The overrides as they are now.
    pub(super) fn overrides(&self) -> Arc<OverrideSet> {
        self.seen.borrow().clone()
    }

    /// Writes into the audit log what was done to something else than overrides.
    pub(super) async fn note(&self, note: Note) {
        self.audit.note(note).await;
    }

    /// The drills that were reported.
    pub(super) fn drills(&self) -> &DrillLog {
        &self.drills
    }

    /// Has an order carried out; the answers have changed when it is done.
    pub(super) async fn order(
        &self,
        order: Order,
        who: Who,
        basis: Option<u64>,
    ) -> Result<Done, Refused> {
        let (reply, done) = oneshot::channel();
        let sent = self.orders.send(Ordered { order, who, basis, reply }).await;
        sent.map_err(|_| Refused::Unavailable)?;
        done.await.unwrap_or(Err(Refused::Unavailable))
    }
}

/// Owns the overrides.
#[derive(Debug)]
pub struct Keeper {
    set: Arc<OverrideSet>,
    store: Arc<OverrideStore>,
    audit: Audit,
    metrics: Arc<Metrics>,
    seen: watch::Sender<Arc<OverrideSet>>,
    events: Arc<Events>,
    orders: mpsc::Receiver<Ordered>,
    /// Where the fleet's overrides are; `None`: this node is alone.
    board: Option<Board>,
    /// Whether what is on disk is behind.
    unsaved: bool,
}

impl Keeper {
    /// The keeper of the overrides in this state folder, and its desk. A damaged file is put
    /// aside; the node then starts without overrides, and says so.
    pub fn open(state: &Path, metrics: Arc<Metrics>, events: Arc<Events>) -> (Self, Desk) {
        let store = OverrideStore::new(state);
        let set = Arc::new(restored(&store));
        let (seen, told) = watch::channel(set.clone());
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let (store, audit) = (Arc::new(store), Audit::open(state, metrics.clone()));
        let keeper =
            Self { set, store, audit, metrics, seen, events, orders, board: None, unsaved: false };
        let (audit, drills) = (keeper.audit.clone(), DrillLog::open(state));
        (keeper, Desk { orders: sender, seen: told, audit, drills })
    }

    /// The same keeper of overrides that other nodes share.
    #[must_use]
    pub fn sharing(self, board: Option<Board>) -> Self {
        Self { board, ..self }
    }

    /// The overrides as they are at the start.
    pub fn overrides(&self) -> Arc<OverrideSet> {
        self.set.clone()
    }

    /// Works until `stop`.
    pub async fn run(
        mut self,
        snapshot: Arc<ArcSwap<Snapshot>>,
        judge: mpsc::Sender<Overriding>,
        stop: CancellationToken,
    ) {
        let mut save = interval_at(tokio::time::Instant::now() + SAVE_EVERY, SAVE_EVERY);
        loop {
            let end = self.set.next_end().map(|end| end.since(clock::now()));
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ordered) = self.orders.recv() => {
                    let Ordered { order, who, basis, reply } = ordered;
                    let done = self.obey(order, &who, basis, &snapshot, &judge).await;
                    // Whoever gave the order may have gone.
                    let _ = reply.send(done);
                }
                fleet = news(&mut self.board) => {
                    if let Some(fleet) = fleet {
                        self.follow(fleet, &judge).await;
                    }
                }
                () = clock::rest(end) => {
                    if !self.end(&judge).await {
                        // Nobody judges health any more, or the process ends.
                        tokio::select! {
                            () = stop.cancelled() => break,
                            () = sleep(JUDGE_PATIENCE) => {}
                        }
                    }
                }
                _ = save.tick() => {
                    if self.unsaved || self.set.next_end().is_some() {
                        self.save().await;
                    }
                }
            }
        }
        self.save_last().await;
    }

    /// Carries out an order, or says why not.
    async fn obey(
        &mut self,
        order: Order,
        who: &Who,
        basis: Option<u64>,
        snapshot: &ArcSwap<Snapshot>,
        judge: &mpsc::Sender<Overriding>,
    ) -> Result<Done, Refused> {
        if basis.is_some_and(|basis| basis != self.set.revision()) {
            return Err(Refused::Basis(self.set.revision()));
        }
        let before = self.set.clone();
        let mut after = OverrideSet::clone(&before);
        let mut done = match order {
            Order::Set(draft) => set(&mut after, draft, &snapshot.load(), who)?,
            Order::Clear { which, reason } => clear(&mut after, &which, &reason, who)?,
        };
        if let Some(board) = &mut self.board
            && !before.of_fleet().eq(after.of_fleet())
        {
            // As other nodes will find it: with the ends that it had before it was there.
            let fleet = board.change(&before, &after).await.map_err(Refused::Unshared)?;
            after.merge(fleet, clock::now(), clock::unix_seconds());
        }
        let set = Arc::new(after);
        if !self.publish(set.clone(), judge).await {
            return Err(Refused::Unavailable);
        }
        done.act.tell(&done.done);
        self.announce(&before, &set);
        done.done.saved = self.save().await;
        self.audit.note(done.act.note()).await;
        done.done.set = set;
        Ok(done.done)
    }

    /// Takes over what the fleet's overrides are now.
    async fn follow(&mut self, fleet: Vec<Override>, judge: &mpsc::Sender<Overriding>) {
        let before = self.set.clone();
        let mut after = OverrideSet::clone(&before);
        if !after.merge(fleet, clock::now(), clock::unix_seconds()) {
            return;
        }
        if !self.publish(Arc::new(after.clone()), judge).await {
            return;
        }
        self.announce(&before, &after);
        for one in after.of_fleet().filter(|one| !before.of_fleet().any(|old| old == *one)) {
            warn!(id = one.id, target = %one.target, words = %one.words(), "override of the fleet");
        }
        for one in before.of_fleet().filter(|one| !after.of_fleet().any(|new| new == *one)) {
            info!(id = one.id, target = %one.target, "override of the fleet cleared");
        }
        self.save().await;
    }

    /// Tells what is new in a set, and what is no longer in it.
    fn announce(&self, before: &OverrideSet, after: &OverrideSet) {
        let drills = |set: &OverrideSet| -> BTreeMap<String, String> {
            let named = |one: &Override| Some((one.drill.clone()?, one.author.clone()));
            set.overrides().filter_map(named).collect()
        };
        let (old, new) = (drills(before), drills(after));
        for (drill, author) in new.iter().filter(|(drill, _)| !old.contains_key(*drill)) {
            let (drill, author) = (drill.clone(), author.clone());
            self.events.tell(Happening::DrillStarted { drill, author });
        }
        let lacks = |set: &OverrideSet, one: &Override| set.overrides().all(|o| o.id != one.id);
        for what in before.overrides().filter(|one| lacks(after, one)).cloned() {
            self.events.tell(Happening::OverrideCleared { what });
        }
        for what in after.overrides().filter(|one| lacks(before, one)).cloned() {
            self.events.tell(Happening::OverrideSet { what });
        }
        for drill in old.into_keys().filter(|drill| !new.contains_key(drill)) {
            self.events.tell(Happening::DrillEnded { drill });
        }
    }

    /// Ends what has lasted its time; `false`: it could not.
    async fn end(&mut self, judge: &mpsc::Sender<Overriding>) -> bool {
        let mut after = OverrideSet::clone(&self.set);
        let ended = after.expire(clock::now());
        if !ended.is_empty() && !self.publish(Arc::new(after), judge).await {
            return false;
        }
        let drills: BTreeSet<String> = ended.iter().filter_map(|one| one.drill.clone()).collect();
        if let Some(board) = &self.board {
            board.remove(&ended);
        }
        for one in ended {
            let Override { id, target, action, author, reason, .. } = &one;
            let action = action.as_str();
            info!(id, %target, action, author, reason, "an override has ended, its time is up");
            self.events.tell(Happening::OverrideEnded { what: one });
        }
        for drill in drills {
            if self.set.overrides().all(|one| one.drill.as_ref() != Some(&drill)) {
                self.events.tell(Happening::DrillEnded { drill });
            }
        }
        self.save().await;
        true
    }

    /// Puts a set into force; `false`: health is not judged any more.
    async fn publish(&mut self, set: Arc<OverrideSet>, judge: &mpsc::Sender<Overriding>) -> bool {
        let (done, in_force) = oneshot::channel();
        let sent = judge.send((set.clone(), done)).await.is_ok();
        let waited = tokio::time::timeout(JUDGE_PATIENCE, in_force).await;
        if !sent || !matches!(waited, Ok(Ok(()))) {
            error!("overrides cannot be put into force: the judge of health does not take them");
            return false;
        }
        self.set = set.clone();
        self.unsaved = true;
        self.seen.send_replace(set);
        true
    }

    /// Saves the overrides; a failure is told and counted, and tried again a minute later.
    async fn save(&mut self) -> bool {
        let saved = SavedOverrides::of(&self.set, clock::now(), clock::unix_seconds());
        let store = self.store.clone();
        let failure = durable::on_disk(move || store.save(&saved)).await.err();
        if let Some(error) = &failure {
            self.metrics.state_failures.inc();
            warn!(error, "cannot save overrides; they hold until this node is restarted");
        }
        self.unsaved = failure.is_some();
        failure.is_none()
    }

    async fn save_last(&mut self) {
        if self.unsaved || self.set.next_end().is_some() {
            self.save().await;
        }
    }
}

/// Waits for news of the fleet's overrides; for ever where there is no fleet.
async fn news(board: &mut Option<Board>) -> Option<Vec<Override>> {
    match board {
        Some(board) => board.changed().await,
        None => future::pending().await,
    }
}

/// What was saved before a restart.
fn restored(store: &OverrideStore) -> OverrideSet {
    let file = store.path().display().to_string();
    match store.load() {
        Ok(None) => OverrideSet::default(),
        Ok(Some(saved)) => {
            let set = saved.restore(clock::now(), clock::unix_seconds());
            for one in set.overrides() {
                warn!(id = one.id, target = %one.target, words = %one.words(), "override in force");
            }
            set
        }
        Err(error) => {
            let aside = store.set_aside().map(|aside| aside.display().to_string());
            let aside = aside.unwrap_or_else(|error| error.to_string());
            error!(%error, file, aside, "overrides are lost; serving goes on without");
            OverrideSet::default()
        }
    }
}

/// What was done to overrides.
#[derive(Debug)]
struct Act {
    who: Who,
    what: &'static str,
    before: Vec<Override>,
    after: Option<Override>,
    reason: String,
}

impl Act {
    /// Tells the log what was done.
    fn tell(&self, done: &Done) {
        let who = &self.who.name;
        for loss in &done.losses {
            let rule = loss.rule.key();
            warn!(rule, who, "an override breaks a rule of [safety], as ordered: {loss}");
        }
        match &self.after {
            Some(made) => {
                let (id, target, endpoints) = (&made.id, &made.target, done.endpoints);
                warn!(id, %target, endpoints, who, words = %made.words(), "override set");
            }
            None => {
                for Override { id, target, .. } in &self.before {
                    info!(id, %target, who, reason = self.reason, "override cleared");
                }
            }
        }
    }

    fn note(self) -> Note {
        let value = |list: &[Override]| match list {
            [] => Value::Null,
            list => serde_json::to_value(list).unwrap_or_default(),
        };
        let (before, after) = (value(&self.before), value(self.after.as_slice()));
        Note { who: self.who, what: self.what, before, after, reason: self.reason }
    }
}

/// An order that can be carried out, and what is to be written about it.
struct Ready {
    done: Done,
    act: Act,
}

fn set(
    set: &mut OverrideSet,
    draft: Draft,
    snapshot: &Snapshot,
    who: &Who,
) -> Result<Ready, Refused> {
    draft.check().map_err(Refused::Mistake)?;
    let state = snapshot.state.as_ref().ok_or(Refused::Unavailable)?;
    let model = &state.loaded.model;
    let met = draft.target.endpoints(&model.fleet);
    let endpoints = met.map_err(|error| Refused::Mistake(error.into()))?.len();
    let other = |one: &&Override| one.drill.is_some() && one.drill != draft.drill;
    if draft.drill.is_some()
        && let Some(other) = set.overrides().find(other)
    {
        return Err(Refused::Overlap(other.drill.clone().unwrap_or_default()));
    }
    let same = |one: &&Override| one.target == draft.target && one.scope == draft.scope;
    let before: Vec<Override> = set.overrides().filter(same).cloned().collect();
    let anyway = draft.anyway;
    let id = format!("{:010x}", fastrand::u64(..) >> 24);
    let made = set.set(draft, id, clock::now(), clock::unix_seconds());
    let made = made.map_err(Refused::Mistake)?;
    let level = |id: EndpointId| {
        state.health.get(id.0 as usize).map_or(Level::Unknown, |health| health.level)
    };
    let losses = losses(model, level, &resolve(set.overrides(), &model.fleet));
    if !losses.is_empty() && !anyway {
        return Err(Refused::Unsafe(losses));
    }
    let reason = made.reason.clone();
    let what = "override.set";
    let act = Act { who: who.clone(), what, before, after: Some(made.clone()), reason };
    let done = Done { changed: vec![made], endpoints, losses, set: Arc::default(), saved: false };
    Ok(Ready { done, act })
}

fn clear(set: &mut OverrideSet, which: &str, reason: &str, who: &Who) -> Result<Ready, Refused> {
    let changed = set.clear(which);
    if changed.is_empty() {
        return Err(Refused::Unknown);
    }
    let (before, after, reason) = (changed.clone(), None, reason.to_owned());
    let act = Act { who: who.clone(), what: "override.clear", before, after, reason };
    let losses = Vec::new();
    let done = Done { changed, endpoints: 0, losses, set: Arc::default(), saved: false };
    Ok(Ready { done, act })
}
