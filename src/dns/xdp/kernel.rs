//! The kernel's interfaces that `AF_XDP` takes: sockets, programs, what an interface is.

#![allow(unsafe_code)] // System calls that no safe crate of this tree offers.

use std::ffi::CString;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use libc::{c_char, c_int, c_long, c_uint, c_ulong, c_void, socklen_t};

/// Commands of bpf(2), and what this module says to them: numbers of `linux/bpf.h`.
const MAP_CREATE: c_int = 0;
const MAP_UPDATE: c_int = 2;
const PROGRAM_LOAD: c_int = 5;
const LINK_CREATE: c_int = 28;
const MAP_OF_SOCKETS: u32 = 17;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// How a program is attached: numbers of `linux/if_link.h`.
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;
/// Asks for the number of queues: `ETHTOOL_GCHANNELS` of `linux/ethtool.h`.
const CHANNELS: u32 = 0x3c;

/// Where the kernel runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the driver, before a packet costs anything.
    Native,
    /// Behind the driver, with every interface.
    Generic,
}

/// What the kernel says of an interface.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub index: u32,
    pub mac: [u8; 6],
    /// Most octets of an IP packet.
    pub mtu: usize,
    /// Queues that receive and send.
    pub queues: u32,
}

/// `struct ethtool_channels`
#[derive(Default)]
#[repr(C)]
struct Channels {
    command: u32,
    most: [u32; 4],
    receiving: u32,
    sending: u32,
    other: u32,
    combined: u32,
}

impl Interface {
    /// The Ethernet interface of this name.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(name: &str) -> io::Result<Self> {
        let text = CString::new(name).map_err(io::Error::other)?;
        // SAFETY: the name ends with a zero octet and lives through the call.
        let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
        if index == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such interface"));
        }
        let socket = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
        let mut request = request(&text);
        ask(&socket, libc::SIOCGIFHWADDR, &mut request)?;
        // SAFETY: the call has written this member of the union, whose members are plain numbers.
        let hardware = unsafe { request.ifr_ifru.ifru_hwaddr };
        if hardware.sa_family != libc::ARPHRD_ETHER {
            return Err(io::Error::other("it is no Ethernet interface"));
        }
        let mut mac = [0; 6];
        for (octet, given) in mac.iter_mut().zip(hardware.sa_data) {
            *octet = given as u8;
        }
        ask(&socket, libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: as above.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        let mut channels = Channels { command: CHANNELS, ..Channels::default() };
        request.ifr_ifru.ifru_data = ptr::from_mut(&mut channels).cast();
        // Interfaces that cannot say have one queue.
        let queues = match ask(&socket, libc::SIOCETHTOOL as c_ulong, &mut request) {
            Ok(()) => channels.combined + channels.receiving.min(channels.sending),
            Err(_) => 1,
        };
        Ok(Self { index, mac, mtu: usize::try_from(mtu).unwrap_or(0), queues: queues.max(1) })
    }

    /// The addresses of the machine to which packets can come in through this interface: all but
    /// those that are valid on one interface alone, which must be this one.
    pub(super) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let mut first: *mut libc::ifaddrs = ptr::null_mut();
        // SAFETY: the place for the list lives through the call.
        if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut addresses = Vec::new();
        let mut at = first;
        while !at.is_null() {
            // SAFETY: the list is not freed yet and `at` is one of its entries.
            let entry = unsafe { &*at };
            // SAFETY: the kernel's library filled in the address, of the length of its family.
            if let Some((address, scope)) = unsafe { ip(entry.ifa_addr) }
                && (scope == 0 || scope == self.index)
                && !address.is_loopback()
            {
                addresses.push(address);
            }
            at = entry.ifa_next;
        }
        // SAFETY: `first` came from `getifaddrs`, and nothing refers to the list any more.
        unsafe { libc::freeifaddrs(first) };
        Ok(addresses)
    }
}

