//! `meridian simulate`: who goes where, before and after regions fail, offline.

mod drive;
mod latency;
mod picture;
mod population;
mod progress;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use self::drive::{Clients, add_loads, drive};
pub(super) use self::latency::Latencies;
pub(super) use self::population::{Group, apportion, read as read_population};
pub(super) use self::progress::Progress;
use self::report::{Report, ServiceReport, Time, pools};
pub(super) use self::world::{Given, Loads, World};
use super::explain::supposed_health;
use super::serve::saved_latency;
use super::{Config, Exit, Output};
use crate::admin::regions;
use crate::clock::{self, Tick};
use crate::diagnostic::Diagnostics;
use crate::model::{Fleet, PoolId, RegionId};
use crate::name::Name;
use crate::rows::Rows;
use crate::snapshot::{Loaded, ServiceAnswers, load};

/// Share of the capacity that is in use where nobody says how many requests there are.
const USED: f64 = 0.7;

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The regions that fail
    #[arg(long, value_name = "REGION", num_args = 1..)]
    fail: Vec<String>,
    /// This service alone; may be repeated
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// Number of clients of each service
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    clients: u64,
    /// Requests a second of all clients; without it 70 % of the capacity of the pools
    #[arg(long, value_name = "RATE", conflicts_with = "queries")]
    requests: Option<f64>,
    /// Who the clients are: a CSV file of prefix and, optional, country, lat, lon and weight
    #[arg(long, value_name = "FILE")]
    population: Option<PathBuf>,
    /// What they ask: a CSV file of name and requests, a second
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How far they are: a CSV file of from (a region, or a country of two letters), to and ms
    #[arg(long, value_name = "FILE")]
    latency: Option<PathBuf>,
    /// Number that chance begins with: the same number, the same result
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Draw a picture, as SVG or PNG
    #[arg(long, value_name = "FILE.svg|FILE.png")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    config: Config,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// Numbers of clients by service, country and region
    Csv,
}

/// Why there is no simulation.
enum Trouble {
    /// Files have mistakes.
    Files(Diagnostics),
    /// The arguments have one.
    Words(String),
}

impl From<Diagnostics> for Trouble {
    fn from(found: Diagnostics) -> Self {
        Self::Files(found)
    }
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let picture = options.picture.as_deref().map(|path| (path, picture::Form::of(path)));
    if let Some((path, None)) = picture {
        let path = path.display();
        output.trouble(format!(
            "error: `{path}` does not end in .svg or .png, the forms of pictures"
        ));
        return Exit::Usage;
    }
    let report = match simulate(options, clock::now()) {
        Ok(report) => report,
        Err(Trouble::Files(found)) => {
            output.diagnostics(&found);
            return Exit::Usage;
        }
        Err(Trouble::Words(error)) => {
            output.trouble(error);
            return Exit::Usage;
        }
    };
    match options.format {
        Format::Text => output.line(&report),
        Format::Json => output.json(&report),
        Format::Csv => output.line(report.csv()),
    }
    if let Some((path, Some(form))) = picture
        && let Err(error) = picture::save(&report, path, form)
    {
        output.trouble(format!("error: {error}"));
        return Exit::Failed;
    }
    if report.warnings.is_empty() { Exit::Fine } else { Exit::Failed }
}

/// The services to look at, each with its part of the requests.
type Asked = Vec<(Arc<ServiceAnswers>, f64)>;

