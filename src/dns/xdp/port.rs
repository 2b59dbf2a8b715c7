//! One queue of an interface: its socket, rings and frames, and the batch that is under work.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::kernel;
use super::memory::{FRAME, Frame, Frames};
use super::packet::{Datagram, ETHERNET};
use super::ring::{ENTRIES, Inbox, Outbox};
use crate::dns::io::{Exchange, WIDTH};

/// Frames for packets that come in, as many as the rings hold; as many again are for replies.
const FRAMES: u32 = 2 * ENTRIES;
/// Replies on their way out may take this much of the kernel's memory: all frames, with the
/// kernel's own records of them.
const SEND_BUFFER: i32 = 4 << 20;
/// Longest a worker waits without looking whether it must stop.
const PATIENCE: Duration = Duration::from_millis(40);
/// The same while replies wait that the kernel did not take yet: nothing tells when it will.
const SHORT_PATIENCE: Duration = Duration::from_millis(1);
/// Times the kernel is asked to send a batch; it takes 32 packets or more each time.
const KICKS: usize = 4;

/// One query of the batch.
struct Slot {
    packet: Frame,
    /// Where the packet begins in its frame, and its length.
    start: usize,
    length: usize,
    datagram: Datagram,
    reply: Frame,
    /// 0: no reply.
    reply_length: usize,
}

/// One queue, for one worker.
pub(in crate::dns) struct Port {
    // In the order in which they must be dropped: the memory outlives the socket.
    received: Inbox,
    outgoing: Outbox,
    to_fill: Outbox,
    completed: Inbox,
    socket: OwnedFd,
    frames: Frames,
    /// Frames that nobody uses, for replies.
    free: Vec<Frame>,
    batch: Vec<Slot>,
    /// Most octets of a packet, its Ethernet header included.
    longest: usize,
    /// Packets that were dropped since somebody asked.
    refused: u64,
}

impl Port {
    /// Opens a queue of an interface with packets of up to `mtu` octets. Nothing comes in until
    /// the map of the program has the socket.
    pub(super) fn open(interface: u32, queue: u32, mtu: usize) -> io::Result<Self> {
        let socket = kernel::xdp_socket()?;
        let (frames, mut free) = Frames::new(FRAMES)?;
        frames.register(&socket)?;
        for ring in [
            libc::XDP_RX_RING,
            libc::XDP_TX_RING,
            libc::XDP_UMEM_FILL_RING,
            libc::XDP_UMEM_COMPLETION_RING,
        ] {
            kernel::set_ring(&socket, ring, ENTRIES)?;
        }
        let [received, outgoing, to_fill, completed] = kernel::ring_offsets(&socket)?;
        let fill_at = libc::XDP_UMEM_PGOFF_FILL_RING.cast_signed();
        let completion_at = libc::XDP_UMEM_PGOFF_COMPLETION_RING.cast_signed();
        let received = Inbox::new(&socket, libc::XDP_PGOFF_RX_RING, received, 2)?;
        let outgoing = Outbox::new(&socket, libc::XDP_PGOFF_TX_RING, outgoing, 2)?;
        let mut to_fill = Outbox::new(&socket, fill_at, to_fill, 1)?;
        let completed = Inbox::new(&socket, completion_at, completed, 1)?;
        for frame in free.drain(..ENTRIES as usize) {
            to_fill.put(&[frame.give_away()]);
        }
        to_fill.publish();
        kernel::set_send_buffer(&socket, SEND_BUFFER)?;
        kernel::bind(&socket, interface, queue)?;
        let (batch, longest) = (Vec::with_capacity(WIDTH), FRAME.min(ETHERNET + mtu));
        Ok(Self {
            received,
            outgoing,
            to_fill,
            completed,
            socket,
            frames,
            free,
            batch,
            longest,
            refused: 0,
        })
    }

