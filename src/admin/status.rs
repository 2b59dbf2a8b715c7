//! What a node tells of itself: regions, pools, endpoints, zones, overrides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::listed;
use super::load;
use super::readiness::{readiness, state_word};
use crate::acme::Stage;
use crate::clock::{self, Tick};
use crate::cluster::Attendant;
use crate::dns::Totals;
use crate::health::overrides::{Entry, Override};
use crate::health::{EndpointHealth, Level};
use crate::metrics::ProxyMetrics;
use crate::model::{Endpoint, EndpointId, Fleet, Model, PlanNumber, PoolId, RegionId};
use crate::snapshot::State;

/// The state of a node at one time.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Name of the node; empty before its files are read.
    pub node: String,
    /// Its region.
    pub region: String,
    /// Version of the program.
    pub version: String,
    /// Whether it answers queries.
    pub ready: bool,
    /// Why not, and which zones have errors; one line each.
    pub notes: Vec<String>,
    /// Number of the snapshot that answers are given from.
    pub generation: u64,
    /// The time of this node, in milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub time_ms: u64,
    /// How far it can rely on its peers: alone, live, degraded or isolated.
    #[serde(default)]
    pub mode: String,
    /// What whoever asks may do: read or operate.
    #[serde(default)]
    pub role: String,
    /// Queries that it has received since it started.
    #[serde(default)]
    pub queries: u64,
    /// Digest of what all nodes share: fleet.toml, network lists and zones.
    pub digest: String,
    /// Number of the plan that is served; `None`: it has none.
    pub plan: Option<PlanStatus>,
    /// Regions by name.
    pub regions: Vec<RegionStatus>,
    /// Pools, each in each of its regions.
    pub pools: Vec<PoolStatus>,
    /// All endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// The other nodes that were heard in the last 20 minutes, by region and name.
    #[serde(default)]
    pub peers: Vec<PeerStatus>,
    /// Zones by name.
    pub zones: Vec<ZoneStatus>,
    /// The overrides, the oldest first.
    pub overrides: Vec<OverrideStatus>,
    /// The certificates that the proxy orders by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateStatus>,
}

/// A certificate that the proxy orders by itself. Times are seconds since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateStatus {
    /// The names that are wanted.
    pub names: Vec<String>,
    /// http-01 or dns-01.
    pub challenge: String,
    /// When the certificate ends that is there; `None`: there is none of these names.
    pub ends: Option<i64>,
    /// When it is ordered next, which has passed while it is being ordered.
    pub next: u64,
    /// Orders in a row that failed.
    pub failures: u32,
    /// issued, unreached, refused or limited: how the last order ended; `None`: there was none.
    pub last: Option<String>,
    /// Why the last order failed; `None`: it did not, or before the process began.
    pub error: Option<String>,
}

impl From<Stage> for CertificateStatus {
    fn from(stage: Stage) -> Self {
        let Stage { names, challenge, ends, next, failures, last, error } = stage;
        Self {
            names,
            challenge: challenge.to_owned(),
            ends,
            next,
            failures,
            last: last.map(|outcome| outcome.as_str().to_owned()),
            error: Some(error).filter(|error| !error.is_empty()),
        }
    }
}

/// Another node, as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerStatus {
    /// Its name.
    pub node: String,
    /// Its region.
    pub region: String,
    /// live, late (silent for 10 s) or dead (20 s).
    pub standing: String,
    /// How long ago it was heard last, in seconds.
    pub heard_seconds: u64,
    /// What it does: dns, probe, proxy.
    pub roles: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// The first twelve digits of the digest of what it serves; `None`: it serves nothing yet.
    pub digest: Option<String>,
    /// Whether it has served something else than this node for half a minute.
    pub drifted: bool,
}

impl PeerStatus {
    fn of(one: &Attendant, now: Tick) -> Self {
        Self {
            node: one.peer.node.clone(),
            region: one.peer.region.clone(),
            standing: one.standing.as_str().to_owned(),
            heard_seconds: now.since(one.heard).as_secs(),
            roles: one.roles.names().into_iter().map(str::to_owned).collect(),
            version: one.version.clone(),
            digest: one.config.map(|config| format!("{config:012x}")),
            drifted: one.drifted,
        }
    }
}

/// The number of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStatus {
    /// Goes up when versions begin anew.
    pub epoch: u32,
    /// Goes up with every plan.
    pub version: u32,
}

/// A region.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RegionStatus {
    /// Its endpoints.
    #[serde(flatten)]
    pub share: Share,
    /// Degrees, north is positive.
    #[serde(default)]
    pub latitude: f64,
    /// Degrees, east is positive.
    #[serde(default)]
    pub longitude: f64,
    /// Steered answers of this node whose first address is there, since it started.
    #[serde(default)]
    pub answers: u64,
    /// Why its probers vote or do not: live, late, impaired or dead; `None`: none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
}