fn simulate(options: &Options, now: Tick) -> Result<Report, Trouble> {
    let (loaded, doubt) = learnt(load(&options.config.config, None)?, now);
    let fleet = loaded.model.fleet.clone();
    let failed = regions(&options.fail, &fleet);
    let failed =
        failed.map_err(|(what, hint)| Trouble::Words(format!("error: {what} ({hint})")))?;
    let groups = read_population(options.population.as_deref(), &loaded.ground)?;
    let latencies = Latencies::read(options.latency.as_deref(), &fleet)?;
    let far: Vec<Vec<f32>> = groups.iter().map(|group| latencies.of(group, &fleet)).collect();
    let counts = apportion(&groups, options.clients);
    let clients = Clients { groups: &groups, counts: &counts, latencies: &far, seed: options.seed };
    let world = |down: &[RegionId]| World::new(loaded.clone(), supposed_health(&loaded, down), now);
    let mut before = world(&[]);
    let (asked, told) = asked(options, &before)?;
    let (requests, requests_from) = match (options.requests, told) {
        (_, Some(told)) => (Some(told), "as the queries are"),
        (Some(told), None) => (Some(told), "as told"),
        (None, None) => (usual(&asked, &fleet), "70 % of the capacity of the pools"),
    };
    let each = |part: f64| requests.unwrap_or(100.0) * part / clients_of(&counts);
    // What spills goes by the load of all services, as it is before any of it does.
    let mut loads = Loads::new();
    for (answers, part) in &asked {
        add_loads(&before, answers, &clients, each(*part), &mut loads);
    }
    before.load(&loads, now);
    let mut after = world(&failed);
    after.load(&loads, now);
    let (services, sides) = both(&asked, &clients, (&before, &after), each, &fleet);
    let (pools, mut warnings) = pools(&fleet, &sides, &failed);
    warnings.extend(doubt);
    for ServiceReport { service, unanswered: [_, after], .. } in &services {
        if *after > 0.0 {
            let share = after * 100.0;
            warnings.push(format!("{share:.1} % of the clients of {service} get no answer"));
        }
    }
    Ok(Report {
        clients: options.clients,
        prefixes: groups.len(),
        requests,
        requests_from,
        latency_from: if latencies.are_measured() {
            "as measured, else by distance"
        } else {
            "by distance: 10 ms, and 1.5 ms for 100 km"
        },
        fail: failed.iter().map(|region| fleet.region(*region).name.clone()).collect(),
        services,
        pools: if requests.is_some() { pools } else { Vec::new() },
        warnings,
    })
}

/// What was loaded, going by the round trips that this node has saved, where any service does, and
/// what is wrong with those.
fn learnt(loaded: Loaded, now: Tick) -> (Loaded, Option<String>) {
    if !loaded.plan.measures() {
        return (loaded, None);
    }
    match saved_latency(&loaded.model, now) {
        Ok(map) if map.revision() == 0 => (loaded, None),
        Ok(map) => (loaded.measured(&map, now), None),
        Err(error) => (loaded, Some(format!("the latency map is left out: {error}"))),
    }
}

/// Drives the clients of each service through both worlds; what became of them, and the loads.
fn both(
    asked: &Asked,
    clients: &Clients<'_>,
    (before, after): (&World, &World),
    each: impl Fn(f64) -> f64,
    fleet: &Fleet,
) -> (Vec<ServiceReport>, [Loads; 2]) {
    let all: u64 = clients.counts.iter().sum();
    let mut progress = Progress::new(all * asked.len() as u64);
    let (mut services, mut sides) = (Vec::new(), [Loads::new(), Loads::new()]);
    for (answers, part) in asked {
        let sought = |world: &World| {
            let found = world.services().into_iter().find(|other| other.name() == answers.name());
            found.unwrap_or_else(|| answers.clone())
        };
        let (one, other) = (sought(before), sought(after));
        let tally = drive(clients, (before, &one), (after, &other), |count| progress.add(count));
        for (side, places) in sides.iter_mut().zip(&tally.places) {
            for (place, count) in places {
                *side.entry(*place).or_default() += *count as f64 * each(*part);
            }
        }
        let pools: Vec<PoolId> = answers.steering().contest.pools().collect();
        let (found, monitor) = before.detection(&pools).unzip();
        let found = found.map_or(0.0, |found| found.as_secs_f64());
        let time = Time::of(&tally.ttls, found, monitor);
        services.push(ServiceReport::new(answers.name(), &tally, fleet, Some(time)));
    }
    progress.finish();
    (services, sides)
}

