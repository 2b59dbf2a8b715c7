//! `AF_XDP`: queries and replies that go past the kernel's network stack.
//!
//! A small program at the interface picks the queries out of all packets; each queue of the
//! interface has a socket, memory and a worker of its own. What the program does not know it
//! leaves to the kernel, and the sockets there answer it.

mod kernel;
mod memory;
mod packet;
mod port;
mod program;
mod ring;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use self::kernel::{Interface, Mode};
pub(super) use self::port::Port;
use self::program::TARGETS_MAX;

/// Most queues that are served; those beyond pass to the kernel.
const QUEUES_MAX: u32 = 64;

/// A program attached to an interface, which ends with this value or with the process.
#[derive(Debug)]
pub(super) struct Attachment {
    _link: OwnedFd,
    mode: Mode,
    targets: usize,
}

impl Attachment {
    /// How the program is attached.
    pub(super) fn mode(&self) -> &'static str {
        match self.mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
        }
    }

    /// Addresses that are answered past the kernel.
    pub(super) fn targets(&self) -> usize {
        self.targets
    }
}

/// Opens all queues of an interface for queries to these addresses.
///
/// # Errors
/// What is missing, and why.
pub(super) fn open(name: &str, listen: &[SocketAddr]) -> Result<(Attachment, Vec<Port>), String> {
    let interface = Interface::find(name).map_err(|error| error.to_string())?;
    let targets = targets(&interface, listen).map_err(cannot("list the addresses"))?;
    let queues = interface.queues.min(QUEUES_MAX);
    let map = kernel::socket_map(queues).map_err(cannot("make a map of sockets"))?;
    let mut ports = Vec::new();
    for queue in 0..queues {
        let port = Port::open(interface.index, queue, interface.mtu);
        let port = port.map_err(cannot(&format!("open queue {queue}")))?;
        kernel::put_socket(&map, queue, port.socket()).map_err(cannot("fill the map"))?;
        ports.push(port);
    }
    let code = program::assemble(interface.mac, &targets, map.as_raw_fd());
    let program = kernel::load(&code).map_err(cannot("load the program"))?;
    let attach = |mode| kernel::attach(&program, interface.index, mode).map(|link| (link, mode));
    let (link, mode) = attach(Mode::Native)
        .or_else(|_| attach(Mode::Generic))
        .map_err(cannot("attach the program"))?;
    Ok((Attachment { _link: link, mode, targets: targets.len() }, ports))
}

/// The addresses to look for: those of `listen`, and for a wildcard those that the machine has
/// now. What comes to others the kernel's sockets answer.
fn targets(interface: &Interface, listen: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let own = interface.addresses()?;
    let mut targets = BTreeSet::new();
    for address in listen {
        let any = address.ip().is_unspecified();
        let alike = own.iter().filter(|ip| any && ip.is_ipv4() == address.is_ipv4());
        targets.extend(alike.map(|ip| SocketAddr::new(*ip, address.port())));
        targets.extend((!any).then(|| SocketAddr::new(address.ip(), address.port())));
    }
    Ok(targets.into_iter().take(TARGETS_MAX).collect())
}

/// Says what failed, and what can be done where rights are missing.
fn cannot(what: &str) -> impl Fn(io::Error) -> String {
    move |error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "cannot {what}: {error} (it takes the capabilities CAP_NET_ADMIN, CAP_NET_RAW and \
             CAP_BPF)"
        ),
        _ if error.raw_os_error() == Some(libc::ENOBUFS) => {
            format!("cannot {what}: {error} (raise the limit of locked memory, LimitMEMLOCK)")
        }
        _ => format!("cannot {what}: {error}"),
    }
}
