//! `/api/v1/drills`: whether a drill may run, what it would look at, and what came of earlier ones.

mod clients;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name as DnsName, RData, RecordType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use self::clients::clients_of;
use super::Admin;
use super::access::Who;
use super::api::{document, read, worked_out};
use super::audit::Note;
use super::events::Happening;
use super::load;
use super::problem::Problem;
use crate::clock;
use crate::dns::{Peer, Reply, Transport, answer};
use crate::drill::{self, Burden, Intent, Preflight, Report, World};
use crate::durable;
use crate::health::overrides::{OverrideSet, Target};
use crate::model::{How, PoolId, RegionId};
use crate::name::Name;
use crate::snapshot::{self, ServiceAnswers, Snapshot, ZoneEntry};

/// Services that are looked at where none is named.
const SERVICES_MAX: usize = 8;
/// Reports that are kept.
const KEPT_MAX: usize = 50;
/// Longest file of them.
const FILE_MAX: u64 = 8 << 20;

/// A drill that somebody means to run.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrillWish {
    /// What it is called.
    pub name: String,
    /// What is to be taken out: regions, pools or endpoints.
    pub fail: Vec<String>,
    /// health or drain.
    pub how: String,
    /// The services whose answers are looked at; none: those that it would change.
    #[serde(default)]
    pub services: Vec<String>,
    /// Regions whose loss would end it, as `region:NAME`.
    #[serde(default)]
    pub guarded: Vec<String>,
    /// Highest share of their capacity that survivors may have as load; null: all of it.
    #[serde(default)]
    pub load_max: Option<f64>,
}

/// What a drill would be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DrillPlan {
    /// Of the overrides that it was judged with.
    pub revision: u64,
    /// What stands in its way, and what it would do.
    #[serde(flatten)]
    pub preflight: Preflight,
    /// The services that are looked at.
    pub services: Vec<String>,
    /// Prefixes of clients: one for each continent and region that serves people there.
    pub clients: Vec<String>,
    /// The name servers of the zones, as far as their addresses are in the zones.
    pub nodes: Vec<NodePlace>,
}

/// Where a node answers DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct NodePlace {
    /// Its name as a name server.
    pub name: String,
    /// Address and port.
    pub address: SocketAddr,
}

/// The drills that were reported to a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DrillHistory {
    /// The newest first, without their timelines.
    pub drills: Vec<Report>,
}

/// What became of a report.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DrillKept {
    /// Number of reports that are kept now.
    pub kept: usize,
    /// Whether they survive a restart.
    pub saved: bool,
}

/// The reports, `drills.json` in the state folder.
///
/// A short lock, taken when a drill is reported and when its history is read.
#[derive(Clone, Debug)]
pub(super) struct DrillLog {
    path: PathBuf,
    history: Arc<Mutex<DrillHistory>>,
}

impl DrillLog {
    /// Those of this state folder; damaged ones are told of, and forgotten.
    pub(super) fn open(state: &Path) -> Self {
        let path = state.join("drills.json");
        let history = match durable::read(&path, FILE_MAX) {
            Ok(None) => DrillHistory::default(),
            Ok(Some(json)) => serde_json::from_slice(&json).unwrap_or_else(|error| {
                warn!(file = %path.display(), %error, "the history of drills is damaged");
                DrillHistory::default()
            }),
            Err(error) => {
                warn!(file = %path.display(), %error, "the history of drills cannot be read");
                DrillHistory::default()
            }
        };
        Self { path, history: Arc::new(Mutex::new(history)) }
    }

