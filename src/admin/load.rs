//! `/api/v1/load`: the load of pools, as other balancers report it and as it is shown.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use prometheus::proto::MetricFamily;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::access::Who;
use super::api::{document, read, unreadable};
use super::families::gauges;
use super::problem::Problem;
use super::status::LoadStatus;
use crate::clock::{self, Tick};
use crate::load::{STALE, Sample};
use crate::model::{Fleet, PoolId, RegionId};
use crate::snapshot;
use crate::steering::Spread;

/// The load of a pool in a region, as somebody reports it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// Requests a second.
    pub requests: f64,
    /// Those of them that fail, a second.
    #[serde(default)]
    pub errors: f64,
    /// Requests that are not answered to the end.
    #[serde(default)]
    pub in_flight: u64,
    /// Requests that wait.
    #[serde(default)]
    pub queue: u64,
    /// Requests a second that it can take, where the configuration does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) struct Taken {
    /// Seconds for which it counts.
    expires_seconds: u64,
}

/// Takes in a report.
pub(super) async fn report(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    place: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Ok(Path((pool, region))) = place else { return unreadable().into_response() };
    let report = read(&headers, body);
    match report.and_then(|report| take(&admin, &who, (&pool, &region), &report)) {
        Ok(taken) => document(StatusCode::OK, &taken, None),
        Err(problem) => problem.into_response(),
    }
}

fn take(
    admin: &Admin,
    who: &Who,
    (pool, region): (&str, &str),
    report: &LoadReport,
) -> Result<Taken, Problem> {
    let snapshot = admin.snapshot.load();
    let state = snapshot.state.as_ref().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this node has no configuration yet")
    })?;
    if !exists(&state.loaded.model.fleet, pool, region) {
        let what = format!("pool `{pool}` has no endpoint in a region `{region}`");
        let hint = "pools and regions are defined in fleet.toml";
        return Err(Problem::new(StatusCode::NOT_FOUND, what).hint(hint));
    }
    let LoadReport { requests, errors, in_flight, queue, capacity } = *report;
    let sample = Sample { requests, errors, in_flight, queue, capacity };
    if !sample.is_sound() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "a rate is out of range");
        return Err(problem.hint("0 to 1000000000 a second, and a capacity above 0"));
    }
    // Whoever reports by several tokens speaks for several balancers.
    let reporter = format!("feed:{}", who.name);
    let taken = state.loads.report(pool, region, &reporter, sample, clock::now());
    taken.map(|()| Taken { expires_seconds: STALE.as_secs() }).map_err(|_| {
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "too many report the load of this pool")
    })
}

/// Whether a pool of this name has endpoints in a region of that name.
fn exists(fleet: &Fleet, pool: &str, region: &str) -> bool {
    let pool = fleet.pools.iter().find(|other| other.name == pool);
    pool.is_some_and(|pool| {
        let mut endpoints = fleet.endpoints_of(pool);
        endpoints.any(|(_, endpoint)| fleet.region(endpoint.region).name == region)
    })
}

/// The load of a pool in a region; `None`: nothing is known.
pub(super) fn status(
    state: &snapshot::State,
    pool: PoolId,
    region: RegionId,
    now: Tick,
) -> Option<LoadStatus> {
    let fleet = &state.loaded.model.fleet;
    let capacity = fleet.pool(pool).capacity(region).map(f64::from);
    let load = state.loads.served(fleet, pool, region, now);
    let Some(load) = load else {
        let capacity = Some(capacity?);
        return Some(LoadStatus { capacity, ..LoadStatus::default() });
    };
    Some(LoadStatus {
        requests: Some(load.sum.requests),
        capacity: capacity.or(load.sum.capacity),
        errors: load.sum.errors,
        in_flight: load.sum.in_flight,
        queue: load.sum.queue,
        reporters: load.reporters,
        age_seconds: load.age.as_secs_f64(),
    })
}

/// The load of all pools, and where clients go by it.
pub(super) fn families(state: &snapshot::State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let now = clock::now();
    let fleet = &state.loaded.model.fleet;
    let loads = state.loads.all(|pool, region| exists(fleet, pool, region), now);
    let labels = ["pool", "region"];
    let of = |read: fn(&crate::load::Load) -> f64| {
        let sample = move |((pool, region), load): &((String, String), crate::load::Load)| {
            (vec![pool.clone(), region.clone()], read(load))
        };
        loads.iter().map(sample).collect::<Vec<_>>()
    };
    let capacities = fleet.pools.iter().flat_map(|pool| {
        pool.capacity.iter().map(|(region, capacity)| {
            (vec![pool.name.clone(), fleet.region(*region).name.clone()], f64::from(*capacity))
        })
    });
    let mut families = Vec::new();
    for (name, help, samples) in [
        (
            "meridian_pool_requests_per_second",
            "Load of a pool in a region, as reported lately.",
            of(|load| load.sum.requests),
        ),
        (
            "meridian_pool_errors_per_second",
            "Requests that fail of a pool in a region, as reported lately.",
            of(|load| load.sum.errors),
        ),
        (
            "meridian_pool_requests_in_flight",
            "Requests of a pool in a region that are not answered to the end.",
            of(|load| load.sum.in_flight as f64),
        ),
        (
            "meridian_pool_requests_waiting",
            "Requests of a pool in a region that wait for a place.",
            of(|load| load.sum.queue as f64),
        ),
        (
            "meridian_pool_load_age_seconds",
            "Age of the oldest report of a pool's load that counts.",
            of(|load| load.age.as_secs_f64()),
        ),
        (
            "meridian_pool_capacity_requests_per_second",
            "Load that a pool can take in a region, as configured.",
            capacities.collect(),
        ),
    ] {
        families.extend(gauges(name, help, &labels, samples)?);
    }
    families.extend(spills(state)?);
    Ok(families)
}

/// Where clients go by load.
fn spills(state: &snapshot::State) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let plan = &state.loaded.plan;
    let zones = state.loaded.model.zones.iter().zip(&plan.services);
    let services = zones.flat_map(|(zone, numbers)| zone.services.iter().zip(numbers));
    let (mut shares, mut full) = (Vec::new(), Vec::new());
    for (service, number) in services {
        let spread = state.spreads.get(*number).and_then(Option::as_ref);
        let (Some(spread), Some(steering)) = (spread, plan.steerings.get(*number)) else {
            continue;
        };
        let owner = service.owner.to_string();
        full.push((vec![owner.clone()], f64::from(u8::from(spread.shares.is_full))));
        for (at, region) in steering.contest.regions().iter().enumerate() {
            let name = state.loaded.model.fleet.region(*region).name.clone();
            shares.push((vec![owner.clone(), name], away(spread, at)));
        }
    }
    let mut families = gauges(
        "meridian_spill_share",
        "Share of a region's own clients who are sent elsewhere by load.",
        &["service", "region"],
        shares,
    )?;
    families.extend(gauges(
        "meridian_spill_full",
        "1 while there is more load than all regions of a service can take.",
        &["service"],
        full,
    )?);
    Ok(families)
}

/// The share of a region's own clients who go elsewhere.
fn away(spread: &Spread, at: usize) -> f64 {
    let shares = spread.shares.of.get(at).into_iter().flatten().enumerate();
    shares.filter(|(other, _)| *other != at).map(|(_, share)| share).sum()
}
