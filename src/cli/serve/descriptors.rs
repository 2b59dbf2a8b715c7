//! How many file descriptors this process may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::model::{Node, Proxy};

/// What a node has open beside connections of the proxy: sockets, files, probes, a bus.
const BESIDE: u64 = 1_024;

/// Raises the limit as far as this process may: what is usual is meant for programs that wait by
/// `select`, and far below what a proxy takes. Says so where even that is not enough.
pub(super) fn raise(node: &Node) {
    let Ok((now, most)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    // The error is that it stays as it is, which is told below.
    let raised = now >= most || setrlimit(Resource::RLIMIT_NOFILE, most, most).is_ok();
    let allowed = if raised { most } else { now };
    let needed = node.proxy.as_ref().map_or(0, needed);
    if needed > allowed {
        warn!(
            needed,
            allowed,
            "file descriptors may run out before connections of the proxy do: raise the hard \
             limit, such as LimitNOFILE= of systemd, or lower proxy.limits.connections"
        );
    }
}

/// What a proxy can have open: for each connection of a client one to an endpoint, and one for
/// each client of a relay of UDP.
fn needed(proxy: &Proxy) -> u64 {
    let flows: usize = proxy.udp.iter().map(|relay| relay.flows).sum();
    2 * proxy.limits.connections as u64 + flows as u64 + BESIDE
}
