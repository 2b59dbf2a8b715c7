//! Opens the engine of a node, as it is configured.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::embedded::Hub;
use super::engine::Engine;
use super::ledger::Ledger;
use super::nats::{Bus, NatsControl};
use crate::metrics::Metrics;
use crate::model::Cluster;

/// An engine that has been opened.
#[derive(Debug)]
pub struct Opened {
    /// What carries messages.
    pub engine: Engine,
    /// What operators tell the fleet.
    pub control: Control,
    /// The tasks behind both, by name; they end with the token they were given.
    pub tasks: Vec<(&'static str, JoinHandle<()>)>,
}

/// Opens an engine for the node `name` that listens to these subjects. Nothing is waited for: an
/// engine that is away is tried until `stop`.
pub fn open(
    cluster: &Cluster,
    name: &str,
    filters: Vec<String>,
    state: &Path,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> Opened {
    match cluster {
        Cluster::Embedded => {
            let ledger = Arc::new(Ledger::load(state, metrics.clone(), true));
            let engine = Engine::Embedded(Hub::default().attach(filters));
            Opened { engine, control: Control::Embedded(ledger), tasks: Vec::new() }
        }
        Cluster::Nats(nats) => {
            let name = name.to_owned();
            let (bus, dialler) =
                Bus::start(nats.clone(), name, filters, metrics.clone(), stop.child_token());
            let (control, follower) =
                NatsControl::start(&bus, &nats.prefix, state, metrics.clone(), stop.child_token());
            let tasks = vec![("connection with the bus", dialler), ("overrides", follower)];
            Opened { engine: Engine::Nats(bus), control: Control::Nats(control), tasks }
        }
    }
}
