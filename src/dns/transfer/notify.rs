//! Tells secondaries that a zone has changed (RFC 1996), until they have heard.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::clock;
use crate::dns::counters::{Counters, TransferCounters};
use crate::dns::tsig::Chain;
use crate::dns::wire::{AA, CLASS_IN, NOTIFY, QR};
use crate::model::Secondary;
use crate::name::Name;
use crate::snapshot::{Snapshot, ZoneEntry};
use crate::zone::rtype;

/// How long each try waits for a reply (RFC 1996 section 3.6 asks for retries, and few). After the
/// last one the secondary finds out by its own refresh.
const WAITS: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];
/// Secondaries told at the same time; others wait.
const UNDER_WAY_MAX: usize = 64;
/// Bits of the response code in the fourth octet of the header (RFC 1035 section 4.1.1).
const RCODE: u8 = 0xf;
/// A reply to a NOTIFY is no longer than this.
const REPLY_MAX: usize = 1232;

/// What is to be told: a zone, and to whom.
type Job = (Name, SocketAddr);

/// Who tells the secondaries.
#[derive(Debug)]
pub struct Notifier {
    snapshot: Arc<ArcSwap<Snapshot>>,
    counters: Arc<Counters>,
    /// The addresses that secondaries know this server by.
    listen: Vec<SocketAddr>,
    /// The serial last told of each zone.
    told: HashMap<Name, u32>,
    /// Waiting, each job once: bounded by zones and secondaries.
    queue: VecDeque<Job>,
    under_way: JoinSet<Job>,
    busy: HashSet<Job>,
}

impl Notifier {
    /// Tells of what the snapshots hold, from the addresses in `listen`.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<Counters>,
        listen: Vec<SocketAddr>,
    ) -> Self {
        let (told, queue) = (HashMap::new(), VecDeque::new());
        let (under_way, busy) = (JoinSet::new(), HashSet::new());
        Self { snapshot, counters, listen, told, queue, under_way, busy }
    }

    /// Works until `stop`; `advanced` wakes it when serials have changed. At the start all
    /// secondaries are told of all zones.
    pub async fn run(mut self, advanced: Arc<Notify>, stop: CancellationToken) {
        loop {
            self.look();
            self.begin();
            tokio::select! {
                () = stop.cancelled() => return,
                () = advanced.notified() => {}
                Some(ended) = self.under_way.join_next() => match ended {
                    Ok(job) => drop(self.busy.remove(&job)),
                    // A panic: its job is told anew with the next change.
                    Err(_) => self.busy.clear(),
                },
            }
        }
    }

    /// Queues the zones with new serials.
    fn look(&mut self) {
        let snapshot = self.snapshot.load_full();
        for (apex, entry) in snapshot.zones.iter() {
            let ZoneEntry::Serving(served) = entry else { continue };
            let Some(current) = served.versions.current() else { continue };
            if self.told.insert(apex.clone(), current.serial) == Some(current.serial) {
                continue;
            }
            for to in snapshot.options.secondaries.iter().filter_map(|secondary| secondary.to) {
                let job = (apex.clone(), to);
                if !self.queue.contains(&job) {
                    self.queue.push_back(job);
                }
            }
        }
    }

    /// Starts what may be started.
    fn begin(&mut self) {
        for _ in 0..self.queue.len() {
            if self.under_way.len() >= UNDER_WAY_MAX {
                return;
            }
            let Some(job) = self.queue.pop_front() else { return };
            // One at a time for each secondary and zone: the next one tells of the newest.
            if !self.busy.insert(job.clone()) {
                self.queue.push_back(job);
                continue;
            }
            let secondaries = self.snapshot.load().options.secondaries.clone();
            let known = secondaries.iter().find(|secondary| secondary.to == Some(job.1));
            let Some(secondary) = known.cloned() else {
                self.busy.remove(&job);
                continue;
            };
            let source = source(job.1, &self.listen);
            let counters = self.counters.clone();
            self.under_way.spawn(async move {
                let heard = tell(&job, &secondary, source).await;
                let TransferCounters { notified, unheard, .. } = &counters.transfers;
                let counter: &AtomicU64 = if heard { notified } else { unheard };
                counter.fetch_add(1, Ordering::Relaxed);
                job
            });
        }
    }
}

/// The address to send from: one that the secondary knows this server by, where there is one.
pub(super) fn source(to: SocketAddr, listen: &[SocketAddr]) -> SocketAddr {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let same = |own: &&SocketAddr| own.is_ipv4() == to.is_ipv4() && !own.ip().is_unspecified();
    SocketAddr::new(listen.iter().find(same).map_or(any, SocketAddr::ip), 0)
}

/// Tells one secondary of one zone; whether it has replied.
async fn tell((zone, to): &Job, secondary: &Secondary, source: SocketAddr) -> bool {
    for wait in WAITS {
        match timeout(wait, exchange(zone, *to, secondary, source)).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                debug!(%zone, %to, %error, "a secondary was not told");
                tokio::time::sleep(wait).await;
            }
            Err(_) => debug!(%zone, %to, "a secondary does not reply to NOTIFY"),
        }
    }
    false
}

/// Sends a NOTIFY and waits for its reply.
async fn exchange(
    zone: &Name,
    to: SocketAddr,
    secondary: &Secondary,
    source: SocketAddr,
) -> io::Result<()> {
    let socket = UdpSocket::bind(source).await?;
    socket.connect(to).await?;
    let id = fastrand::u16(..);
    let mut message = notification(zone, id);
    let mut chain = secondary.key.clone().map(Chain::ask);
    if let Some(chain) = &mut chain {
        chain.sign(&mut message, clock::unix_seconds());
    }
    socket.send(&message).await?;
    let mut reply = [0; REPLY_MAX];
    loop {
        let length = socket.recv(&mut reply).await?;
        let reply = reply.get(..length).unwrap_or_default();
        let own = reply.get(..2) == Some(&id.to_be_bytes())
            && reply.get(2).is_some_and(|octet| octet & (QR | NOTIFY) == QR | NOTIFY);
        // A refusal may come unsigned, and is a reply (RFC 1996 section 4.8).
        let sound = match &mut chain {
            Some(chain) if reply.get(3).is_some_and(|octet| octet & RCODE == 0) => {
                chain.verify(reply, clock::unix_seconds()).is_ok()
            }
            _ => true,
        };
        if own && sound {
            return Ok(());
        }
    }
}

/// The message (RFC 1996 section 3.7): what changed is the SOA.
fn notification(zone: &Name, id: u16) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let mut message = vec![i0, i1, NOTIFY | AA, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(zone.as_wire());
    message.extend_from_slice(&rtype::SOA.to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secondaries_are_told_from_the_address_they_know() {
        let listen = ["0.0.0.0:53", "192.0.2.1:53", "[::]:53"].map(|a| a.parse().unwrap());
        for (to, expected) in [("192.0.2.53:53", "192.0.2.1:0"), ("[2001:db8::53]:53", "[::]:0")] {
            let source = source(to.parse().unwrap(), &listen);
            assert_eq!(source, expected.parse().unwrap(), "{to}");
        }
    }
}
