//! `/api/v1/flows`: where the clients of a service are sent, by country, and where they usually go.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::LazyLock;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::api::{pairs, worked_out};
use super::drills::service;
use super::problem::Problem;
use crate::diagnostic::nearest;
use crate::health::{EndpointHealth, Level};
use crate::name::Name;
use crate::place::{CLIENT_SAMPLE, Country, gazetteer};
use crate::prefix::Prefix;
use crate::rows::{Row, Rows};
use crate::snapshot::{self, ServiceAnswers, Snapshot};
use crate::steering::{Decision, Family, Outcome, View};

/// Services that are named for a choice; more would not fit into one.
const SERVICES_MAX: usize = 1_000;
/// Shares are told to this part.
const SHARE_UNIT: f64 = 10_000.0;

/// Where the clients of a service are sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Flows {
    /// Number of the snapshot that it is about.
    generation: u64,
    /// The service; empty where there is none.
    service: String,
    /// A or AAAA.
    #[serde(rename = "type")]
    rtype: String,
    /// The services that may be asked for, the first 1,000.
    services: Vec<String>,
    /// Share of the clients who are elsewhere than they would be if all was up; from 0 to 1.
    moved: f64,
    /// Share of the clients who are answered without an address; from 0 to 1.
    unanswered: f64,
    /// Regions of the service, by name.
    regions: Vec<RegionFlow>,
    /// Clients by country, the most first.
    clients: Vec<Clients>,
}

/// The share of all clients that a region has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
struct RegionFlow {
    /// Name of the region.
    region: String,
    /// Now; from 0 to 1.
    share: f64,
    /// If all was up and no load decided; from 0 to 1.
    usual: f64,
}

/// The clients of one country.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Clients {
    /// Its code.
    country: String,
    /// Its name in English.
    name: String,
    /// Of its people; degrees, north is positive.
    latitude: f64,
    /// Likewise; east is positive.
    longitude: f64,
    /// Of all clients; from 0 to 1.
    share: f64,
    /// Where they are sent, and where they usually are; shares of the clients of the country.
    to: Vec<RegionFlow>,
}

/// Says where clients are sent.
pub(super) async fn flows(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let wanted = match Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(problem) => return problem.into_response(),
    };
    let snapshot = admin.snapshot.load_full();
    // Thousands of clients are looked up and decided for.
    worked_out(move || wanted.answer(&snapshot), "the survey of the clients").await
}

/// What a query string asks.
struct Wanted {
    /// `None`: the first.
    service: Option<String>,
    family: Family,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, Problem> {
        let mut wanted = Self { service: None, family: Family::V4 };
        for (key, value) in pairs(query)? {
            match (&*key, value.to_ascii_uppercase().as_str()) {
                ("service", _) => wanted.service = Some(value.into_owned()),
                ("type", "A") => wanted.family = Family::V4,
                ("type", "AAAA") => wanted.family = Family::V6,
                ("type", _) => {
                    let what = format!("clients have no addresses of type `{value}`");
                    return Err(Problem::bad(what, "expected A or AAAA"));
                }
                _ => {
                    let what = format!("unknown key `{key}`");
                    return Err(Problem::bad(what, "known are service and type"));
                }
            }
        }
        Ok(wanted)
    }

    fn answer(&self, snapshot: &Snapshot) -> Result<Flows, Problem> {
        let state = snapshot.state.as_ref().ok_or_else(Problem::unready)?;
        let services = state.loaded.model.zones.iter().flat_map(|zone| &zone.services);
        // What has one region alone sends nobody anywhere else.
        let services = services.filter(|service| service.only.is_none());
        let services: Vec<String> = services.map(|one| one.owner.to_string()).collect();
        let chosen = match &self.service {
            Some(asked) => Some(find(asked, &services, snapshot)?),
            None => services.iter().find_map(|name| known(name, snapshot)),
        };
        let mut flows = Flows {
            generation: snapshot.generation,
            service: String::new(),
            rtype: if self.family == Family::V4 { "A" } else { "AAAA" }.to_owned(),
            services: services.into_iter().take(SERVICES_MAX).collect(),
            moved: 0.0,
            unanswered: 0.0,
            regions: Vec::new(),
            clients: Vec::new(),
        };
        if let Some(answers) = chosen {
            answers.name().clone_into(&mut flows.service);
            flows.fill(answers, state, self.family);
        }
        Ok(flows)
    }
}