/// The load that a fleet usually has when these clients ask for all of its services; none where no
/// capacity is known.
pub(super) fn usual_load(
    world: &World,
    fleet: &Fleet,
    groups: &[Group],
    counts: &[u64],
    seed: u64,
) -> Loads {
    let mut loads = Loads::new();
    let services = world.services();
    let part = 1.0 / services.len().max(1) as f64;
    let asked: Asked = services.into_iter().map(|answers| (answers, part)).collect();
    let Some(requests) = usual(&asked, fleet) else { return loads };
    let clients = Clients { groups, counts, latencies: &[], seed };
    for (answers, part) in &asked {
        add_loads(world, answers, &clients, requests * part / clients_of(counts), &mut loads);
    }
    loads
}

fn clients_of(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>().max(1) as f64
}

/// The services that are asked for, with their parts of all requests, and the requests a second
/// that a file tells.
fn asked(options: &Options, world: &World) -> Result<(Asked, Option<f64>), Trouble> {
    let all = world.services();
    let find = |name: &str| {
        let name = Name::parse(name, &Name::root()).ok()?.to_string();
        all.iter().find(|answers| answers.name() == name).cloned()
    };
    let unknown = |name: &str| {
        let known: Vec<&str> = all.iter().map(|answers| answers.name()).collect();
        Trouble::Words(format!("error: no service `{name}` (known services: {})", known.join(", ")))
    };
    if let Some(path) = &options.queries {
        let mut asked = queries(path, &find)?;
        let total: f64 = asked.iter().map(|(_, requests)| requests).sum();
        for (_, part) in &mut asked {
            *part /= total.max(f64::MIN_POSITIVE);
        }
        return Ok((asked, Some(total)));
    }
    let mut chosen = Vec::new();
    for name in &options.service {
        chosen.push(find(name).ok_or_else(|| unknown(name))?);
    }
    if options.service.is_empty() {
        chosen.clone_from(&all);
    }
    if chosen.is_empty() {
        return Err(Trouble::Words("error: there is no service to simulate".to_owned()));
    }
    let part = 1.0 / chosen.len() as f64;
    Ok((chosen.into_iter().map(|answers| (answers, part)).collect(), None))
}

/// Reads `name,requests`.
fn queries(
    path: &Path,
    find: &impl Fn(&str) -> Option<Arc<ServiceAnswers>>,
) -> Result<Asked, Diagnostics> {
    let mut rows = Rows::open(path)?;
    let (name, requests) = (rows.column("name", true), rows.column("requests", true));
    let mut asked: Asked = Vec::new();
    for row in rows.rows() {
        let field = row.field(name.unwrap_or_default());
        let Some(answers) = find(field.text.trim()) else {
            let what = format!("no service `{}`", field.text);
            rows.mistake(&field, what, "services are named in full");
            continue;
        };
        let Some(requests) = rows.number(&row, requests, (0.0, 1e12)) else { continue };
        match asked.iter_mut().find(|(known, _)| known.name() == answers.name()) {
            Some((_, sum)) => *sum += requests,
            None => asked.push((answers, requests)),
        }
    }
    rows.finish(asked)
}

/// The requests a second that so many endpoints usually have; `None`: no capacity is known.
fn usual(asked: &Asked, fleet: &Fleet) -> Option<f64> {
    let mut pools: Vec<PoolId> =
        asked.iter().flat_map(|(answers, _)| answers.steering().contest.pools()).collect();
    pools.sort_unstable();
    pools.dedup();
    let capacities = pools.iter().flat_map(|pool| &fleet.pool(*pool).capacity);
    let total: f64 = capacities.map(|(_, capacity)| f64::from(*capacity)).sum();
    (total > 0.0).then_some(total * USED)
}
