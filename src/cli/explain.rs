//! `meridian explain`: why a client gets the answer it gets.

mod load;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::remote::{Failure, Remote};
use super::serve::saved_latency;
use super::{Exit, Format, Output};
use crate::admin::{Asked, Explanation, Question, regions};
use crate::clock;
use crate::health::overrides::OverrideStore;
use crate::health::{HealthTable, Outcome, Source};
use crate::model::{EndpointId, RegionId};
use crate::name::Name;
use crate::snapshot::{self, Event, Loaded, Publisher};

/// Where files are looked for when nothing is said.
const CONFIG: &str = "config";

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The name asked for
    name: String,
    /// The type asked for: A, AAAA or HTTPS
    #[arg(value_name = "TYPE", default_value = "A", value_parser = rtype)]
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
    /// Suppose that a region had this load, in requests a second, while all was up; may be repeated
    #[arg(long, value_name = "REGION=NUMBER", value_parser = load::supposed,
          conflicts_with = "node")]
    load: Vec<(String, f64)>,
    /// Ask this node what it answers now, instead of the files: its admin listener, as for `status`
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    node: Option<String>,
    /// Folder of node.toml and fleet.toml [default: config]
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// File of the token for `--node`; without it the variable `MERIDIAN_TOKEN` counts
    #[arg(long, value_name = "FILE", requires = "node")]
    token_file: Option<PathBuf>,
    /// PEM file of the authorities that the node's certificate must be of
    #[arg(long, value_name = "FILE", requires = "node")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate and key to show
    #[arg(long, value_name = "FILE", requires = "node")]
    identity: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A type that can be explained. An address in its place is mostly meant as the client.
fn rtype(text: &str) -> Result<String, String> {
    match Asked::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None if text.parse::<IpAddr>().is_ok() => {
            Err(format!("an address is given with its option: `--client {text}`"))
        }
        None => Err("expected A, AAAA or HTTPS".to_owned()),
    }
}

pub(super) fn run(options: &Options, output: &mut Output) -> Exit {
    let name = match Name::parse(&options.name, &Name::root()) {
        Ok(name) => name,
        Err(error) => {
            output.trouble(format!("error: `{}` is not a name: {error}", options.name));
            return Exit::Usage;
        }
    };
    let explained = match &options.node {
        Some(_) => ask(options).map_err(|failure| output.failure(&failure, options.format)),
        None => offline(options, name, output),
    };
    let report = match explained {
        Ok(report) => report,
        Err(exit) => return exit,
    };
    match options.format {
        Format::Text => output.line(&report),
        Format::Json => output.json(&report),
    }
    if report.is_answered() { Exit::Fine } else { Exit::Failed }
}

/// What a running node says.
fn ask(options: &Options) -> Result<Explanation, Failure> {
    let remote = Remote::new(
        options.node.clone(),
        options.token_file.clone(),
        (options.ca.clone(), options.identity.clone()),
    );
    let address = |key: &str, ip: &IpAddr| (key.to_owned(), ip.to_string());
    let mut query = vec![
        ("name".to_owned(), options.name.clone()),
        ("type".to_owned(), options.rtype.clone()),
        address("client", &options.client),
    ];
    query.extend(options.resolver.iter().map(|resolver| address("resolver", resolver)));
    query.extend(options.down.iter().map(|region| ("down".to_owned(), region.clone())));
    remote.open()?.query(&["explain"], &query)
}

/// What the files say, with the overrides that the node has kept beside them.
fn offline(options: &Options, name: Name, output: &mut Output) -> Result<Explanation, Exit> {
    let folder = options.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
    let loaded = snapshot::load(&folder, None).map_err(|diagnostics| {
        output.diagnostics(&diagnostics);
        Exit::Usage
    })?;
    let fleet = &loaded.model.fleet;
    let named: Vec<String> = options.load.iter().map(|(name, _)| name.clone()).collect();
    let known = regions(&named, fleet).and_then(|_| regions(&options.down, fleet));
    let down = known.map_err(|(what, hint)| {
        output.trouble(format!("error: {what} ({hint})"));
        Exit::Usage
    })?;
    let loaded = measured(loaded, output);
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
    if !options.load.is_empty() {
        load::suppose(&mut publisher, &options.load, clock::now());
    }
    let asked = Asked::parse(&options.rtype).unwrap_or_default();
    let question = Question { name, asked, client: options.client, resolver: options.resolver };
    Explanation::new(&question, &publisher.shared().load()).map_err(|error| {
        output.trouble(format!("error: {error}"));
        Exit::Failed
    })
}

/// What was loaded, going by the round trips that were saved, where any service does.
fn measured(loaded: Loaded, output: &mut Output) -> Loaded {
    if !loaded.plan.measures() {
        return loaded;
    }
    let now = clock::now();
    match saved_latency(&loaded.model, now) {
        Ok(map) => loaded.measured(&map, now),
        Err(error) => {
            output.trouble(format!("warning: the latency map is left out: {error}"));
            loaded
        }
    }
}

/// Offline nothing is known of health: all is supposed to be up, but for the regions in `down`.
pub(super) fn supposed_health(loaded: &Loaded, down: &[RegionId]) -> HealthTable {
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
