//! The load: queries over many sockets, as many under way as the window allows.

use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MultiHeaders, SockaddrIn};
use std::os::fd::AsFd;

use crate::datagrams::{Datagrams, WIDTH, send};

/// Sockets; each has a port of its own, as resolvers have.
const SOCKETS: usize = 32;
/// Queries under way on each socket.
const WINDOW: usize = 8;
/// A query without a reply for so long is lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// Bursts sent to measure losses, and the rest between them.
const BURSTS: usize = 100;
const BURST_REST: Duration = Duration::from_millis(10);

/// What came of a load.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Replies whose code is neither `NOERROR` nor `NXDOMAIN`.
    pub(crate) failures: u64,
}

/// One socket and what is under way on it.
struct Lane {
    socket: UdpSocket,
    /// ID of the next query; replies with older ones than the window are strays.
    next: u16,
    under_way: usize,
    last_heard: Instant,
}

/// A load on one server.
pub(crate) struct Load<'q> {
    lanes: Vec<Lane>,
    queries: &'q [Vec<u8>],
    at: usize,
    headers: MultiHeaders<SockaddrIn>,
    batch: Datagrams,
    /// Queries about to be sent.
    outgoing: Vec<Vec<u8>>,
    tally: Tally,
}

impl<'q> Load<'q> {
    pub(crate) fn new(server: SocketAddrV4, queries: &'q [Vec<u8>]) -> io::Result<Self> {
        let lane = |_| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(Lane { socket, next: 0, under_way: 0, last_heard: Instant::now() })
        };
        Ok(Self {
            lanes: (0..SOCKETS).map(lane).collect::<io::Result<_>>()?,
            queries,
            at: 0,
            headers: MultiHeaders::preallocate(WIDTH, None),
            batch: Datagrams::new(),
            outgoing: vec![Vec::new(); WINDOW],
            tally: Tally::default(),
        })
    }

    /// Keeps the windows full for so long.
    pub(crate) fn run(mut self, length: Duration) -> io::Result<Tally> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            let mut idle = true;
            for index in 0..self.lanes.len() {
                idle &= self.receive(index)? == 0;
                self.fill(index)?;
            }
            if idle {
                self.wait()?;
            }
        }
        self.settle()?;
        Ok(self.tally)
    }

    /// Sends all windows at once, again and again with a rest between.
    pub(crate) fn bursts(mut self) -> io::Result<Tally> {
        for _ in 0..BURSTS {
            for index in 0..self.lanes.len() {
                self.fill(index)?;
            }
            sleep(BURST_REST);
            self.settle()?;
        }
        Ok(self.tally)
    }

    /// Sends what the window of a lane has room for.
    fn fill(&mut self, index: usize) -> io::Result<()> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(()) };
        if lane.under_way > 0 && lane.last_heard.elapsed() > PATIENCE {
            self.tally.lost += lane.under_way as u64;
            lane.under_way = 0;
        }
        let room = WINDOW - lane.under_way;
        if room == 0 {
            return Ok(());
        }
        let outgoing = self.outgoing.get_mut(..room).unwrap_or_default();
        for ((datagram, id), at) in outgoing.iter_mut().zip(lane.next..).zip(self.at..) {
            if let Some(query) = self.queries.get(at % self.queries.len()) {
                datagram.clone_from(query);
            }
            if let Some(slot) = datagram.first_chunk_mut() {
                *slot = id.to_be_bytes();
            }
        }
        let sent = send(&mut self.headers, &lane.socket, outgoing)?;
        if lane.under_way == 0 {
            lane.last_heard = Instant::now();
        }
        // Far from the end of the numbers, so that a window never spans it.
        lane.next = if lane.next > u16::MAX - 64 { 0 } else { lane.next + sent as u16 };
        lane.under_way += sent;
        self.at = (self.at + sent) % self.queries.len().max(1);
        Ok(())
    }

    /// Takes the replies that have come on a lane; how many.
    fn receive(&mut self, index: usize) -> io::Result<usize> {
        let Some(lane) = self.lanes.get_mut(index) else { return Ok(0) };
        let count = match self.batch.receive(&lane.socket) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => 0,
            Err(error) => return Err(error),
        };
        for datagram in self.batch.all() {
            if !matches!(datagram.get(3).map(|flags| flags & 15), Some(0 | 3)) {
                self.tally.failures += 1;
            }
        }
        // A reply that comes after it was counted as lost.
        let strays = count.saturating_sub(lane.under_way);
        self.tally.lost = self.tally.lost.saturating_sub(strays as u64);
        lane.under_way -= count - strays;
        self.tally.answered += count as u64;
        if count > 0 {
            lane.last_heard = Instant::now();
        }
        Ok(count)
    }

    /// Waits for what is still under way; what does not come is lost.
    fn settle(&mut self) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end && self.lanes.iter().any(|lane| lane.under_way > 0) {
            self.wait()?;
            for index in 0..self.lanes.len() {
                self.receive(index)?;
            }
        }
        for lane in &mut self.lanes {
            self.tally.lost += std::mem::take(&mut lane.under_way) as u64;
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds: Vec<PollFd<'_>> =
            self.lanes.iter().map(|l| PollFd::new(l.socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::from(5u8))?;
        Ok(())
    }
}