/// The IP address behind a pointer, with the interface that it is bound to, 0 for none.
///
/// # Safety
/// The pointer is null or points to a socket address as long as its family has it.
unsafe fn ip(address: *const libc::sockaddr) -> Option<(IpAddr, u32)> {
    // SAFETY: the caller keeps the contract; every address begins with its family.
    match unsafe { address.as_ref() }.map(|address| c_int::from(address.sa_family))? {
        libc::AF_INET => {
            // SAFETY: this is the structure of the family; it may lie unaligned.
            let v4 = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            Some((Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into(), 0))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some((Ipv6Addr::from(v6.sin6_addr.s6_addr).into(), v6.sin6_scope_id))
        }
        _ => None,
    }
}

/// A request about the interface of this name.
fn request(name: &CString) -> libc::ifreq {
    // SAFETY: all octets zero is a value of this C structure.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // One place less than there is, so that a zero octet ends the name.
    let places = request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1);
    for (place, octet) in places.zip(name.as_bytes()) {
        *place = c_char::from_ne_bytes([*octet]);
    }
    request
}

fn ask(socket: &OwnedFd, what: c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: the request, and what it may point to, live through the call and are of the form
    // that the call is defined for.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, ptr::from_mut(request)) };
    done(c_long::from(status)).map(drop)
}

/// A number that the kernel gave back, or its error.
fn done(status: c_long) -> io::Result<c_long> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

fn owned(fd: c_long) -> io::Result<OwnedFd> {
    let fd = done(fd)? as RawFd;
    // SAFETY: the kernel has just made this file descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn socket(family: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes and returns plain numbers.
    owned(c_long::from(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }))
}

/// A socket of `AF_XDP`.
pub(super) fn xdp_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_XDP, libc::SOCK_RAW)
}

/// Sets an option of a socket to a plain C value.
fn set<T>(socket: &OwnedFd, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as socklen_t;
    // SAFETY: the value lives through the call, and its length is given.
    let status = unsafe {
        let value = ptr::from_ref(value).cast::<c_void>();
        libc::setsockopt(socket.as_raw_fd(), level, option, value, length)
    };
    done(c_long::from(status)).map(drop)
}

/// Asks for a buffer for what is being sent, beyond the system's limit where that is allowed.
pub(super) fn set_send_buffer(socket: &OwnedFd, octets: c_int) -> io::Result<()> {
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &octets)
        .or_else(|_| set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &octets))
}

/// Gives the kernel the number of entries of one of the rings of a socket.
pub(super) fn set_ring(socket: &OwnedFd, ring: c_int, entries: u32) -> io::Result<()> {
    set(socket, libc::SOL_XDP, ring, &entries)
}

/// Gives the kernel the memory of the frames; it must outlive the socket.
pub(super) fn set_memory(
    socket: &OwnedFd,
    start: u64,
    octets: usize,
    frame: usize,
) -> io::Result<()> {
    /// `struct xdp_umem_reg` as it was first: address, length, size of a frame, headroom.
    #[repr(C)]
    struct Memory(u64, u64, u32, u32);
    let memory = Memory(start, octets as u64, frame as u32, 0);
    set(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &memory)
}

/// Where the parts of one ring lie in its mapping, in octets.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Offsets {
    pub producer: u64,
    pub consumer: u64,
    pub slots: u64,
    pub flags: u64,
}

/// The parts of the rings: received, to be sent, to be filled, completed.
pub(super) fn ring_offsets(socket: &OwnedFd) -> io::Result<[Offsets; 4]> {
    let mut offsets = [Offsets::default(); 4];
    let mut length = size_of_val(&offsets) as socklen_t;
    // SAFETY: both places live through the call, and the length is that of the array.
    let status = unsafe {
        let place = offsets.as_mut_ptr().cast::<c_void>();
        let (level, option) = (libc::SOL_XDP, libc::XDP_MMAP_OFFSETS);
        libc::getsockopt(socket.as_raw_fd(), level, option, place, &raw mut length)
    };
    done(c_long::from(status))?;
    if length as usize == size_of_val(&offsets) {
        Ok(offsets)
    } else {
        Err(io::Error::other("the kernel is older than Linux 5.4"))
    }
}

