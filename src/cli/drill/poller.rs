//! Asks every node again and again, as resolvers of clients everywhere would.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admin::{Question, mnemonic};
use crate::clock;
use crate::drill::{Heard, Place, Seen};

/// What a node gets to answer; resolvers wait about as long before they ask another one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest answer that is read.
const LENGTH_MAX: usize = 4_096;
/// How often somebody looks whether anything is to be done.
const TICK: Duration = Duration::from_millis(20);
/// News that wait; more slow the questions down.
const NEWS_MAX: usize = 65_536;

/// Something that the command is told.
pub(super) enum News {
    /// A node has answered.
    Heard {
        /// When.
        at: Instant,
        /// Which node what.
        place: Place,
        /// How.
        heard: Heard,
    },
    /// A node told of the fleet.
    Seen {
        /// When.
        at: Instant,
        /// What.
        seen: Seen,
    },
    /// Time has passed.
    Tick,
    /// Somebody wants it to end.
    Interrupted,
    /// A node cannot be asked: why.
    Broken(String),
}

/// The thread that asks.
pub(super) struct Poller {
    /// What it hears.
    pub(super) news: mpsc::Receiver<News>,
    /// For others who have news.
    pub(super) tell: mpsc::Sender<News>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Begins to ask each node each question, `every` so often.
    pub(super) fn start(
        nodes: &[(String, SocketAddr)],
        questions: &[Question],
        every: Duration,
    ) -> std::io::Result<Self> {
        let (tell, news) = mpsc::channel(NEWS_MAX);
        let stop = CancellationToken::new();
        let wires: Arc<[Vec<u8>]> = questions.iter().map(Question::wire).collect();
        let addresses: Vec<SocketAddr> = nodes.iter().map(|(_, address)| *address).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (told, ending) = (tell.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("drill".to_owned()).spawn(move || {
            runtime.block_on(async move {
                for (node, address) in addresses.into_iter().enumerate() {
                    let asker = Asker { node, address, wires: wires.clone(), tell: told.clone() };
                    tokio::spawn(asker.run(every));
                }
                tokio::spawn(interrupts(told.clone()));
                let mut tick = interval(TICK);
                loop {
                    tokio::select! {
                        () = ending.cancelled() => break,
                        _ = tick.tick() => if told.send(News::Tick).await.is_err() {
                            break;
                        },
                    }
                }
            });
        })?;
        Ok(Self { news, tell, stop, thread: Some(thread) })
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop.cancel();
        self.news.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say in the end.
            let _ = thread.join();
        }
    }
}

/// Tells of Ctrl-C and SIGTERM.
async fn interrupts(tell: mpsc::Sender<News>) {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if tell.send(News::Interrupted).await.is_err() {
            return;
        }
    }
}

/// Asks one node.
struct Asker {
    node: usize,
    address: SocketAddr,
    wires: Arc<[Vec<u8>]>,
    tell: mpsc::Sender<News>,
}

impl Asker {
    async fn run(self, every: Duration) {
        let own: IpAddr = if self.address.is_ipv4() {
            [0, 0, 0, 0].into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let opened = async {
            let socket = UdpSocket::bind((own, 0)).await?;
            socket.connect(self.address).await?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = match opened.await {
            Ok(socket) => socket,
            Err(error) => {
                let why = format!("cannot ask {}: {error}", self.address);
                let _ = self.tell.send(News::Broken(why)).await;
                return;
            }
        };
        let mut turn = interval(every);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            if !self.round(&socket).await {
                return;
            }
        }
    }

    /// Asks everything once and waits for the answers; `false`: nobody listens any more.
    async fn round(&self, socket: &UdpSocket) -> bool {
        let mut waiting: HashMap<u16, usize> = HashMap::new();
        let first = fastrand::u16(..);
        for (question, wire) in self.wires.iter().enumerate() {
            let id = first.wrapping_add(question as u16);
            let mut query = wire.clone();
            query.splice(..2, id.to_be_bytes());
            // What cannot be sent gets no answer.
            let _ = socket.send(&query).await;
            waiting.insert(id, question);
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut buffer = [0; LENGTH_MAX];
        while !waiting.is_empty() {
            let length = match timeout_at(deadline, socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => length,
                // The port is closed; who asks so soon again learns nothing new.
                Ok(Err(_)) => {
                    sleep_until((tokio::time::Instant::now() + TICK).min(deadline)).await;
                    continue;
                }
                Err(_) => break,
            };
            let at = clock::stopwatch();
            let octets = buffer.get(..length).unwrap_or_default();
            let Some((id, heard)) = heard(octets) else { continue };
            let Some(question) = waiting.remove(&id) else { continue };
            if !self.told(at, question, heard).await {
                return false;
            }
        }
        let at = clock::stopwatch();
        for question in waiting.into_values() {
            if !self.told(at, question, Heard::Silence).await {
                return false;
            }
        }
        true
    }

    async fn told(&self, at: Instant, question: usize, heard: Heard) -> bool {
        let place = Place { node: self.node, question };
        self.tell.send(News::Heard { at, place, heard }).await.is_ok()
    }
}

/// The identity of an answer and what it says; `None`: it is none.
fn heard(octets: &[u8]) -> Option<(u16, Heard)> {
    let message = Message::from_vec(octets).ok()?;
    let id = message.metadata.id;
    let code = message.metadata.response_code;
    if code != ResponseCode::NoError {
        return Some((id, Heard::Error(mnemonic(code))));
    }
    if message.metadata.truncation {
        return Some((id, Heard::Error("the answer is cut".to_owned())));
    }
    let addresses = message.answers.iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    });
    let heard = if message.answers.is_empty() {
        Heard::Nothing
    } else {
        Heard::Addresses(addresses.collect())
    };
    Some((id, heard))
}