    /// The socket, for the map of the program.
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Receives what is there; `wait`: waits for the first query, but not for ever.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came.
    pub(in crate::dns) fn receive(&mut self, wait: bool) -> io::Result<usize> {
        self.tidy_up();
        self.take();
        if self.batch.is_empty() && wait {
            let idle = self.outgoing.is_empty();
            kernel::wait(&self.socket, if idle { PATIENCE } else { SHORT_PATIENCE })?;
            self.take();
        }
        match self.batch.len() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Gives back the frames of the last batch and takes those whose replies are sent.
    fn tidy_up(&mut self) {
        for slot in self.batch.drain(..) {
            self.to_fill.put(&[slot.packet.give_away()]);
            self.free.push(slot.reply);
        }
        self.to_fill.publish();
        while let Some([address, _]) = self.completed.take() {
            self.free.push(Frame::at(address).0);
        }
        self.completed.release();
    }

    /// Takes a batch out of what was received.
    fn take(&mut self) {
        while self.batch.len() < WIDTH && !self.free.is_empty() {
            let Some([address, length]) = self.received.take() else { break };
            let ((packet, start), length) = (Frame::at(address), length as u32 as usize);
            let octets = self.frames.read(&packet).get(start..start + length);
            match (octets.and_then(Datagram::read), self.free.pop()) {
                (Some(datagram), Some(reply)) => {
                    let reply_length = 0;
                    self.batch.push(Slot { packet, start, length, datagram, reply, reply_length });
                }
                (_, unused) => {
                    self.refused += 1;
                    self.free.extend(unused);
                    self.to_fill.put(&[packet.give_away()]);
                }
            }
        }
        self.received.release();
        self.to_fill.publish();
    }

    /// Packets dropped since the last call because they were damaged or nobody may send them.
    pub(in crate::dns) fn refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// The query `index` of those received last, with its reply; `None` beyond them.
    pub(in crate::dns) fn exchange(&mut self, index: usize) -> Option<Exchange<'_>> {
        let slot = self.batch.get_mut(index)?;
        let (packet, reply) = self.frames.read_and_write(&slot.packet, &mut slot.reply);
        let query = packet.get(slot.start..)?.get(slot.datagram.octets.clone())?;
        let reply = reply.get_mut(slot.datagram.head()..self.longest)?;
        Some(Exchange { query, peer: slot.datagram.peer, reply, length: &mut slot.reply_length })
    }

    /// Who sent the query `index` of those received last.
    pub(in crate::dns) fn peer(&self, index: usize) -> Option<SocketAddr> {
        self.batch.get(index).map(|slot| slot.datagram.peer)
    }

    /// The query `index` of those received last; empty beyond them.
    pub(in crate::dns) fn query(&self, index: usize) -> &[u8] {
        let octets = self.batch.get(index).and_then(|slot| {
            let octets = self.frames.read(&slot.packet).get(slot.start..)?;
            octets.get(slot.datagram.octets.clone())
        });
        octets.unwrap_or_default()
    }

    /// Sends the replies; returns how many could not be sent.
    pub(in crate::dns) fn send(&mut self) -> usize {
        let (mut failed, mut some) = (0, false);
        for mut slot in self.batch.drain(..) {
            if slot.reply_length > 0 {
                let (packet, out) = self.frames.read_and_write(&slot.packet, &mut slot.reply);
                let packet = packet.get(slot.start..slot.start + slot.length);
                let whole = packet
                    .and_then(|packet| slot.datagram.write_head(packet, out, slot.reply_length));
                match whole {
                    Some(length) if self.outgoing.has_room() => {
                        self.outgoing.put(&[slot.reply.give_away(), length as u64]);
                        some = true;
                    }
                    _ => {
                        failed += 1;
                        self.free.push(slot.reply);
                    }
                }
            } else {
                self.free.push(slot.reply);
            }
            self.to_fill.put(&[slot.packet.give_away()]);
        }
        self.to_fill.publish();
        if some {
            self.outgoing.publish();
            self.kick();
        }
        failed
    }

    /// Has the kernel send what is in the ring. What it does not take now, because its buffers
    /// are full, goes out with the next batch or when the worker waits.
    fn kick(&self) {
        for _ in 0..KICKS {
            let _ = kernel::kick(&self.socket);
            if self.outgoing.is_empty() {
                return;
            }
        }
    }
}
