//! UDP sockets that receive and send whole batches, or one datagram at a time.
//!
//! `recvmmsg` and `sendmmsg` save most of the system calls, which are nearly all the cost of a
//! query. Addresses and control messages are kept as the octets the kernel wrote, and sent back
//! as they are.

#![allow(unsafe_code)] // System calls that no safe crate of this tree offers.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::c_int;
use socket2::{Socket, Type};

use super::io::{Exchange, WIDTH};
use crate::listening::{local, unbound};

/// Longest query taken whole; a longer one is cut, and so malformed.
const QUERY_MAX: usize = 2048;
/// Longest reply: the upper bound of `dns.udp_payload`.
const REPLY_MAX: usize = 4096;
/// Kernel buffers hold a burst while a worker is not scheduled; the usual 208 KiB lose queries.
const KERNEL_BUFFER: c_int = 4 << 20;
/// Longest a worker waits without looking whether it must stop.
const PATIENCE: Duration = Duration::from_millis(40);
/// Octets of a socket address of either family.
const ADDRESS: usize = size_of::<libc::sockaddr_in6>();
/// Octets for one control message with packet information of either family.
const CONTROL: usize = 64;

/// A bound UDP socket.
#[derive(Debug)]
pub(super) struct UdpSocket {
    socket: Socket,
    /// Bound to all addresses: replies must name the address the query came to.
    wildcard: bool,
}