fn known<'a>(name: &str, snapshot: &'a Snapshot) -> Option<&'a ServiceAnswers> {
    service(&Name::parse(name, &Name::root()).ok()?, snapshot)
}

/// The service of this name.
fn find<'a>(
    asked: &str,
    services: &[String],
    snapshot: &'a Snapshot,
) -> Result<&'a ServiceAnswers, Problem> {
    known(asked, snapshot).ok_or_else(|| {
        let what = format!("no service `{asked}` is served");
        let near = nearest(asked, services.iter().map(String::as_str));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "without `service` the reply names them".to_owned(),
        };
        Problem::new(StatusCode::NOT_FOUND, what).hint(hint)
    })
}

/// What some clients are answered: by region of the contest the share of them, now and usually.
#[derive(Clone, Default)]
struct Tally {
    weight: f64,
    parts: Vec<(f64, f64)>,
}

impl Tally {
    fn add(&mut self, weight: f64, parts: &[(f64, f64)]) {
        self.weight += weight;
        self.parts.resize(parts.len(), (0.0, 0.0));
        for ((now, usual), (more, more_usual)) in self.parts.iter_mut().zip(parts) {
            (*now, *usual) = (*now + weight * more, *usual + weight * more_usual);
        }
    }

    /// By region, what it has of these clients.
    fn told(&self, names: &[String]) -> Vec<RegionFlow> {
        let part = |weight: f64| rounded(weight / self.weight.max(f64::MIN_POSITIVE));
        let all = names.iter().zip(&self.parts).map(|(region, (now, usual))| RegionFlow {
            region: region.clone(),
            share: part(*now),
            usual: part(*usual),
        });
        all.filter(|flow| flow.share > 0.0 || flow.usual > 0.0).collect()
    }
}

fn rounded(share: f64) -> f64 {
    (share * SHARE_UNIT).round() / SHARE_UNIT
}

impl Flows {
    /// Looks at the sample of the world's clients.
    fn fill(&mut self, answers: &ServiceAnswers, state: &snapshot::State, family: Family) {
        let steering = answers.steering();
        let fleet = &state.loaded.model.fleet;
        let view = state.view(steering);
        let well = |one: &EndpointHealth| EndpointHealth { level: Level::Up, ..one.clone() };
        let well: Vec<EndpointHealth> = state.health.iter().map(well).collect();
        let usual = View { health: &well, shares: &[], spread: None, ..view };
        let regions = steering.contest.regions();
        let mut known: HashMap<u32, Vec<(f64, f64)>> = HashMap::new();
        let mut countries: BTreeMap<Country, Tally> = BTreeMap::new();
        let (mut all, mut moved) = (Tally::default(), 0.0);
        for one in SAMPLE.iter().filter(|one| one.address.is_ipv4() == (family == Family::V4)) {
            let at = answers.locate(one.address).class;
            let parts = known.entry(at).or_insert_with(|| {
                let class = steering.class(at);
                let shares = [&view, &usual].map(|view| {
                    let decision = class.map(|class| steering.contest.decide(class, family, view));
                    decision.map_or_else(|| vec![0.0; regions.len()], |d| parts(&d, regions.len()))
                });
                let [now, usual] = shares;
                now.into_iter().zip(usual).collect()
            });
            let away = parts.iter().map(|(now, usual)| (now - usual).max(0.0));
            moved += one.weight * away.sum::<f64>();
            all.add(one.weight, parts);
            countries.entry(one.country).or_default().add(one.weight, parts);
        }
        let names: Vec<String> = regions.iter().map(|id| fleet.region(*id).name.clone()).collect();
        let total = all.weight.max(f64::MIN_POSITIVE);
        let answered: f64 = all.parts.iter().map(|(now, _)| now).sum();
        (self.moved, self.unanswered) = (rounded(moved / total), rounded(1.0 - answered / total));
        self.regions = all.told(&names);
        self.regions.sort_by(|a, b| a.region.cmp(&b.region));
        // Some have addresses and nobody who lives there.
        let peopled = countries.into_iter().filter(|(_, tally)| tally.weight > 0.0);
        let clients = peopled.filter_map(|(country, tally)| {
            let known = gazetteer::country(country)?;
            Some(Clients {
                country: country.to_string(),
                name: known.name.to_owned(),
                latitude: known.point.latitude,
                longitude: known.point.longitude,
                share: rounded(tally.weight / total),
                to: tally.told(&names),
            })
        });
        self.clients = clients.collect();
        self.clients.sort_by(|a, b| b.share.total_cmp(&a.share));
    }
}

