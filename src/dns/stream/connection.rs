//! One connection of messages with a length in front: reads, answers, keeps the time limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::TLS_BUFFER;
use super::frames::Frames;
use crate::clock;
use crate::dns::clients::Seat;
use crate::dns::engine::Transport;
use crate::dns::hub::{Answered, DRAIN_TIME, Hub, at_once};

/// Replies are collected up to this size before they are written.
const WRITE_SIZE: usize = 4096;
/// At a shutdown, reads of a client that goes on sending.
const DRAIN_READS: usize = 128;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or it broke, or it is old.
    Closed,
    /// The client was too slow.
    Late,
    /// It had to make room.
    Evicted,
    /// The server stops.
    Stopped,
}

/// A connection from its first query to its end.
pub(super) struct Connection<S> {
    stream: S,
    client: SocketAddr,
    seat: Arc<Seat>,
    hub: Arc<Hub>,
    frames: Frames,
    /// Replies not written yet, each with its length in front.
    replies: Vec<u8>,
    /// Whether a query has come.
    asked: bool,
    /// A query for a transfer, which is carried out before the next query is answered.
    transfer: Option<Vec<u8>>,
    /// Whether a zone may be sent; otherwise who asks for one is cut off.
    transfers: bool,
    /// When it is old.
    old: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        stream: S,
        client: SocketAddr,
        seat: Arc<Seat>,
        hub: Arc<Hub>,
        transfers: bool,
    ) -> Self {
        let (frames, replies) = (Frames::default(), Vec::new());
        let old = tokio::time::Instant::now() + hub.life;
        Self {
            stream,
            client,
            seat,
            hub,
            frames,
            replies,
            asked: false,
            transfer: None,
            transfers,
            old,
        }
    }

    /// Serves the connection to its end, or until the server stops and what has come by then.
    pub(super) async fn run(mut self) {
        match self.serve().await {
            Err(End::Stopped) => self.drain().await,
            Err(End::Late) => {
                self.hub.connections.timed_out.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) | Err(End::Closed | End::Evicted) => {}
        }
        // TLS says that the end is meant to be one (RFC 8446 section 6.1), to those who listen.
        at_once(self.stream.shutdown()).await;
    }

    /// Answers until the connection has to end; `Ok` when it is old.
    async fn serve(&mut self) -> Result<(), End> {
        while tokio::time::Instant::now() < self.old {
            let hub = self.hub.clone();
            tokio::select! {
                biased;
                () = self.seat.closed() => return Err(End::Evicted),
                () = hub.stop.cancelled() => return Err(End::Stopped),
                read = read_message(
                    &mut self.stream, &mut self.frames, &hub, self.asked, self.old,
                ) => read?,
            }
            self.answer().await?;
            self.asked = true;
        }
        Ok(())
    }

    /// Answers what has come before the shutdown.
    async fn drain(&mut self) {
        for _ in 0..DRAIN_READS {
            let read = read(&mut self.stream, &mut self.frames);
            if !matches!(timeout(DRAIN_TIME, read).await, Ok(Ok(())))
                || self.answer().await.is_err()
            {
                return;
            }
        }
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
        let replies = &mut self.replies;
        let answered = self.hub.answer(query, self.client, |reply, _| {
            replies.extend_from_slice(&(reply.len() as u16).to_be_bytes());
            replies.extend_from_slice(reply);
        });
        if answered.map_err(|_| End::Closed)? == Answered::Transfer {
            if !self.transfers {
                return Err(End::Closed);
            }
            self.transfer = Some(query.to_vec());
        }
        Ok(true)
    }

    /// Sends the zone, or its changes, that a query asks for.
    async fn send_zone(&mut self, query: Vec<u8>) -> Result<(), End> {
        let snapshot = self.hub.snapshot.load_full();
        let mut sending = self.hub.sender.begin(snapshot, query).await;
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
        let written = match at_once(self.stream.write(&self.replies)).await {
            Some(result) => result.map_err(|_| End::Closed)?,
            None => 0,
        };
        let rest = self.replies.get(written..).unwrap_or_default();
        let done = rest.is_empty() && at_once(self.stream.flush()).await.is_some();
        if !done {
            let behind = if self.hub.transport == Transport::Tls { TLS_BUFFER } else { 0 };
            let _waiting = self.seat.wait(rest.len() + behind);
            let write = async {
                self.stream.write_all(rest).await?;
                self.stream.flush().await
            };
            tokio::select! {
                biased;
                () = self.seat.closed() => return Err(End::Evicted),
                result = timeout(self.hub.patience(), write) => match result {
                    Ok(result) => result.map_err(|_| End::Closed)?,
                    Err(_) => return Err(End::Late),
                },
            }
        }
        self.replies.clear();
        self.replies.shrink_to(WRITE_SIZE);
        self.seat.served(clock::now());
        Ok(())
    }
}

/// Reads until there is a whole message; what was read stays when this is dropped.
async fn read_message<S: AsyncRead + Unpin>(
    stream: &mut S,
    frames: &mut Frames,
    hub: &Hub,
    asked: bool,
    old: Instant,
) -> Result<(), End> {
    if frames.is_ready() {
        return Ok(());
    }
    if frames.is_empty() {
        let patience = if asked { hub.idle() } else { hub.patience() };
        let end = tokio::time::Instant::now() + patience;
        match tokio::time::timeout_at(end.min(old), read(stream, frames)).await {
            Ok(read) => read?,
            Err(_) if old < end => return Err(End::Closed),
            Err(_) => return Err(End::Late),
        }
    }
    let rest = async {
        while !frames.is_ready() && !frames.is_empty() {
            read(stream, frames).await?;
        }
        Ok(())
    };
    timeout(hub.patience(), rest).await.map_err(|_| End::Late)?
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S, frames: &mut Frames) -> Result<(), End> {
    match stream.read_buf(frames.room()).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(End::Closed),
    }
}
