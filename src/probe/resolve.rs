//! Keeps the addresses of hostnames fresh in the background.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_resolver::proto::rr::{self, RData, RecordType};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Tick};
use crate::health::{HostAddresses, Resolved};
use crate::name::Name;

/// A name is looked up again after its TTL, but never sooner than this, nor after a failure.
const FRESH_MIN: Duration = Duration::from_secs(5);

/// And never later than this, so that a move is noticed in time whatever the TTL says.
const FRESH_MAX: Duration = Duration::from_secs(300);

/// Most look-ups under way at a time.
const LOOK_UPS_MAX: usize = 16;

/// Most addresses kept of one name and family; more would not fit into an answer anyway.
const ADDRESSES_MAX: usize = 32;

/// How long one query waits for a name server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a look-up may take with all its queries and repetitions.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(15);

/// What a look-up of one address family gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<A> {
    /// These addresses, for this long.
    Addresses(Vec<A>, Duration),
    /// The name has none, or does not exist.
    Nothing,
    /// No answer; says why.
    Failed(String),
}

/// What a look-up of both families gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookUp {
    /// A records.
    pub v4: Found<Ipv4Addr>,
    /// AAAA records.
    pub v6: Found<Ipv6Addr>,
}

impl LookUp {
    /// No answer for either family.
    pub fn failed(why: &str) -> Self {
        Self { v4: Found::Failed(why.to_owned()), v6: Found::Failed(why.to_owned()) }
    }

    fn late() -> Self {
        Self::failed(&format!("timed out after {LOOK_UP_TIMEOUT:?}"))
    }
}

/// The resolvers that are asked.
#[derive(Clone)]
pub struct NameServer {
    resolver: TokioResolver,
}

impl NameServer {
    /// The resolvers of the operating system's configuration, its hosts file included.
    pub fn system() -> Result<Self, String> {
        let unusable = |error: NetError| format!("resolver configuration is unusable: {error}");
        let mut builder = TokioResolver::builder_tokio().map_err(unusable)?;
        tune(builder.options_mut());
        Ok(Self { resolver: builder.build().map_err(unusable)? })
    }

    /// The resolvers at these addresses.
    pub fn at(addresses: &[SocketAddr]) -> Result<Self, String> {
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut to| {
                to.port = address.port();
                to
            });
            NameServerConfig::new(address.ip(), true, connections.into())
        };
        let config = ResolverConfig::from_name_servers(addresses.iter().map(server).collect());
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        tune(builder.options_mut());
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Self { resolver })
    }

    /// Asks for both families at once.
    pub async fn look_up(self, name: Name) -> LookUp {
        let labels = rr::Name::from_labels(name.labels());
        let Ok(mut name) = labels else {
            return LookUp::failed("not a name a resolver can be asked for");
        };
        name.set_fqdn(true);
        let v4 = self.query(&name, RecordType::A, |data| match data {
            RData::A(a) => Some(a.0),
            _ => None,
        });
        let v6 = self.query(&name, RecordType::AAAA, |data| match data {
            RData::AAAA(aaaa) => Some(aaaa.0),
            _ => None,
        });
        let (v4, v6) = tokio::join!(v4, v6);
        LookUp { v4, v6 }
    }

    async fn query<A>(
        &self,
        name: &rr::Name,
        rtype: RecordType,
        pick: impl Fn(&RData) -> Option<A>,
    ) -> Found<A> {
        match self.resolver.lookup(name.clone(), rtype).await {
            Ok(found) => {
                let records = found.answers();
                let addresses: Vec<A> = records.iter().filter_map(|r| pick(&r.data)).collect();
                // The chain holds as long as its shortest link.
                let ttl = records.iter().map(|record| record.ttl).min().unwrap_or(0);
                if addresses.is_empty() {
                    return Found::Nothing;
                }
                Found::Addresses(addresses, Duration::from_secs(ttl.into()))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Found::Nothing,
            Err(error) => Found::Failed(error.to_string().to_lowercase()),
        }
    }
}

/// No cache: each name is asked for when its TTL ends, and kept here.
fn tune(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 2;
}

/// Starts the task that looks up `names` and keeps them fresh through `look_up`. What they resolve
/// to is sent on each change. The task ends with `stop`, or when `names` is closed.
pub fn keep_resolved<L, F, N>(
    names: watch::Receiver<BTreeSet<Name>>,
    look_up: L,
    now: N,
    stop: CancellationToken,
) -> (watch::Receiver<Arc<HostAddresses>>, JoinHandle<()>)
where
    L: Fn(Name) -> F + Send + 'static,
    F: Future<Output = LookUp> + Send + 'static,
    N: Fn() -> Tick + Send + 'static,
{
    let (sender, hosts) = watch::channel(Arc::default());
    let task = tokio::spawn(async move {
        let mut names = names;
        stop.run_until_cancelled(keep(&mut names, look_up, now, sender)).await;
    });
    (hosts, task)
}

