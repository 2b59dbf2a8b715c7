//! `meridian explain`: why a client gets the answer it gets.

mod question;
mod report;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use clap::Args;

use super::{Config, Exit, Format, Output};
use crate::clock;
use crate::diagnostic::nearest;
use crate::health::overrides::OverrideStore;
use crate::health::{HealthTable, Outcome, Source};
use crate::model::{EndpointId, Fleet, RegionId};
use crate::name::Name;
use crate::snapshot::{Event, Loaded, Publisher, load};
use crate::steering::Family;
use question::{Asked, Question};
use report::Report;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The name asked for
    name: String,
    /// The type asked for: A, AAAA or HTTPS
    #[arg(value_name = "TYPE", default_value = "A", value_parser = ["A", "AAAA", "HTTPS"],
          ignore_case = true)]
    rtype: String,
    /// The client's address
    #[arg(long, value_name = "ADDR")]
    client: IpAddr,
    /// The resolver that asks for the client, with a client subnet of /24 or /56
    #[arg(long, value_name = "ADDR")]
    resolver: Option<IpAddr>,
    /// Suppose that every endpoint of this region is down; may be repeated
    #[arg(long, value_name = "REGION")]
    down: Vec<String>,
    #[command(flatten)]
    config: Config,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let name = match Name::parse(&options.name, &Name::root()) {
        Ok(name) => name,
        Err(error) => {
            output.trouble(format!("error: `{}` is not a name: {error}", options.name));
            return Exit::Usage;
        }
    };
    let loaded = match load(&options.config.config, None) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output.diagnostics(&diagnostics);
            return Exit::Usage;
        }
    };
    let down = match regions(&options.down, &loaded.model.fleet) {
        Ok(down) => down,
        Err(error) => {
            output.trouble(error);
            return Exit::Usage;
        }
    };
    let health = supposed_health(&loaded, &down);
    let overrides = OverrideStore::new(&loaded.model.node.state).load();
    let mut publisher = Publisher::new(loaded, health);
    match overrides {
        Ok(None) => {}
        Ok(Some(saved)) => {
            let set = saved.restore(clock::now(), clock::unix_seconds());
            publisher.apply(Event::Overrides(Arc::new(set)), clock::now());
            publisher.publish();
        }
        Err(error) => output.trouble(format!("warning: overrides are left out: {error}")),
    }
    let asked = match options.rtype.to_ascii_uppercase().as_str() {
        "AAAA" => Asked::Addresses(Family::V6),
        "HTTPS" => Asked::Https,
        _ => Asked::Addresses(Family::V4),
    };
    let question = Question { name, asked, client: options.client, resolver: options.resolver };
    let report = match Report::new(&question, &publisher) {
        Ok(report) => report,
        Err(error) => {
            output.trouble(format!("error: {error}"));
            return Exit::Failed;
        }
    };
    match options.format {
        Format::Text => output.line(&report),
        Format::Json => output.json(&report),
    }
    if report.is_answered() { Exit::Fine } else { Exit::Failed }
}

fn regions(names: &[String], fleet: &Fleet) -> Result<Vec<RegionId>, String> {
    let find = |name: &String| {
        let at = fleet.regions.iter().position(|region| region.name == *name);
        at.map(|at| RegionId(at as u16)).ok_or_else(|| {
            let known = fleet.regions.iter().map(|region| region.name.as_str());
            let hint = nearest(name, known.clone()).map_or_else(
                || format!("known regions: {}", known.collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            format!("error: no region `{name}` ({hint})")
        })
    };
    names.iter().map(find).collect()
}

/// Offline nothing is known of health: all is supposed to be up, but for the regions in `down`.
fn supposed_health(loaded: &Loaded, down: &[RegionId]) -> HealthTable {
    let fleet = &loaded.model.fleet;
    let now = clock::now();
    let mut health = HealthTable::new(fleet, now);
    health.settle(&loaded.model.node, now);
    let pairs: Vec<(EndpointId, Source)> =
        health.entries().map(|entry| (entry.endpoint, entry.source)).collect();
    for (endpoint, source) in pairs {
        health.observe(endpoint, source, &Outcome::Success, now);
    }
    for (id, endpoint) in (0..).map(EndpointId).zip(&fleet.endpoints) {
        if down.contains(&endpoint.region) {
            health.suppose_down(id, now);
        }
    }
    health
}
