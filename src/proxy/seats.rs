//! How many connections there are, in all and of each client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Proxy;

/// The connections of all threads.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Locked when a connection begins and when it ends, for a look-up.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of clients that have any, but for trusted proxies.
    by_client: HashMap<IpAddr, usize>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// All are taken.
    Full,
    /// The client has its share.
    ClientFull,
}

impl NoSeat {
    /// The label in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ClientFull => "client_full",
        }
    }
}

/// A connection's seat; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    /// `None`: a trusted proxy, which has as many as it likes, or nobody who is known yet.
    client: Option<IpAddr>,
}

impl Seats {
    /// A seat for a client that has just connected; `None`: a proxy is about to tell who it is.
    pub(super) fn take(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        proxy: &Proxy,
    ) -> Result<Seat, NoSeat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= proxy.limits.connections {
            return Err(NoSeat::Full);
        }
        let client = client.filter(|client| !proxy.trusts(*client));
        if let Some(client) = client {
            taken.count(client, proxy)?;
        }
        taken.all += 1;
        Ok(Seat { seats: self.clone(), client })
    }
}

impl Taken {
    fn count(&mut self, client: IpAddr, proxy: &Proxy) -> Result<(), NoSeat> {
        let own = self.by_client.entry(client).or_default();
        if *own >= proxy.limits.per_client {
            return Err(NoSeat::ClientFull);
        }
        *own += 1;
        Ok(())
    }
}

impl Seat {
    /// The seat of a connection for which a proxy spoke is this client's.
    pub(super) fn belongs_to(&mut self, client: IpAddr, proxy: &Proxy) -> Result<(), NoSeat> {
        if self.client.is_none() && !proxy.trusts(client) {
            let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.count(client, proxy)?;
            self.client = Some(client);
        }
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        let Some(client) = self.client else { return };
        let left = taken.by_client.get_mut(&client).map_or(0, |own| {
            *own -= 1;
            *own
        });
        if left == 0 {
            taken.by_client.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::ProxyLimits;

    #[test]
    fn seats_are_bounded_in_all_and_for_each_client() {
        let second = Duration::from_secs(1);
        let limits = ProxyLimits {
            connections: 5,
            per_client: 2,
            header_timeout: second,
            idle: second,
            headers: 100,
            header_size: 1024,
            target: 1024,
            body: None,
            body_rate: None,
        };
        let proxy = Proxy {
            http: Vec::new(),
            https: Vec::new(),
            http3: Vec::new(),
            tcp: Vec::new(),
            udp: Vec::new(),
            certificates: Arc::default(),
            acme: None,
            client_ca: None,
            workers: 1,
            proxy_protocol: Vec::new(),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            drain: second,
            limits,
            access_log: None,
        };
        let seats = Arc::new(Seats::default());
        let [greedy, other, trusted] =
            ["192.0.2.1", "192.0.2.2", "10.1.1.1"].map(|text| text.parse::<IpAddr>().unwrap());
        let take = |client| seats.take(Some(client), &proxy);
        let mut held = vec![take(greedy).unwrap(), take(greedy).unwrap()];
        assert_eq!(take(greedy).unwrap_err(), NoSeat::ClientFull);
        held.extend([take(trusted).unwrap(), take(trusted).unwrap(), take(trusted).unwrap()]);
        assert_eq!(take(other).unwrap_err(), NoSeat::Full);
        held.remove(0);
        held.push(take(greedy).unwrap());
        held.remove(2);
        // Whom a proxy speaks for has no more than who comes himself.
        let mut announced = seats.take(None, &proxy).unwrap();
        assert_eq!(announced.belongs_to(greedy, &proxy), Err(NoSeat::ClientFull));
        assert_eq!(announced.belongs_to(other, &proxy), Ok(()));
        drop((held, announced));
        let taken = seats.taken.lock().unwrap();
        assert_eq!((taken.all, taken.by_client.len()), (0, 0));
    }
}