/// How many endpoints are how healthy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Of which region.
    pub region: String,
    /// Endpoints that are up.
    pub up: usize,
    /// Endpoints that nobody has judged yet.
    pub unknown: usize,
    /// All endpoints.
    pub endpoints: usize,
}

/// A pool in one region.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Name of the pool.
    pub pool: String,
    /// Its endpoints there.
    #[serde(flatten)]
    pub share: Share,
    /// Its load there; `None`: nobody has reported any lately, and it has no capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadStatus>,
}

/// The load of a pool in one region.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct LoadStatus {
    /// Requests a second; `None`: nobody has reported any lately.
    pub requests: Option<f64>,
    /// Requests a second that it can take; `None`: nobody has said.
    pub capacity: Option<f64>,
    /// Those of the requests that fail, a second.
    pub errors: f64,
    /// Requests that are not answered to the end.
    pub in_flight: u64,
    /// Requests that wait for a place.
    pub queue: u64,
    /// Number of those who report.
    pub reporters: usize,
    /// Age of the oldest report that counts, in seconds.
    pub age_seconds: f64,
}

/// One endpoint.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EndpointStatus {
    /// Name of its pool.
    pub pool: String,
    /// Name of its region.
    pub region: String,
    /// Its address or hostname.
    pub endpoint: String,
    /// up, unknown or down.
    pub health: String,
    /// Why.
    pub cause: String,
    /// For how long, in seconds.
    pub age_seconds: u64,
    /// What each known probing region says; empty without monitors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<VoteStatus>,
    /// What this node's proxy still has for it; `None`: it is not drained, or not this proxy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub residual: Option<Residual>,
}

/// What one probing region says of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteStatus {
    /// Name of the region.
    pub vantage: String,
    /// up, down, or unknown: it has no vote, or not on every monitor yet.
    pub verdict: String,
    /// The sort of failure that it saw; `None` unless it says down and told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// For how long this node has known it to say so, in seconds.
    pub age_seconds: u64,
}

/// What a drained endpoint still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Residual {
    /// Requests that it has not answered to the end.
    pub in_flight: u64,
    /// Requests that came while it was drained, since the process began.
    pub requests: u64,
}

/// One zone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ZoneStatus {
    /// Its apex.
    pub zone: String,
    /// ok, stale, failed or expired.
    pub state: String,
}

/// One override and the time it has left.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct OverrideStatus {
    /// The override.
    #[serde(flatten)]
    pub what: Override,
    /// `None`: it lasts until it is cleared.
    pub left_seconds: Option<u64>,
}

impl OverrideStatus {
    /// As of `now`; a second that has begun counts.
    pub(super) fn of(entry: &Entry, now: Tick) -> Self {
        let left = entry.left(now).map(|left| left.as_millis().div_ceil(1_000) as u64);
        Self { what: entry.what.clone(), left_seconds: left }
    }
}

impl Status {
    /// The state of this node.
    pub(super) fn of(admin: &Admin) -> Self {
        let snapshot = admin.snapshot.load();
        let (ready, text) = readiness(*admin.phase.borrow(), &snapshot);
        let mut status = Self {
            node: String::new(),
            region: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready,
            notes: text.lines().filter(|line| *line != "ready").map(str::to_owned).collect(),
            generation: snapshot.generation,
            time_ms: clock::unix_ms(),
            mode: String::new(),
            role: String::new(),
            queries: 0,
            digest: String::new(),
            plan: None,
            regions: Vec::new(),
            pools: Vec::new(),
            endpoints: Vec::new(),
            peers: Vec::new(),
            zones: Vec::new(),
            overrides: listed(&admin.desk.overrides()),
            certificates: Vec::new(),
        };
        let now = clock::now();
        let peers = admin.peers.borrow();
        status.peers = peers.iter().map(|one| PeerStatus::of(one, now)).collect();
        drop(peers);
        let stages = snapshot.issuance.progress.stages();
        status.certificates = stages.into_iter().map(CertificateStatus::from).collect();
        let zone = |(apex, entry): (&crate::name::Name, _)| ZoneStatus {
            zone: apex.to_string(),
            state: state_word(&snapshot, apex, entry).to_owned(),
        };
        status.zones = snapshot.zones.iter().map(zone).collect();
        if let Some(state) = &snapshot.state {
            status.fill(state, &admin.metrics.proxy, now);
        }
        if let Some(counters) = &admin.counters {
            status.count(&counters.totals());
        }
        status
    }

