//! Relays: listeners whose octets go to endpoints as they come.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{HostPattern, Route};
use crate::proxy_header::Version;

/// One of `proxy.tcp`.
#[derive(Clone, Debug)]
pub struct TcpRelay {
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// Where connections go; routes without requests, all of one name.
    pub targets: Vec<Arc<Route>>,
    /// The names that TLS clients ask for, each with its place among `targets`; none: the
    /// beginning of a connection is not looked at.
    pub names: Vec<(HostPattern, usize)>,
    /// Where connections go that ask for none of `names`; `None`: nowhere.
    pub others: Option<usize>,
    /// How endpoints are told who the client is; `None`: they are not.
    pub header: Option<Version>,
}

/// One of `proxy.udp`.
#[derive(Clone, Debug)]
pub struct UdpRelay {
    /// Where datagrams come to.
    pub listen: SocketAddr,
    /// Where they go; a route without requests.
    pub target: Arc<Route>,
    /// Clients that are remembered at a time.
    pub flows: usize,
}

impl TcpRelay {
    /// What metrics and logs call it.
    pub fn name(&self) -> &str {
        self.targets.first().map_or("", |route| &route.name)
    }

    /// Where a connection goes that asks for this host, in lower case: by the exact name, else the
    /// longest above it, else as those that ask for none.
    pub fn target(&self, host: Option<&str>) -> Option<usize> {
        let fits = |pattern: &HostPattern| match (pattern, host) {
            (HostPattern::Exact(name), Some(host)) if name == host => Some(usize::MAX),
            (HostPattern::Below(above), Some(host)) => {
                let below = host.len() > above.len() && host.ends_with(above.as_str());
                below.then_some(above.len())
            }
            _ => None,
        };
        let found = self.names.iter().filter_map(|(name, at)| Some((fits(name)?, *at)));
        // Of equal ones the first.
        let best = found.rev().max_by_key(|(length, _)| *length);
        best.map(|(_, at)| at).or(self.others)
    }
}

impl UdpRelay {
    /// What metrics and logs call it.
    pub fn name(&self) -> &str {
        &self.target.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_name_wins() {
        let below = |name: &str| HostPattern::Below(name.to_owned());
        let names = vec![
            (below(".test"), 0),
            (below(".db.test"), 1),
            (HostPattern::Exact("a.db.test".to_owned()), 2),
            (below(".db.test"), 3),
        ];
        let listen = "127.0.0.1:1".parse().unwrap();
        let mut relay =
            TcpRelay { listen, targets: Vec::new(), names, others: Some(9), header: None };
        for (case, host, target) in [
            ("the exact name", Some("a.db.test"), 2),
            ("the longest above, of equal ones the first", Some("b.db.test"), 1),
            ("names are whole labels", Some("xdb.test"), 0),
            ("a name is not below itself", Some(".db.test"), 0),
            ("another name", Some("test"), 9),
            ("no name", None, 9),
        ] {
            assert_eq!(relay.target(host), Some(target), "{case}");
        }
        relay.others = None;
        assert_eq!(relay.target(None), None);
    }
}
