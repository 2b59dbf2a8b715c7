//! The templates of deploy/nats for several servers, with real ones.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use meridian::cluster::{ControlError, Create, Grade, examine};
use meridian::model::Nats;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, control, prober, stopper};
use crate::support::nats::{BusAuthority, NatsServer, address, template};

const OPERATOR: &str = "operator.meridian.example.net";

/// A server of a template in a folder of its own, with these texts replaced.
fn server(
    name: &str,
    authority: &BusAuthority,
    address: SocketAddr,
    replace: &[(&str, String)],
) -> NatsServer {
    let folder = TempDir::new().unwrap();
    authority.lay_out(folder.path());
    let mut replace = replace.to_vec();
    replace.push(("127.0.0.1:8222", self::address().to_string()));
    let config = template(name, folder.path(), &replace);
    NatsServer::start(folder, config, address)
}

/// Waits until the bus is as it should be, streams made, from where an operator stands.
async fn prepare(authority: &BusAuthority, address: SocketAddr, region: &str, create: Create<'_>) {
    let operator = prober(region, "operator");
    let nats = authority.nats(address, Some(OPERATOR));
    let mut last = None;
    let fine = timeout(PATIENCE, async {
        loop {
            let found = examine(&nats, &operator, false, create).await;
            if found
                .as_ref()
                .is_ok_and(|found| found.iter().all(|found| found.grade != Grade::Wrong))
            {
                return;
            }
            last = Some(found);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    assert!(fine.await.is_ok(), "{create:?}: {last:#?}");
}

/// Waits until what one node says is heard by another.
async fn passes(from: &mut Node, to: &mut Node) {
    let subject = format!("meridian.v1.beat.{}.{}", from.me.region, from.me.node);
    let heard = timeout(PATIENCE, async {
        loop {
            from.say("beat", &subject, "hello");
            let wait = timeout(Duration::from_millis(300), to.message());
            if wait.await.is_ok_and(|(found, _)| found == subject) {
                return;
            }
        }
    });
    heard.await.expect("a message that passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_go_on_when_one_of_them_dies() {
    let authority = BusAuthority::new();
    let clients = [(); 3].map(|()| address());
    let routes = [(); 3].map(|()| address());
    let start = |n: usize| {
        let mut replace = vec![
            ("server_name: nats-1", format!("server_name: nats-{}", n + 1)),
            ("0.0.0.0:4222", clients[n].to_string()),
            ("0.0.0.0:6222", routes[n].to_string()),
        ];
        let names =
            ["nats-1.example.net:6222", "nats-2.example.net:6222", "nats-3.example.net:6222"];
        replace.extend(names.iter().zip(routes).map(|(name, route)| (*name, route.to_string())));
        server("cluster.conf", &authority, clients[n], &replace)
    };
    let mut servers = [0, 1, 2].map(start);
    prepare(&authority, clients[0], "eu-central", Create::Streams).await;
    let mut a = Node::on(
        authority.nats(clients[1], Some("fra-1.meridian.example.net")),
        "eu-central",
        "fra-1",
    );
    let mut b = Node::on(
        authority.nats(clients[2], Some("fra-2.meridian.example.net")),
        "eu-central",
        "fra-2",
    );
    passes(&mut a, &mut b).await;
    servers[0].process.kill();
    passes(&mut a, &mut b).await;
    let (state, (stop, _guard)) = (TempDir::new().unwrap(), stopper());
    let table =
        control(authority.nats(clients[1], Some(OPERATOR)), "operator", state.path(), &stop);
    let put = timeout(3 * PATIENCE, async {
        while table.put("override.a", "drain", 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    put.await.expect("an override with two servers of three");
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_hear_each_other_through_the_hub_and_speak_for_themselves_alone() {
    let authority = BusAuthority::new();
    let (hub, leaves) = (address(), address());
    let hash = "$2a$11$EXAMPLEexampleEXAMPLEexampleEXAMPLEexampleEXAMPLEexa";
    let replace = [
        ("127.0.0.1:4222", hub.to_string()),
        ("0.0.0.0:7422", leaves.to_string()),
        (hash, "change-me".to_owned()),
    ];
    let _hub = server("hub.conf", &authority, hub, &replace);
    let regions = [("eu-central", "fra-1"), ("us-east", "nyc-1")].map(|(region, name)| {
        let own = address();
        let replace = [
            ("0.0.0.0:4222", own.to_string()),
            ("hub-1.example.net:7422", leaves.to_string()),
            ("\"meridian.v1.beat.eu-central.fra-1\"", "\"meridian.v1.beat.>\"".to_owned()),
            ("eu-central", region.to_owned()),
            ("fra-1", name.to_owned()),
        ];
        let server = server("leaf.conf", &authority, own, &replace);
        let user = format!("{name}.meridian.example.net");
        (Node::on(authority.nats(own, Some(&user)), region, name), server)
    });
    prepare(&authority, hub, "eu-central", Create::Streams).await;
    for (node, server) in &regions {
        prepare(&authority, server.address, &node.me.region, Create::Mirror("hub")).await;
    }
    let copies = regions.iter().map(|(node, server)| {
        let user = format!("{}.meridian.example.net", node.me.node);
        (node.me.node.clone(), authority.nats(server.address, Some(&user)))
    });
    overrides_reach(&authority, hub, copies.collect()).await;
    let [(mut fra, _a), (mut nyc, _b)] = regions;
    passes(&mut fra, &mut nyc).await;
    passes(&mut nyc, &mut fra).await;
    // A region that was taken over lets its nodes say anything; the hub does not pass it on.
    let forged = "meridian.v1.beat.us-east.nyc-2";
    let heard = timeout(PATIENCE, async {
        loop {
            fra.say("beat", forged, "forged");
            fra.say("beat", "meridian.v1.beat.eu-central.fra-1", "true");
            let wait = timeout(Duration::from_millis(300), nyc.message());
            if let Ok((subject, _)) = wait.await {
                return subject;
            }
        }
    });
    assert_eq!(heard.await.unwrap(), "meridian.v1.beat.eu-central.fra-1");
}

/// Fails unless an override that operators write at the hub reaches these nodes at their servers,
/// and they may not write one.
async fn overrides_reach(authority: &BusAuthority, hub: SocketAddr, nodes: Vec<(String, Nats)>) {
    let (state, (stop, _guard)) = (TempDir::new().unwrap(), stopper());
    let nats = authority.nats(hub, Some(OPERATOR));
    let operators = control(nats, "operator", state.path(), &stop);
    timeout(PATIENCE, operators.watch().wait_for(|t| t.current)).await.unwrap().unwrap();
    operators.put("override.region.eu", "drain", 0).await.unwrap();
    let follow = nodes.into_iter().map(|(name, nats)| async move {
        let (state, (stop, _guard)) = (TempDir::new().unwrap(), stopper());
        let table = control(nats, &name, state.path(), &stop);
        let mut seen = table.watch();
        let there = seen.wait_for(|t| t.current && t.entries.contains_key("override.region.eu"));
        timeout(PATIENCE, there).await.expect("an override").unwrap();
        let refused = table.put("override.region.us", "drain", 0).await;
        assert!(matches!(refused, Err(ControlError::Unavailable(_))), "{refused:?}");
    });
    // At the same time: that nobody takes a change shows by its taking too long.
    let mut all: tokio::task::JoinSet<()> = follow.collect();
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[test]
fn every_template_is_taken_by_the_server() {
    let authority = BusAuthority::new();
    let folder = TempDir::new().unwrap();
    authority.lay_out(folder.path());
    for name in ["single.conf", "cluster.conf", "hub.conf", "leaf.conf"] {
        let config = template(name, folder.path(), &[]);
        let tested = crate::support::process::output(
            std::process::Command::new(crate::support::nats::program())
                .args([Path::new("-t"), Path::new("-c")])
                .arg(&config)
                .arg("-l")
                .arg(folder.path().join("log")),
        );
        assert!(tested.is_empty() || tested.contains("valid"), "{name}: {tested}");
    }
}
