//! A node with endpoints in three regions, and clients all over the world.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian::zone::rtype::A;

use crate::support::api::request;
use crate::support::dns::Client;
use crate::support::meridian::Meridian;
use crate::support::peers::Nginx;
use crate::support::site::{Site, zone};
use crate::support::wire::Ask;

pub(crate) const NAME: &str = "www.app.test";

/// Networks in Germany, France, the United States, Brazil, Japan, India and Australia.
const CLIENTS: [&str; 7] =
    ["141.20.0.0", "90.0.0.0", "73.0.0.0", "177.32.0.0", "133.1.0.0", "49.36.0.0", "1.128.0.0"];
/// Between two queries.
const PAUSE: Duration = Duration::from_millis(10);

/// All of it; fields are dropped in this order.
pub(crate) struct Fleet {
    _traffic: Traffic,
    pub(crate) node: Meridian,
    /// Two in eu, one in us, one in ap.
    pub(crate) endpoints: [Nginx; 4],
    pub(crate) site: Site,
}

impl Fleet {
    /// Starts everything.
    pub(crate) fn start() -> Self {
        Self::start_with(|site| site.node("eu"))
    }

    /// [`Fleet::start`] with a `node.toml` of its own.
    pub(crate) fn start_with(node: impl FnOnce(&Site) -> String) -> Self {
        let site = Site::new("eu");
        let address = |number| IpAddr::from(site.address(number));
        let endpoints = [11, 12, 21, 31]
            .map(|number| Nginx::start(&site.path(""), SocketAddr::new(address(number), 8080)));
        let [a, b, c, d] = [11, 12, 21, 31].map(address);
        let fleet = format!(
            "version = 1\n\
             [region.ap]\nlocation = \"aws:ap-southeast-1\"\n\
             [region.eu]\nlocation = \"aws:eu-central-1\"\n\
             [region.us]\nlocation = \"aws:us-east-1\"\n\
             [monitor.ready]\nkind = \"http\"\nport = 8080\npath = \"/health/ready\"\n\
             interval = \"400ms\"\ntimeout = \"350ms\"\nfall = 2\nrise = 2\n\
             [pool.web]\nmonitors = [\"ready\"]\n\
             capacity = {{ ap = 300, eu = 500, us = 500 }}\nendpoints = [\n\
             {{ region = \"eu\", address = \"{a}\" }},\n{{ region = \"eu\", address = \"{b}\" }},\n\
             {{ region = \"us\", address = \"{c}\" }},\n\
             {{ region = \"ap\", address = \"{d}\" }},\n]\n"
        );
        site.write("config/fleet.toml", &fleet);
        site.write("config/node.toml", &node(&site));
        site.write("zones/app.test.zone", &zone("app.test.", 1, ""));
        let service = |name: &str, policy: &str| {
            format!(
                "[service.{name}]\npool = \"web\"\npolicy = [\"{policy}\"]\n\
                 ttl = {{ min = \"1s\", max = \"1s\" }}\n"
            )
        };
        let services = [service("www", "proximity"), service("spread", "weighted")].concat();
        site.write("zones/app.test.toml", &format!("version = 1\n{services}"));
        let node = site.serve();
        let traffic = Traffic::start(site.dns);
        Self { _traffic: traffic, node, endpoints, site }
    }

    /// The address of the dashboard.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.site.admin)
    }

    /// What a client in Germany is answered with.
    pub(crate) fn answer(&self) -> Vec<IpAddr> {
        let ask = Ask::new(NAME, A).with_subnet("141.20.0.0".parse().unwrap(), 24);
        self.node.client().ask(&ask).addresses()
    }

    /// Tells the node how much the pool has to do in each region.
    pub(crate) fn report_load(&self) {
        for (region, requests) in [("ap", 96.0), ("eu", 212.5), ("us", 465.0)] {
            let host = format!("Host: {}", self.site.admin);
            let line = format!("POST /api/v1/load/web/{region}");
            let body = format!("{{\"requests\":{requests}}}");
            let headers = [host.as_str(), "Content-Type: application/json"];
            let (status, _, reply) = request(self.site.admin, &line, &headers, &body);
            assert_eq!(status, 200, "{reply}");
        }
    }
}

/// Clients that go on asking.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn start(dns: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut client = Client::new(dns);
            client.set_timeout(Duration::from_millis(200));
            let mut clients = CLIENTS.iter().cycle();
            while !stopped.load(Ordering::Relaxed) {
                let own = clients.next().unwrap().parse().unwrap();
                // The node may be down as part of the test.
                let _ = client.try_ask(&Ask::new(NAME, A).with_subnet(own, 24));
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
