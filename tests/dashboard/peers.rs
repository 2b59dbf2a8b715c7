//! What the dashboard shows of other nodes: what each probing region says of an endpoint, and who
//! serves something else or is gone.

use std::net::SocketAddr;

use crate::browser::{Browser, DESK};
use crate::support::meridian::Meridian;
use crate::support::nats::NatsServer;
use crate::support::peers::Nginx;
use crate::support::site::{Site, THREE_REGIONS, zone};

/// Two nodes that probe and one that does not, in three regions. The node of us looks for the
/// endpoint where nothing is.
struct Peers {
    nodes: Vec<Meridian>,
    admin: SocketAddr,
    _bus: NatsServer,
    _endpoint: Nginx,
    site: Site,
}

impl Peers {
    fn start() -> Self {
        let (site, bus) = (Site::new("eu"), NatsServer::prepared());
        let at = SocketAddr::new(site.address(11).into(), 8080);
        let endpoint = Nginx::start(&site.path(""), at);
        let started = [(2, "eu", 8080), (3, "us", 8081), (4, "ap", 8080)];
        let started = started.map(|one| node(&site, &bus, one, at));
        let admin = started[0].1;
        let mut nodes: Vec<Meridian> = started.into_iter().map(|(node, _)| node).collect();
        nodes.iter_mut().for_each(Meridian::wait_ready);
        Self { nodes, admin, _bus: bus, _endpoint: endpoint, site }
    }
}

/// Starts the node of a region, which looks for the endpoint at this port; that of ap does not.
fn node(
    site: &Site,
    bus: &NatsServer,
    (number, region, port): (u8, &str, u16),
    endpoint: SocketAddr,
) -> (Meridian, SocketAddr) {
    let name = format!("{region}-1");
    let (mut text, dns, admin) = site.node_beside(number, (region, &name));
    if region == "ap" {
        text = text.replace("[probe]\nallow_private = true\n", "");
    }
    let at = endpoint.ip();
    // Who sees most of what it looks at fail has no vote.
    let fleet = format!(
        "{THREE_REGIONS}\
         [monitor.ready]\nkind = \"http\"\npath = \"/health/ready\"\nport = {port}\n\
         interval = \"1s\"\ntimeout = \"500ms\"\n\
         [monitor.open]\nkind = \"tcp\"\nport = 8080\ninterval = \"1s\"\n\
         timeout = \"500ms\"\n\
         [pool.web]\nmonitors = [\"ready\"]\nendpoints = [\n\
         {{ region = \"eu\", address = \"{at}\" }},\n]\n\
         [pool.api]\nmonitors = [\"open\"]\nendpoints = [\n\
         {{ region = \"us\", address = \"192.0.2.2\", probe = \"{at}\" }},\n\
         {{ region = \"ap\", address = \"192.0.2.3\", probe = \"{at}\" }},\n]\n"
    );
    let services = "version = 1\n[service.www]\npool = \"web\"\npolicy = [\"proximity\"]\n";
    let files = [
        ("config/node.toml", &*(text + &bus.cluster())),
        ("config/fleet.toml", &fleet),
        ("zones/app.test.zone", &zone("app.test.", 1, "")),
        ("zones/app.test.toml", services),
    ];
    (site.start_beside(region, &files, (dns, admin)), admin)
}

#[test]
fn every_vantage_and_every_peer_is_shown_with_what_it_says_and_serves() {
    let mut fleet = Peers::start();
    let mut browser = Browser::start();
    browser.open(&format!("http://{}/", fleet.admin), DESK);
    // One prober alone takes nothing down, and what both say stands beside the endpoint.
    browser.wait("document.querySelectorAll('#endpoints tbody tr').length === 3");
    browser.fill("#find", "web");
    browser.wait("document.querySelectorAll('#endpoints tbody tr').length === 1");
    browser.wait("document.querySelectorAll('#endpoints tbody .chip').length >= 2");
    browser.wait_text("#endpoints tbody .chip.up", "eu");
    browser.wait_text("#endpoints tbody .chip.down", "us");
    browser.wait_text("#endpoints tbody .chip.down", "refused");
    browser.wait("document.querySelector('#endpoints tbody tr').className === 'up'");
    // The one of us has another fleet.toml all the time; the one that does not probe comes to.
    let differs = |peer: &str| format!("{peer} serves another configuration");
    browser.wait_text("#config", "us-1 in us: live");
    browser.wait_text("#config", "ap-1 in ap: live");
    browser.wait_long("#config", &differs("us-1 in us"));
    let serial = zone("app.test.", 2, "new IN TXT \"x\"");
    fleet.site.write("ap/zones/app.test.zone", &serial);
    browser.wait_long("#config", &differs("ap-1 in ap"));
    browser.wait_text("#verdict", "2 peers with another configuration");
    browser.wait_text("#events", &differs("ap-1 in ap"));
    browser.assert_accessible("peers that drift");
    browser.picture("desk-peers");
    fleet.site.write("ap/zones/app.test.zone", &zone("app.test.", 1, ""));
    browser.wait_text("#verdict", "1 peer with another configuration");
    fleet.nodes[2].process.kill();
    browser.wait_long("#config", "ap-1 in ap: dead");
    browser.wait_text("#verdict", "1 peer silent");
    browser.assert_silent(&[]);
}
