//! Clients everywhere: each asks its resolver, then the proxy that the answer names.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use tokio_util::sync::CancellationToken;

use crate::admin::{Asked, Question};
use crate::cli::simulate::Group;
use crate::clock;
use crate::name::Name;

/// Prefixes of clients that take part.
const PREFIXES: usize = 300;
/// Time from one request to the next.
const EVERY: Duration = Duration::from_millis(20);
/// What DNS and the proxies get to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const LENGTH_MAX: usize = 4_096;

/// What clients have seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Requests that were answered, by the region of the backend.
    pub(super) served: BTreeMap<String, u64>,
    /// Requests that were not, or with an error.
    pub(super) errors: u64,
}

impl Seen {
    /// What was seen since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let old = |region: &String| before.served.get(region).copied().unwrap_or(0);
        let served = self.served.iter().map(|(region, n)| (region.clone(), n - old(region)));
        Self { served: served.collect(), errors: self.errors - before.errors }
    }

    /// All requests.
    pub(super) fn requests(&self) -> u64 {
        self.errors + self.served.values().sum::<u64>()
    }

    /// Requests that a region has answered.
    pub(super) fn of(&self, region: &str) -> u64 {
        self.served.get(region).copied().unwrap_or(0)
    }
}

/// The clients; they end with this.
pub(super) struct Crowd {
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Clients of this population, drawn by weight, who ask for `name` there.
    ///
    /// # Errors
    /// When the system has no thread or socket for them.
    pub(super) fn start(
        groups: &[Group],
        name: Name,
        dns: SocketAddr,
        port: u16,
    ) -> io::Result<Self> {
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), CancellationToken::new());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(dns)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let (all, known) = (drawn(groups), HashMap::new());
        let clients = Clients { all, name, socket, port, known };
        let (told, ending) = (seen.clone(), stop.clone());
        let run = move || clients.run(&told, &ending);
        let thread = thread::Builder::new().name("clients".to_owned()).spawn(run)?;
        Ok(Self { seen, stop, thread: Some(thread) })
    }

    /// What they have seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say in the end.
            let _ = thread.join();
        }
    }
}

/// An address of each of so many prefixes, drawn by weight; those of IPv4, as the demo is.
fn drawn(groups: &[Group]) -> Vec<IpAddr> {
    let mut rng = fastrand::Rng::with_seed(1);
    let addresses: Vec<(IpAddr, f64)> = groups
        .iter()
        .map(|group| (group.address(1), group.weight))
        .filter(|(address, _)| address.is_ipv4())
        .collect();
    let total: f64 = addresses.iter().map(|(_, weight)| weight).sum();
    let draw = |_| {
        let mut left = rng.f64() * total;
        let found = addresses.iter().find(|(_, weight)| {
            left -= weight;
            left <= 0.0
        });
        found.or(addresses.last()).map(|(address, _)| *address)
    };
    (0..PREFIXES).filter_map(draw).collect()
}

struct Clients {
    all: Vec<IpAddr>,
    name: Name,
    socket: UdpSocket,
    /// Of the proxies.
    port: u16,
    /// What their resolvers still know, and until when.
    known: HashMap<IpAddr, (IpAddr, Instant)>,
}

impl Clients {
    fn run(mut self, seen: &Mutex<Seen>, stop: &CancellationToken) {
        let mut next = 0;
        let mut due = clock::stopwatch();
        while !stop.is_cancelled() {
            let Some(client) = self.all.get(next).copied() else { return };
            next = (next + 1) % self.all.len();
            let region = self.resolve(client).and_then(|address| self.request(address).ok()?);
            {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                match region {
                    Some(region) => *seen.served.entry(region).or_default() += 1,
                    None => seen.errors += 1,
                }
            }
            due += EVERY;
            thread::sleep(due.saturating_duration_since(clock::stopwatch()));
        }
    }

    /// The address that a client's resolver tells it; `None`: none.
    fn resolve(&mut self, client: IpAddr) -> Option<IpAddr> {
        let now = clock::stopwatch();
        if let Some((address, until)) = self.known.get(&client)
            && *until > now
        {
            return Some(*address);
        }
        let (name, asked) = (self.name.clone(), Asked::default());
        let question = Question { name, asked, client, resolver: Some(client) };
        let (mut query, id) = (question.wire(), fastrand::u16(..));
        query.splice(..2, id.to_be_bytes());
        self.socket.send(&query).ok()?;
        let mut buffer = [0; LENGTH_MAX];
        // A reply that came too late is still there.
        let reply = loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            let reply = Message::from_vec(buffer.get(..length)?).ok()?;
            if reply.metadata.id == id {
                break reply;
            }
        };
        let found = reply.answers.iter().find_map(|record| match &record.data {
            RData::A(a) => Some((IpAddr::V4(a.0), record.ttl)),
            _ => None,
        });
        let (address, ttl) = found?;
        self.known.insert(client, (address, now + Duration::from_secs(u64::from(ttl))));
        Some(address)
    }

    /// The region of the backend that answers a request to a proxy; `None`: an error does.
    fn request(&self, address: IpAddr) -> io::Result<Option<String>> {
        let at = SocketAddr::new(address, self.port);
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = self.name.to_string();
        let host = host.trim_end_matches('.');
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(text.as_bytes())?;
        let mut reply = String::new();
        stream.take(LENGTH_MAX as u64).read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_default();
        let fine = head.starts_with("HTTP/1.1 200");
        let region = body.split_once(" in ").and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(region.filter(|_| fine).map(str::to_owned))
    }
}
