//! One TCP connection: reads messages, answers them, keeps the time limits.

use std::cell::RefCell;
use std::io::Read;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::clients::Seat;
use super::frames::Frames;
use super::{PENDING_MAX, Shared};
use crate::clock;
use crate::dns::draws::Random;
use crate::dns::engine::{self, MESSAGE_MAX, Peer, Reply, Transport};

/// Longest until the first octet of the first query, from the first octet of a message to its
/// last, and for one write to a client, where the idle time is not shorter. RFC 7766 section 6.2.3
/// speaks of a few seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Replies are collected up to this size before they are written.
const WRITE_SIZE: usize = 4096;
/// At a shutdown, reads of a client that goes on sending.
const DRAIN_READS: usize = 128;

thread_local! {
    /// Where replies are built: one for each thread of the runtime, not for each connection.
    static REPLY: RefCell<Vec<u8>> = RefCell::new(vec![0; MESSAGE_MAX]);
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or it broke.
    Closed,
    /// The client was too slow.
    Late,
    /// It had to make room, or the server has no memory for its replies.
    Evicted,
}

/// A connection from its start to its end.
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    shared: Arc<Shared>,
    frames: Frames,
    /// Replies not written yet, each with its length in front.
    replies: Vec<u8>,
    /// Whether a query has come.
    asked: bool,
    /// A query for a transfer, which is carried out before the next query is answered.
    transfer: Option<Vec<u8>>,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        seat: Seat,
        shared: Arc<Shared>,
    ) -> Self {
        let (frames, replies) = (Frames::default(), Vec::new());
        Self { stream, peer, seat, shared, frames, replies, asked: false, transfer: None }
    }

    /// Serves the connection to its end, or until `stop` and what has come by then.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        // Replies are whole messages; there is nothing to wait for.
        let _ = self.stream.set_nodelay(true);
        loop {
            let read =
                read_message(&mut self.stream, &mut self.frames, self.shared.idle, self.asked);
            let read = tokio::select! {
                biased;
                () = self.seat.closed() => Err(End::Evicted),
                () = stop.cancelled() => return self.drain().await,
                read = read => read,
            };
            let served = match read {
                Ok(()) => self.answer().await,
                Err(end) => Err(end),
            };
            match served {
                Ok(()) => self.asked = true,
                Err(End::Late) => {
                    self.shared.totals.tcp.timed_out.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(End::Closed | End::Evicted) => return,
            }
        }
    }

    /// Answers what has come before the shutdown, and closes.
    async fn drain(mut self) {
        for _ in 0..DRAIN_READS {
            // Past the runtime, which may not have heard yet of what has come.
            let mut octets = [0; 512];
            let read = (&*SockRef::from(&self.stream)).read(&mut octets);
            let Ok(read @ 1..) = read else { break };
            self.frames.room().extend_from_slice(octets.get(..read).unwrap_or_default());
            if self.answer().await.is_err() {
                break;
            }
        }
        let _ = self.stream.shutdown().await;
    }

    /// Answers all whole messages.
    async fn answer(&mut self) -> Result<(), End> {
        loop {
            let more = self.answer_next()?;
            if let Some(query) = self.transfer.take() {
                self.write().await?;
                self.send_zone(query).await?;
            }
            if self.replies.len() >= WRITE_SIZE || !more {
                self.write().await?;
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Answers the next whole message; `false` when there is none.
    fn answer_next(&mut self) -> Result<bool, End> {
        let Some(query) = self.frames.next() else { return Ok(false) };
        let unix_seconds = clock::unix_seconds() as u32;
        let peer = Peer { address: self.peer, transport: Transport::Tcp, unix_seconds };
        let snapshot = self.shared.snapshot.load();
        let draws = &self.shared.draws;
        let random = Random::shared(fastrand::u64(..), draws, unix_seconds);
        let (replies, transfer) = (&mut self.replies, &mut self.transfer);
        let start = replies.len();
        let answered = catch_unwind(AssertUnwindSafe(|| {
            REPLY.with_borrow_mut(|out| {
                let answer = engine::answer(&snapshot, query, peer, random, out);
                match answer.reply {
                    Reply::Length(length) => {
                        replies.extend_from_slice(&(length as u16).to_be_bytes());
                        replies.extend_from_slice(out.get(..length).unwrap_or_default());
                    }
                    Reply::Transfer => *transfer = Some(query.to_vec()),
                    Reply::Drop => {}
                }
                answer
            })
        }));
        let Ok(answer) = answered else {
            self.shared.counters.panicked();
            return Err(End::Closed);
        };
        self.shared.counters.answered(Transport::Tcp, &answer);
        snapshot.notified(&answer.facts.notified);
        if let Some(log) = self.shared.log.as_ref().filter(|log| log.takes(fastrand::f64())) {
            // Behind its length.
            let reply = self.replies.get(start + 2..).unwrap_or_default();
            log.offer(self.peer, Transport::Tcp, query, reply, &answer);
        }
        Ok(true)
    }

    /// Sends the zone, or its changes, that a query asks for.
    async fn send_zone(&mut self, query: Vec<u8>) -> Result<(), End> {
        let snapshot = self.shared.snapshot.load_full();
        let mut sending = self.shared.sender.begin(snapshot, query).await;
        while let Some(message) = sending.next() {
            self.replies.extend_from_slice(&(message.len() as u16).to_be_bytes());
            self.replies.extend_from_slice(&message);
            self.write().await?;
        }
        if sending.is_whole() { Ok(()) } else { Err(End::Closed) }
    }

    /// Writes the replies.
    async fn write(&mut self) -> Result<(), End> {
        if self.replies.is_empty() {
            return Ok(());
        }
        // Mostly the kernel takes all at once.
        let written = self.stream.try_write(&self.replies).unwrap_or(0);
        if let Some(rest) = self.replies.get(written..).filter(|rest| !rest.is_empty()) {
            let waiting = rest.len();
            let patience = self.shared.idle.min(PATIENCE);
            if self.shared.pending.fetch_add(waiting, Ordering::Relaxed) + waiting > PENDING_MAX {
                self.shared.pending.fetch_sub(waiting, Ordering::Relaxed);
                self.shared.totals.tcp.evicted.fetch_add(1, Ordering::Relaxed);
                return Err(End::Evicted);
            }
            let result = tokio::select! {
                biased;
                () = self.seat.closed() => Err(End::Evicted),
                result = timeout(patience, self.stream.write_all(rest)) => match result {
                    Ok(result) => result.map_err(|_| End::Closed),
                    Err(_) => Err(End::Late),
                },
            };
            self.shared.pending.fetch_sub(waiting, Ordering::Relaxed);
            result?;
        }
        self.replies.clear();
        self.replies.shrink_to(WRITE_SIZE);
        self.seat.served(clock::now());
        Ok(())
    }
}

/// Reads until there is a whole message; what was read stays when this is dropped.
async fn read_message(
    stream: &mut TcpStream,
    frames: &mut Frames,
    idle: Duration,
    asked: bool,
) -> Result<(), End> {
    if frames.is_ready() {
        return Ok(());
    }
    if frames.is_empty() {
        let patience = if asked { idle } else { idle.min(PATIENCE) };
        timeout(patience, read(stream, frames)).await.map_err(|_| End::Late)??;
    }
    let rest = async {
        while !frames.is_ready() && !frames.is_empty() {
            read(stream, frames).await?;
        }
        Ok(())
    };
    timeout(idle.min(PATIENCE), rest).await.map_err(|_| End::Late)?
}

async fn read(stream: &mut TcpStream, frames: &mut Frames) -> Result<(), End> {
    match stream.read_buf(frames.room()).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(End::Closed),
    }
}
