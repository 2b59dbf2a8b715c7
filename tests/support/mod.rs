//! What the end-to-end tests share: real servers, a DNS client, an independent oracle.

#![allow(dead_code)] // Each test file compiles all of this and uses its part.
#![allow(clippy::print_stdout, clippy::print_stderr)] // Shown when a test fails.

pub(crate) mod api;
pub(crate) mod certificates;
pub(crate) mod dns;
pub(crate) mod events;
pub(crate) mod geography;
pub(crate) mod load;
pub(crate) mod meridian;
pub(crate) mod nats;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod site;
pub(crate) mod wire;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

/// How long a server may take to start or to notice something before a test gives up on it; far
/// above what is expected, since the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ports to choose from: below the range from which the kernel takes the ports of clients, so that
/// a port stays free between the moment it is found and the moment a server binds it.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// Asks again and again, `every` so often, until there is an answer or `within` has passed.
pub(crate) fn poll<T>(
    within: Duration,
    every: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Option<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(every);
    }
}

/// [`poll`] with the usual patience; fails the test with `what` when there is no answer.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    let found = poll(PATIENCE, Duration::from_millis(20), ask);
    found.unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// An address on which UDP and TCP are both free, and whose port nobody has on all addresses.
pub(crate) fn free_address(ip: IpAddr) -> SocketAddr {
    let both_free = |port: &u16| {
        [ip, Ipv4Addr::UNSPECIFIED.into()].into_iter().all(|ip| {
            let address = SocketAddr::new(ip, *port);
            UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
        })
    };
    let port = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(1000).find(both_free);
    SocketAddr::new(ip, port.expect("one of a thousand ports is free"))
}

/// Two different addresses as [`free_address`] finds them.
pub(crate) fn free_pair(ip: IpAddr) -> (SocketAddr, SocketAddr) {
    let first = free_address(ip);
    (first, free_beside(ip, &[first]))
}

/// An address as [`free_address`] finds it that is none of these, which nobody has bound yet.
pub(crate) fn free_beside(ip: IpAddr, taken: &[SocketAddr]) -> SocketAddr {
    let others = std::iter::repeat_with(|| free_address(ip));
    others.take(1000).find(|other| !taken.contains(other)).expect("another port")
}

/// A generator of pseudo-random numbers whose seed is printed, so that a failure can be repeated
/// with `MERIDIAN_SEED`.
pub(crate) fn seeded(name: &str) -> fastrand::Rng {
    let given = std::env::var("MERIDIAN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(20_260_921);
    println!("{name}: MERIDIAN_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}
