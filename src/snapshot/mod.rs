//! The immutable snapshot a query is answered from, and the publisher that makes it.

mod answers;
mod detour;
mod fetched;
mod https;
mod labels;
mod load;
mod matches;
mod measured;
mod plan;
mod publisher;
mod records;
mod succession;
mod suppose;
mod version;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

pub use crate::steering::Family;
pub use answers::{
    EDE_BLOCKED, EDE_OTHER, Located, Prepared, ServiceAnswers, Steered, SteeredKind, Unsteered,
    picking,
};
pub use fetched::{Fetched, FetchedZone};
pub use labels::{Labels, OTHER};
pub use load::{Loaded, LoadedZone, load};
pub use measured::Replacement;
pub use plan::{Plan, Steering};
pub use publisher::{EndpointFlip, Event, LABELS_MAX, Publisher};
pub use succession::{Accepted, Candidate as PlanCandidate, Fingerprint, Size, follow, succeed};
pub use version::{SavedSerials, Version, Versions};
pub use zones::{ServedZone, ZoneEntry, ZoneSet};

use crate::acme::Issuance;
use crate::health::overrides::OverrideSet;
use crate::health::{Council, EndpointHealth, HostAddresses};
use crate::load::Loads;
use crate::model::{ClientSubnet, Cookies, EndpointId, Key, Primary, ResponseRates, Secondary};
use crate::prefix::Prefix;
use crate::steering::{Spread, View};
use crate::tls::Certificate;

/// All that one answer may see.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts the snapshots of this process; never goes back.
    pub generation: u64,
    /// The zones.
    pub zones: ZoneSet,
    /// Where zones are fetched from, in the order of the zones.
    pub primaries: Vec<Option<PrimaryLink>>,
    /// How to answer.
    pub options: AnswerOptions,
    /// Certificates by ACME and what authorities ask for, which goes on to change.
    pub issuance: Arc<Issuance>,
    /// The number under which each region's answers are counted (see [`Labels`]), by region.
    pub region_labels: Vec<u32>,
    /// What the answers were made from; `None` in a snapshot that was put together by hand.
    pub state: Option<Arc<State>>,
}

impl Snapshot {
    /// Tells whoever fetches this zone, by its number, that it has changed; `None`: none has.
    #[inline]
    pub fn notified(&self, zone: &Option<u32>) {
        let link = zone.and_then(|zone| self.primaries.get(zone as usize)?.as_ref());
        if let Some(link) = link {
            link.told.notify_one();
        }
    }
}

/// The primary of a zone, and whoever fetches from it.
#[derive(Clone, Debug)]
pub struct PrimaryLink {
    /// The primary.
    pub primary: Primary,
    /// Told when the primary says that the zone has changed.
    pub told: Arc<Notify>,
}

/// The state of the world behind a snapshot.
#[derive(Debug)]
pub struct State {
    /// What the files say.
    pub loaded: Arc<Loaded>,
    /// By endpoint id.
    pub health: Vec<EndpointHealth>,
    /// Who votes on it.
    pub council: Council,
    /// What operators have decided.
    pub overrides: Arc<OverrideSet>,
    /// What the hostnames of endpoints resolve to.
    pub hosts: Arc<HostAddresses>,
    /// What each contest remembers, in the order of the plan.
    pub contests: Vec<Memory>,
    /// The load of pools, which goes on to change.
    pub loads: Arc<Loads>,
    /// By contest of the plan: where clients go by load; `None`: it does not matter, or nothing is
    /// known of it.
    pub spreads: Vec<Option<Spread>>,
}

/// What a contest remembers of the past.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What was up when something last was.
    pub last_good: Arc<[EndpointId]>,
    /// By region of the contest: its part in the answers.
    pub shares: Arc<[u8]>,
}

impl State {
    /// The world as a contest of the plan sees it.
    pub fn view(&self, steering: &Arc<Steering>) -> View<'_> {
        let plan = &self.loaded.plan.steerings;
        let at = plan.iter().position(|other| Arc::ptr_eq(other, steering));
        let memory = at.and_then(|at| self.contests.get(at));
        View {
            fleet: &self.loaded.model.fleet,
            health: &self.health,
            hosts: &self.hosts,
            last_good: memory.map_or(&[], |memory| &memory.last_good),
            shares: memory.map_or(&[], |memory| &memory.shares),
            spread: at.and_then(|at| self.spreads.get(at)?.as_ref()),
        }
    }
}

/// The node's settings that shape answers.
#[derive(Clone, Debug)]
pub struct AnswerOptions {
    /// Whose EDNS client subnet is believed.
    pub client_subnet: ClientSubnet,
    /// Largest UDP answer, in octets.
    pub udp_payload: u16,
    /// A connection without a query for this long is closed.
    pub tcp_idle: Duration,
    /// What encrypted transports show; `None`: there are none.
    pub certificate: Option<Certificate>,
    /// Peers whose TCP connections begin with a PROXY header that names the client.
    pub proxy_protocol: Vec<Prefix>,
    /// What the node calls itself to who asks for it; empty: nothing.
    pub nsid: String,
    /// Whether the CHAOS names `id.server` and `version.bind` are answered.
    pub chaos: bool,
    /// DNS cookies, with at least one secret unless they are off.
    pub cookies: Cookies,
    /// Bounds of the rate of answers over UDP.
    pub response_rates: ResponseRates,
    /// The keys that queries may be signed with.
    pub keys: Arc<[Arc<Key>]>,
    /// Who may transfer the zones.
    pub secondaries: Arc<[Secondary]>,
}

impl AnswerOptions {
    /// The settings of a node; the defaults for one that answers no DNS.
    pub fn of(loaded: &Loaded) -> Self {
        let Some(dns) = &loaded.model.node.dns else { return Self::default() };
        let mut cookies = dns.cookies.clone();
        if cookies.secrets.is_empty() {
            cookies.secrets.extend(loaded.cookie_secret);
        }
        Self {
            client_subnet: dns.client_subnet.clone(),
            udp_payload: dns.udp_payload,
            tcp_idle: dns.tcp_idle,
            certificate: dns.transports.certificate.clone(),
            proxy_protocol: dns.transports.proxy_protocol.clone(),
            nsid: dns.nsid.clone(),
            chaos: dns.chaos,
            cookies,
            response_rates: dns.response_rates.clone(),
            keys: loaded.model.node.keys.clone().into(),
            secondaries: dns.transfer.clone().into(),
        }
    }
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            client_subnet: ClientSubnet::On,
            // RFC 9715 section 3.1 advises 1400 at most; 1232 also passes every IPv6 path.
            udp_payload: 1232,
            // RFC 7766 section 6.2.3 asks for a few seconds.
            tcp_idle: Duration::from_secs(10),
            certificate: None,
            proxy_protocol: Vec::new(),
            nsid: String::new(),
            chaos: false,
            cookies: Cookies::default(),
            response_rates: ResponseRates::default(),
            keys: [].into(),
            secondaries: [].into(),
        }
    }
}