    fn history(&self) -> DrillHistory {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn keep(&self, mut report: Report) -> DrillKept {
        report.timeline.slots.clear();
        let history = {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            history.drills.insert(0, report);
            history.drills.truncate(KEPT_MAX);
            history.clone()
        };
        let kept = history.drills.len();
        let path = self.path.clone();
        let write = move || {
            let json = serde_json::to_vec(&history)?;
            durable::replace(&path, &json)
        };
        let written = durable::on_disk(write).await;
        if let Err(error) = &written {
            error!(error, "cannot save the history of drills");
        }
        DrillKept { kept, saved: written.is_ok() }
    }
}

/// Tells of earlier drills.
pub(super) async fn history(State(admin): State<Admin>) -> Response {
    document(StatusCode::OK, &admin.desk.drills().history(), None)
}

/// Takes in what came of a drill.
pub(super) async fn report(
    State(admin): State<Admin>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let report: Report = match read(&headers, body) {
        Ok(report) => report,
        Err(problem) => return problem.into_response(),
    };
    let (drill, outcome) = (report.name.clone(), report.outcome.as_str());
    info!(drill, outcome, who = who.name, reason = report.reason, "a drill is reported");
    admin.events.tell(Happening::DrillReported {
        drill: drill.clone(),
        outcome: outcome.to_owned(),
        reason: report.reason.clone(),
    });
    let after = serde_json::json!({ "drill": drill, "outcome": outcome });
    let reason = report.reason.clone().unwrap_or_default();
    let kept = admin.desk.drills().keep(report).await;
    admin.desk.note(Note { who, what: "drill.report", before: ().into(), after, reason }).await;
    document(StatusCode::CREATED, &kept, None)
}

/// Judges a drill before it runs.
pub(super) async fn preflight(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let wish: DrillWish = match read(&headers, body) {
        Ok(wish) => wish,
        Err(problem) => return problem.into_response(),
    };
    let (snapshot, overrides) = (admin.snapshot.load_full(), admin.desk.overrides());
    // Clients are looked for among hundreds of thousands of prefixes.
    worked_out(move || plan(wish, &snapshot, &overrides), "the preflight").await
}

fn plan(
    wish: DrillWish,
    snapshot: &Snapshot,
    overrides: &OverrideSet,
) -> Result<DrillPlan, Problem> {
    let how = match wish.how.as_str() {
        "health" => How::Health,
        "drain" => How::Drain,
        other => {
            let what = format!("unknown how `{other}`");
            return Err(Problem::bad(what, "expected health or drain"));
        }
    };
    let state = snapshot.state.as_ref().ok_or_else(Problem::unready)?;
    let DrillWish { name, fail, services, guarded, load_max, .. } = wish;
    let services = if services.is_empty() { concerned(&fail, state) } else { services };
    let intent = Intent { name, fail, how, services, guarded, load_max };
    let burdens = burdens(state);
    let burdens = Some(burdens.as_slice()).filter(|known| !known.is_empty());
    let world = World { state, overrides, burdens, now: clock::now() };
    let preflight = drill::preflight(&intent, &world);
    let names: Vec<Name> =
        intent.services.iter().filter_map(|text| Name::parse(text, &Name::root()).ok()).collect();
    let lost: BTreeSet<IpAddr> = preflight.lost.iter().copied().collect();
    let mut clients = Vec::new();
    for name in &names {
        clients.extend(clients_of(name, snapshot, &lost));
    }
    clients.sort_unstable();
    clients.dedup();
    let nodes: BTreeSet<NodePlace> =
        names.iter().flat_map(|name| name_servers(name, snapshot)).collect();
    Ok(DrillPlan {
        revision: overrides.revision(),
        preflight,
        services: names.iter().map(ToString::to_string).collect(),
        clients: clients.iter().map(ToString::to_string).collect(),
        nodes: nodes.into_iter().collect(),
    })
}

/// What is known of the load of pools that have a capacity.
fn burdens(state: &snapshot::State) -> Vec<Burden> {
    let (fleet, now) = (&state.loaded.model.fleet, clock::now());
    let pools = (0..fleet.pools.len() as u16).map(PoolId);
    let places = pools.flat_map(|pool| {
        (0..fleet.regions.len() as u16).map(move |region| (pool, RegionId(region)))
    });
    let burden = |(pool, region)| {
        let known = load::status(state, pool, region, now)?;
        let (load, capacity) = (known.requests?, known.capacity?);
        Some(Burden { pool, region, load, capacity })
    };
    places.filter_map(burden).collect()
}

/// The services that what is to fail stands behind, the first few of them.
fn concerned(fail: &[String], state: &snapshot::State) -> Vec<String> {
    let model = &state.loaded.model;
    let targets: Vec<Target> = fail.iter().filter_map(|text| text.parse().ok()).collect();
    let met = |pool: &PoolId| {
        let mut endpoints = model.fleet.endpoints_of(model.fleet.pool(*pool));
        endpoints.any(|(_, one)| targets.iter().any(|target| target.meets(&model.fleet, one)))
    };
    let services = model.zones.iter().flat_map(|zone| &zone.services);
    let services = services.filter(|service| service.only.is_none());
    let services = services.filter(|service| service.pools.iter().any(met));
    services.take(SERVICES_MAX).map(|service| service.owner.to_string()).collect()
}

/// The answers of a service.
pub(super) fn service<'a>(name: &Name, snapshot: &'a Snapshot) -> Option<&'a ServiceAnswers> {
    let text = name.to_string();
    snapshot.zones.iter().find_map(|(_, entry)| match entry {
        ZoneEntry::Serving(served) => {
            served.services.iter().find(|answers| answers.name() == text).map(AsRef::as_ref)
        }
        _ => None,
    })
}

fn addresses(records: &[hickory_proto::rr::Record]) -> Vec<IpAddr> {
    let address = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    records.iter().filter_map(address).collect()
}

/// The name servers of the zone that holds a name, with the addresses that the zone has of them.
fn name_servers(name: &Name, snapshot: &Snapshot) -> Vec<NodePlace> {
    let apexes = snapshot.zones.iter().map(|(apex, _)| apex);
    let apex = apexes.filter(|apex| name.is_at_or_below(apex)).max_by_key(|a| a.labels().count());
    let Some(Ok(apex)) = apex.map(|apex| DnsName::from_ascii(apex.to_string())) else {
        return Vec::new();
    };
    let mut query = Message::new(1, MessageType::Query, OpCode::Query);
    query.add_query(Query::query(apex, RecordType::NS));
    let Ok(wire) = query.to_vec() else { return Vec::new() };
    // Over TCP, so that nothing is cut; any port but 0, which the engine does not answer.
    let peer = Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 53)),
        transport: Transport::Tcp,
        unix_seconds: 0,
    };
    let mut out = vec![0; usize::from(u16::MAX)];
    let Reply::Length(length) = answer(snapshot, &wire, peer, 0, &mut out).reply else {
        return Vec::new();
    };
    let Ok(reply) = Message::from_vec(out.get(..length).unwrap_or_default()) else {
        return Vec::new();
    };
    let glue = reply.additionals.iter().filter_map(|record| {
        let address = addresses(std::slice::from_ref(record)).pop()?;
        let name = record.name.to_string().trim_end_matches('.').to_owned();
        Some(NodePlace { name, address: SocketAddr::new(address, 53) })
    });
    glue.collect()
}