/// By region, its share of what a decision answers; nothing where that is no endpoint.
pub(super) fn parts(decision: &Decision, regions: usize) -> Vec<f64> {
    let mut parts = vec![0.0; regions];
    let Outcome::Tied(tied) = &decision.outcome else { return parts };
    let total: u64 = tied.iter().map(|candidate| candidate.weight).sum();
    for candidate in tied {
        let share = match total {
            0 => 1.0 / tied.len() as f64,
            total => candidate.weight as f64 / total as f64,
        };
        if let Some(part) = parts.get_mut(usize::from(candidate.region)) {
            *part += share;
        }
    }
    parts
}

/// Clients of one prefix.
pub(super) struct Sampled {
    /// Where they are.
    pub(super) country: Country,
    /// The first address of the prefix.
    pub(super) address: IpAddr,
    /// How many there are, in any unit.
    pub(super) weight: f64,
}

/// The sample, read when it is first asked for.
pub(super) static SAMPLE: LazyLock<Vec<Sampled>> = LazyLock::new(|| {
    let mut rows = Rows::new("client_sample.csv", CLIENT_SAMPLE);
    let [prefix, country, weight] =
        ["prefix", "country", "weight"].map(|name| rows.column(name, true));
    let read = |row: &Row| {
        Some(Sampled {
            country: Country::parse(&row.text(country))?,
            address: row.text(prefix).parse::<Prefix>().ok()?.address(),
            weight: row.text(weight).trim().parse().ok()?,
        })
    };
    rows.rows().iter().filter_map(read).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_read_as_a_whole() {
        assert_eq!(SAMPLE.len(), CLIENT_SAMPLE.lines().count() - 1);
        let of = |code: &str| SAMPLE.iter().filter(|one| one.country.as_str() == code).count();
        assert!(of("DE") > 10 && of("US") > 10 && of("JP") > 10);
        let mut peopled = SAMPLE.iter().filter(|one| one.weight > 0.0);
        assert!(peopled.all(|one| gazetteer::country(one.country).is_some()));
    }

    #[test]
    fn shares_are_of_those_who_are_counted() {
        let names = ["eu", "us", "ap"].map(str::to_owned);
        let mut tally = Tally::default();
        tally.add(3.0, &[(1.0, 1.0), (0.0, 0.0), (0.0, 0.0)]);
        tally.add(1.0, &[(0.0, 1.0), (0.5, 0.0), (0.0, 0.0)]);
        let flow = |region: &str, share, usual| {
            let region = region.to_owned();
            RegionFlow { region, share, usual }
        };
        assert_eq!(tally.told(&names), [flow("eu", 0.75, 1.0), flow("us", 0.125, 0.0)]);
        assert_eq!(Tally::default().told(&names), []);
    }
}
