//! The relays of the latest snapshot, as one thread sees them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::{Proxy, Route, TcpRelay, UdpRelay};
use crate::proxy::view::RouteView;

/// All relays by where they listen. One that is gone from the files, though its listener stays
/// until a restart, is none of them.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy) struct Relays {
    tcp: HashMap<SocketAddr, Rc<TcpView>>,
    udp: HashMap<SocketAddr, Rc<UdpView>>,
}

/// A relay of TCP with the endpoints it may choose from.
#[derive(Debug)]
pub(super) struct TcpView {
    /// What the file says.
    pub(super) relay: Arc<TcpRelay>,
    /// Those of its targets, in the same order.
    pub(super) routes: Vec<Rc<RouteView>>,
}

/// A relay of UDP with the endpoints it may choose from.
#[derive(Debug)]
pub(super) struct UdpView {
    /// What the file says.
    pub(super) relay: Arc<UdpRelay>,
    /// Its target.
    pub(super) route: Rc<RouteView>,
}

impl Relays {
    /// Those of a later snapshot; `view` makes the view of a route from the one before.
    pub(in crate::proxy) fn follow(
        &self,
        proxy: Option<&Proxy>,
        view: impl Fn(&Arc<Route>, Option<&Rc<RouteView>>) -> Rc<RouteView>,
    ) -> Self {
        let Some(proxy) = proxy else { return Self::default() };
        let tcp = proxy.tcp.iter().map(|relay| {
            let before = self.tcp.get(&relay.listen);
            let routes = relay.targets.iter().enumerate().map(|(at, route)| {
                let before = before.and_then(|before| before.routes.get(at));
                view(route, before.filter(|before| before.route.name == route.name))
            });
            let routes = routes.collect();
            (relay.listen, Rc::new(TcpView { relay: relay.clone(), routes }))
        });
        let udp = proxy.udp.iter().map(|relay| {
            let before = self.udp.get(&relay.listen).map(|before| &before.route);
            let before = before.filter(|before| before.route.name == relay.target.name);
            let route = view(&relay.target, before);
            (relay.listen, Rc::new(UdpView { relay: relay.clone(), route }))
        });
        Self { tcp: tcp.collect(), udp: udp.collect() }
    }

    /// The relay of TCP that listens there.
    pub(super) fn tcp(&self, listen: SocketAddr) -> Option<&Rc<TcpView>> {
        self.tcp.get(&listen)
    }

    /// The relay of UDP that listens there.
    pub(super) fn udp(&self, listen: SocketAddr) -> Option<&Rc<UdpView>> {
        self.udp.get(&listen)
    }
}