impl UdpSocket {
    /// Binds a socket that shares its address with others of this process.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        // Sockets that share an address share it with any process of the same user. A second
        // server would silently take half of the queries, so look for a first one.
        drop(Self::open(address, false)?);
        Self::bind_another(address)
    }

    /// Binds one more socket to an address that [`UdpSocket::bind`] has taken.
    pub(super) fn bind_another(address: SocketAddr) -> io::Result<Self> {
        Self::over(Self::open(address, true)?, address)
    }

    /// Takes a socket that is bound to this address.
    pub(super) fn over(socket: Socket, address: SocketAddr) -> io::Result<Self> {
        let bound = Self { socket, wildcard: address.ip().is_unspecified() };
        bound.set_buffers()?;
        bound.socket.set_read_timeout(Some(PATIENCE))?;
        bound.socket.set_write_timeout(Some(PATIENCE))?;
        // RFC 9715 section 3.1 (R1, R2): do not fragment, and let nobody forge a smaller path.
        if address.is_ipv4() {
            bound.set(libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        } else {
            bound.set(libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        }
        if bound.wildcard && address.is_ipv4() {
            bound.set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        } else if bound.wildcard {
            bound.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        Ok(bound)
    }

    /// A second handle on it.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.socket.try_clone()?.into())
    }

    /// The address it is bound to.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        local(&self.socket)
    }

    fn open(address: SocketAddr, share: bool) -> io::Result<Socket> {
        let socket = unbound(Type::DGRAM, address)?;
        socket.set_reuse_port(share)?;
        socket.bind(&address.into())?;
        Ok(socket)
    }

    /// Asks for large buffers: beyond the system's limit where that is allowed.
    fn set_buffers(&self) -> io::Result<()> {
        if self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, KERNEL_BUFFER).is_err() {
            self.socket.set_recv_buffer_size(KERNEL_BUFFER as usize)?;
        }
        if self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, KERNEL_BUFFER).is_err() {
            self.socket.set_send_buffer_size(KERNEL_BUFFER as usize)?;
        }
        Ok(())
    }

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        let length = size_of::<c_int>() as libc::socklen_t;
        // SAFETY: `value` lives through the call, and its length is given.
        let status = unsafe {
            let fd = self.socket.as_raw_fd();
            libc::setsockopt(fd, level, option, ptr::from_ref(&value).cast(), length)
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The octets of a socket address, aligned as the kernel's structures are.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Address([u8; ADDRESS]);

/// The octets of a control message.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// The frame of one datagram, beside its octets.
#[derive(Clone, Copy, Default)]
struct Frame {
    query: usize,
    address: u32,
    control: usize,
    /// 0: no reply.
    reply: usize,
}

/// The buffers of a batch of queries and replies.
pub(super) struct Batch {
    queries: Box<[[u8; QUERY_MAX]]>,
    replies: Box<[[u8; REPLY_MAX]]>,
    addresses: [Address; WIDTH],
    controls: [Control; WIDTH],
    frames: [Frame; WIDTH],
    received: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            queries: vec![[0; QUERY_MAX]; WIDTH].into(),
            replies: vec![[0; REPLY_MAX]; WIDTH].into(),
            addresses: [Address([0; ADDRESS]); WIDTH],
            controls: [Control([0; CONTROL]); WIDTH],
            frames: [Frame::default(); WIDTH],
            received: 0,
        }
    }

    /// Receives what is there; `wait`: waits for the first datagram, but not for ever.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came.
    pub(super) fn receive(&mut self, from: &UdpSocket, wait: bool) -> io::Result<usize> {
        self.received = 0;
        let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; WIDTH];
        // SAFETY: all octets zero is a value of this C structure: null pointers, no lengths.
        let mut headers: [libc::mmsghdr; WIDTH] = unsafe { mem::zeroed() };
        let buffers = self.queries.iter_mut().zip(&mut self.addresses).zip(&mut self.controls);
        for ((header, part), ((query, address), control)) in
            headers.iter_mut().zip(&mut parts).zip(buffers)
        {
            part.iov_base = query.as_mut_ptr().cast();
            part.iov_len = QUERY_MAX;
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.0.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = ADDRESS as libc::socklen_t;
            if from.wildcard {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL as _;
            }
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: every header points to a part, an address and a control buffer of its own with
        // their true lengths; all outlive the call and nothing else touches them meanwhile.
        let count = unsafe {
            let fd = from.socket.as_raw_fd();
            libc::recvmmsg(fd, headers.as_mut_ptr(), WIDTH as _, flags as _, ptr::null_mut())
        };
        let Ok(count) = usize::try_from(count) else { return Err(io::Error::last_os_error()) };
        for (header, frame) in headers.iter().zip(&mut self.frames).take(count) {
            *frame = Frame {
                query: (header.msg_len as usize).min(QUERY_MAX),
                address: header.msg_hdr.msg_namelen,
                control: header.msg_hdr.msg_controllen,
                reply: 0,
            };
        }
        for control in self.controls.iter_mut().take(count).filter(|_| from.wildcard) {
            forget_interface(&mut control.0);
        }
        self.received = count;
        Ok(count)
    }

    /// Receives one datagram; `wait`: waits for it, but not for ever.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came.
    pub(super) fn receive_one(&mut self, from: &UdpSocket, wait: bool) -> io::Result<usize> {
        self.received = 0;
        let places = self.queries.first_mut().zip(self.addresses.first_mut());
        let Some(((query, address), control)) = places.zip(self.controls.first_mut()) else {
            return Ok(0);
        };
        let mut part = libc::iovec { iov_base: query.as_mut_ptr().cast(), iov_len: QUERY_MAX };
        // SAFETY: as in `receive`.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_name = address.0.as_mut_ptr().cast();
        header.msg_namelen = ADDRESS as libc::socklen_t;
        if from.wildcard {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        // SAFETY: the header points to a part, an address and a control buffer with their true
        // lengths; all outlive the call and nothing else touches them meanwhile.
        let length = unsafe { libc::recvmsg(from.socket.as_raw_fd(), &raw mut header, flags) };
        let Ok(query) = usize::try_from(length) else { return Err(io::Error::last_os_error()) };
        if from.wildcard {
            forget_interface(&mut control.0);
        }
        if let Some(frame) = self.frames.first_mut() {
            let (address, control) = (header.msg_namelen, header.msg_controllen);
            *frame = Frame { query: query.min(QUERY_MAX), address, control, reply: 0 };
        }
        self.received = 1;
        Ok(1)
    }

    /// The query `index` of those received last, with its reply; `None` beyond them and for a
    /// datagram without an IP address.
    pub(super) fn exchange(&mut self, index: usize) -> Option<Exchange<'_>> {
        let frame = self.frames.get_mut(index).filter(|_| index < self.received)?;
        let peer = socket_address(&self.addresses.get(index)?.0)?;
        Some(Exchange {
            query: self.queries.get(index)?.get(..frame.query)?,
            peer,
            reply: self.replies.get_mut(index)?,
            length: &mut frame.reply,
        })
    }

    /// Who sent the query `index` of those received last.
    pub(super) fn peer(&self, index: usize) -> Option<SocketAddr> {
        socket_address(&self.addresses.get(index).filter(|_| index < self.received)?.0)
    }

    /// The query `index` of those received last; empty beyond them.
    pub(super) fn query(&self, index: usize) -> &[u8] {
        let frame = self.frames.get(index).filter(|_| index < self.received);
        let query = self.queries.get(index).and_then(|query| query.get(..frame?.query));
        query.unwrap_or_default()
    }

    /// Sends the replies; returns how many could not be sent.
    pub(super) fn send(&mut self, to: &UdpSocket) -> usize {
        let mut parts = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; WIDTH];
        // SAFETY: as in `receive`.
        let mut headers: [libc::mmsghdr; WIDTH] = unsafe { mem::zeroed() };
        let frames = self.frames.iter().take(self.received);
        let buffers = self.replies.iter_mut().zip(&mut self.addresses).zip(&mut self.controls);
        let replies = frames.zip(buffers).filter(|(frame, _)| frame.reply > 0);
        let mut count = 0;
        for ((frame, ((reply, address), control)), (header, part)) in
            replies.zip(headers.iter_mut().zip(&mut parts))
        {
            part.iov_base = reply.as_mut_ptr().cast();
            part.iov_len = frame.reply.min(REPLY_MAX);
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = address.0.as_mut_ptr().cast();
            header.msg_hdr.msg_namelen = frame.address.min(ADDRESS as u32);
            if to.wildcard && frame.control > 0 {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = frame.control.min(CONTROL) as _;
            }
            count += 1;
        }
        let (mut sent, mut failed) = (0, 0);
        while let Some(rest) = headers.get_mut(sent..count).filter(|rest| !rest.is_empty()) {
            // SAFETY: as in `receive`, for the headers that were filled above; the kernel writes
            // to none of the buffers.
            let status = unsafe {
                let fd = to.socket.as_raw_fd();
                libc::sendmmsg(fd, rest.as_mut_ptr(), rest.len() as _, 0)
            };
            match usize::try_from(status) {
                Ok(more) => sent += more.max(1),
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // The first of the rest cannot be sent; those behind it may.
                Err(_) => (sent, failed) = (sent + 1, failed + 1),
            }
        }
        failed
    }

    /// Sends the reply to a single query; returns how many could not be sent.
    pub(super) fn send_one(&mut self, to: &UdpSocket) -> usize {
        let places = self.replies.first_mut().zip(self.addresses.first_mut());
        let places = places.zip(self.controls.first_mut()).zip(self.frames.first());
        let Some((((reply, address), control), frame)) = places else { return 0 };
        if frame.reply == 0 || self.received == 0 {
            return 0;
        }
        let length = frame.reply.min(REPLY_MAX);
        let mut part = libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: length };
        // SAFETY: as in `receive`.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        header.msg_name = address.0.as_mut_ptr().cast();
        header.msg_namelen = frame.address.min(ADDRESS as u32);
        if to.wildcard && frame.control > 0 {
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = frame.control.min(CONTROL) as _;
        }
        loop {
            // SAFETY: as in `receive_one`; the kernel writes to none of the buffers.
            let sent = unsafe { libc::sendmsg(to.socket.as_raw_fd(), &raw const header, 0) };
            if sent >= 0 {
                return 0;
            }
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return 1;
            }
        }
    }
}

