//! The probing role: scheduler and resolver, and the channels between them and the judge.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock;
use crate::health::HostAddresses;
use crate::model::Check;
use crate::name::Name;
use crate::probe::{
    Checker, Feeds, LookUp, NameServer, ProbeResult, Scheduler, Target, Targets, Tls, icmp_refusal,
    keep_resolved,
};

/// The tasks of the role.
pub(super) struct Probes {
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Probes {
    /// Starts to resolve `names` by these resolvers, or the system's if there are none. Every
    /// node does, since hostnames are answered, too.
    pub(super) fn resolve(
        names: watch::Receiver<BTreeSet<Name>>,
        resolvers: &[SocketAddr],
        stop: &CancellationToken,
    ) -> (watch::Receiver<Arc<HostAddresses>>, Self) {
        let server = match resolvers {
            [] => NameServer::system(),
            _ => NameServer::at(resolvers),
        };
        if let Err(error) = &server
            && !names.borrow().is_empty()
        {
            error!(%error, "hostnames of endpoints cannot be resolved");
        }
        let look_up = move |name: Name| {
            let server = server.clone();
            async move {
                match server {
                    Ok(server) => server.look_up(name).await,
                    Err(error) => LookUp::failed(&error),
                }
            }
        };
        let (hosts, task) = keep_resolved(names, look_up, clock::now, stop.clone());
        (hosts, Self { tasks: vec![("resolver of hostnames", task)] })
    }

    /// Starts to probe `targets`.
    ///
    /// # Errors
    /// When TLS cannot be set up at all, or an `icmp` monitor is there and ICMP cannot be sent.
    pub(super) fn probe(
        &mut self,
        targets: watch::Receiver<Arc<Targets>>,
        results: mpsc::Sender<ProbeResult>,
        (hosts, feeds): (watch::Receiver<Arc<HostAddresses>>, Arc<Feeds>),
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let sends_icmp = |target: &Target| matches!(target.definition.check, Check::Icmp);
        let why = icmp_refusal().filter(|_| targets.borrow().list.iter().any(sends_icmp));
        if let Some(why) = why {
            return Err(why);
        }
        let (tls, problems) = Tls::system().map_err(|e| format!("cannot set up TLS: {e}"))?;
        for problem in problems {
            warn!(%problem, "certificates of probed servers may not be verifiable");
        }
        let checker = Checker::new(tls, hosts, feeds);
        let check = move |target: Arc<Target>| {
            let checker = checker.clone();
            async move { checker.check(&target).await }
        };
        let random = fastrand::Rng::new();
        let task = Scheduler::spawn(targets, results, check, clock::now, random, stop.clone());
        self.tasks.push(("scheduler of probes", task));
        Ok(())
    }

    /// The tasks by name; they end with the token they were started with.
    pub(super) fn into_tasks(self) -> Vec<(&'static str, JoinHandle<()>)> {
        self.tasks
    }
}