    /// Adds what was asked and answered.
    fn count(&mut self, totals: &Totals) {
        self.queries = totals.queries.iter().map(|(_, queries)| queries).sum();
        for region in &mut self.regions {
            let own = totals.regions.iter().find(|(name, _)| *name == region.share.region);
            region.answers = own.map_or(0, |(_, answers)| *answers);
        }
    }

    /// Adds what is known of the fleet.
    fn fill(&mut self, state: &State, metrics: &ProxyMetrics, now: Tick) {
        let model = &state.loaded.model;
        let fleet = &model.fleet;
        self.node.clone_from(&model.node.name);
        self.region.clone_from(&fleet.region(model.node.region).name);
        state.council.mode.as_str().clone_into(&mut self.mode);
        self.digest = state.loaded.fingerprint.to_string();
        let number = fleet.plan.map(|mark| mark.number);
        self.plan = number.map(|PlanNumber { epoch, version }| PlanStatus { epoch, version });
        let ids = || (0..).map(RegionId).take(fleet.regions.len());
        let share = |region, pool| share(state, region, pool);
        self.regions = ids().map(|region| place(state, region, share(region, None))).collect();
        for (pool, name) in (0..).map(PoolId).zip(fleet.pools.iter().map(|pool| &pool.name)) {
            let shares = ids().map(|region| (region, share(region, Some(pool))));
            let there = shares.filter(|(_, share)| share.endpoints > 0);
            self.pools.extend(there.map(|(region, share)| {
                let load = load::status(state, pool, region, now);
                PoolStatus { pool: name.clone(), share, load }
            }));
        }
        let endpoints = fleet.endpoints.iter().zip(&state.health);
        self.endpoints.extend(endpoints.map(|(endpoint, health)| {
            let lingers = health.level == Level::Drained && is_proxied(model, endpoint);
            EndpointStatus {
                pool: fleet.pool(endpoint.pool).name.clone(),
                region: fleet.region(endpoint.region).name.clone(),
                endpoint: endpoint.address.to_string(),
                health: health.level.as_str().to_owned(),
                cause: health.cause.to_string(),
                age_seconds: now.since(health.since).as_secs(),
                votes: votes(fleet, health, now),
                residual: lingers.then(|| residual(fleet, endpoint, metrics)),
            }
        }));
    }
}

/// A region with these endpoints.
fn place(state: &State, id: RegionId, share: Share) -> RegionStatus {
    let point = state.loaded.model.fleet.region(id).point;
    let vantage = state.council.seat(id).map(|seat| seat.as_str().to_owned());
    let (latitude, longitude) = (point.latitude, point.longitude);
    RegionStatus { share, latitude, longitude, answers: 0, vantage }
}

fn votes(fleet: &Fleet, health: &EndpointHealth, now: Tick) -> Vec<VoteStatus> {
    let said = health.votes.iter().map(|vote| VoteStatus {
        vantage: fleet.region(vote.region).name.clone(),
        verdict: vote.verdict.as_str().to_owned(),
        cause: vote.kind.map(|kind| kind.as_str().to_owned()),
        age_seconds: now.since(vote.since).as_secs(),
    });
    said.collect()
}

/// Whether requests reach an endpoint through this node's proxy, also while it is drained.
fn is_proxied(model: &Model, endpoint: &Endpoint) -> bool {
    let mut routes = model.fleet.routes.iter();
    model.node.proxy.is_some()
        && endpoint.region == model.node.region
        && routes.any(|route| route.pool() == Some(endpoint.pool))
}

fn residual(fleet: &Fleet, endpoint: &Endpoint, metrics: &ProxyMetrics) -> Residual {
    let (pool, region) = (&fleet.pool(endpoint.pool).name, &fleet.region(endpoint.region).name);
    let address = endpoint.address.to_string();
    let labels = [pool.as_str(), region, &address];
    let in_flight = metrics.upstream.in_flight.with_label_values(&labels).get();
    let requests = metrics.protection.drained.with_label_values(&labels).get();
    Residual { in_flight: in_flight.unsigned_abs(), requests }
}

/// The endpoints of a region, of one pool or all.
fn share(state: &State, region: RegionId, pool: Option<PoolId>) -> Share {
    let fleet: &Fleet = &state.loaded.model.fleet;
    let meant = |endpoint: &Endpoint| {
        endpoint.region == region && pool.is_none_or(|pool| endpoint.pool == pool)
    };
    let mut share = Share { region: fleet.region(region).name.clone(), ..Share::default() };
    let all = (0..).map(EndpointId).zip(&fleet.endpoints);
    for (id, _) in all.filter(|(_, endpoint)| meant(endpoint)) {
        share.endpoints += 1;
        match state.health.get(id.0 as usize).map(|health| health.level) {
            Some(Level::Up) => share.up += 1,
            Some(Level::Unknown) | None => share.unknown += 1,
            Some(_) => {}
        }
    }
    share
}