/// Binds a socket to a queue of an interface, with copies to and from its own memory.
pub(super) fn bind(socket: &OwnedFd, interface: u32, queue: u32) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let length = size_of_val(&address) as socklen_t;
    // SAFETY: the address lives through the call, and its length is given.
    let status = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
    done(c_long::from(status)).map(drop)
}

/// Has the kernel send what is in the ring for it.
pub(super) fn kick(socket: &OwnedFd) -> io::Result<()> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: no octets and no address are given; the frames are in the ring.
    let status = unsafe { libc::sendto(socket.as_raw_fd(), ptr::null(), 0, flags, ptr::null(), 0) };
    done(status as c_long).map(drop)
}

/// Waits until something was received, but not for ever; what waits to be sent is sent.
pub(super) fn wait(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    let mut wanted = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let milliseconds = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: one entry, which lives through the call.
    let status = unsafe { libc::poll(&raw mut wanted, 1, milliseconds) };
    done(c_long::from(status)).map(drop)
}

/// bpf(2): every command has a structure of its own, of which all that is left out is zero.
fn bpf<T>(command: c_int, attributes: &T) -> c_long {
    let size = size_of::<T>() as c_uint;
    // SAFETY: the structure has the given size, is the beginning of the one that the command is
    // defined for, and lives through the call with all it points to; the kernel writes to none.
    unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size) }
}

/// A map of sockets by number of the queue.
pub(super) fn socket_map(queues: u32) -> io::Result<OwnedFd> {
    /// Kind, octets of a key, octets of a value, entries.
    #[repr(C)]
    struct Create(u32, u32, u32, u32);
    owned(bpf(MAP_CREATE, &Create(MAP_OF_SOCKETS, 4, 4, queues)))
}

/// Puts the socket of a queue into the map.
pub(super) fn put_socket(map: &OwnedFd, queue: u32, socket: &OwnedFd) -> io::Result<()> {
    /// Map, nothing, key, value, flags.
    #[repr(C)]
    struct Update(u32, u32, u64, u64, u64);
    let socket = socket.as_raw_fd();
    let (key, value) = (ptr::from_ref(&queue) as u64, ptr::from_ref(&socket) as u64);
    done(bpf(MAP_UPDATE, &Update(map.as_raw_fd() as u32, 0, key, value, 0))).map(drop)
}

/// Has the kernel check a program and keep it.
pub(super) fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    /// `BPF_PROG_LOAD` up to what the program is to be attached to.
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log: [u64; 2],
        version_and_flags: [u32; 2],
        name: [u8; 16],
        interface: u32,
        attach: u32,
    }
    let licence = c"Apache-2.0 OR MIT";
    owned(bpf(
        PROGRAM_LOAD,
        &Load {
            kind: PROGRAM_XDP,
            count: instructions.len() as u32,
            instructions: instructions.as_ptr() as u64,
            licence: licence.as_ptr() as u64,
            log: [0; 2],
            version_and_flags: [0; 2],
            name: *b"meridian_dns\0\0\0\0",
            interface: 0,
            attach: ATTACH_XDP,
        },
    ))
}

/// Attaches a program to an interface for as long as the link is open, and so no longer than this
/// process lives.
pub(super) fn attach(program: &OwnedFd, interface: u32, mode: Mode) -> io::Result<OwnedFd> {
    /// Program, interface, kind of place, flags.
    #[repr(C)]
    struct Link(u32, u32, u32, u32);
    let flags = match mode {
        Mode::Native => NATIVE,
        Mode::Generic => GENERIC,
    };
    owned(bpf(LINK_CREATE, &Link(program.as_raw_fd() as u32, interface, ATTACH_XDP, flags)))
}