async fn keep<L, F, N>(
    names: &mut watch::Receiver<BTreeSet<Name>>,
    look_up: L,
    now: N,
    hosts: watch::Sender<Arc<HostAddresses>>,
) where
    L: Fn(Name) -> F,
    F: Future<Output = LookUp> + Send + 'static,
    N: Fn() -> Tick,
{
    // The time each name is next looked up. While a look-up is under way that is far ahead: it is
    // then only reached when the look-up panicked.
    let mut due: BTreeMap<Name, Tick> = BTreeMap::new();
    let mut running: JoinSet<(Name, LookUp)> = JoinSet::new();
    names.mark_changed();
    loop {
        let at = now();
        let ripe = due.iter_mut().filter(|(_, due)| **due <= at);
        for (name, due) in ripe.take(LOOK_UPS_MAX.saturating_sub(running.len())) {
            *due = at + FRESH_MAX;
            let (asked, found) = (name.clone(), timeout(LOOK_UP_TIMEOUT, look_up(name.clone())));
            running.spawn(async move { (asked, found.await.unwrap_or_else(|_| LookUp::late())) });
        }
        let idle = running.len() < LOOK_UPS_MAX;
        let next = due.values().min().filter(|_| idle);
        let next = next.map(|due| due.since(at));
        tokio::select! {
            changed = names.changed() => match changed {
                Ok(()) => {
                    let wanted = names.borrow_and_update().clone();
                    due.retain(|name, _| wanted.contains(name));
                    drop_unwanted(&hosts, &wanted);
                    for name in wanted {
                        due.entry(name).or_insert(at);
                    }
                }
                Err(_) => return,
            },
            Some(ended) = running.join_next() => {
                let Ok((name, found)) = ended else { continue };
                if let Some(due) = due.get_mut(&name) {
                    *due = now() + publish(&hosts, name, found);
                }
            }
            () = clock::rest(next) => {}
        }
    }
}

fn drop_unwanted(hosts: &watch::Sender<Arc<HostAddresses>>, wanted: &BTreeSet<Name>) {
    hosts.send_if_modified(|hosts| {
        let before = hosts.len();
        Arc::make_mut(hosts).retain(|name, _| wanted.contains(name));
        hosts.len() != before
    });
}

/// Takes in a look-up, tells others of a change, and says when to look the name up again.
fn publish(hosts: &watch::Sender<Arc<HostAddresses>>, name: Name, found: LookUp) -> Duration {
    let (resolved, fresh) = absorb(hosts.borrow().get(&name), found);
    hosts.send_if_modified(|hosts| {
        let changed = hosts.get(&name) != Some(&resolved);
        if changed {
            Arc::make_mut(hosts).insert(name, resolved);
        }
        changed
    });
    fresh
}

/// What a name resolves to after a look-up, and for how long that is fresh.
///
/// A family that could not be asked keeps its addresses. So do both when the name suddenly has
/// none at all: whether the old ones still serve is for the probes to say, and an empty answer is
/// never given by accident.
fn absorb(old: Option<&Resolved>, found: LookUp) -> (Resolved, Duration) {
    let mut fresh = Duration::MAX;
    let mut failure = None;
    let old = old.cloned().unwrap_or_default();
    let v4 = absorb_family(&old.v4, found.v4, &mut fresh, &mut failure);
    let v6 = absorb_family(&old.v6, found.v6, &mut fresh, &mut failure);
    if v4.is_empty() && v6.is_empty() {
        let failure = failure.unwrap_or_else(|| "no addresses".to_owned());
        return (Resolved { failure: Some(failure.into()), ..old }, FRESH_MIN);
    }
    // A cache on the way counts the TTL down; the longest seen with these addresses is theirs.
    let found = (fresh < Duration::MAX).then_some(fresh);
    let same = (&v4, &v6) == (&old.v4, &old.v6);
    let ttl = if same { found.max(old.ttl) } else { found.or(old.ttl) };
    if failure.is_some() {
        fresh = FRESH_MIN;
    }
    let resolved = Resolved { v4, v6, ttl, failure: failure.map(Into::into) };
    (resolved, fresh.clamp(FRESH_MIN, FRESH_MAX))
}

fn absorb_family<A: Ord + Clone>(
    old: &[A],
    found: Found<A>,
    fresh: &mut Duration,
    failure: &mut Option<String>,
) -> Vec<A> {
    match found {
        Found::Addresses(mut addresses, ttl) => {
            *fresh = ttl.min(*fresh);
            // Resolvers rotate the order; sorted, equal sets are equal lists.
            addresses.sort();
            addresses.dedup();
            addresses.truncate(ADDRESSES_MAX);
            addresses
        }
        Found::Nothing => Vec::new(),
        Found::Failed(why) => {
            *failure = Some(why);
            old.to_vec()
        }
    }
}
