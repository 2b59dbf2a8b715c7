//! An endpoint that is given by a host name, which moves and goes away behind the proxy.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::spawn;
use std::time::Duration;

use crate::Front;
use crate::deploy::Clients;
use crate::origin::get;
use crate::support::peers::{Nginx, knot};
use crate::support::process::Process;
use crate::support::site::zone;
use crate::support::{free_address, free_beside, wait_for};

const NXDOMAIN: u8 = 3;

/// What goes between the node and its name server, counted.
#[derive(Default)]
struct Between {
    asked: AtomicU32,
    /// Replies that the name does not exist.
    denied: AtomicU32,
}

impl Between {
    /// Passes questions on to a name server, and gives where they are asked.
    fn start(address: SocketAddr, server: SocketAddr) -> Arc<Self> {
        let (counts, counted) = (Arc::<Self>::default(), UdpSocket::bind(address).unwrap());
        let own = counts.clone();
        spawn(move || {
            let mut message = [0; 4096];
            while let Ok((length, client)) = counted.recv_from(&mut message) {
                own.asked.fetch_add(1, Ordering::Relaxed);
                let onward = UdpSocket::bind((server.ip(), 0)).unwrap();
                onward.connect(server).unwrap();
                onward.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                let _ = onward.send(&message[..length]);
                // Of a dead server there is none.
                let Ok(length) = onward.recv(&mut message) else { continue };
                if message[3] & 15 == NXDOMAIN {
                    own.denied.fetch_add(1, Ordering::Relaxed);
                }
                let _ = counted.send_to(&message[..length], client);
            }
        });
        counts
    }
}

/// Waits for so many more.
fn wait_for_more(what: &str, count: &AtomicU32, more: u32) {
    let first = count.load(Ordering::Relaxed);
    wait_for(what, || (count.load(Ordering::Relaxed) >= first + more).then_some(()));
}

/// The name server's zone.
struct Zone<'a> {
    front: &'a Front,
    serial: u32,
}

impl Zone<'_> {
    fn write(&mut self, records: &str) {
        self.serial += 1;
        self.front.site.write("names.zone", &zone("names.test.", self.serial, records));
    }

    fn change(&mut self, server: &Process, records: &str) {
        self.write(records);
        server.signal("HUP");
    }
}

#[test]
fn a_name_that_moves_is_followed_and_one_that_is_gone_serves_on() {
    let front = Front::new("", "");
    let addresses = [10, 11].map(|number| front.site.address(number));
    let port = free_address(addresses[0].into()).port();
    let [mut first, mut second] =
        addresses.map(|ip| Nginx::start(&front.site.path(""), (ip, port).into()));
    let [first_record, second_record] = addresses.map(|ip| format!("app 1 IN A {ip}"));
    let server = free_beside(front.site.address(2).into(), &[]);
    let asked = free_beside(front.site.address(3).into(), &[]);
    let between = Between::start(asked, server);
    let mut zone = Zone { front: &front, serial: 0 };
    zone.write(&first_record);
    let serve = || knot(&front.site.path(""), server, "names.test", &front.site.path("names.zone"));
    let mut names = serve();
    let node = std::fs::read_to_string(front.site.path("config/node.toml")).unwrap();
    let resolvers = format!("[node]\nresolvers = [\"{asked}\"]\n");
    front.site.write("config/node.toml", &node.replace("[node]\n", &resolvers));
    front.fleet(&format!(
        "[monitor.ready]\nkind = \"http\"\nport = {port}\npath = \"/health/ready\"\n\
         interval = \"1s\"\ntimeout = \"900ms\"\n\
         [pool.web]\nmonitors = [\"ready\"]\n\
         endpoints = [{{ region = \"eu\", address = \"app.names.test\" }}]\n\
         [[route]]\npool = \"web\"\nupstream = {{ port = {port} }}\nretry = {{ attempts = 1 }}\n"
    ));
    let _meridian = front.serve();
    let by = |number: usize| {
        let text = format!("served by {}:{port}\n", addresses[number]);
        wait_for("the endpoint's address", || {
            (get(front.http, "a", "/").text() == text).then_some(())
        });
    };
    by(0);
    let clients = Clients::asking(
        front.http,
        &[
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        ],
    );
    clients.serve(60);
    zone.change(&names, &second_record);
    by(1);
    // Each thread of the proxy has gone over after a request more.
    clients.serve(60);
    first.stop();
    clients.serve(60);
    // It does not exist any more, then nobody says anything; whoever asks for either family once
    // more has taken in what came before.
    zone.change(&names, "");
    wait_for_more("denials", &between.denied, 3);
    clients.serve(60);
    names.kill();
    wait_for_more("questions that nobody answers", &between.asked, 5);
    clients.serve(60);
    // And back.
    first.start_again();
    zone.write(&first_record);
    names = serve();
    by(0);
    clients.serve(60);
    second.stop();
    clients.serve(60);
    let served = clients.end();
    println!("two moves, {served} of {served} requests served");
    drop(names);
}