/// Takes the interface out of packet information, so that the reply is routed like any other
/// datagram; the local address in it stays.
fn forget_interface(control: &mut [u8; CONTROL]) {
    // Behind length (8), level (4) and type (4): `in_pktinfo` begins with the interface,
    // `in6_pktinfo` ends with it.
    let level = control.get(8..12).and_then(|level| level.first_chunk()).copied();
    let interface = match level.map(i32::from_ne_bytes) {
        Some(libc::IPPROTO_IP) => 16..20,
        Some(libc::IPPROTO_IPV6) => 32..36,
        _ => return,
    };
    if let Some(octets) = control.get_mut(interface) {
        octets.fill(0);
    }
}

/// The socket address in the octets of a `sockaddr_in` or `sockaddr_in6`.
fn socket_address(octets: &[u8; ADDRESS]) -> Option<SocketAddr> {
    let ([f0, f1, p0, p1], rest) = octets.split_first_chunk()?;
    let port = u16::from_be_bytes([*p0, *p1]);
    match c_int::from(u16::from_ne_bytes([*f0, *f1])) {
        libc::AF_INET => {
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*rest.first_chunk::<4>()?)), port))
        }
        libc::AF_INET6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            let flow = u32::from_be_bytes(*flow);
            Some(SocketAddrV6::new(Ipv6Addr::from(*address), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(socket: &UdpSocket, level: c_int, option: c_int) -> c_int {
        let (mut value, mut length): (c_int, _) = (-1, size_of::<c_int>() as libc::socklen_t);
        // SAFETY: both places live through the call, and the length is that of the value.
        let status = unsafe {
            let fd = socket.socket.as_raw_fd();
            libc::getsockopt(fd, level, option, ptr::from_mut(&mut value).cast(), &raw mut length)
        };
        assert_eq!(status, 0);
        value
    }

    #[test]
    fn sockets_are_set_up_for_bursts_whole_datagrams_and_the_address_that_was_asked() {
        let (v4, v6) = (libc::IPPROTO_IP, libc::IPPROTO_IPV6);
        for (address, wildcard) in
            [("127.0.0.1:0", 0), ("[::1]:0", 0), ("0.0.0.0:0", 1), ("[::]:0", 1)]
        {
            let socket = UdpSocket::bind(address.parse().unwrap()).unwrap();
            let is_v4 = socket.address().unwrap().is_ipv4();
            let (information, discovery) = if is_v4 {
                (option(&socket, v4, libc::IP_PKTINFO), option(&socket, v4, libc::IP_MTU_DISCOVER))
            } else {
                let information = option(&socket, v6, libc::IPV6_RECVPKTINFO);
                (information, option(&socket, v6, libc::IPV6_MTU_DISCOVER))
            };
            assert_eq!(information, wildcard, "{address}");
            assert_eq!(discovery, libc::IP_PMTUDISC_PROBE, "{address}");
            // Without the right to pass it, the system's limit holds; it counts half.
            let limit = std::fs::read_to_string("/proc/sys/net/core/rmem_max").unwrap();
            let least = limit.trim().parse().unwrap_or(c_int::MAX).saturating_mul(2).min(1 << 20);
            let buffer = option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF);
            assert!(buffer >= least, "{address}: {buffer}");
        }
    }

    #[test]
    fn replies_are_routed_anew_and_leave_from_the_address_that_was_asked() {
        // Behind the head of 16 octets: interface, source, destination of IPv4; destination and
        // interface of IPv6.
        for (level, interface, rest) in
            [(libc::IPPROTO_IP, 16..20, 20..28), (libc::IPPROTO_IPV6, 32..36, 16..32)]
        {
            let mut control = [7; CONTROL];
            control[8..12].copy_from_slice(&level.to_ne_bytes());
            forget_interface(&mut control);
            assert!(control[interface].iter().all(|octet| *octet == 0));
            assert!(control[rest].iter().all(|octet| *octet == 7));
        }
        let mut other = [7; CONTROL];
        forget_interface(&mut other);
        assert_eq!(other, [7; CONTROL]);
    }
}
